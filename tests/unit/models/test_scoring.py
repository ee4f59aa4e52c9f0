"""The scoring head against log_softmax of whole logits."""

import pytest
import torch
from torch import nn

from vlaa_ray.models import scoring
from vlaa_ray.models.scoring import ScoringHead

BANNED = [1, 2, 5]


@pytest.mark.parametrize("chunk", [7, 1000])
@pytest.mark.parametrize("temperature", [0.6, 1.0, 1.7])
def test_logprobs_entropy_and_gradients_are_those_of_the_softmax(monkeypatch, chunk, temperature):
    monkeypatch.setattr(scoring, "CHUNK_TOKENS", chunk)
    torch.manual_seed(0)
    linear = nn.Linear(6, 40, bias=False, dtype=torch.float32)
    hidden = torch.randn(23, 6, requires_grad=True)
    targets = torch.randint(6, 40, (23,))
    weights = torch.randn(23)
    head = ScoringHead(linear, temperature=temperature, banned_token_ids=BANNED)
    logprobs, entropy = head(hidden, targets)
    found = torch.autograd.grad((logprobs * weights).sum(), [hidden, head.weight])

    logits = linear(hidden.double().float()).double() / temperature
    full = logits.index_fill(-1, torch.tensor(BANNED), float("-inf")).log_softmax(-1)
    picked = full.gather(-1, targets[:, None])[:, 0]
    kept = torch.ones(40, dtype=torch.bool).index_fill(0, torch.tensor(BANNED), False)
    wanted = torch.autograd.grad((picked * weights).sum(), [hidden, linear.weight], retain_graph=True)
    assert torch.allclose(logprobs.double(), picked, atol=2e-6)
    assert torch.allclose(entropy.double(), -(full.exp() * full)[:, kept].sum(-1), atol=2e-6)
    for one, other in zip(found, wanted, strict=True):
        assert torch.allclose(one, other, atol=2e-6 * float(other.abs().max()))
    assert not entropy.requires_grad and head.weight is linear.weight


def test_a_banned_target_has_no_probability():
    head = ScoringHead(nn.Linear(6, 40, bias=False), banned_token_ids=BANNED)
    logprobs, _ = head(torch.randn(1, 6), torch.tensor([5]))
    assert logprobs.tolist() == [float("-inf")]


def test_no_tokens_give_a_gradient_of_zero():
    head = ScoringHead(nn.Linear(6, 40, bias=False), banned_token_ids=BANNED)
    hidden = torch.randn(0, 6, requires_grad=True)
    logprobs, entropy = head(hidden, torch.zeros(0, dtype=torch.long))
    logprobs.sum().backward()
    assert logprobs.shape == entropy.shape == (0,) and hidden.grad.shape == (0, 6)
    assert not head.weight.grad.any()
