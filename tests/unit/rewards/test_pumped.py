"""No text holds a processor: every verifier is given long repeats of every character, as answers and as golds.

The limit is a second of processor time for each call outside the sandbox. Texts just under the limit of characters are
the dangerous ones, because longer texts are told from their length.
"""

import time
from collections.abc import Iterator
from itertools import islice

import pytest

from tests.unit.rewards.test_scoring import GOLDS, PARAMS
from vlaa_ray.records import FORMAT
from vlaa_ray.rewards.dispatch import VERIFIERS, SandboxTask, verdict_or_task
from vlaa_ray.text.answers import MAX_CHARS

LIMIT_S = 1.0
TYPES = (*VERIFIERS, "math", FORMAT)
CHARACTERS = "1a0AeE .,:;!?-+*/^_=%$#@&~|'\"`\\()[]{}<>\n\tﾟ，、；：。（【「一三点负是不−×√π½²①\ufdfa\ud800"
MARKS = ("1{}", "a{} ", "{},")  # a character beside others
CODE = (
    r"\boxed{",
    r"\frac{1}",
    r"\text{",
    r"\left(",
    r"\ ",
    "<answer>",
    "</think>",
    "<box>",
    "[[",
    "[1,",
    '{"a":',
    "(1)",
)
NUMERALS = ("1.", "1,000", "1e", "1/2 ", "-1", "1 000 ", "９", "²", "1 to ", "one ", "twenty-", "三十")
WORDS = ("no ", "not ", "A ", "(A) ", "A or ", "and ", "the ", "red, ", "和", "不是", "option ", "answer is ", "10% ")
BOXES = ("[0.1, 0.2, 0.3, 0.4] ", "(0.1, 0.2) ", "x1=1 ", "<|box_start|>", "point: ", "bbox_2d")
PAIRS = ("()", "[]", "{}", "<>", "（）", "【】", "''", '""', "$$")


def units() -> Iterator[str]:
    yield from CHARACTERS
    yield from (mark.format(character) for mark in MARKS for character in CHARACTERS if not character.isalnum())
    yield from (*CODE, *NUMERALS, *WORDS, *BOXES)


def texts(size: int) -> Iterator[str]:
    """Yield texts of at most `size` characters: repeats, and brackets inside one another around a number.

    `make test` takes every sixth of them, `make acceptance` all.
    """
    yield from (unit * (size // len(unit)) for unit in units())
    for opening, closing in PAIRS:
        depth = size // 2 - 1
        yield opening * depth + "1" + closing * depth


def seconds(response: str, gold: object, kind: str) -> float:
    start = time.process_time()
    verdict = verdict_or_task(response, gold, kind, PARAMS.get(kind, {}))
    taken = time.process_time() - start
    assert isinstance(verdict, SandboxTask) or verdict.valid == (verdict.value is not None)
    return taken


def slow(kind: str, size: int, pumped: str, every: int = 1) -> dict[str, float]:
    """Return the beginnings of the texts that take longer than the limit, with their seconds."""
    gold = GOLDS.get(kind, 3)
    found = {}
    for text in islice(texts(size), 0, None, every):
        taken = seconds("<answer>3</answer>", text, kind) if pumped == "gold" else seconds(wrapped(text), gold, kind)
        if taken > LIMIT_S:
            found[text[:12]] = round(taken, 1)
    return found


def wrapped(text: str) -> str:
    return f"<think>.</think><answer>{text}</answer>"


@pytest.mark.parametrize("pumped", ["answer", "gold"])
@pytest.mark.parametrize("kind", TYPES)
def test_no_text_of_the_longest_length_takes_a_second(kind: str, pumped: str) -> None:
    assert slow(kind, MAX_CHARS, pumped, every=6) == {}


@pytest.mark.acceptance
@pytest.mark.parametrize("size", [MAX_CHARS, 1_000_000])
@pytest.mark.parametrize("pumped", ["answer", "gold"])
@pytest.mark.parametrize("kind", TYPES)
def test_no_text_at_all_takes_a_second(kind: str, pumped: str, size: int) -> None:
    assert slow(kind, size, pumped) == {}


def test_tags_by_the_megabyte_take_no_second() -> None:
    for tag in (
        "<answer>",
        "</answer>",
        "<think>",
        "</think>",
        "<answer></answer>",
        "<think><answer>",
        "</answer><think>",
    ):
        assert seconds(tag * (1_000_000 // len(tag)), "red cat", "text") < LIMIT_S
