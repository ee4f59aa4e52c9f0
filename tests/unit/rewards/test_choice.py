"""Option letters, in the forms that models and data sets write them. The verdicts are made by hand."""

import string
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vlaa_ray.rewards.verifiers.choice import read_letter, verify_choice

DENIED = [
    ("It isn't B", None),
    ("B is wrong, so C", "C"),
    ("Option B is incorrect; C is correct.", "C"),
    ("Neither A nor B, so C", "C"),
    ("neither A nor B but C", "C"),
    ("It can't be A or B, so C", "C"),
    ("The answer is C, not B", "C"),
    ("C instead of B", "C"),
    ("I would choose C over B", "C"),
    ("Eliminate A and B, so it is D", "D"),
    ("We can rule out A. The answer is D", "D"),
    ("All but B", None),
    ("Everything except B", None),
    ("Everything except A is wrong", "A"),
    ("I do not think the answer is B", None),
    ("I don't choose B", None),
    ("The wrong answer is B", None),
    ("B is not wrong", "B"),
    ("B can be ruled out", None),
    ("D as opposed to B", "D"),
    ("I'm not sure, but I think D", "D"),
    ("A, B and C can be eliminated, leaving D.", "D"),
    ("The dog doesn't move, so the answer is D.", "D"),
    ("D isn't visible", "D"),
    ("不选A，选B", "B"),
    ("排除A和B，所以选C", "C"),
    ("A、B错误，C正确", "C"),
    ("D，A、B、C都不对", "D"),
    ("选B而不选A", "B"),
    ("B选项不正确", None),
    ("是C而不是A", "C"),
]
ARTICLES = [
    ("A long time ago, C", "C"),
    ("A small dog, which is option C", "C"),
    ("A person is holding B", "B"),
    ("A beautiful painting", None),
    ("A correct answer", None),
    ("A is correct", "A"),
    ("A, because it is red", "A"),
    ("A has more legs", "A"),
    ("A fits best", "A"),
    ("(A) A dog", "A"),
    ("A: A dog", "A"),
    ("A circle (B)", "B"),
    ("I am sure it is D", "D"),
    ("I guess A", "A"),
    ("I see a dog, so A", "A"),
    ("I can see a red car", None),
    ("I is the answer", "I"),
    ("I.", "I"),
]
SEVERAL = [
    ("A and B", None),
    ("Both A and B", None),
    ("Either A or B", None),
    ("A, B, C and D", None),
    ("(B)/(C)", None),
    ("B, or maybe C", None),
    ("C vs D", None),
    ("I can't decide between B and C", None),
    ("A. 1 B. 2 C. 3 D. 4", None),
    ("A: 1\nB: 2\nC: 3", None),
    ("A\nB", None),
    ("A; B", None),
    ("All of the above", None),
    ("None of the above", None),
    ("All of these are true, so E", "E"),
    ("D. All of the above", "D"),
    ("D (all of the above)", "D"),
    ("All of the above (D)", "D"),
    ("A or B, but I choose B", "B"),
    ("It could be A or B. Final answer: B", "B"),
    ("A, B and C are all correct, so D", "D"),
    ("Between C and D, D is better", "D"),
    ("B? No, C.", "C"),
    ("A. Wait, actually B.", "B"),
    ("Options:\nA. 1\nB. 2\n\nAnswer: B", "B"),
    ("Comparing A with B shows it.\n\nC", "C"),
    ("A还是B", None),
    ("选A、B", None),
]
OPENING = [
    ("B. Point A and point C", "B"),
    ("B: A and C", "B"),
    ("B) both A and C are right", "B"),
    ("(B) A and C", "B"),
    ("C. Only A is correct", "C"),
    ("D: Both A and B", "D"),
    ("D, both A and C", "D"),
    ("C) A > B", "C"),
    ("B, since A and C are too large", "B"),
    ("B. Not enough information", "B"),
    ("C. Neither A nor B", "C"),
    ("B: the answer to A", "B"),
    ("A. I and II", "A"),
    ("The answer is (C) A and B", "C"),
    ("C\n\nExplanation: A is too small, D is too large.", "C"),
    ("b) A and C", "B"),
    ("B。因为A和C不对", "B"),
]
SMALL = [
    ("**b**", "B"),
    ("**b.**", "B"),
    ('"b"', "B"),
    ("option b", "B"),
    ("Option (b), the cat", "B"),
    ("choice b", "B"),
    ("b: 4", "B"),
    ("b) the cat", "B"),
    ("the answer is b", "B"),
    ("the correct option is b.", "B"),
    ("the answer is a", "A"),
    ("the answer is a dog", None),
    ("option a is correct", "A"),
    ("a dog", None),
    ("a) dog", "A"),
    ("a) cat\nb) dog", None),
    ("a or b", None),
    ("cat(s)", None),
    ("e.g. a cat", None),
    ("f(b) = 3", None),
]
WIDE_AND_CHINESE = [
    ("（ｂ）猫", "B"),
    ("Ｂ、猫", "B"),
    ("［Ｃ］", "C"),
    ("【B】", "B"),
    ("答案：（Ｃ）", "C"),
    ("答案为Ｃ。", "C"),
    ("答案：选Ｃ", "C"),
    ("选B", "B"),
    ("故选：B。", "B"),
    ("应该选C", "C"),
    ("选项C", "C"),
    ("選項 C 正確", "C"),
    ("我认为是C", "C"),
    ("正确的是C", "C"),
    ("综上所述，答案为C", "C"),
    ("因此选择C项", "C"),
    ("因为A太小，所以选C", "C"),
    ("C选项正确", "C"),
]
BOXES = [
    ("B \\boxed{3}", "B"),
    ("The answer is \\boxed{12}, so option C", "C"),
    ("\\boxed{12}", None),
    ("\\boxed{E=mc^2}", None),
    ("(C) \\boxed{E = mc^2}", "C"),
    ("B since \\boxed{A \\cup C}", "B"),
    ("\\boxed{C = 5}, so D", "D"),
    ("\\boxed{5\\text{ A}}, so the answer is D", "D"),
    ("\\boxed{\\text{(B) } 12}", "B"),
    ("\\boxed{\\textbf{D}}. Note that A is wrong", "D"),
    ("\\boxed{Option B}", "B"),
    ("\\boxed{\\boxed{B}}", "B"),
    ("\\boxed{} D", "D"),
    ("\\boxed{D", "D"),
]
CUES = [
    ("Final answer\n(D) dog", "D"),
    ('{"answer": "D"}', "D"),
    ("Answer :D", "D"),
    ("Answer = D", "D"),
    ("The correct answer among A, B, C and D is B", "B"),
    ("Initially I thought A, but the answer is B.", "B"),
    ("Let the angle at A be x. Then the answer is B.", "B"),
    ("We get R = 5 so the answer is (C)", "C"),
    ("The answer would be option C.", "C"),
    ("La respuesta es C", "C"),
    ("J. K. Rowling", None),
]
PLAIN = [
    ("B", "B"),
    ("b", "B"),
    ("(b)", "B"),
    ("B)", "B"),
    ("B.", "B"),
    ("**B**", "B"),
    (r"\boxed{\text{B}}", "B"),
    ("$B$", "B"),
    ("B: 50°", "B"),
    ("B. Because A is not valid", "B"),
    ("(B) A cat", "B"),
    ("The answer is (B) 0.25.", "B"),
    ("Answer: B", "B"),
    ("answer: b", "B"),
    ("A looks wrong. The correct option is D", "D"),
    ("the answer is surely D, it can't be A or B", "D"),
    ("it must be C", "C"),
    ("I think it is C", "C"),
    ("I", "I"),
    ("it is A or it is C", None),
    ("A, B, C, D", None),
    ("A B C D", None),
    ("A or B", None),
    ("(A) (B)", None),
    ("50 degrees", None),
    ("Because", None),
    ("", None),
]
KINDS = [*PLAIN, *DENIED, *ARTICLES, *SEVERAL, *OPENING, *SMALL, *WIDE_AND_CHINESE, *BOXES, *CUES]


