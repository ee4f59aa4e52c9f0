"""What stands in a record beside its question and gold: options, pictures under other names, places, turns, videos."""

import base64
import time
from contextlib import suppress

import pytest
from formats import PNG, ROWS, png, written

from vlaa_ray.config import DataSection
from vlaa_ray.data.formats.pairs import read_pair
from vlaa_ray.data.formats.registry import read_record
from vlaa_ray.data.readers import iterate_pairs, iterate_prompts
from vlaa_ray.data.reading_notes import LATER_TURNS, TOOLS, ReadingNotes
from vlaa_ray.errors import DataError
from vlaa_ray.records import Turn

ASKED = {"image": "a.png", "question": "Which colour?", "verifier_type": "mcq"}
LETTERED = "Which colour?\nA: red\nB: green"
PLAIN = "Which colour?\nOptions:\nred\ngreen"
CALL = {"role": "assistant", "content": None, "tool_calls": [{"name": "zoom"}]}
TWO = ("a.png", "b.png")


def turns(*texts, who=("user", "assistant"), keys=("role", "content")):
    """Turns of both speakers, one after the other."""
    return [{keys[0]: who[number % 2], keys[1]: text} for number, text in enumerate(texts)]


@pytest.mark.parametrize(
    ("columns", "gold", "question", "read"),
    [
        ({"options": ["red", "green"]}, "B", LETTERED, "B"),
        ({"choices": ["red", "green"]}, "green", LETTERED, "B"),
        ({"choices": ["red", "green"]}, 1, LETTERED, "B"),
        ({"choices": ["1", "2"]}, 1, "Which colour?\nA: 1\nB: 2", "A"),
        ({"options": "['red', 'green']"}, "(B)", LETTERED, "(B)"),
        ({"options": "['red' 'green']"}, "A", LETTERED, "A"),
        ({"options": '["red", "green"]'}, "A.", LETTERED, "A."),
        ({"options": {"A": "red", "B": "green"}}, "B. green", LETTERED, "B"),
        ({"options": {"B": "green", "A": "red"}}, "A", LETTERED, "A"),
        ({"choices": {"label": ["A", "B"], "text": ["red", "green"]}}, "A", LETTERED, "A"),
        ({"options": ["A. red", "B. green"]}, "A", LETTERED, "A"),
        ({"options": ["(A) red", "(B) green"]}, "Green", LETTERED, "B"),
        ({"options": "A. red\nB. green"}, "A", LETTERED, "A"),
        ({"options": "A. red; B. green"}, "A", LETTERED, "A"),
        ({"options": [{"label": "A", "text": "red"}, {"label": "B", "text": "green"}]}, "A", LETTERED, "A"),
        ({"A": "red", "B": "green", "C": None, "D": float("nan")}, "B", LETTERED, "B"),
        ({"option_a": "red", "option_b": "green"}, "A", LETTERED, "A"),
        ({"optionA": "red", "optionB": "green"}, "A", LETTERED, "A"),
        ({"option_1": "red", "option_2": "green"}, "A", LETTERED, "A"),
        ({"choice_0": "red", "choice_1": "green"}, "A", LETTERED, "A"),
        ({"Options": ["red", "green"]}, "A", LETTERED, "A"),
        ({"options": [3.5, 4]}, "A", "Which colour?\nA: 3.5\nB: 4", "A"),
        ({"options": [["A", "red"], ["B", "green"]]}, "A", LETTERED, "A"),
        ({"answer_options": ["red", "green"], "num_options": None}, "A", LETTERED, "A"),
        ({"multiple_choices": '["red", "green"]'}, "A", LETTERED, "A"),
        ({"options": []}, "A", "Which colour?", "A"),
        ({"options": None}, "A", "Which colour?", "A"),
    ],
)
def test_options_in_columns_of_their_own_reach_the_question(columns, gold, question, read) -> None:
    draft = read_record(ASKED | columns | {"answer": gold})
    assert (draft.question, draft.gold, draft.verifier_type) == (question, read, "mcq")
    assert draft.unread == ()


