r"""Equality of expressions. Run in this process, so only with answers that are quick to compare."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vlaa_ray.rewards.verifiers.latex import to_latex
from vlaa_ray.rewards.verifiers.math import judge_math
from vlaa_ray.rewards.verifiers.math_spans import find_spans
from vlaa_ray.rewards.verifiers.units import drop_units

EQUAL = [
    ("y = -5 * sin(-5 * x)", r"$y = -5\sin(-5x)$"),
    ("y = -5 * sin(-5 * x)", r"5\sin(5x)"),
    ("4√3", r"4\sqrt{3}"),
    ("10√{2}", "10*sqrt(2)"),
    (r"\frac{3√{5}}{2}", "3√5/2"),
    ("(pi/10, 5)", r"\left(\frac{\pi}{10}, 5\right)"),
    ("1,234,567", "1234567"),
    ("12 000", "12,000"),
    ("3 1/2", "3.5"),
    (r"1\frac{4}{5}", "9/5"),
    ("140°", "140 degrees"),
    (r"53.6^\circ", "53.6"),
    ("25%", "0.25"),
    ("34m", "34"),
    ("4πcm^{2}", r"4\pi"),
    ("6√{3}海里", r"6\sqrt{3}"),
    (r"Volume $=127.2 \mathrm{~cm}^{3}$", "127.2"),
    ("8128.50 units $^{2}$", "8128.5"),
    ("3.2e-4", r"3.2 \times 10^{-4}"),
    ("x ≥ 3", r"$x \geq 3$"),
    (r"(-\infty, 4]", "(-∞, 4]"),
    ("1:2", "1/2"),
    ("x = 3", "3"),
    ("3", "x = 3"),
    (r"\boxed{y = 2x + 1}", "2x+1"),
    (r"\[\boxed{y = 2x+1}\]", "y=1+2x"),
    ("$$7$$ $$10$$", r"$7$, $10$"),
    ("60°; 60°; 120°.", "60; 60; 120"),
    ("x^2 - 1", "(x-1)(x+1)"),
    ("sin 30°", "1/2"),
    (r"\text{Evelyn}", r"\boxed{\text{evelyn}}"),
    ("52_8", "52_{8}"),
    ("pi", "π"),
    ("5", r"I think it is 4, no: the final answer is $5$."),
    ("7.5", "so AB = 7.5 cm"),
    ("(x+y)^{3000}", "(y+x)^{2999}(x+y)"),  # at a point, no float can hold it
]
DIFFERENT = [
    ("y = -5 * sin(-5 * x)", "-5"),
    ("4√3", "4"),
    ("4", "4√3"),
    (r"4\sqrt{3}", "4"),
    ("2π", "2"),
    ("8:40", "8"),
    ("(pi/10, 5)", "5"),
    ("63\\pi x^3 + 15\\pi x litres", "63"),
    ("$$7$$ $$10$$", "10"),
    ("10", "$$7$$ $$10$$"),
    ("6\n6", "6"),
    ("3 4", "7"),
    ("5t", "5"),
    ("52_8", "52"),
    ("[0, 1)", "(0, 1)"),
    ("x > 3", "x < 3"),
    ("odd", "even"),
    ("5", "5.001"),
    ("1/3", "0.3"),
    ("x^2 + 1", "x^2"),
    ("5", ""),
    ("5", "1/0"),
]


@pytest.mark.parametrize(("gold", "answer"), EQUAL)
def test_equal(gold: str, answer: str) -> None:
    assert judge_math(answer, gold).value == 1.0


@pytest.mark.parametrize(("gold", "answer"), DIFFERENT)
def test_different(gold: str, answer: str) -> None:
    result = judge_math(answer, gold)
    assert result.value in (0.0, None) and result.reason


@pytest.mark.parametrize("gold", ["Error in step 5, by the property of inequality 3", r"\frac{1}{", "3 +"])
def test_a_gold_that_can_not_be_read_is_invalid_not_wrong(gold: str) -> None:
    for answer in ("42", "", None):
        result = judge_math(answer, gold)
        assert result.value is None and not result.valid and "gold" in result.reason


def test_no_answer_is_wrong_for_a_readable_gold() -> None:
    assert judge_math(None, "4√3").value == 0.0


@settings(max_examples=60, deadline=None)
@given(
    st.integers(-999, 999),
    st.integers(1, 99),
    st.sampled_from(["{}/{}", r"\frac{{{}}}{{{}}}", r"${}\sqrt{{{}}}$", "({}, {})"]),
)
def test_a_gold_equals_itself(a: int, b: int, form: str) -> None:
    gold = form.format(a, b)
    assert judge_math(gold, gold).value == 1.0
    assert judge_math(f"So the answer is {gold}.", gold).value == 1.0


@settings(max_examples=60, deadline=None)
@given(st.integers(-999, 999), st.integers(1, 99), st.integers(1, 999))
def test_other_fractions_are_different(a: int, b: int, more: int) -> None:
    assert judge_math(rf"$\frac{{{a + more}}}{{{b}}}$", f"{a}/{b}").value == 0.0


@pytest.mark.parametrize(
    ("plain", "latex"),
    [
        ("2√3", r"2\sqrt{3}"),
        ("sqrt(x+1)/2", r"\sqrt{x+1}/2"),
        ("x²", "x^{2}"),
        ("2**10", "2^{10}"),
        ("2pi", r"2\pi"),
        ("sin 30°", r"\sin \frac{30\pi}{180}"),
        ("3.5 x 10^4", r"3.5\cdot 10^{4}"),
        ("−5", "-5"),
        ("50%", r"50\%"),
        ("\\$36", "36"),
    ],
)
def test_latex(plain: str, latex: str) -> None:
    assert to_latex(plain) == latex


@pytest.mark.parametrize(
    ("quantity", "number"),
    [
        ("4cm", "4"),
        ("27cm^{2}", "27"),
        ("5 m/s", "5"),
        ("5t", "5t"),
        ("3x", "3x"),
        ("cm", "cm"),
        (r"10\text{ units}", "10"),
    ],
)
def test_units(quantity: str, number: str) -> None:
    assert drop_units(quantity) == number


@pytest.mark.parametrize(
    ("text", "spans"),
    [
        ("the area is 4√3 cm², about 6.9", ["4√3 cm²", "6.9"]),
        (r"$\sqrt{2}$π+4$\sqrt{2}$", [r"\sqrt{2} π+4 \sqrt{2}"]),
        ("I have a cat and/or a step-by-step plan", []),
        ("x = 3 or x = -3", ["x = 3", "x = -3"]),
        ("体重是192公斤", ["192"]),
    ],
)
def test_spans(text: str, spans: list[str]) -> None:
    assert [span.text for span in find_spans(text)] == spans


@settings(max_examples=200, deadline=None)
@given(st.text(max_size=60))
def test_finding_and_rewriting_mathematics_never_raises(text: str) -> None:
    for span in find_spans(text):
        assert 0 <= span.start < span.end <= len(text)
        to_latex(span.text)
