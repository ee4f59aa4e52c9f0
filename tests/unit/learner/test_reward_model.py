"""The loss of a reward model against hand-computed values."""

import math

import pytest
import torch

from vlaa_ray.learner.reward_model import preference_loss


def softplus(x: float) -> float:
    return math.log(1 + math.exp(x))


@pytest.mark.parametrize(
    ("scores", "worths", "expected"),
    [
        ([0.0, 0.0], [1, 0], math.log(2)),
        ([1.0, -1.0], [1, 0], softplus(-2)),
        ([1.0, -1.0], [0, 1], softplus(2)),
        ([1.0, -1.0], [1, 1], 0.0),  # neither is better
        ([3.0, 1.0, 0.0], [3, 2, 1], (softplus(-2) + softplus(-3) + softplus(-1)) / 3),
        ([3.0, 1.0, 0.0], [2, 1, 1], (softplus(-2) + softplus(-3)) / 2),
        ([5.0], [1], 0.0),
    ],
)
def test_bradley_terry_over_all_pairs_that_differ(scores, worths, expected) -> None:
    loss = preference_loss(torch.tensor(scores), torch.tensor(worths, dtype=torch.float32), 0.0)
    assert float(loss) == pytest.approx(expected, rel=1e-6)


def test_the_second_term_pulls_pairs_to_zero() -> None:
    loss = preference_loss(torch.tensor([2.0, 1.0]), torch.tensor([1.0, 0.0]), 0.5)
    assert float(loss) == pytest.approx(softplus(-1) + 0.5 * 9, rel=1e-6)