def test_options_that_the_question_lists_are_not_added_again() -> None:
    for text in ("Which?\nA. red\nB. green", "Which? (A) red (B) green", "Which?\nred\ngreen", "Which? A:red B:green"):
        assert read_record(ASKED | {"question": text, "options": ["red", "green"], "answer": "A"}).question == text
    text = "Is 1 more than 2?"
    draft = read_record(ASKED | {"question": text, "options": ["1", "2"], "answer": "A"})
    assert draft.question == f"{text}\nA: 1\nB: 2"


@pytest.mark.parametrize(
    ("own", "gold", "expected"),
    [
        ("text", "green", (PLAIN, "green", "text")),
        ("text", "B", (LETTERED, "B", "text")),
        ("math", "B", (LETTERED, "B", "math")),
        ("letters", "A, B", (LETTERED, "A, B", "letters")),
        (None, "B", (LETTERED, "B", "mcq")),
        (None, "green", (LETTERED, "B", "mcq")),
        (None, "AB", (LETTERED, "AB", "letters")),
        (None, "7", (PLAIN, "7", None)),
    ],
)
def test_options_get_letters_where_the_gold_is_one(own, gold, expected) -> None:
    draft = read_record({**ASKED, "verifier_type": own, "options": ["red", "green"], "answer": gold})
    assert (draft.question, draft.gold, draft.verifier_type) == expected


def test_more_options_than_letters_are_refused() -> None:
    with pytest.raises(ValueError, match="27 options"):
        read_record(ASKED | {"options": list(range(27)), "answer": "A"})


def test_pictures_as_options_are_refused() -> None:
    with pytest.raises(ValueError, match="the options are pictures"):
        read_record(ASKED | {"options": [{"bytes": PNG}, {"bytes": PNG}], "answer": "A"})


@pytest.mark.parametrize(
    ("columns", "images"),
    [
        ({"image_path": "a.png"}, ("a.png",)),
        ({"img": "a.png"}, ("a.png",)),
        ({"pictures": ["a.png", "b.png"]}, TWO),
        ({"picture": {"bytes": PNG}}, ({"bytes": PNG},)),
        ({"img_path": "a.jpg"}, ("a.jpg",)),
        ({"image_file": "x/a"}, ("x/a",)),
        ({"image_paths": '["a.png", "b.png"]'}, TWO),
        ({"Image": "a.png"}, ("a.png",)),
        ({"path": "./a.PNG", "data_type": "image"}, ("./a.PNG",)),
        ({"image_1": "a.png", "image_2": "b.png", "image_3": None}, TWO),
        ({"image_10": "b.png", "image_2": "a.png"}, TWO),
        ({"image1": "a.png", "image2": "b.png"}, TWO),
        ({"image": "", "image_path": "a.png"}, ("a.png",)),
        ({"image": float("nan"), "img": "a.png"}, ("a.png",)),
        ({"images": [], "image": "a.png"}, ("a.png",)),
        ({"image": "x/1.png", "decoded_image": {"bytes": PNG}}, ({"bytes": PNG},)),
        ({"question_image": "a.png"}, ("a.png",)),
        ({"image_src": ["a.png", "b.png"]}, TWO),
        ({"IMG_FILE": {"bytes": PNG}}, ({"bytes": PNG},)),
        ({"images": [""]}, ()),
        ({"image": " "}, ()),
        ({"path": "/data/7", "file": None}, ()),
    ],
)
def test_pictures_are_read_under_the_names_that_publishers_give_them(columns, images) -> None:
    assert read_record({"problem": "How many?", "answer": "6"} | columns).images == images


@pytest.mark.parametrize("value", ["x/a.png", ["x/a.jpeg"], {"bytes": PNG}, "data:image/png;base64,AA==" * 9, PNG])
def test_a_picture_that_no_reader_looks_at_is_named(value) -> None:
    with pytest.raises(ValueError, match="a picture that no reader looks at, in the column `scene`"):
        read_record({"problem": "How many?", "answer": "6", "scene": value})
    assert read_record({"problem": "How many?", "answer": "6", "image": "a.png", "scene": value}).unread == ("scene",)
    assert read_record({"problem": "How many?", "answer": "a.png", "scene": "a park"}).unread == ("scene",)


