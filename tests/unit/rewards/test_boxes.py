"""Several boxes: assignment, labels, what is missing or too much, and thresholds that rise."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vlaa_ray.rewards.verifiers.boxes import threshold_at, verify_boxes

CAT, DOG = {"bbox_2d": [0, 0, 10, 10], "label": "cat"}, {"bbox_2d": [20, 20, 30, 40], "label": "Dog"}
DYNAMIC = [[0.1, 0.85], [0.25, 0.95], [1, 0.99]]
SIDE = st.integers(1, 100)
BOX = st.builds(lambda x, y, w, h: [x, y, x + w, y + h], SIDE, SIDE, SIDE, SIDE)


def said(*boxes: object) -> str:
    return str(list(boxes)).replace("'", '"')


def test_by_hand() -> None:
    # the halves of two boxes: IoU 1/2 each; one missing: half; one surplus: 2 of 3
    half_cat, half_dog = CAT | {"bbox_2d": [0, 0, 5, 10]}, DOG | {"bbox_2d": [20, 20, 30, 30]}
    assert verify_boxes(said(half_cat, half_dog), [CAT, DOG]).value == pytest.approx(0.5)
    assert verify_boxes(said(CAT), [CAT, DOG]).value == pytest.approx(0.5)
    assert verify_boxes(said(CAT, DOG, [50, 50, 60, 60]), [CAT, DOG]).value == pytest.approx(2 / 3)
    assert verify_boxes(said(CAT, DOG, [50, 50, 60, 60]), [CAT, DOG], surplus_price=0.5).value == pytest.approx(2 / 2.5)
    assert verify_boxes(said(CAT, DOG, [9, 9, 3, 3]), [CAT, DOG]).value == pytest.approx(2 / 3)  # reversed: surplus


def test_the_best_assignment_is_found_where_a_greedy_one_is_not() -> None:
    # both answers overlap the first gold box; only the worse one also the second
    gold = [[0, 0, 10, 10], [8, 0, 18, 10]]
    assert verify_boxes("[0, 0, 10, 10], [4, 0, 14, 10]", gold).value == pytest.approx((1 + 6 / 14) / 2)
    assert verify_boxes("[4, 0, 14, 10], [0, 0, 10, 10]", gold).value == pytest.approx((1 + 6 / 14) / 2)


def test_labels_must_agree_where_the_gold_has_them() -> None:
    assert verify_boxes(said(DOG | {"label": "the dog"}, CAT), [CAT, DOG]).value == 1.0
    assert verify_boxes(said(CAT | {"label": "dog"}, DOG | {"label": "cat"}), [CAT, DOG]).value == 0.0
    assert verify_boxes("[0, 0, 10, 10], [20, 20, 30, 40]", [CAT, DOG]).value == 0.0
    assert verify_boxes(said(CAT, DOG), [CAT["bbox_2d"], DOG["bbox_2d"]]).value == 1.0


@pytest.mark.parametrize(
    "text",
    [
        '```json\n[{"bbox_2d": [0, 0, 10, 10], "label": "cat"}, {"bbox_2d": [20, 20, 30, 40], "label": "dog"}]\n```',
        '[{"label": "cat", "bbox_2d": [0, 0, 10, 10]}, {"label": "dog", "bbox_2d": [20, 20, 30, 40]',
        "{'bbox_2d': [0, 0, 10, 10], 'label': 'cat'} and {'bbox_2d': [20, 20, 30, 40], 'label': 'dog'},",
    ],
)
def test_whole_and_broken_json(text: str) -> None:
    assert verify_boxes(text, [CAT, DOG]).value == 1.0
    assert verify_boxes(text, said(CAT, DOG)).value == 1.0


def test_nothing_to_find() -> None:
    assert verify_boxes("None.", []).value == verify_boxes("[]", []).value == 1.0
    assert verify_boxes("[1, 2, 3, 4]", []).value == 0.0
    assert verify_boxes("[]", [CAT]).value == 0.0


@pytest.mark.parametrize("gold", [None, "", "cat", 7, [[1, 2, 3]], [[3, 3, 1, 1]], [[0, 0, float("nan"), 1]]])
def test_an_unreadable_gold_is_invalid(gold: object) -> None:
    assert not verify_boxes("[0, 0, 1, 1]", gold).valid


def test_frames_are_converted() -> None:
    sizes = {"image_size": (640, 480), "input_size": (644, 476), "gold_frame": "original_px"}
    answer = "[0, 0, 500, 1000], [500, 0, 1000, 1000]"
    assert verify_boxes(answer, [[320, 0, 640, 480], [0, 0, 320, 480]], frame="rel1000", **sizes).value == 1.0
    assert verify_boxes("[0, 0, 5000, 1000]", [[0, 0, 640, 480]], frame="rel1000", **sizes).value == 0.0


def test_a_threshold_rises_with_the_training() -> None:
    assert [threshold_at(DYNAMIC, done) for done in (0, 0.1, 0.11, 0.25, 0.26, 1)] == [
        0.85,
        0.85,
        0.95,
        0.95,
        0.99,
        0.99,
    ]
    answer = said(CAT | {"bbox_2d": [0, 0, 9, 10]})  # IoU 0.9
    assert verify_boxes(answer, [CAT], threshold=DYNAMIC, progress=0.05).value == pytest.approx(0.9)
    assert verify_boxes(answer, [CAT], threshold=DYNAMIC, progress=0.2).value == 0.0
    assert verify_boxes(answer, [CAT], threshold=0.9).value == pytest.approx(0.9)


@given(st.lists(BOX, min_size=1, max_size=5), st.lists(BOX, min_size=1, max_size=5), st.randoms())
def test_order_is_irrelevant_and_a_gold_equals_itself(gold: list, answer: list, random: object) -> None:
    value = verify_boxes(str(answer), gold).value
    shuffled, other = list(answer), list(gold)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    random.shuffle(other)  # type: ignore[attr-defined]
    assert verify_boxes(str(shuffled), other).value == pytest.approx(value)
    assert verify_boxes(str(gold), gold).value == 1.0
    assert 0 <= value <= 1


@given(st.lists(BOX, min_size=1, max_size=4, unique_by=tuple), st.lists(BOX, min_size=1, max_size=9, unique_by=tuple))
def test_more_boxes_never_pay_more_than_the_gold_ones_alone(gold: list, more: list) -> None:
    assert verify_boxes(str(gold + more), gold).value <= 1.0
    assert verify_boxes(str([[0, 0, 1000, 1000], *more] * 100), gold).value < 1.0


@pytest.mark.parametrize("label", ["man's hat", '12" pizza', "a 'cat'"])
def test_a_label_may_hold_quotes(label) -> None:
    gold = [{"bbox_2d": [0, 0, 2, 2], "label": label}]
    assert verify_boxes(json.dumps(gold), gold).value == 1.0
