"""Sets of option letters, as people and models write them. The verdicts are made by hand."""

import string
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vlaa_ray.rewards.verifiers.letters import read_letters, verify_letters

KINDS = [
    ("ca", ""),
    ("**BD**", "BD"),
    ("(BD)", "BD"),
    ("A and C", "AC"),
    ("A, C", "AC"),
    ("A、C", "AC"),
    ("A 和 C", "AC"),
    ("A和C", "AC"),
    ("A，C", "AC"),
    ("A C", "AC"),
    ("A/C", "AC"),
    ("A & C", "AC"),
    ("A+C", "AC"),
    ("A;C", "AC"),
    ("A; C", "AC"),
    ("ABD", "ABD"),
    ("A B D", "ABD"),
    ("a, c", "AC"),
    ("a and c", "AC"),
    ("b, d", "BD"),
    ("(a) and (c)", "AC"),
    ("(A) and (C)", "AC"),
    ("(A)(C)", "AC"),
    ("[A, C]", "AC"),
    ('["A", "C"]', "AC"),
    ("['A', 'C']", "AC"),
    ("{A, C}", "AC"),
    ("A\nC", "AC"),
    ("A and C are correct", "AC"),
    ("A and C are correct.", "AC"),
    ("The correct options are A and C.", "AC"),
    ("The answers are A and C", "AC"),
    ("The answer is AC", "AC"),
    ("Answer: AC", "AC"),
    ("Answer: A, C", "AC"),
    ("Answers: A and C", "AC"),
    ("options b and d", "BD"),
    ("Options B and D", "BD"),
    ("option b and option d", "BD"),
    ("Option A and Option C", "AC"),
    ("Both A and C", "AC"),
    ("both A and C are right", "AC"),
    ("A, B, and D", "ABD"),
    ("A, B and D are correct", "ABD"),
    ("I choose A and C", "AC"),
    ("I would select B and D", "BD"),
    ("选A和C", "AC"),
    ("选择 A、C", "AC"),
    ("答案：AC", "AC"),
    ("答案是A、C", "AC"),
    ("答案：A，C", "AC"),
    ("故选AC", "AC"),
    ("故选：ABD。", "ABD"),
    ("正确答案为BD", "BD"),
    ("ＡＣ", "AC"),
    ("Ａ、Ｃ", "AC"),
    ("（Ａ）（Ｃ）", "AC"),
    ("A and C but not B", "AC"),
    ("A and C, but not B", "AC"),
    ("A and C but not B or D", "AC"),
    ("not A or B", ""),
    ("Not B; A and C", "AC"),
    ("A, not B", "A"),
    ("A is correct, B is wrong, C is correct", "AC"),
    ("A and C are correct; B and D are wrong.", "AC"),
    ("B is wrong. A and C are right.", "AC"),
    ("All except B", ""),
    ("everything but B", ""),
    ("Neither A nor B", ""),
    ("neither A nor B, but C and D", "CD"),
    ("A and C; B is incorrect", "AC"),
    ("A and C because B is too small", "AC"),
    ("A, C (B is wrong)", "AC"),
    ("A and C, since B and D are too large", "AC"),
    ("A. Point C", "A"),
    ("A. cat\nC. dog", "AC"),
    ("A. Vitamin B\nC. Vitamin D", "AC"),
    ("(A) cat, (C) dog", "AC"),
    ("(A) B and D; (C) E", "AC"),
    ("A) cat and C) dog", "AC"),
    ("A: cat; C: dog", "AC"),
    ("B. Triangle ABD", "B"),
    ("\\boxed{AC}", "AC"),
    ("\\boxed{A, C}", "AC"),
    ("\\boxed{\\text{A and C}}", "AC"),
    ("\\boxed{A} and \\boxed{C}", "AC"),
    ("\\boxed{\\mathrm{BD}}", "BD"),
    ("$\\boxed{BD}$", "BD"),
    ("AC \\boxed{12}", "AC"),
    ("The answers are \\boxed{A, C}", "AC"),
    ("a cat", ""),
    ("A cat", ""),
    ("none of the above", ""),
    ("All of the above", ""),
    ("I think A and C", "AC"),
    ("I think the answers are A and C", "AC"),
    ("A only", "A"),
    ("only A", "A"),
    ("A and D only", "AD"),
    ("Only A and D are correct.", "AD"),
    ("ALL", ""),
    ("The correct answers are: A, C, D.", "ACD"),
    ("The correct answers are (A), (C), and (D)", "ACD"),
    ("A, C and also D", "ACD"),
    ("A as well as C", "AC"),
    ("不选B，选A和C", "AC"),
    ("A和C正确，B错误", "AC"),
    ("A、C正确，B、D错误", "AC"),
    ("AC正确", "AC"),
    ("AC are correct", "AC"),
    ("A C D are correct", "ACD"),
    ("It's A and C, not B.", "AC"),
    ("It is not B but A and C", "AC"),
    ("The answer is not B but A and C", "AC"),
    ("A and C instead of B", "AC"),
    ("A and C rather than B and D", "AC"),
    ("B isn't correct; A and C are", "AC"),
    ("A doesn't fit, so B and C", "BC"),
    ("Statement 1 is true, so A and C", "AC"),
    ("Answer: A and C. B is a distractor.", "AC"),
    ("Answer:\nA\nC", "AC"),
    ("Answer: A. cat\nC. dog", "AC"),
    ("- A\n- C", "AC"),
    ("* A\n* C", "AC"),
    ("1. A\n2. C", "AC"),
    ("- A. cat\n- C. dog", "AC"),
    ("A、B、D", "ABD"),
    ("A, C, F", "ACF"),
    ("E", "E"),
    ("I and J", "IJ"),
    ("I", "I"),
    ("The answer is A.", "A"),
    ("Yes, A and C", "AC"),
    ("A and C. Not B.", "AC"),
    ("Not B or D: A and C", "AC"),
    ("A & C only, B excluded", "AC"),
    ("B is excluded, A and C remain", "AC"),
    ("A, B, C, D except B", "ACD"),
    ("A, B and C, excluding D", "ABC"),
    ("A, C", "AC"),
    ("A,C", "AC"),
    ("AC,", "AC"),
    ("A-C", ""),
    ("Options: A, C", "AC"),
    ("选项A和C", "AC"),
    ("A选项和C选项", "AC"),
    ("A项、C项正确", "AC"),
    ("[A][C]", "AC"),
    ('"A" and "C"', "AC"),
    ("'A', 'C'", "AC"),
    ("<b>A</b>, <b>C</b>", "AC"),
    ("A\\&C", "AC"),
    ("\\text{A, C}", "AC"),
    ("A与C", "AC"),
    ("A及C", "AC"),
    ("A, and C", "AC"),
]