@pytest.mark.parametrize(
    ("question", "expected", "images"),
    [
        ("Is <image 1> larger than <image 2>?", "Is <image> larger than <image>?", TWO),
        ("Is <image2> larger than <image1>?", "Is <image> larger than <image>?", TWO[::-1]),
        ("<image_1><image_2>Alike?", "<image><image>Alike?", TWO),
        ("<|image_1|>\n<|image_2|>\nAlike?", "<image>\n<image>\nAlike?", TWO),
        ("[IMAGE] or [IMAGE]?", "<image> or <image>?", TWO),
        ("[IMAGE 1] or [IMAGE 2]?", "<image> or <image>?", TWO),
        ("<img> or <img>?", "<image> or <image>?", TWO),
        ("<img1> or <img2>?", "<image> or <image>?", TWO),
        ("<ImageHere><ImageHere>?", "<image><image>?", TWO),
        ("<|image|><|image|>?", "<image><image>?", TWO),
        ("<image_0> or <image_1>?", "<image> or <image>?", TWO),
        ("<image 1>, <image 2>: is <image 1> red?", "<image>, <image>: is image 1 red?", TWO),
        ("<image><image>Is <image 2> red?", "<image><image>Is image 2 red?", TWO),
        ("<pic><image_token>?", "<image><image>?", TWO),
        ("<|vision_start|><|image_pad|><|vision_end|>, <|image_pad|>?", "<image>, <image>?", TWO),
        ("<start_of_image><ImageHere>?", "<image><image>?", TWO),
        ("Write <image_caption> first.", "Write <image_caption> first.", TWO),
        ("Is it [image]?", "Is it [image]?", TWO),
        ("What is x < 3 or [2, 3]?", "What is x < 3 or [2, 3]?", TWO),
    ],
)
def test_other_placeholders_are_the_places_of_the_pictures(question, expected, images) -> None:
    draft = read_record({"problem": question, "answer": "6", "images": list(TWO)})
    assert (draft.question, draft.images) == (expected, images)


@pytest.mark.parametrize(
    ("question", "says"),
    [
        ("Is <image 3> red?", r"a place for picture 3 \(<image 3>\), but the number of images is 2"),
        ("Is <image 1> red?", "has places for 1 pictures, but the number of images is 2"),
        ("<img>?", "the number of <img> in the question is 1, but the number of images is 2"),
        ("[IMAGE][IMAGE][IMAGE]?", r"the number of \[IMAGE\] in the question is 3"),
        ("<video>What happens?", "videos are not supported"),
        ("<audio>Who speaks?", "sounds are not supported"),
    ],
)
def test_places_that_do_not_fit_are_named(question, says) -> None:
    with pytest.raises(ValueError, match=says):
        read_record({"problem": question, "answer": "6", "images": list(TWO)})


def test_pictures_may_stand_in_the_text_as_qwen_vl_writes_them() -> None:
    asked = "Picture 1: <img>x/a.png</img>\nPicture 2: <img>b.png</img>\nAlike?"
    draft = read_record({"conversations": turns(asked, "no", keys=("from", "value"))})
    assert draft.question == "Picture 1: <image>\nPicture 2: <image>\nAlike?" and draft.images == ("x/a.png", "b.png")


def test_pictures_may_stand_in_the_text_as_markdown_writes_them() -> None:
    draft = read_record({"problem": "Is ![the first](x/a.png) like ![](b.png)?", "answer": "no"})
    assert (draft.question, draft.images) == ("Is <image> like <image>?", ("x/a.png", "b.png"))


def test_several_columns_that_speak_of_pictures_are_named() -> None:
    with pytest.raises(ValueError, match="in the column `left_image`"):
        read_record({"problem": "Alike?", "answer": "no", "left_image": "a.png", "right_image": "b.png"})


