import importlib.util
import math
from pathlib import Path

import jaxtyping
import numpy as np
import pytest
import torch

from vlaa_ray.algorithms.losses import (
    AGGREGATIONS,
    LOSSES,
    StepCounts,
    sft_loss,
    truncated_importance_weights,
)
from vlaa_ray.algorithms.losses import token_weights as weights_by
from vlaa_ray.config import GrpoSection
from vlaa_ray.errors import LearnerError

_spec = importlib.util.spec_from_file_location("grpo_oracle", Path(__file__).with_name("oracle.py"))
oracle = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(oracle)

KINDS = ["grpo", "dapo", "dr_grpo"]
LENGTHS = [3, 7, 0, 5, 1, 7, 2, 4]
KEPT = [True, False, True, True, True, True, False, True]
MAX_TOKENS = 7
CLIP = {"clip_low": 0.2, "clip_high": 0.28}


def token_weights(lengths, kind, *, kept=None, dtype=torch.float32, **counts):
    """Weights by the name of the aggregation; the tokens of sequences that are not kept weigh 0."""
    weights = weights_by(lengths, AGGREGATIONS[kind], StepCounts(**counts), dtype)
    return weights if kept is None else weights * kept.repeat_interleave(lengths)


def grpo_loss(policy, old, advantages, weights, *, clip_low, clip_high, sequences=None, loss="clipped", **options):
    """The named loss; without `sequences` all tokens are of one."""
    made = LOSSES[loss].from_config(GrpoSection(loss=loss, clip_low=clip_low, clip_high=clip_high))
    sequences = torch.zeros(len(policy), dtype=torch.long) if sequences is None else sequences
    return made(policy, old, advantages, weights, sequences, **options)


def double(values):
    return torch.tensor(values, dtype=torch.float64)


def weights_of(lengths, kind, kept=None, *, like=(LENGTHS, KEPT)):
    """Weights of some sequences, with the counts of the whole step `like`."""
    all_lengths, all_kept = like
    return token_weights(
        torch.tensor(lengths), kind, kept=None if kept is None else torch.tensor(kept), dtype=torch.float64,
        num_sequences=len(all_lengths), max_completion_tokens=MAX_TOKENS,
        num_tokens=sum(length for length, keep in zip(all_lengths, all_kept, strict=True) if keep),
    )  # fmt: skip


@pytest.fixture
def sequences():
    generator = np.random.default_rng(7)

    def one(length, kept):
        old = -generator.exponential(1.0, length)
        return {
            "old": old.tolist(),
            "policy": (old + generator.normal(0, 0.3, length)).tolist(),
            "ref": (old + generator.normal(0, 0.3, length)).tolist(),
            "importance": generator.uniform(0.5, 2, length).tolist(),
            "advantage": generator.normal(),
            "kept": kept,
        }

    return [one(length, kept) for length, kept in zip(LENGTHS, KEPT, strict=True)]


def flat(sequences, name):
    if name == "advantage":
        return double([sequence["advantage"] for sequence in sequences for _ in sequence["policy"]])
    return double([value for sequence in sequences for value in sequence[name]])


def loss_and_gradient(sequences, kind, **options):
    """Of one micro-batch, as part of the step of all sequences."""
    policy = flat(sequences, "policy").requires_grad_()
    lengths = [len(sequence["policy"]) for sequence in sequences]
    weights = weights_of(lengths, kind, [sequence["kept"] for sequence in sequences])
    if options.pop("importance", False):
        options["importance_weights"] = flat(sequences, "importance")
    if options.get("kl_coefficient"):
        options["ref_logprobs"] = flat(sequences, "ref")
    numbers = torch.arange(len(sequences)).repeat_interleave(torch.tensor(lengths))
    options = CLIP | options | {"sequences": numbers}
    result = grpo_loss(policy, flat(sequences, "old"), flat(sequences, "advantage"), weights, **options)
    result.loss.backward()
    gradients = torch.split(policy.grad, lengths)
    return result, [gradient.tolist() for gradient in gradients]


