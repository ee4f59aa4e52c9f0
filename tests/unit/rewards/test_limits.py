"""What can be told from a text: too deep, too long, too many digits, too high a power."""

import pytest

from vlaa_ray.records import Prompt
from vlaa_ray.rewards import score
from vlaa_ray.rewards.limits import gold_excess
from vlaa_ray.rewards.verifiers.math_limits import excess, has_huge_power


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("9^{9^{9}}", "power"),
        ("9^9^9", "power"),
        ("9 ** (9 ** 9)", "power"),
        ("so it is 3 + 10^{100000000}", "power"),
        ("2^{-9^{9}}", "power"),
        ("7^{7^{7^{7^{7}}}}", "power"),
        ("2^{2^{2^{2}}}", ""),  # 65,536
        ("2^{2023}", ""),
        ("10^{-31}", ""),
        ("1^{9^9}", ""),
        ("x^{2^3}", ""),
        ("9" * 1000, ""),
        ("9" * 1001, "digits"),
        ("(" * 50 + ")" * 50, ""),
        ("(" * 51, "brackets"),
        ("x" * 20_000, ""),
        ("x" * 20_001, "characters"),
    ],
)
def test_limits_of_mathematics(text: str, fault: str) -> None:
    found = excess(text) or ("a power" if has_huge_power(text) else "")
    assert fault in found and bool(found) == bool(fault)
    if fault:
        result = score(f"<answer>{text}</answer>", 5, "math")
        assert (result.value, result.valid) == (0.0, True) and fault in result.reason
        assert not score("<answer>5</answer>", text, "math").valid


def test_limits_of_golds() -> None:
    assert gold_excess("x" * 20_000) == gold_excess([1.5, "a", None, {"b": [True]}]) == gold_excess(10**999) == ""
    deep: list = []
    for _ in range(2000):
        deep = [deep]
    assert "inside one another" in gold_excess(deep)
    assert "digits" in gold_excess([10**5000]) and "digits" in gold_excess(-(10**1000))
    assert "values" in gold_excess([0] * 10_001)
    assert "characters" in gold_excess(["x" * 20_001]) and "characters" in gold_excess(["x" * 20_000] * 11)


def test_a_gold_that_json_cant_hold_has_a_text() -> None:
    for gold in (10**5000, [10**5000]):
        prompt = Prompt(prompt_id="p", question="?", gold=gold, verifier_type="digit", source="test")
        assert "JSON can't hold" in prompt.gold_text