@pytest.mark.parametrize(
    "piece", ["<", "<image", "<|", "[IMAGE", "![", "<img>", " ", "(A", "A,", "<image 1>", "_ ", "{"]
)
def test_no_text_takes_long(piece) -> None:
    text = piece * (1_000_000 // len(piece))
    row = {"problem": text, "answer": text, "options": [text, text], "images": ["a.png"]}
    start = time.monotonic()
    with suppress(ValueError):
        read_record(row)
    with suppress(ValueError):
        read_record({"problem": "?", "answer": "1", "options": text, "messages": text})
    assert time.monotonic() - start < 5


def test_places_in_options_count() -> None:
    row = {"question": "Which?", "options": ["<image 2>", "<image 1>"], "answer": "A", "image_1": "a", "image_2": "b"}
    draft = read_record(row)
    assert (draft.question, draft.images, draft.gold) == ("Which?\nA: <image>\nB: <image>", ("b", "a"), "A")


@pytest.mark.parametrize(
    "columns",
    [
        {"video": "x"},
        {"videos": ["a.mp4"]},
        {"clip": "a.MP4"},
        {"file": {"path": "x/a.webm"}},
        {"path": "a.mkv"},
        {"image": "a.avi"},
        {"media": ["a.png", "b.mov"]},
        {"data_type": "video"},
        {"audio": {"bytes": b"RIFF"}},
        {"audio_path": "x"},
        {"recording": "a.wav"},
        {"speech": b"x"},
        {"voice": {"array": [0.1], "sampling_rate": 16000}},
        {"clip": {"bytes": b"\0\0\0\x18ftypmp42"}},
        {"type": "video"},
        {"modality": "Audio"},
    ],
)
def test_videos_and_sounds_are_refused_whatever_their_column_is_called(columns) -> None:
    with pytest.raises(ValueError, match=r"(videos|sounds) are not supported"):
        read_record({"problem": "What happens?", "answer": "6", "images": ["a.png"]} | columns)


@pytest.mark.parametrize("columns", [{"video": None}, {"videos": []}, {"audio": ""}, {"answer": "a.mp4"}])
def test_empty_columns_of_videos_are_no_videos(columns) -> None:
    assert read_record({"problem": "Which file?", "answer": "6", "images": ["a.png"]} | columns).images == ("a.png",)


@pytest.mark.parametrize(
    ("part", "question", "images"),
    [
        ({"image": "a.png"}, "<image>", ("a.png",)),
        ({"image_url": {"url": "a.png"}}, "<image>", ({"url": "a.png"},)),
        ({"text": "Why?"}, "Why?", ()),
        ({"type": "input_image", "image_url": "a.png"}, "<image>", ("a.png",)),
        ({"type": "input_text", "text": "Why?"}, "Why?", ()),
        ({"type": "image", "image": "a.png", "text": None}, "<image>", ("a.png",)),
        ({"type": "image", "source": {"type": "base64", "data": "AA"}}, "<image>", ({"bytes": "AA"},)),
        ("Why?", "Why?", ()),
    ],
)
def test_parts_of_messages(part, question, images) -> None:
    draft = read_record({"messages": [{"role": "user", "content": [part]}], "solution": "6"})
    assert (draft.question, draft.images) == (question, images)


@pytest.mark.parametrize(
    ("part", "says"),
    [
        ({"type": "table", "table": []}, "a message part of unknown type: 'table'"),
        ({"type": "video", "video": "a"}, "videos are not supported"),
        ({"video": "a"}, "videos are not supported"),
        ({"type": "input_audio", "input_audio": {}}, "sounds are not supported"),
        ({"colour": "red"}, r"without a type, with the keys \['colour'\]"),
        (7, "a message part must be a JSON object, not int"),
    ],
)
def test_a_part_of_unknown_type_is_refused_by_its_name(part, says) -> None:
    with pytest.raises(ValueError, match=says):
        read_record({"messages": [{"role": "user", "content": [part]}], "solution": "6"})


def said(*texts, who=("user", "assistant")):
    """The earlier turns of a draft, of both speakers."""
    return tuple(Turn(role=who[number % 2], text=text) for number, text in enumerate(texts))


@pytest.mark.parametrize(
    ("row", "unseen"),
    [
        ({"conversations": turns("How many?", "6", keys=("from", "value"))}, ()),
        ({"conversations": turns("How many?", "6")}, ()),
        ({"conversations": turns("How many?", "6", who=("human", "gpt"), keys=("from", "value"))}, ()),
        ({"conversations": turns("How many?", "6", "And red?")}, (LATER_TURNS,)),
        ({"messages": turns("How many?", "6"), "tools": '[{"name": "zoom"}]'}, (TOOLS,)),
        ({"messages": [*turns("How many?", "6", "And red?"), CALL, *turns("", "2")[1:]]}, (LATER_TURNS, TOOLS)),
        ({"messages": turns("How many?", [{"type": "text", "text": "6"}])}, ()),
        ({"messages": turns("How many?"), "solution": "<answer>6</answer>"}, ()),
        ({"messages": turns("How many?", "I count 6."), "solution": "6"}, ()),
        ({"query": "How many?", "response": "6", "history": []}, ()),
        ({"prompt": turns("How many?"), "completion": turns("6", who=("assistant", ""))}, ()),
        ({"prompt": "How many?", "solution": "6"}, ()),
        ({"dialogue": turns("How many?", "6")}, ()),
        ({"instruction": "How many?", "response": "6"}, ()),
        ({"Question": "How many?", "Answer": "6"}, ()),
        ({"texts": [{"user": "How many?", "assistant": "6"}]}, ()),
    ],
)
def test_what_the_model_will_not_see_is_noted(row, unseen) -> None:
    draft = read_record(row | {"images": ["a.png"]})
    assert (draft.question, draft.gold, draft.unseen) == ("How many?", "6", unseen)
    assert (draft.system, draft.history) == (None, ())


@pytest.mark.parametrize(
    ("row", "system"),
    [
        ({"conversations": turns("How many?", "6"), "system": "Be brief."}, "Be brief."),
        ({"conversations": [{"from": "system", "value": " Be brief.\n"}, *turns("How many?", "6")]}, "Be brief."),
        ({"instruction": "How many?", "output": "6", "system": "Be brief."}, "Be brief."),
        ({"question": "How many?", "answer": "6", "system_prompt": "Be brief."}, "Be brief."),
        ({"problem": "How many?", "answer": "6", "system_message": "Be brief."}, "Be brief."),
        ({"prompt": [{"role": "developer", "content": "A."}, *turns("How many?")], "solution": "6"}, "A."),
        (
            {"messages": [{"role": "system", "content": [{"type": "text", "text": "A."}]}, *turns("How many?", "6")]},
            "A.",
        ),
        ({"messages": [{"role": "system", "content": "A."}, *turns("How many?", "6")], "system": "B."}, "B.\n\nA."),
        ({"messages": [{"role": "system", "content": "A."}, *turns("How many?", "6")], "system": "A."}, "A."),
        ({"messages": [{"role": "system", "content": None}, *turns("How many?", "6")], "system": " "}, None),
    ],
)
def test_a_records_own_system_text_is_read(row, system) -> None:
    draft = read_record(row | {"images": ["a.png"]})
    assert (draft.question, draft.gold, draft.system, draft.unseen, draft.unread) == ("How many?", "6", system, (), ())


def test_a_system_column_that_is_no_text_is_named() -> None:
    draft = read_record({"problem": "How many?", "answer": "6", "images": ["a.png"], "system": {"os": "linux"}})
    assert (draft.system, draft.unread) == (None, ("system",))


GREETED = said("Hi", who=("assistant", "user"))


@pytest.mark.parametrize(
    ("row", "history"),
    [
        ({"conversations": turns("Hi", "How many?", "6", who=("gpt", "human"), keys=("from", "value"))}, GREETED),
        ({"conversations": turns("Red?", "2", "How many?", "6")}, said("Red?", "2")),
        ({"messages": turns("Red?", "2", "How many?", "6")}, said("Red?", "2")),
        ({"messages": turns("Red?", "2", "How many?", "I see 6."), "solution": "6"}, said("Red?", "2")),
        ({"messages": turns("Red?", [{"type": "text", "text": "2"}], "How many?"), "answer": "6"}, said("Red?", "2")),
        ({"messages": turns("Red?", [1, 2], "How many?", "6")}, said("Red?", "[1, 2]")),
        ({"prompt": turns("Red?", "2", "How many?"), "reward_model": {"ground_truth": "6"}}, said("Red?", "2")),
        ({"message": turns("Red?", "2", "How many?"), "answer": "6"}, said("Red?", "2")),
        ({"query": "How many?", "response": "6", "history": [["Red?", "2"]]}, said("Red?", "2")),
        ({"query": "How many?", "response": "6", "history": '[["Red?", "2"]]'}, said("Red?", "2")),
        ({"query": "How many?", "response": "6", "history": turns("Red?", "2")}, said("Red?", "2")),
        (
            {"instruction": "How many?", "output": "6", "history": [["Red?", "2"], ["Blue?", "1"]]},
            said("Red?", "2", "Blue?", "1"),
        ),
        ({"texts": [{"user": "Red?", "assistant": "2"}, {"user": "How many?", "assistant": "6"}]}, said("Red?", "2")),
    ],
)
def test_earlier_turns_are_history(row, history) -> None:
    draft = read_record(row)
    assert (draft.question, draft.gold, draft.history, draft.unseen, draft.unread) == (
        "How many?",
        "6",
        history,
        (),
        (),
    )


@pytest.mark.parametrize("gold", [{}, {"solution": "6"}])
def test_user_turns_without_an_answer_between_them_are_one_question(gold) -> None:
    messages = turns("<image>", "How many?", who=("user", "user")) + turns("6", who=("assistant", ""))
    draft = read_record({"messages": messages, "images": ["a.png"]} | gold)
    assert (draft.question, draft.history, draft.gold) == ("<image>\nHow many?", (), "6")


def test_an_answer_that_was_left_blank_is_no_gold() -> None:
    draft = read_record({"messages": turns("How many?", "6", "And red?", ""), "images": ["a.png"]})
    assert (draft.question, draft.gold, draft.history, draft.unseen) == ("How many?", "6", (), (LATER_TURNS,))


IMAGE_PART = {"type": "image", "image": "b.png"}


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        ({"messages": turns("<image>Red?", "2", "Blue?", "6")}, [("<image>Red?", 1), ("Blue?", 0)]),
        ({"messages": turns("Red?", "2", "Blue?", "6")}, [("Red?", 1), ("Blue?", 0)]),
        ({"messages": turns("Red?", "2", "Blue <image>?", "6")}, [("Red?", 0), ("Blue <image>?", 1)]),
        ({"messages": turns("Red?", "2", "<img>?", "6")}, [("Red?", 0), ("<image>?", 1)]),
        ({"messages": turns("<image>?", "2", "<image>?", "6"), "images": TWO}, [("<image>?", 1), ("<image>?", 1)]),
        ({"messages": turns("?", "2", "??", "6"), "images": TWO}, [("?", 2), ("??", 0)]),
        ({"messages": turns("<image 2>?", "2", "<image 1>?", "6"), "images": TWO[::-1]}, [("<image>?", 1)] * 2),
        (
            {"messages": turns("<image>?", "2", "<image>?", "6", "<image>?"), "images": [*TWO, "c"]},
            [("<image>?", 1)] * 2,
        ),
        (
            {"messages": turns([{"image": "a.png"}, "?"], "2", [IMAGE_PART, "Blue?"]), "solution": "6", "images": None},
            [("<image>?", 1), ("<image>Blue?", 1)],
        ),
        ({"query": "Blue?", "response": "6", "history": [["<image>Red?", "2"]]}, [("<image>Red?", 1), ("Blue?", 0)]),
        ({"messages": turns("Hi", "Blue?", "6", who=("assistant", "user"))}, [("Hi", 0), ("Blue?", 1)]),
    ],
)
def test_images_belong_to_the_turn_that_has_their_place(tmp_path, row, expected) -> None:
    row = {"images": ["a.png"], "verifier_type": "digit"} | row
    draft = read_record(row)
    shown = [*((turn.text, turn.num_images) for turn in draft.history if turn.text != "2")]
    own = len(draft.images) - sum(turn.num_images for turn in draft.history)
    assert [*shown, (draft.question, own)] == expected
    assert draft.images == ("a.png", "b.png")[: len(draft.images)]