def test_by_hand():
    # Ratios 1.5, 0.5, 1.1 and 0.5; A = 1, 1, 1 and -2; clip to [0.8, 1.28]; each token weighs 1/4:
    # -(1.28 + 0.5 + 1.1 - 2 * 0.8) / 4 = -0.32. Gradient -w A r where not clipped.
    old = double([-2.0, -2.0, -2.0, -2.0])
    policy = (old + torch.log(double([1.5, 0.5, 1.1, 0.5]))).requires_grad_()
    result = grpo_loss(policy, old, double([1, 1, 1, -2]), double([0.25] * 4), **CLIP)
    result.loss.backward()
    assert result.loss.item() == pytest.approx(-0.32, abs=1e-15)
    np.testing.assert_allclose(policy.grad, [0, -0.125, -0.275, 0], atol=1e-15)
    assert (result.num_tokens, result.num_clipped_low, result.num_clipped_high, result.kl_sum) == (4, 1, 1, 0)


def test_kl_term_by_hand():
    # On policy, A = 0: only beta * k3 is left; d = log 2 -> k3 = log 2 - 1/2, its gradient 1 - 1/2.
    policy = double([-1.0]).requires_grad_()
    result = grpo_loss(
        policy, double([-1.0]), double([0]), double([1]), **CLIP, ref_logprobs=double([-1 - math.log(2)]),
        kl_coefficient=0.1,
    )  # fmt: skip
    result.loss.backward()
    assert result.loss.item() == pytest.approx(0.1 * (math.log(2) - 0.5), rel=1e-13)
    assert policy.grad.item() == pytest.approx(0.05, rel=1e-13)
    assert result.kl_sum.item() == pytest.approx(math.log(2) - 0.5, rel=1e-13)


def test_kl_term_needs_a_reference():
    one = double([1.0])
    with pytest.raises(LearnerError, match="reference"):
        grpo_loss(one, one, one, one, **CLIP, kl_coefficient=0.1)


def test_weights_by_hand():
    lengths, counts = torch.tensor([2, 0, 1]), {"num_sequences": 3, "num_tokens": 3, "max_completion_tokens": 4}
    kept = torch.tensor([True, True, False])
    third, twelfth = 1 / 3, 1 / 12
    for kind, expected in {"grpo": [third / 2] * 2 + [third], "dapo": [third] * 3, "dr_grpo": [twelfth] * 3}.items():
        weights = token_weights(lengths, kind, dtype=torch.float64, **counts)
        np.testing.assert_allclose(weights, expected, rtol=1e-15)
        masked = token_weights(lengths, kind, kept=kept, dtype=torch.float64, **counts)
        np.testing.assert_allclose(masked, [*expected[:2], 0], rtol=1e-15)


@pytest.mark.parametrize("kind", KINDS)
def test_weights_of_a_step_without_tokens_are_empty(kind):
    weights = token_weights(torch.tensor([0]), kind, num_sequences=0, num_tokens=0, max_completion_tokens=4)
    assert weights.tolist() == []


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("kl_kind", ["k1", "k2", "k3"])
@pytest.mark.parametrize("importance", [False, True])
def test_equals_the_oracle(sequences, kind, kl_kind, importance):
    options = {"kl_coefficient": 0.3, "kl_kind": kl_kind}
    result, gradient = loss_and_gradient(sequences, kind, importance=importance, **options)
    for sequence in sequences if not importance else []:
        sequence["importance"] = [1.0] * len(sequence["policy"])

    def expected():
        settings = {"max_tokens": MAX_TOKENS, "low": 0.2, "high": 0.28, "beta": 0.3, "kl": kl_kind}
        return oracle.oracle_loss(kind, sequences, **settings)

    assert result.loss.item() == pytest.approx(expected(), abs=1e-13)
    for sequence, of_sequence in zip(sequences, gradient, strict=True):  # central differences
        for position, value in enumerate(sequence["policy"]):
            sides = []
            for step in (1e-6, -1e-6):
                sequence["policy"][position] = value + step
                sides.append(expected())
            sequence["policy"][position] = value
            assert of_sequence[position] == pytest.approx((sides[0] - sides[1]) / 2e-6, abs=1e-8)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("size", [1, 2, 3, 4])
