"""The loss of a reward model against hand-computed values."""

import math

import pytest
import torch

from vlaa_ray.learner.preference import preference_loss


@pytest.mark.parametrize(
    ("scores", "expected"),
    [
        ([0.0, 0.0], math.log(2)),
        ([1.0, -1.0], math.log(1 + math.exp(-2))),
        ([-1.0, 1.0, 3.0, 0.0], math.log(1 + math.exp(2)) + math.log(1 + math.exp(-3))),
        ([], 0.0),
    ],
)
def test_bradley_terry(scores: list[float], expected: float) -> None:
    assert float(preference_loss(torch.tensor(scores), 0.0)) == pytest.approx(expected, rel=1e-6)


def test_the_second_term_pulls_the_pair_to_zero() -> None:
    assert float(preference_loss(torch.tensor([2.0, 1.0]), 0.5)) == pytest.approx(
        math.log(1 + math.exp(-1)) + 0.5 * 9, rel=1e-6
    )
