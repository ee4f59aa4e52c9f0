import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from vlaa_ray.algorithms.kl import AdaptiveKl, kl_estimate
from vlaa_ray.errors import LearnerError

logprob_pairs = st.lists(st.tuples(st.floats(-20, 0), st.floats(-20, 0)), min_size=1, max_size=20)


def kl(policy, ref, kind):
    return kl_estimate(torch.tensor(policy, dtype=torch.float64), torch.tensor(ref, dtype=torch.float64), kind)


def test_by_hand():
    # d = log 2, then -log 2: k3 = 1/2 - 1 + log 2, then 2 - 1 - log 2
    log2 = math.log(2)
    policy, ref = [-1.0, -1.0 - log2], [-1.0 - log2, -1.0]
    np.testing.assert_allclose(kl(policy, ref, "k1"), [log2, -log2], rtol=1e-14)
    np.testing.assert_allclose(kl(policy, ref, "k2"), [log2**2 / 2] * 2, rtol=1e-14)
    np.testing.assert_allclose(kl(policy, ref, "k3"), [log2 - 0.5, 1 - log2], rtol=1e-14)


@pytest.mark.parametrize("kind", ["k1", "k2", "k3"])
def test_equal_policies_have_no_kl(kind):
    logprobs = [-3.7, -1e-9, -0.1]
    assert kl(logprobs, logprobs, kind).tolist() == [0, 0, 0]


@settings(deadline=None)
@given(logprob_pairs)
def test_k2_and_k3_are_never_negative(pairs):
    policy, ref = zip(*pairs, strict=True)
    assert (kl(policy, ref, "k2") >= 0).all()
    assert (kl(policy, ref, "k3") >= 0).all()


def exact_kl(policy, ref):
    return (policy.exp() * (policy - ref)).sum()


def test_k1_and_k3_average_to_the_exact_kl():
    torch.manual_seed(0)
    policy, ref = torch.log_softmax(torch.randn(2, 50, dtype=torch.float64), dim=-1)
    for kind in ("k1", "k3"):
        assert (policy.exp() * kl_estimate(policy, ref, kind)).sum().item() == pytest.approx(
            exact_kl(policy, ref).item()
        )


@pytest.mark.parametrize(("kind", "weighted"), [("k1", True), ("k2", False), ("k3", True)])
def test_gradient_is_that_of_the_exact_kl(kind, weighted):
    """Which estimators may be a loss term: in expectation over the policy's own samples, and its ratio being 1."""
    torch.manual_seed(1)
    logits, ref_logits = torch.randn(2, 20, dtype=torch.float64)
    logits.requires_grad_()
    policy, ref = torch.log_softmax(logits, -1), torch.log_softmax(ref_logits, -1)
    ratio = torch.exp(policy - policy.detach()) if weighted else 1
    estimated = (policy.exp().detach() * ratio * kl_estimate(policy, ref, kind)).sum()
    (gradient,) = torch.autograd.grad(estimated, logits, retain_graph=True)
    (exact,) = torch.autograd.grad(exact_kl(policy, ref), logits)
    torch.testing.assert_close(gradient, exact, atol=1e-12, rtol=1e-9)


def test_k1_without_the_ratio_has_no_gradient_in_expectation():
    logits = torch.randn(20, dtype=torch.float64, requires_grad=True)
    policy = torch.log_softmax(logits, -1)
    (policy.exp().detach() * kl_estimate(policy, torch.zeros_like(policy), "k1")).sum().backward()
    assert logits.grad.abs().max() < 1e-15


def test_controller_by_hand():
    # The paper's settings: 2,048 samples a step, horizon 10,000 -> at most 0.2 * 0.2048 = 4.096 % a step.
    controller = AdaptiveKl(coefficient=1e-3, target=5e-4, horizon=10_000.0)
    assert controller.updated(5e-4, 2048) == controller
    assert controller.updated(1.0, 2048).coefficient == pytest.approx(1e-3 * 1.04096, rel=1e-14)
    assert controller.updated(math.inf, 2048).coefficient == pytest.approx(1e-3 * 1.04096, rel=1e-14)
    assert controller.updated(-1.0, 2048).coefficient == pytest.approx(1e-3 * (1 - 0.04096), rel=1e-14)
    assert controller.updated(5.5e-4, 2048).coefficient == pytest.approx(1e-3 * (1 + 0.1 * 0.2048), rel=1e-12)


def test_controller_over_the_paper_s_49_steps():
    high = low = AdaptiveKl(coefficient=1e-3, target=5e-4)
    for _ in range(49):
        high, low = high.updated(1.0, 2048), low.updated(0.0, 2048)
    assert high.coefficient == pytest.approx(7.15e-3, rel=1e-3)
    assert low.coefficient == pytest.approx(0.1288e-3, rel=1e-3)


def test_controller_is_fixed_without_a_target():
    controller = AdaptiveKl(coefficient=0.04)
    assert controller.updated(100.0, 10**6) is controller


def test_controller_never_turns_negative():
    assert AdaptiveKl(coefficient=1.0, target=1.0, horizon=10.0).updated(0.0, 10**6).coefficient == pytest.approx(0.8)


def test_controller_refuses_nan():
    with pytest.raises(LearnerError, match="NaN"):
        AdaptiveKl(coefficient=1.0, target=1.0).updated(math.nan, 8)