def test_micro_batches_ranks_and_order_change_nothing(sequences, kind, loss, size):
    options = {"kl_coefficient": 0.1, "importance": True, "loss": loss}
    whole, whole_gradient = loss_and_gradient(sequences, kind, **options)
    order = np.random.default_rng(size).permutation(len(sequences)).tolist()
    totals, gradients = dict.fromkeys(("loss", "num_tokens", "num_clipped_low", "num_clipped_high", "kl_sum"), 0.0), {}
    for start in range(0, len(order), size):
        indices = order[start : start + size]
        part, part_gradients = loss_and_gradient([sequences[index] for index in indices], kind, **options)
        gradients.update(zip(indices, part_gradients, strict=True))
        totals = {name: total + getattr(part, name).item() for name, total in totals.items()}
    for name, total in totals.items():
        assert total == pytest.approx(getattr(whole, name).item(), abs=1e-10)
    for index, gradient in enumerate(whole_gradient):
        np.testing.assert_allclose(gradients[index], gradient, atol=1e-10)
    assert whole.num_tokens == sum(length for length, kept in zip(LENGTHS, KEPT, strict=True) if kept)


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("hole", [math.nan, -math.inf])
def test_tokens_of_weight_zero_never_reach_the_loss_or_the_gradient(hole, loss):
    policy = double([hole, -1.0]).requires_grad_()
    result = grpo_loss(
        policy, double([-1.0, -1.0]), double([hole, 1.0]), double([0.0, 1.0]), **CLIP, kl_coefficient=0.1,
        ref_logprobs=double([-2.0, -1.0]), importance_weights=double([hole, 1.0]), loss=loss,
    )  # fmt: skip
    result.loss.backward()
    assert math.isfinite(result.loss.item()) and result.num_tokens.item() == 1.0
    # on policy the gradient of every loss is that of the plain policy gradient, -A
    assert policy.grad.tolist() == pytest.approx([0.0, -1.0], abs=1e-12)


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("num_tokens", [0, 3])
def test_without_any_token_the_loss_is_zero_and_has_a_gradient(num_tokens, loss):
    policy = torch.zeros(num_tokens, requires_grad=True)
    zeros = torch.zeros(num_tokens)
    result = grpo_loss(policy, zeros, zeros, zeros, **CLIP, loss=loss)
    result.loss.backward()
    assert (result.loss.item(), result.num_tokens.item(), result.ratio_max.item()) == (0.0, 0.0, 0.0)
    assert policy.grad.tolist() == [0.0] * num_tokens


def test_only_the_policy_gets_a_gradient():
    policy, old, rollout = (double([-1.0]).requires_grad_() for _ in range(3))
    importance = truncated_importance_weights(old, rollout, 2.0)
    grpo_loss(policy, old, double([1]), double([1]), **CLIP, importance_weights=importance).loss.backward()
    assert policy.grad.item() == -1.0 and old.grad is None and rollout.grad is None


def test_importance_weights_are_truncated_from_above_only():
    old, rollout = double([-1.0, -1.0, -5.0, 0.0]), double([-1.0, -4.0, -1.0, -1000.0])
    weights = truncated_importance_weights(old, rollout, 2.0)
    np.testing.assert_allclose(weights, [1, 2, math.exp(-4), 2], rtol=1e-14)


def test_sft_loss_is_the_mean_negative_log_likelihood():
    policy = double([-1.0, -3.0, -5.0, math.nan]).requires_grad_()
    weights = token_weights(
        torch.tensor([1, 2, 1]), "dapo", kept=torch.tensor([True, True, False]), dtype=torch.float64,
        num_sequences=3, num_tokens=3, max_completion_tokens=9,
    )  # fmt: skip
    loss = sft_loss(policy, weights)
    loss.backward()
    assert loss.item() == pytest.approx(3.0, rel=1e-14)
    np.testing.assert_allclose(policy.grad, [-1 / 3] * 3 + [0], rtol=1e-14)