@pytest.mark.parametrize(
    ("row", "says"),
    [
        ({"query": "c", "response": "6", "history": ["a", "b"]}, "`history` must be a list of messages, or of pairs"),
        ({"query": turns("a", "b", "c"), "response": "6", "history": [["a", "b"]]}, "earlier turns twice"),
        ({"messages": [CALL, *turns("c")], "solution": "6"}, "the question follows the call of a tool"),
        ({"query": "c", "response": "6", "history": [CALL]}, "an earlier turn is that of a tool"),
        ({"messages": [{"role": "narrator", "content": "a"}], "solution": "6"}, "unknown role: 'narrator'"),
        (
            {"messages": [{"role": "user", "content": "a"}, {"role": "tool", "content": "b"}, *turns("c", "d")[1:]]},
            "tool",
        ),
        (
            {"messages": [*turns("a"), {"role": "assistant", "tool_calls": [1]}, *turns("", "b")[1:]]},
            "the call of a tool",
        ),
        ({"messages": ["How many?"], "solution": "6"}, "a message must be a JSON object, not str"),
        ({"conversations": turns("a", who=("gpt", "human"), keys=("from", "value"))}, "lacks a human or a gpt turn"),
        (
            {"messages": [{"role": "system", "content": [IMAGE_PART]}, *turns("a", "b")]},
            "system message holds a picture",
        ),
        (
            {"messages": turns("<image>a", "b", "<image>c", "d"), "images": ["a"]},
            "conversation is 2, but .* images is 1",
        ),
        ({"messages": turns("<image>a", "b", "c", "d"), "images": TWO}, "conversation is 1, but .* images is 2"),
        ({"messages": turns("a\0", "b", "c", "d")}, "holds a NUL character"),
        ({"messages": turns([{"type": "video", "video": "a"}], "b", "c", "d")}, "videos are not supported"),
    ],
)
def test_conversations_that_cant_be_asked_are_named(row, says) -> None:
    with pytest.raises(ValueError, match=says):
        read_record(row)


