"""What a model said: reasoning, answer, and boxes and points in the pixels of the picture."""

import pytest

from vlaa_ray.asking.reply import Mark, likely_frame, marks_in, printable, read_reply


@pytest.mark.parametrize(
    ("text", "reasoning", "answer", "tagged"),
    [
        ("<think>I see 2.</think><answer> 3 </answer>", "I see 2.", "3", True),
        ("I see 2.</think>\n<answer>3</answer>", "I see 2.", "3", True),  # the prompt ended with <think>
        ("<think>a</think>b</think><answer>3</answer>", "a", "3", True),
        ("<think>a <think>b</think></think><answer>3</answer>", "a <think>b</think>", "3", True),
        ("<think>cut off in the mid", "cut off in the mid", "", False),
        ("Because. <answer>3</answer>", "Because.", "3", True),
        ("<think>hm</think>It is 3.", "hm", "It is 3.", False),
        ("Plain.", "", "Plain.", False),
        ("", "", "", False),
    ],
)
def test_reasoning_and_answer(text, reasoning, answer, tagged):
    reply = read_reply(text)
    assert (reply.reasoning, reply.answer, reply.tagged) == (reasoning, answer, tagged)


def test_what_a_server_has_separated_comes_first():
    reply = read_reply("<answer>3</answer>", " I see 2. ")
    assert (reply.reasoning, reply.answer) == ("I see 2.", "3")


@pytest.mark.parametrize(
    ("answer", "frame", "pixels"),
    [
        ("[0.1, 0.2, 0.5, 0.6]", "unit", (40, 60, 200, 180)),
        ("[100, 200, 500, 600]", "rel1000", (40, 60, 200, 180)),
        ("[40, 60, 200, 180]", "original_px", (40, 60, 200, 180)),
        ("[20, 30, 100, 90]", "resized_px", (40, 60, 200, 180)),  # the model saw half the size
        ("(0.5, 0.5)", "unit", (200, 150)),
        ("(0.1, 0.2), (0.5, 0.6)", "unit", (40, 60, 200, 180)),  # two corners
        ("10, 20, 30, 40", "original_px", (10, 20, 30, 40)),
        ("[0, 0, 1.0005, 1]", "unit", (0, 0, 400, 300)),  # rounding beyond the edge is cut off
    ],
)
def test_each_frame_leads_to_the_pixels_of_a_picture_of_400_x_300(answer, frame, pixels):
    assert marks_in(answer, frame, (400, 300), (200, 150)) == (Mark(pixels, None),)


def test_several_boxes_keep_their_labels_and_points_count_only_without_boxes():
    answer = '[{"bbox_2d": [1, 2, 3, 4], "label": "ox"}, {"bbox_2d": [5, 6, 7, 8], "label": "cow"}]'
    assert marks_in(answer, "original_px", (10, 10), None) == (Mark((1, 2, 3, 4), "ox"), Mark((5, 6, 7, 8), "cow"))
    points = '[{"point_2d": [1, 2], "label": "eye"}, {"point_2d": [3, 4], "label": "ear"}]'
    assert [mark.pixels for mark in marks_in(points, "original_px", (10, 10), None)] == [(1, 2), (3, 4)]


@pytest.mark.parametrize("answer", ["3", "a red box", "[0.5, 0.5, 0.4, 0.6]", "[0, 0, 2, 2]", "(1.5, 0.2)", "A", ""])
def test_what_is_no_place_in_the_picture_is_not_marked(answer):
    assert marks_in(answer, "unit", (400, 300), None) == ()


def test_a_guess_marks_only_what_is_written_as_a_box():
    size = (400, 300)
    assert marks_in("(3, 5)", "original_px", size, None, is_guess=True) == ()  # it may be a coordinate of mathematics
    assert marks_in("in 10, 20, 30 and 40 days", "original_px", size, None, is_guess=True) == ()
    assert marks_in("[10, 20, 30, 40]", "original_px", size, None, is_guess=True) == (Mark((10, 20, 30, 40), None),)


def test_the_likely_frame():
    assert likely_frame("[0.1, 0.2, 0.5, 0.6]", "resized_px") == "unit"
    assert likely_frame("[10, 20, 50, 60]", "resized_px") == "resized_px"
    assert likely_frame("no box", "original_px") == "original_px"


def test_a_frame_in_pixels_without_a_size_marks_nothing():
    assert marks_in("[10, 20, 50, 60]", "resized_px", (400, 300), None) == ()


def test_a_long_or_hostile_answer_is_read_in_time():
    assert marks_in("[" * 200_000, "unit", (400, 300), None) == ()
    assert len(marks_in("[0.1,0.1,0.2,0.2] " * 2_000, "unit", (400, 300), None)) == 1


def test_nothing_foreign_steers_the_terminal():
    assert printable("a\x1b[31mb\nc\td\u202e\ud800") == "a�[31mb\nc\td��"
