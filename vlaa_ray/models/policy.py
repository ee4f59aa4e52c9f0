"""The policy as a torch module: from a flat row of groups to the logprob and entropy of every completion token.

Legend: N completion tokens.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import nn

from vlaa_ray.models.batches import Batch
from vlaa_ray.models.chat import ChatFormat
from vlaa_ray.models.families import family_of
from vlaa_ray.models.scoring import ScoringHead


def policy_at(temperature: float) -> "Callable[[Any, ChatFormat], Policy]":
    """Return a function from (model, chat format) to the policy that samples at this temperature."""
    return lambda model, chat: Policy(model, temperature=temperature, banned_token_ids=chat.banned_token_ids)


class Policy(nn.Module):
    """A module around a model whose forward returns (logprobs [N], entropy [N]) in fp32.

    The distribution is the one that the engine samples from: it has the same temperature, and the banned ids
    (vision control tokens) are left out of the softmax. The model's head is replaced by a `ScoringHead`.
    """

    def __init__(self, model: Any, *, temperature: float, banned_token_ids: list[int]) -> None:
        super().__init__()
        self.model = model
        self._family = family_of(model.config)
        model.lm_head = ScoringHead(model.lm_head, temperature=temperature, banned_token_ids=banned_token_ids)

    def forward(self, batch: Batch) -> tuple[torch.Tensor, torch.Tensor]:
        """Return (logprobs [N], entropy [N]) of the completion tokens, in fp32; only the logprobs have a gradient."""
        hidden = self._family.completion_hidden_states(self.model, batch)
        logprobs, entropy = self.model.lm_head(hidden, batch.targets)
        return logprobs, entropy

    def save(self, folder: Path, state: dict[str, torch.Tensor]) -> None:
        """Write the model so that transformers and vLLM load it; `state` has its weights by Hugging Face's names."""
        self.model.save_pretrained(folder, state_dict=state)
