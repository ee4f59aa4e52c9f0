"""The head of a language model that gives logprobs and entropy instead of logits, a part of the tokens at a time.

All logits of a micro-batch at once would take 10 GB for 16,384 tokens and 152,000 ids. So they exist for `CHUNK_TOKENS`
tokens at a time, and the backward pass computes them again. At most 3.4 copies of a part's logits are alive.

Legend: N tokens, D hidden, V vocabulary, C tokens of a part.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

CHUNK_TOKENS = 2048
"""The largest number of tokens whose logits exist at once: 1.2 GB in fp32 for a vocabulary of 152,000."""


class ScoringHead(nn.Module):
    """A module that owns the weight [V, D] of the head; one call of it scores all tokens."""

    def __init__(self, head: Any, *, temperature: float = 1.0, banned_token_ids: list[int]) -> None:
        super().__init__()
        self.weight = head.weight
        self._temperature = temperature
        self.register_buffer("banned", torch.tensor(banned_token_ids, dtype=torch.long), persistent=False)

    def forward(self, hidden: torch.Tensor, targets: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return (logprobs [N] of the targets, entropy [N]) in fp32 from hidden [N, D]; only logprobs have a gradient.

        The distribution is the softmax of logits / temperature over all ids but the banned ones.
        """
        logprobs, entropy = _Scores.apply(hidden, self.weight, targets, self.banned, self._temperature)
        return logprobs, entropy


class _Scores(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        hidden: torch.Tensor,
        weight: torch.Tensor,
        targets: torch.Tensor,
        banned: torch.Tensor,
        temperature: float,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        logprobs = hidden.new_empty(len(hidden), dtype=torch.float32)
        entropy = torch.empty_like(logprobs)
        for part in _parts(len(hidden)):
            logits = _logits(hidden[part], weight, banned, temperature)  # [C, V]
            logprobs[part] = logits.gather(-1, targets[part, None])[:, 0]
            powers = logits.exp()
            total = powers.sum(-1)
            log_total = total.log()
            logprobs[part] -= log_total
            # -sum p log p = log Z - sum p x, with 0 where p is 0
            mean = powers.mul_(logits.masked_fill_(logits == float("-inf"), 0.0)).sum(-1) / total
            entropy[part] = log_total - mean
        ctx.save_for_backward(hidden, weight, targets, banned)
        ctx.temperature = temperature
        ctx.mark_non_differentiable(entropy)
        return logprobs, entropy

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        """The gradient of the logits is (1 at the target, else 0) - probability, times that of the logprob."""
        hidden, weight, targets, banned = ctx.saved_tensors
        gradient = gradients[0] / ctx.temperature
        of_hidden = torch.empty_like(hidden)
        of_weight = torch.zeros_like(weight, dtype=torch.float32)
        for part in _parts(len(hidden)):
            logits = _logits(hidden[part], weight, banned, ctx.temperature)
            slope = logits.exp_()
            slope.mul_((-gradient[part] / slope.sum(-1))[:, None])
            slope.scatter_add_(-1, targets[part, None], gradient[part, None])
            narrow = slope.to(hidden.dtype)
            of_hidden[part] = narrow @ weight
            of_weight += (narrow.T @ hidden[part]).float()
        return of_hidden, of_weight.to(weight.dtype), None, None, None


def _parts(num_tokens: int) -> list[slice]:
    return [slice(start, start + CHUNK_TOKENS) for start in range(0, num_tokens, CHUNK_TOKENS)]


def _logits(hidden: torch.Tensor, weight: torch.Tensor, banned: torch.Tensor, temperature: float) -> torch.Tensor:
    """Return the logits [C, V] in fp32 over the temperature, minus their maximum; -inf for banned ids."""
    logits = (hidden @ weight.T).float().div_(temperature).index_fill_(-1, banned, float("-inf"))
    return logits.sub_(logits.amax(-1, keepdim=True))
