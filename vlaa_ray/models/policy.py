"""The policy as a torch module: from a batch of group rows to the logprob and entropy of every completion token.

Legend: B rows, S row length, N completion tokens, D hidden, V vocabulary.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.utils.checkpoint import checkpoint

from vlaa_ray.models.batches import LOGPROB_CHUNK_TOKENS, Batch
from vlaa_ray.models.chat import ChatFormat
from vlaa_ray.models.families import family_of


def policy_at(temperature: float) -> "Callable[[Any, ChatFormat], Policy]":
    """Return a function from (model, chat format) to the policy that samples at this temperature."""
    return lambda model, chat: Policy(model, temperature=temperature, banned_token_ids=chat.banned_token_ids)


class Policy(nn.Module):
    """A module around a model whose forward returns (logprobs [N], entropy [N]) in fp32.

    The distribution is the one that the engine samples from: it has the same temperature, and the banned ids
    (vision control tokens) are left out of the softmax.
    """

    def __init__(self, model: Any, *, temperature: float, banned_token_ids: list[int]) -> None:
        super().__init__()
        self.model = model
        self._family = family_of(model.config)
        self._temperature = temperature
        self.register_buffer("banned", torch.tensor(banned_token_ids, dtype=torch.long), persistent=False)

    def forward(self, batch: Batch) -> tuple[torch.Tensor, torch.Tensor]:
        """Return (logprobs [N], entropy [N]) of the completion tokens, in fp32; only the logprobs have a gradient."""
        hidden = self._family.completion_hidden_states(self.model, batch)
        chunks = []
        for number in range(batch.num_logprob_chunks):
            part = slice(number * LOGPROB_CHUNK_TOKENS, (number + 1) * LOGPROB_CHUNK_TOKENS)
            chunks.append(self._chunk_logprobs(hidden[part], batch.targets[part], batch.num_logprob_chunks))
        return torch.cat([chunk[0] for chunk in chunks]), torch.cat([chunk[1] for chunk in chunks])

    def save(self, folder: Path, state: dict[str, torch.Tensor]) -> None:
        """Write the model so that transformers and vLLM load it; `state` has its weights by Hugging Face's names."""
        self.model.save_pretrained(folder, state_dict=state)

    def _chunk_logprobs(
        self, hidden: torch.Tensor, targets: torch.Tensor, num_chunks: int
    ) -> tuple[torch.Tensor, torch.Tensor]:
        # with several chunks, the backward pass computes the logits again, so that those of one chunk exist at a time
        if torch.is_grad_enabled() and num_chunks > 1:
            result: tuple[torch.Tensor, torch.Tensor] = checkpoint(self._logprobs, hidden, targets, use_reentrant=False)
            return result
        return self._logprobs(hidden, targets)

    def _logprobs(self, hidden: torch.Tensor, targets: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        logits = self.model.lm_head(hidden).float() / self._temperature  # [N, V]
        logits = logits.index_fill(-1, self.banned, float("-inf"))
        log_softmax = logits.log_softmax(-1)
        with torch.no_grad():
            entropy = -(log_softmax.exp() * log_softmax.masked_fill(log_softmax == float("-inf"), 0.0)).sum(-1)
        return log_softmax.gather(-1, targets[:, None])[:, 0], entropy