THOUGHTS = "<think>I count.</think>"


@pytest.mark.parametrize(
    ("row", "gold", "solution"),
    [
        ({"problem": "?", "solution": f"{THOUGHTS}\n<answer>6</answer>"}, "6", f"{THOUGHTS}\n<answer>6</answer>"),
        ({"messages": turns("?", f"{THOUGHTS}<answer>6</answer>")}, "6", f"{THOUGHTS}<answer>6</answer>"),
        ({"conversations": turns("?", f"{THOUGHTS}\nSix.")}, "Six.", f"{THOUGHTS}<answer>Six.</answer>"),
        ({"messages": turns("?", "6")}, "6", None),
        ({"query": "?", "response": f"{THOUGHTS}<answer>6</answer>"}, "6", f"{THOUGHTS}<answer>6</answer>"),
        (
            {"problem": "?", "answer": "6", "solution": "There are two rows of three."},
            "6",
            "<think>There are two rows of three.</think><answer>6</answer>",
        ),
        ({"problem": "?", "answer": "6", "solution": "6"}, "6", None),
        (
            {"problem": "?", "solution": "<answer>6</answer>", "process": THOUGHTS, "problem_type": "numerical"},
            "6",
            f"{THOUGHTS}<answer>6</answer>",
        ),
        ({"image": "a", "question": "?", "answer": f"{THOUGHTS}It is 6."}, None, None),
    ],
)
def test_worked_answers_are_found(row, gold, solution) -> None:
    draft = read_record({"images": ["a.png"]} | row)
    if gold is not None:
        assert (draft.gold, draft.solution) == (gold, solution)


