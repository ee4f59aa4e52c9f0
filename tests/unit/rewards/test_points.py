"""Points in boxes and near points."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vlaa_ray.rewards.verifiers.points import verify_points

UNIT = st.floats(0, 1)
POINT = st.tuples(UNIT, UNIT).map(list)


def test_by_hand() -> None:
    box = [0.3, 0.3, 0.6, 0.6]
    assert verify_points("(0.4, 0.5)", box, frame="unit").value == 1.0
    assert verify_points('{"point_2d": [0.4, 0.5], "label": "cat"}', box, frame="unit").value == 1.0
    assert verify_points("(0.2, 0.5)", box, frame="unit").value == 0.0
    # 0.03 and 0.04 away: at a distance of 0.05, half of the radius
    assert verify_points("(0.53, 0.54)", [0.5, 0.5], frame="unit", radius=0.1).value == pytest.approx(0.5)
    assert verify_points("(0.5, 0.5), (0.9, 0.9)", [0.5, 0.5], frame="unit").value == 0.5
    assert verify_points("(0.9, 0.9), (0.5, 0.5)", [[0.5, 0.5], [0.9, 0.9]], frame="unit").value == 1.0
    assert verify_points("(0.5, 0.5)", [{"point_2d": [0.5, 0.5]}, {"point_2d": [0.9, 0.9]}], frame="unit").value == 0.5


def test_frames_and_faults() -> None:
    sizes = {"image_size": (640, 480), "gold_frame": "original_px"}
    assert verify_points("[500, 500]", [320, 240], frame="rel1000", **sizes).value == 1.0
    assert verify_points("[500, 500]", [310, 230, 330, 250], frame="rel1000", **sizes).value == 1.0
    assert verify_points("[1500, 500]", [0, 0, 640, 480], frame="rel1000", **sizes).value == 0.0
    assert not verify_points("[5, 5]", [320, 240], frame="original_px").valid
    assert not verify_points("[5, 5]", [320, 240]).valid
    for answer in ("", "here", "(nan, 0.5)", "(0.5)", str([[0.5, 0.001 * i] for i in range(1000)])):
        result = verify_points(answer, [0.5, 0.5], frame="unit")
        assert (result.value, result.valid) == (0.0, True) and result.reason


@pytest.mark.parametrize("gold", [None, "", "cat", 7, [1], [], [[0.1, float("nan")]]])
def test_an_unreadable_gold_is_invalid(gold: object) -> None:
    assert not verify_points("(0.5, 0.5)", gold, frame="unit").valid


@given(st.lists(POINT, min_size=1, max_size=6, unique_by=tuple))
def test_golds_equal_themselves_in_any_order(points: list) -> None:
    text = ", ".join(f"({x!r}, {y!r})" for x, y in reversed(points))
    assert verify_points(text, points, frame="unit").value == pytest.approx(1.0)
