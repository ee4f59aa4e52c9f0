"""No text holds the readers of boxes and points up: repeats of every sign they know, unclosed and nested."""

import time

import pytest

from vlaa_ray.rewards.verifiers.boxes import verify_boxes
from vlaa_ray.rewards.verifiers.grounding import verify_box
from vlaa_ray.rewards.verifiers.points import verify_points
from vlaa_ray.rewards.verifiers.shapes import read_shapes
from vlaa_ray.text.answers import MAX_CHARS

SIGNS = "1.,;:=-+eEx[](){}<>|/\\\"'“”‘`# \n（）【】，１．无\ud800"
PIECES = [
    *("1,", "1.1", "1. x\n", "1e1", "1px", "1x1", "-1 ", "nan ", "[1,", "(1,2)", "(1,2", "[1,2,3,4],", "1 2 3 4\n"),
    *(
        "x1=",
        "'a",
        "'s ",
        '\\"',
        '"\\',
        '"1\\',
        '"a":',
        '{"a":',
        "'(1,2)'",
        '"1,2,3,4",',
        '"bbox": "1,2"',
        "label: a\n",
    ),
    *(
        '{"bbox_2d": [1,2,3,4]}',
        "[1,2,3,4] a\n",
        "<box>",
        "</box>",
        "<ref>a",
        "<|det|>",
        "<loc0001>",
        "<loc_1>",
        "<a b",
    ),
    *("<point x=", '<point x="1" y="2">', '<points x1="1" y1="2"', "\\left", "```", "no ", "没有", "<a b"),
]
LIMIT_S = 1.0


@pytest.fixture(scope="module", autouse=True)
def imports() -> None:
    verify_points("(1, 2), (3, 4)", [[1, 2], [3, 4]], frame="rel1000")  # imports scipy, which takes its time once


@pytest.mark.parametrize("piece", [*SIGNS, *PIECES])
def test_the_reader_takes_less_than_a_second(piece: str) -> None:
    text = piece * (MAX_CHARS // len(piece))
    start = time.process_time()
    read_shapes("[" + text)
    assert time.process_time() - start < LIMIT_S


@pytest.mark.parametrize("piece", ["1", "[1,2,3,4],", "'(1,2)'", '"', "[", "(1,", "<box>", "1 2 3 4\n"])
def test_no_answer_and_no_gold_of_a_megabyte_takes_a_second(piece: str) -> None:
    text = "[" + piece * (1_000_000 // len(piece))
    for verify in (verify_box, verify_boxes, verify_points):
        for answer, gold in ((text, [1, 2, 3, 4]), ("[1, 2, 3, 4]", text), ("[1, 2, 3, 4]", text[:45_000])):
            start = time.process_time()
            verdict = verify(answer, gold, frame="rel1000")
            assert time.process_time() - start < LIMIT_S
            assert verdict.valid or answer is not text


def test_thousands_of_numbers_and_boxes_are_read_once() -> None:
    assert verify_box(" ".join(map(str, range(5000))), [1, 2, 3, 4]).value == 0.0
    assert verify_boxes("\n".join(f"{n} {n} {n + 1} {n + 1}" for n in range(1500)), [[1, 1, 2, 2]]).value == 0.0
    assert not verify_boxes("[1, 1, 2, 2]", [[n, n, n + 1, n + 1] for n in range(500)]).valid


@pytest.mark.parametrize("gold", [[10, 20, 110, 120], "[10, 20, 110, 120]", {"bbox_2d": [10, 20, 110, 120]}])
def test_a_usual_answer_is_judged_in_microseconds(gold: object) -> None:
    times = []
    for _ in range(200):
        start = time.perf_counter()
        verify_box("[10, 20, 110, 220]", gold, frame="rel1000")
        times.append(time.perf_counter() - start)
    assert min(times) < 100e-6  # about 10 µs; the limit leaves room for a busy machine
