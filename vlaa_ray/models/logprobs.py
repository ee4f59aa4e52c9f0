"""The policy as training sees it: a batch of group rows to the logprob and entropy of every completion token.

Legend: B rows, S row length, N completion tokens, D hidden, V vocabulary.
"""

from typing import Any

import torch
from torch import nn
from torch.utils.checkpoint import checkpoint

from vlaa_ray.data.packing import SCORE_CHUNK_TOKENS, Batch


class Policy(nn.Module):
    """A Qwen2.5-VL whose forward gives (logprobs [N], entropy [N]) in fp32.

    The distribution is the one that the engine samples from: the same temperature, and the banned ids
    (vision control tokens) left out of the softmax.
    """

    def __init__(self, model: Any, *, temperature: float, banned_token_ids: list[int]) -> None:
        super().__init__()
        self.model = model
        self._temperature = temperature
        self._image_token_id = model.config.image_token_id
        self.register_buffer("_banned", torch.tensor(banned_token_ids, dtype=torch.long), persistent=False)

    def forward(self, batch: Batch) -> tuple[torch.Tensor, torch.Tensor]:
        base = self.model.model
        embeddings = base.get_input_embeddings()(batch.input_ids)
        features = torch.cat(base.get_image_features(batch.pixel_values, batch.image_grid_thw).pooler_output)
        is_image = (batch.input_ids == self._image_token_id)[..., None]
        embeddings = embeddings.masked_scatter(is_image, features.to(embeddings.dtype))
        mask = torch.zeros_like(batch.attention_mask, dtype=embeddings.dtype)
        mask.masked_fill_(~batch.attention_mask, torch.finfo(mask.dtype).min)
        hidden = base.language_model(
            inputs_embeds=embeddings, attention_mask=mask, position_ids=batch.position_ids, use_cache=False
        ).last_hidden_state
        scored = hidden.flatten(0, 1)[batch.score_index]  # [N, D]
        chunks = []
        for number in range(batch.num_score_chunks):
            part = slice(number * SCORE_CHUNK_TOKENS, (number + 1) * SCORE_CHUNK_TOKENS)
            chunks.append(self._score(scored[part], batch.targets[part], batch.num_score_chunks))
        return torch.cat([chunk[0] for chunk in chunks]), torch.cat([chunk[1] for chunk in chunks])

    def _score(self, hidden: torch.Tensor, targets: torch.Tensor, num: int) -> tuple[torch.Tensor, torch.Tensor]:
        if torch.is_grad_enabled() and num > 1:  # don't keep the logits of all chunks
            result: tuple[torch.Tensor, torch.Tensor] = checkpoint(self._logprobs, hidden, targets, use_reentrant=False)
            return result
        return self._logprobs(hidden, targets)

    def _logprobs(self, hidden: torch.Tensor, targets: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        logits = self.model.lm_head(hidden).float() / self._temperature  # [N, V]
        logits = logits.index_fill(-1, self._banned, float("-inf"))
        log_softmax = logits.log_softmax(-1)
        with torch.no_grad():
            entropy = -(log_softmax.exp() * log_softmax.masked_fill(log_softmax == float("-inf"), 0.0)).sum(-1)
        return log_softmax.gather(-1, targets[:, None])[:, 0], entropy
