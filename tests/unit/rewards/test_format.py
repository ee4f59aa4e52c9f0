"""The form of a response: one thought, then one answer, nothing else."""

import pytest

from vlaa_ray.rewards import score


@pytest.mark.parametrize(
    ("response", "value", "reason"),
    [
        ("<think>a</think><answer>b</answer>", 1.0, ""),
        ("\n<think>a</think>\n\n<answer>b</answer>\n", 1.0, ""),
        ("<answer>b</answer>", 0.0, "0 times <think>"),
        ("<answer>b</answer><think>a</think>", 0.0, "order"),
        ("<think>a</think>so<answer>b</answer>", 0.0, "outside"),
        ("so<think>a</think><answer>b</answer>", 0.0, "outside"),
        ("<think>a</think><answer>b</answer>!", 0.0, "outside"),
        ("<think>a</think><answer>b</answer><answer>b</answer>", 0.0, "2 times <answer>"),
        ("<think>a</think><answer>b", 0.0, "0 times </answer>"),
        ("", 0.0, "0 times <think>"),
    ],
)
def test_format(response, value, reason) -> None:
    result = score(response, None, "format")
    assert result.value == value and reason in result.reason
