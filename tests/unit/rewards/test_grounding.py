"""Boxes: frames, faults, and the properties of IoU."""

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vlaa_ray.rewards.verifiers.grounding import Box, iou, read_boxes, verify_box

_SIDE = st.integers(1, 1000)
_BOXES = st.builds(lambda x, y, w, h: Box(float(x), float(y), float(x + w), float(y + h)), _SIDE, _SIDE, _SIDE, _SIDE)


def test_iou_by_hand() -> None:
    # Intersection 1 x 1, union 4 + 4 - 1.
    assert verify_box("[0, 0, 2, 2]", [1, 1, 3, 3]).value == pytest.approx(1 / 7)
    assert verify_box("[0.1, 0.2, 0.7, 0.5]", "[0.1, 0.2, 0.7, 0.5]", frame="unit").value == 1.0
    assert verify_box("[0, 0, 1, 1]", [1, 0, 2, 1]).value == 0.0
    # No +1 anywhere: half of a box of width 1 is one half.
    assert verify_box("[0, 0, 0.5, 1]", [0, 0, 1, 1]).value == pytest.approx(0.5)


@pytest.mark.parametrize(
    "text",
    [
        "[1, 2, 3, 4]",
        "(1,2,3,4)",
        "1, 2, 3, 4",
        "1 2 3 4",
        "(1, 2), (3, 4)",
        "[[1, 2], [3, 4]]",
        '```json\n[{"bbox_2d": [1, 2, 3, 4], "label": "cat"}]\n```',
        '{"bbox_2d": [1, 2, 3, 4], "label": ',
        "The cat is at [1.0, 2.0,\n 3e0, 4.] in the image, so [1, 2, 3, 4].",
        r"\boxed{[1, 2, 3, 4]}",
    ],
)
def test_forms_of_a_box(text: str) -> None:
    assert verify_box(text, {"bbox_2d": [1, 2, 3, 4]}).value == 1.0


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        ("", "0 boxes"),
        ("[1, 2, 3]", "0 boxes"),
        ("[1, 2, 3, 4, 5]", "0 boxes"),
        ("[0, 0, 1, 1] [0, 0, 0.5, 1]", "2 boxes"),
        ("[0.7, 0.2, 0.1, 0.5]", "reversed"),
        ("[0.1, 0.5, 0.7, 0.2]", "reversed"),
        ("[0.1, 0.2, 0.1, 0.5]", "reversed or empty"),
        ("[nan, 0.2, 0.1, 0.5]", "finite"),
        ("[0.1, nan, 0.7, 0.5]", "finite"),
        ("[0, 0, inf, 1]", "finite"),
        ("[0, 0, 1e300, 1]", "finite"),
        ("[0.1, 0.2, 7, 0.5]", "outside"),
        ("[-0.1, 0.2, 0.7, 0.5]", "outside"),
        ("[0.1, 0.1, 0.2, 0.2]", "overlap"),
        ("[1, 2, 3, 4], " * 100_000, "outside"),
        (" " * 300_000, "0 boxes"),
    ],
)
def test_faults_score_zero_with_a_reason(answer: str, reason: str) -> None:
    result = verify_box(answer, [0.5, 0.5, 0.9, 0.9], frame="unit")
    assert (result.value, result.valid) == (0.0, True)
    assert reason in result.reason


@pytest.mark.parametrize("gold", ["", "cat", [1, 2, 3], [[1, 2, 3, 4], [1, 2, 3, 5]], None, 7, [1, 2, 3, math.nan]])
def test_an_unreadable_gold_is_invalid(gold: object) -> None:
    assert not verify_box("[0, 0, 1, 1]", gold).valid