def test_shape_annotations_are_executed():
    with pytest.raises(jaxtyping.TypeCheckError):
        sft_loss(torch.zeros(3), torch.zeros(2))


def logs(*ratios):
    """(policy, old) logprobs with these ratios."""
    old = double([-2.0] * len(ratios))
    return (old + torch.log(double(ratios))).requires_grad_(), old


def test_sequence_ratio_by_hand():
    # ratios 4, 1 | 0.5, 0.5: geometric means 2 and 0.5; A = 1 and -1; clip to [0.8, 1.28]; each token weighs 1/4:
    # -(1.28 + 1.28 - 0.8 - 0.8) / 4 = -0.24, all of it clipped: no gradient
    policy, old = logs(4.0, 1.0, 0.5, 0.5)
    sequences, advantages = torch.tensor([0, 0, 1, 1]), double([1, 1, -1, -1])
    result = grpo_loss(policy, old, advantages, double([0.25] * 4), **CLIP, sequences=sequences, loss="gspo")
    result.loss.backward()
    assert result.loss.item() == pytest.approx(-0.24, abs=1e-12) and policy.grad.tolist() == [0, 0, 0, 0]
    assert (result.num_clipped_low, result.num_clipped_high) == (2, 2)
    assert result.ratio_max.item() == pytest.approx(2)
    # ratios 1.21, 1: mean sqrt(1.21) = 1.1, not clipped; d/dlogp = -w A s / 2 at each token, summed over both weights
    policy, old = logs(1.21, 1.0)
    result = grpo_loss(policy, old, double([1, 1]), double([0.5, 0.5]), **CLIP, loss="gspo")
    result.loss.backward()
    assert result.loss.item() == pytest.approx(-1.1, abs=1e-12)
    np.testing.assert_allclose(policy.grad, [-0.55, -0.55], atol=1e-12)


def test_clipped_weight_by_hand():
    # ratios 1.5 (cut to 1.28), 0.5 (cut to 0.8), 1.1: -w A min(r, cut) logp; the gradient is -w A times the cut ratio
    policy, old = logs(1.5, 0.5, 1.1)
    result = grpo_loss(policy, old, double([1, 1, -2]), double([1 / 3] * 3), **CLIP, loss="cispo")
    result.loss.backward()
    first, second, third = policy.tolist()
    assert result.loss.item() == pytest.approx(-(1.28 * first + 0.8 * second - 2.2 * third) / 3, abs=1e-12)
    np.testing.assert_allclose(policy.grad, [-1.28 / 3, -0.8 / 3, 2.2 / 3], atol=1e-12)
    assert (result.num_clipped_low, result.num_clipped_high) == (1, 1)


def test_soft_gate_by_hand():
    # A = 2 with t = 1.0 and r = 1.5; A = -1 with t = 1.05 and r = 0.5; loss -w (4 / t) sigmoid(t (r - 1)) A
    policy, old = logs(1.5, 0.5)
    result = grpo_loss(policy, old, double([2, -1]), double([0.5, 0.5]), **CLIP, loss="sapo")
    result.loss.backward()
    gates = [1 / (1 + math.exp(-0.5)), 1 / (1 + math.exp(1.05 * 0.5))]
    expected = -0.5 * 4 * gates[0] * 2 + 0.5 * 4 / 1.05 * gates[1]
    assert result.loss.item() == pytest.approx(expected, abs=1e-7)
    slopes = [4 * gate * (1 - gate) for gate in gates]  # d/dr, the temperatures cancel; d/dlogp has another r
    np.testing.assert_allclose(policy.grad, [-0.5 * 2 * slopes[0] * 1.5, 0.5 * slopes[1] * 0.5], atol=1e-7)