@pytest.mark.parametrize(("text", "letter"), KINDS)
def test_letters(text: str, letter: str | None) -> None:
    assert read_letter(text) == letter


def test_verdicts() -> None:
    assert verify_choice("The answer is (B).", "B) 50°").value == 1.0
    assert verify_choice("C", "B").value == 0.0
    assert verify_choice("A, B, C, D", "B").value == 0.0
    assert not verify_choice("B", "50 degrees").valid


@given(st.sampled_from(string.ascii_uppercase), st.sampled_from(["{}", "({})", "{}.", "Answer: {}", r"\boxed{{{}}}"]))
def test_a_gold_equals_itself_and_no_other_letter(letter: str, form: str) -> None:
    other = "A" if letter != "A" else "B"
    assert verify_choice(form.format(letter), letter).value == 1.0
    assert verify_choice(form.format(letter), other).value == 0.0


GOLDS = [
    "c) a cat",
    "C. I and II",
    "(c)",
    "Answer: C",
    r"\boxed{\text{C}}",
    "C、猫",
    "Ｃ",
    "C\nbecause A and B are not",
]


@pytest.mark.parametrize("gold", GOLDS)
def test_a_gold_is_worth_one_as_its_own_answer(gold: str) -> None:
    assert verify_choice(gold, gold).value == verify_choice("C", gold).value == 1.0
    assert verify_choice("A", gold).value == 0.0


@pytest.mark.parametrize(
    "gold", ["A dog is here", "not B", "A or B", "", None, 3, {}, "(" * 2000, "9" * 5000, "\ud800"]
)
def test_a_gold_without_a_single_letter_is_invalid(gold: object) -> None:
    assert not verify_choice("B", gold).valid


@given(st.text(alphabet=string.printable + "ＢＡ（）、，。不是选答案“”\ud800\\boxed{}", max_size=60))
def test_no_text_makes_the_reader_raise(text: str) -> None:
    letter = read_letter(text)
    assert letter is None or letter in string.ascii_uppercase


PUMPED = [*"AbBI.:;,()[]{}<>\"'*$`_-/\\ \n=不选，。“’Ｂﷺ"]
PUMPED += [
    "A, ",
    "A and ",
    "not ",
    "not be ",
    "answer is ",
    "\\boxed{",
    "\\boxed{\\boxed{A} ",
    "\\text{",
    '"A',
    "A.\n",
    "A. x\n",
]
PUMPED += ["(A) ", "a.", "1,", "B because ", "A is not ", "Answer:\n", "{\\boxed{B}"]


@pytest.mark.parametrize("unit", PUMPED)
def test_a_megabyte_is_read_at_once(unit: str) -> None:
    text = (unit * (1_000_000 // len(unit) + 1))[:1_000_000]
    start = time.process_time()
    verify_choice(text, "B")
    verify_choice("B", text)
    assert time.process_time() - start < 2  # two texts, a second each