def test_frames_are_converted_and_never_guessed() -> None:
    # The left half of a 640 x 480 file that the model saw as 644 x 476, in every frame.
    gold = [0, 0, 320, 480]
    sizes = {"image_size": (640, 480), "input_size": (644, 476), "gold_frame": "original_px"}
    assert verify_box("[0, 0, 322, 476]", gold, frame="resized_px", **sizes).value == pytest.approx(1.0)
    assert verify_box("[0, 0, 500, 1000]", gold, frame="rel1000", **sizes).value == pytest.approx(1.0)
    assert verify_box("[0, 0, 0.5, 1]", gold, frame="unit", **sizes).value == pytest.approx(1.0)
    # Pixels that would pass for 0-1000 coordinates are still read as pixels.
    assert verify_box("[0, 0, 500, 476]", gold, frame="resized_px", **sizes).value == pytest.approx(322 / 500)
    assert verify_box("[0, 0, 500, 1000]", gold, frame="resized_px", **sizes).value == 0.0


def test_the_whole_image_pays_only_where_the_gold_is_large() -> None:
    assert verify_box("[0, 0, 1, 1]", [0, 0, 0.5, 0.9], frame="unit").value == 0.0
    assert verify_box("[0, 0, 1000, 999]", [0, 0, 500, 900], frame="rel1000").value == 0.0
    assert verify_box("[0, 0, 1, 1]", [0, 0, 0.5, 1], frame="unit").value == pytest.approx(0.5)
    assert verify_box("[0, 0, 0.9, 1]", [0, 0, 0.45, 1], frame="unit").value == pytest.approx(0.5)


def test_the_gold_that_says_that_there_is_no_box_pays_nothing() -> None:
    verdict = verify_box("[0, 0, 1, 1]", [0, 0, 0, 0])
    assert (verdict.value, verdict.valid) == (0.0, True) and "no area" in verdict.reason


def test_a_pixel_frame_needs_its_size() -> None:
    assert not verify_box("[0, 0, 1, 1]", [0, 0, 1, 1], frame="resized_px").valid
    assert not verify_box("[0, 0, 1, 1]", [0, 0, 1, 1], frame="original_px", image_size=(0, 5)).valid
    assert not verify_box("[0, 0, 1, 1]", [0, 0, 1, 1], frame="original_px", image_size=[None, "5"]).valid
    assert not verify_box("[0, 0, 1, 1]", [0, 0, 1, 1], frame="millimetres").valid


def test_deep_and_odd_golds_do_not_raise() -> None:
    deep: list = []
    for _ in range(100_000):
        deep = [deep]
    assert read_boxes(deep) == []
    assert read_boxes([["x", None, 1, 2]]) == []


@given(_BOXES, _BOXES)
def test_iou_is_symmetric_bounded_and_one_only_for_equal_boxes(a: Box, b: Box) -> None:
    value = iou(a, b)
    assert value == pytest.approx(iou(b, a), abs=1e-12)
    assert 0 <= value <= 1
    assert (value == 1) == (a == b)


@given(_BOXES, _BOXES, st.floats(1e-3, 1e3), st.floats(1e-3, 1e3), st.integers(-1000, 1000))
def test_iou_does_not_change_with_scale_and_place(a: Box, b: Box, scale_x: float, scale_y: float, shift: int) -> None:
    def moved(box: Box) -> Box:
        return Box(*((v + shift) * (scale_x if i % 2 == 0 else scale_y) for i, v in enumerate(box)))

    assert iou(moved(a), moved(b)) == pytest.approx(iou(a, b), abs=1e-6)


@settings(max_examples=300)
@given(*[st.lists(st.floats(-1e9, 1e9), min_size=2, max_size=2, unique=True).map(sorted)] * 4)
def test_any_real_boxes(ax: list[float], ay: list[float], bx: list[float], by: list[float]) -> None:
    a, b = Box(ax[0], ay[0], ax[1], ay[1]), Box(bx[0], by[0], bx[1], by[1])
    assert 0 <= iou(a, b) <= 1
    assert iou(a, b) == 1 if a == b else iou(a, b) < 1
    assert iou(a, a) == 1