@pytest.mark.parametrize(("text", "letters"), KINDS)
def test_letters(text: str, letters: str) -> None:
    assert read_letters(text) == set(letters)


@pytest.mark.parametrize("gold", [text for text, letters in KINDS if letters])
def test_a_gold_is_worth_one_as_its_own_answer(gold: str) -> None:
    assert verify_letters(gold, gold).value == 1.0


@pytest.mark.parametrize("gold", ["AC", ["A", "C"], ("c)", "(a)"), ["A. a cat", "C. a dog"], "A、C", "Answer: AC"])
def test_golds_may_be_lists(gold: object) -> None:
    assert verify_letters("A and C", gold).value == 1.0
    assert verify_letters("A", gold, partial_credit=True).value == 0.5
    assert verify_letters("not A", gold, partial_credit=True).value == 0.0


@pytest.mark.parametrize("gold", ["which one?", "", None, 3, [], {}, "not A", "(" * 2000, "9" * 5000, "\ud800"])
def test_a_gold_without_letters_is_invalid(gold: object) -> None:
    assert not verify_letters("A", gold).valid


@given(st.text(alphabet=string.printable + "ＢＡ（）、，。不是选答案“”\ud800\\boxed{}", max_size=60))
def test_no_text_makes_the_reader_raise(text: str) -> None:
    assert read_letters(text) <= set(string.ascii_uppercase)


PUMPED = [*"AbBI.:;,()[]{}<>\"'*$`_-/\\ \n=不选，。“’Ｂﷺ"]
PUMPED += [
    "A, ",
    "A and ",
    "AB ",
    "bd ",
    "not be ",
    "answer is ",
    "\\boxed{",
    "\\boxed{A} ",
    "A.\n",
    "A. x\n",
    "(A) ",
    "A is ",
]


@pytest.mark.parametrize("unit", PUMPED)
def test_a_megabyte_is_read_at_once(unit: str) -> None:
    text = (unit * (1_000_000 // len(unit) + 1))[:1_000_000]
    start = time.process_time()
    verify_letters(text, "AB")
    verify_letters("AB", text)
    assert time.process_time() - start < 2  # two texts, a second each