@pytest.mark.parametrize(
    "row",
    [
        {"image": "a.png", "question": "How many?", "chosen": "six", "rejected": "four"},
        {"image": "a.png", "prompt": "How many?", "chosen": "six", "rejected": "four"},
        {
            "images": ["a.png"],
            "prompt": turns("How many?"),
            "chosen": turns("six", who=("assistant", "")),
            "rejected": "four",
        },
        {"images": ["a.png"], "chosen": turns("How many?", "six"), "rejected": turns("How many?", "four")},
        {"images": ["a.png"], "messages": turns("How many?", "six"), "rejected_response": "four"},
        {"images": ["a.png"], "query": "How many?", "response": "six", "rejected_response": "four"},
        {
            "images": ["a.png"],
            "conversations": turns("How many?", keys=("from", "value")),
            "chosen": {"from": "gpt", "value": "six"},
            "rejected": {"from": "gpt", "value": "four"},
        },
        {"image_path": "a.png", "instruction": "How many?", "chosen": "six", "rejected": "four"},
        {
            "prompt": [{"role": "user", "content": [{"image": "a.png"}, "How many?"]}],
            "chosen": "six",
            "rejected": "four",
        },
    ],
)
def test_pairs_in_every_layout(row) -> None:
    pair = read_pair(row)
    draft = read_record(pair.row)
    assert draft.question.removeprefix("<image>") == "How many?" and draft.images == ("a.png",)
    assert (pair.chosen, pair.rejected, draft.gold, draft.verifier_type) == ("six", "four", "six", "open_ended")


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"rejected": " six"}, "both answers of the pair are the same"),
        ({"rejected": " "}, "a pair needs two texts"),
        ({"chosen": [1]}, "a pair needs two texts"),
        ({"question": None, "prompt": "x"}, None),
    ],
)
def test_pairs_that_compare_nothing_are_named(tmp_path, change, says) -> None:
    row = {"image": "coco/a.png", "question": "How many?", "chosen": "six", "rejected": "four"} | change
    if change.get("prompt"):
        del row["question"]
    ((_, read),) = iterate_pairs(written(tmp_path, row), None)
    assert (read.message if isinstance(read, DataError) else None) == says


