import pytest

from vlaa_ray.rewards.verifiers.frames import ANY_SIZE, differ, frame_size, frame_sizes, from_unit, in_unit


@pytest.mark.parametrize(
    ("frame", "size"),
    [("unit", (1, 1)), ("rel1000", (1000, 1000)), ("resized_px", [56, 84]), ("original_px", [640, 480])],
)
def test_coordinates_go_to_shares_of_the_image_and_back(frame, size):
    found = frame_size(frame, [640, 480], [56, 84])
    assert found == size
    corner = (size[0] / 4, size[1] / 2, size[0], 0)  # by hand: a quarter, a half, the right edge, the top
    assert in_unit(corner, found) == (0.25, 0.5, 1, 0)
    assert from_unit((0.25, 0.5, 1, 0), found) == corner


@pytest.mark.parametrize("size", [None, [640], [640, 0], [640, -1], [640, float("inf")], "640"])
def test_a_frame_in_pixels_needs_a_size(size):
    assert frame_size("original_px", size, [56, 84]) == "no size (width, height) for the frame 'original_px'"
    assert frame_sizes("unit", "original_px", size, None) == "no size (width, height) for the frame 'original_px'"
    assert frame_sizes("resized_px", None, [640, 480], None) == "no size (width, height) for the frame 'resized_px'"


def test_without_a_frame_nothing_lies_outside():
    assert frame_sizes(None, None, None, None) == (ANY_SIZE, ANY_SIZE)


def test_the_golds_frame_is_the_answers_where_it_has_none_of_its_own():
    assert frame_sizes("unit", None, None, None) == ((1, 1), (1, 1))
    assert frame_sizes("unit", "rel1000", None, None) == ((1, 1), (1000, 1000))
    assert [differ("unit", "rel1000"), differ("unit", "unit"), differ("unit", None), differ(None, "unit")] == [
        True,
        False,
        False,
        False,
    ]
