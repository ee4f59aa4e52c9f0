"""Boxes and points of rollouts in every frame, on the picture that they belong to."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vlaa_ray.run.rollout_marks import marked_image, marks_of

GOLD = [0.25, 0.5, 0.75, 1.0]


def rollout(kind, gold, extracted, **params):
    return {"verifier_type": kind, "gold": gold, "extracted": extracted, "verifier_params": params}


@pytest.mark.parametrize(
    ("gold", "extracted", "params"),
    [
        (GOLD, "[0.25, 0.5, 0.75, 1.0]", {}),
        (GOLD, r"\boxed{[0.25, 0.5, 0.75, 1.0]}", {"frame": "unit"}),
        ([250, 500, 750, 1000], "<box>250, 500, 750, 1000</box>", {"frame": "rel1000"}),
        ("[100, 100, 300, 200]", "[100, 100, 300, 200]", {"frame": "original_px", "image_size": [400, 200]}),
        (GOLD, "[63, 56, 189, 112]", {"frame": "resized_px", "gold_frame": "unit", "input_size": [252, 112]}),
    ],
)
@pytest.mark.parametrize("kind", ["iou", "boxes"])
def test_boxes_of_every_frame_are_shares_of_the_picture(kind, gold, extracted, params):
    marks = list(marks_of(rollout(kind, gold, extracted, **params)))
    assert [mark.owner for mark in marks] == ["gold", "predicted"]
    assert all(mark.shares == pytest.approx(GOLD) for mark in marks)


def test_points_are_marks_and_a_gold_may_be_a_box():
    marks = marks_of(rollout("points", [[250, 500], [500, 500]], "(100, 900)", frame="rel1000"))
    assert list(marks) == [("gold", (0.25, 0.5)), ("gold", (0.5, 0.5)), ("predicted", (0.1, 0.9))]
    assert next(marks_of(rollout("points", GOLD, "none", frame="unit"))) == ("gold", tuple(GOLD))


@pytest.mark.parametrize(
    "extracted", [None, "none", "[10, 20, 300, 400]", "[0.5, 0.5, 0.2, 0.9]", "[nan, 0, 1, 1]", "[-0.1, 0, 1, 1]"]
)
def test_what_is_no_box_inside_the_picture_is_no_mark(extracted):
    assert list(marks_of(rollout("iou", None, extracted))) == []


def test_frames_in_pixels_without_a_size_and_other_types_have_no_marks():
    assert list(marks_of(rollout("iou", GOLD, "[1, 2, 3, 4]", frame="resized_px"))) == []
    assert list(marks_of(rollout("digit", GOLD, "[0.1, 0.2, 0.3, 0.4]"))) == []


JSON = st.recursive(st.none() | st.booleans() | st.floats() | st.text(max_size=9), lambda v: st.lists(v, max_size=4))


@given(gold=JSON, extracted=JSON, frame=JSON | st.sampled_from(["unit", "original_px"]), size=JSON)
def test_marks_of_any_row_lie_inside_the_picture(gold, extracted, frame, size):
    row = rollout("boxes", gold, extracted, frame=frame, gold_frame=frame, image_size=size)
    assert all(0 <= share <= 1 for mark in marks_of(row) for share in mark.shares)


def test_marks_lie_on_the_questions_first_picture():
    history = [{"role": "user", "text": "<image>?", "num_images": 1}, {"role": "assistant", "text": "Yes."}]
    assert marked_image({"images": ["a", "b", "c"], "history": history}) == 1
    assert marked_image({"images": ["a"], "history": history}) == 0
    assert marked_image({"images": ["a", "b"], "history": "damaged"}) == 0
    assert marked_image({"images": None}) == -1