def test_notes_count_what_was_left_unread(tmp_path) -> None:
    rows = [
        ROWS["verl"] | {"images": None, "difficulty": 3, "note": ""},
        {"problem": "?", "answer": "1", "difficulty": 4},
        {"problem": "?"},
        ROWS["easyr1"] | {"keep": {"a": 1}},
    ]
    rows[0]["tools"] = ["zoom"]
    notes = ReadingNotes("data")
    file = written(tmp_path, *rows)
    list(iterate_prompts(file, None, keep=["keep.a"], notes=notes))
    assert (notes.num_records, notes.num_refused, notes.without_picture) == (4, 1, 2)
    assert notes.unread_columns == {"difficulty": 2, "ability": 1} and notes.unseen == {TOOLS: 1}
    assert notes.first_rows == {"without picture": 1, "difficulty": 1, "ability": 1, TOOLS: 1}
    lines = notes.lines()
    assert lines[0] == "2 of 3 records: no reader looks at the column `difficulty` (first: row 1)"
    assert "1 of 3 records: the model will not see the tools (first: row 1)" in lines
    assert lines[-1] == "2 of 3 records have no picture (first: row 1)"
    assert notes.as_json()["unread_columns"] == {"difficulty": 2, "ability": 1}


def test_a_record_that_lacks_a_field_says_which(tmp_path) -> None:
    for row, missing in (
        ({"image": "a.png", "question": "How many?", "target": "6"}, r"a gold \(gt, answer"),
        ({"image": "a.png", "answer": "6"}, r"a question \(question"),
        ({"question": "How many?", "answer": "6"}, r"a picture \(image"),
    ):
        ((_, error),) = iterate_prompts(written(tmp_path, row), None)
        assert error.message.startswith("a record lacks a field: ") and pytest.raises(DataError, match=missing)
        assert missing.replace("\\", "") in error.message


def test_base64_and_shared_pictures_of_a_tsv(tmp_path) -> None:
    from vlaa_ray.data.dataset import open_dataset

    red, blue = (base64.b64encode(png(color)).decode() for color in ("red", "blue"))
    rows = [
        "index\timage\tquestion\thint\tA\tB\tC\tanswer\tcategory",
        f"1\t{red}\tWhich?\tLook.\tone\ttwo\t\tA\tx",
        f'2\t{blue}\t"Which ""one""?"\t\tone\ttwo\tthree\tC\tx',
        "1000001\t1\tWhich?\tLook.\ttwo\tone\t\tB\tx",
    ]
    (tmp_path / "bench.tsv").write_text("\n".join(rows) + "\n")
    prompts = open_dataset(str(tmp_path / "bench.tsv"), DataSection(), None)
    assert [prompt.prompt_id for prompt in prompts] == ["1", "2", "1000001"]
    assert [prompt.question for prompt in prompts] == [
        "Look.\nWhich?\nA: one\nB: two",
        'Which "one"?\nA: one\nB: two\nC: three',
        "Look.\nWhich?\nA: two\nB: one",
    ]
    first, second, third = (prompt.images[0].sha256 for prompt in prompts)
    assert first == third != second
    assert {prompt.verifier_type for prompt in prompts} == {"mcq"}
