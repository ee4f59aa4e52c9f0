"""The reader of boxes and points: every way of writing them that a person or a model uses, with verdicts by hand."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vlaa_ray.rewards.verifiers.boxes import verify_boxes
from vlaa_ray.rewards.verifiers.grounding import read_boxes, verify_box
from vlaa_ray.rewards.verifiers.points import read_points, verify_points
from vlaa_ray.rewards.verifiers.shapes import _plain_json, read_shapes

BOX = (12, 34, 56, 78)
ONE_BOX = [
    "<box>12 34 56 78</box>",
    "<bbox>[12, 34, 56, 78]</bbox>",
    "<|box_start|>(12,34),(56,78)<|box_end|>",
    "<|object_ref_start|>tram 9<|object_ref_end|><|box_start|>(12,34),(56,78)<|box_end|>",
    "<|ref|>tram<|/ref|><|det|>[[12, 34, 56, 78]]<|/det|>",
    "<ref>tram 9 of 12</ref><box>[[12, 34, 56, 78]]</box>",
    "<p>tram</p><box>(12,34)(56,78)</box>",
    '<box x1="12" y1="34" x2="56" y2="78"/>',
    "tram<loc_12><loc_34><loc_56><loc_78>",
    "<loc0034><loc0012><loc0078><loc0056> tram ; <loc0001><loc0002><loc0003>",  # y first; a run of three is no box
    "from (12, 34) to (56, 78)",
    "(12,34) - (56,78)",
    "Top left: (12, 34)\nBottom right: (56, 78)",
    "Top left: 12, 34; bottom right: 56, 78",
    "(x1, y1) = (12, 34) and (x2, y2) = (56, 78)",
    "x1, y1, x2, y2 = 12, 34, 56, 78",
    "y1 = 34, x1 = 12, y2 = 78, x2 = 56",
    "the left edge is at 12, the top at 34, the right edge at 56 and the bottom at 78",
    "left: 12 px, top: 34 px, right: 56 px, bottom: 78 px",
    "x from 12 to 56, y from 34 to 78",
    "x: 12-56, y: 34-78",
    "12-34-56-78",
    "12px, 34px, 56px, 78px",
    "12; 34; 56; 78",
    "[12; 34; 56; 78]",
    "[12 34 56 78]",
    "{12, 34, 56, 78}",
    r"\{12, 34, 56, 78\}",
    r"$\left( 12, 34, 56, 78 \right)$",
    "<12, 34, 56, 78>",
    "**[12, 34, 56, 78]**.",
    "| 12 | 34 | 56 | 78 |",
    "1) 12, 34, 56, 78",
    "tram 9: 12 34 56 78",
    "The 2nd of 3 trams (no. 9, seen at 640x480) is at [12, 34, 56, 78].",
    "The tram is in the region 12, 34, 56, 78 of the image.",
    "The box is 12, 34, 56, 78 (width 44, height 44).",
    "12, 34, 56, 78 is around (34, 56).",
    "bbox = np.array([12, 34, 56, 78])",
    "Box(x1=12, y1=34, x2=56, y2=78)",
    "（１２，３４，５６，７８）",
    "〔12、34、56、78〕",
    "左上角（12，34），右下角（56，78）",
    "坐标为12，34，56，78",
    "坐标：【12，34，56，78】",
    '{"bbox": [12, 34, 56, 78,],}',
    "{'box': (12, 34, 56, 78)}",
    '{"bounding_box": {"xmin": 12, "ymin": 34, "xmax": 56, "ymax": 78}, "score": 0.93, "size": [640, 480, 3, 1]}',
    '{"x": 12, "y": 34, "width": 44, "height": 44}',
    "{left: 12, top: 34, width: 44, height: 44}",
    '{"cx": 34, "cy": 56, "w": 44, "h": 44}',
    '{"top_left": [12, 34], "bottom_right": [56, 78]}',
    '{"bbox_2d": ["12", "34", "56", "78"]}',
    '{"bbox_2d": "12, 34, 56, 78"}',
    '{"bbox_2d": [[12, 34], [56, 78]]}',
    '{"box_2d": [34, 12, 78, 56]}',  # y first, as Gemini writes it
    r"{\"bbox_2d\": [12, 34, 56, 78], \"label\": \"tram 9\"}",
    r'"{\"bbox_2d\": [12, 34, 56, 78], \"label\": \"tram [1, 2, 3, 4]\"}"',
    "{“bbox_2d”: [12, 34, 56, 78], “label”: “tram”}",
    '{"bbox_2d": [12, 34, 56, 78}, "label": "tram"}',
    'Sure:\n```json\n[\n  {"bbox_2d": [\n12,\n34,\n56,\n78\n], "label": "rails [0, 0, 9, 9]"}\n]\n```\nAs asked.',
    '{"label": "so {odd} (1, 2), (3, 4)", "bbox_2d": [12, 34, 56, 78]}',
    '[{"label": "a 12\\" wheel [1, 2, 3, 4]", "bbox_2d": [12, 34, 56, 78]}]',
    "[{'label': 'the driver's seat (1, 2, 3, 4)', 'bbox_2d': [12, 34, 56, 78]}]",
    '["tram", [12, 34, 56, 78]]',
    "label: tram 9, bbox: 12, 34, 56, 78",
    '{"objects": [{"name": "tram", "bbox": [12, 34, 56, 78]}]}',
]
NO_BOX = ["", "12, 34, 56", "[12, 34, 56, 78, 90]", "(12, 34)", "tram", '{"label": "[12, 34, 56, 78]"}', "12.34.56"]
TWO = [[12, 34, 56, 78], [100, 110, 120, 130]]
TWO_BOXES = [
    "12,34,56,78\n100,110,120,130",
    "12 34 56 78\r\n100 110 120 130\r\n",
    "12, 34, 56, 78; 100, 110, 120, 130",
    "12, 34, 56, 78 and 100, 110, 120, 130",
    "1. 12, 34, 56, 78\n2. 100, 110, 120, 130",
    "Tram 1: [12, 34, 56, 78]\nTram 2: [100, 110, 120, 130]",
    "(12,34),(56,78)\n(100,110),(120,130)",
    "from 12, 34 to 56, 78\nfrom 100, 110 to 120, 130",
    "x1=12 y1=34 x2=56 y2=78\nx1=100 y1=110 x2=120 y2=130",
    "[12 34 56 78; 100 110 120 130]",
    "[[[12,34],[56,78]],[[100,110],[120,130]]]",
    "<box>[[12,34,56,78],[100,110,120,130]]</box>",
    '{"bbox": [12,34,56,78]}\n{"bbox": [100,110,120,130]}',
    "| x1 | y1 | x2 | y2 |\n|---|---|---|---|\n| 12 | 34 | 56 | 78 |\n| 100 | 110 | 120 | 130 |",
]
ONE_POINT = [
    "120, 340",
    "120 340",
    "120, 340.",
    "x = 120 and y = 340",
    "Y: 340, X: 120",
    "x: 120\ny: 340",
    "（120，340）",
    "【１２０, ３４０】",
    "tap(120, 340)",
    "pyautogui.moveTo(x=120, y=340)",
    "click(start_box='(120,340)')",
    "click(point='<point>120 340</point>')",
    '<point x="120" y="340" alt="door 7">door 7</point>',
    "<point x=120 y=340/>",
    "<|box_start|>(120,340)<|box_end|>",
    '{"action": "click", "coordinate": [120, 340]}',
    '{"point_2d": [120, 340], "label": "door (7, 8)"}',
    "{'x': '120', 'y': '340'}",
    "[120 340]",
    "$(120, 340)$",
    "The handle of door 7 is at (120, 340).",
    "120px, 340px",
    "坐标：120，340",
]
TRAM = [{"bbox_2d": list(BOX), "label": "tram"}]
LABELLED = [
    "<ref> tram </ref><box>(12,34),(56,78)</box>",
    "<|object_ref_start|>tram<|object_ref_end|><|box_start|>(12,34),(56,78)<|box_end|>",
    "<|ref|>tram<|/ref|><|det|>[[12, 34, 56, 78]]<|/det|>",
    "tram<loc_12><loc_34><loc_56><loc_78>",
    "<loc0034><loc0012><loc0078><loc0056> tram",
    '{"tram": [12, 34, 56, 78]}',
    '{"tram": {"bbox": [12, 34, 56, 78]}}',
    '{"bboxes": [[12, 34, 56, 78]], "labels": ["tram"]}',
    '{"category": "tram", "xmin": 12, "ymin": 34, "xmax": 56, "ymax": 78}',
    '[{"label": "tr\\u0061m", "bbox_2d": [12, 34, 56, 78], "meta": {"pose": [1, 2, 3, 4]}}]',
    "- **Tram**: (12, 34), (56, 78)",
    '<box x1="12" y1="34" x2="56" y2="78" label="tram"/>',
    "2. tram [12, 34, 56, 78]",
    "[12, 34, 56, 78] tram",
    "tram：【12，34，56，78】",
    "The tram is at [12, 34, 56, 78].",
    "label: tram\nbbox: [12, 34, 56, 78]",
    'I see a tram at [12, 34, 56, 78]:\n[{"bbox_2d": [12, 34, 56, 78], "label": "tram"}]',
]
LABELS = [
    *("a {red} tram", "sign [1, 2, 3, 4]", '12" wheel', "the driver's seat", "café", "tram 9", 'a "fast" tram'),
    *("a, b; c", "电车", "tram (left)", "(3, 4)", "1 2 3 4", "}]", "x1=5", "<box>", "back\\slash", "😀"),
]


@pytest.mark.parametrize("text", ONE_BOX)
def test_one_box_in_any_writing_as_answer_and_as_gold(text: str) -> None:
    assert verify_box(text, list(BOX)).value == 1.0
    assert verify_box("[12, 34, 56, 78]", text).value == 1.0
    assert verify_boxes(text, [list(BOX)]).value == 1.0


@pytest.mark.parametrize("text", NO_BOX)
def test_what_is_no_box(text: str) -> None:
    assert verify_box(text, list(BOX)).value == 0.0
    assert not verify_box("[12, 34, 56, 78]", text).valid


@pytest.mark.parametrize("text", TWO_BOXES)
def test_several_boxes(text: str) -> None:
    assert verify_boxes(text, TWO).value == verify_boxes(str(TWO), text).value == 1.0
    assert verify_box(text, TWO[0]).value == 0.0  # two boxes are no answer to a question for one


@pytest.mark.parametrize("text", ONE_POINT)
def test_one_point_in_any_writing_as_answer_and_as_gold(text: str) -> None:
    assert verify_points(text, [120, 340], frame="rel1000").value == 1.0
    assert verify_points("(120, 340)", text, frame="rel1000").value == 1.0


@pytest.mark.parametrize("text", ["120", "", "door", "[120, 340, 130, 350]", "x=120", "120, 340, 5", "1 2 3 4"])
def test_what_is_no_point(text: str) -> None:
    assert verify_points(text, [120, 340], frame="rel1000").value == 0.0


def test_several_points() -> None:
    gold = [[120, 340], [560, 780]]
    tag = '<points x1="120" y1="340" x2="560" y2="780" alt="doors">doors</points>'
    for text in (
        tag,
        "120, 340\n560, 780",
        "(120, 340) and (560, 780)",
        '[{"x": 120, "y": 340}, {"x": 560, "y": 780}]',
    ):
        assert verify_points(text, gold, frame="rel1000").value == 1.0


@pytest.mark.parametrize("text", LABELLED)
def test_labels_stand_in_many_places(text: str) -> None:
    assert verify_boxes(text, TRAM).value == 1.0
    assert verify_boxes(text.replace("ram", "ruck").replace("r\\u0061m", "ruck"), TRAM).value == 0.0


@pytest.mark.parametrize("label", LABELS)
def test_what_a_label_holds_is_no_box(label: str) -> None:
    gold = [{"bbox_2d": list(BOX), "label": label}]
    for text in (json.dumps(gold), json.dumps(gold, ensure_ascii=False, indent=1), repr(gold)):
        assert verify_boxes(text, gold).value == verify_boxes(text, text).value == 1.0
        assert verify_box(text, gold).value == 1.0


def test_location_tokens_are_steps_of_the_frame() -> None:
    # 256 and 768 of 1024 steps are a quarter and three quarters; Florence-2 has 1000 steps
    assert verify_box("<loc0000><loc0256><loc1024><loc0768>", [160, 0, 480, 480], frame="original_px",
                      image_size=[640, 480]).value == 1.0  # fmt: skip
    assert verify_box("<loc_250><loc_0><loc_750><loc_1000>", [0.25, 0, 0.75, 1], frame="unit").value == 1.0
    assert read_boxes("<loc0001><loc0002><loc0003><loc0004><loc0005>") == []


@pytest.mark.parametrize(
    "gold", [[[12, 34], [56, 78]], {"x1": 12, "y1": 34, "x2": 56, "y2": 78}, ("12", "34", "56", "78"), {"box": [BOX]}]
)
def test_golds_are_read_as_texts_are(gold: object) -> None:
    assert verify_box("[12, 34, 56, 78]", gold).value == 1.0


SIZED = {"frame": "original_px", "image_size": [112, 84]}


@pytest.mark.parametrize(
    ("gold", "params", "reason"),
    [
        ([56, 78, 12, 34], {}, "reversed or empty: [56, 78, 12, 34]"),
        ([12, 34, 12, 78], {}, "reversed or empty: [12, 34, 12, 78]"),
        ([9, 9, 400, 500.5], SIZED, "the box [9, 9, 400, 500.5] reaches outside the picture of 112 x 84"),
        (
            [0.1, 0.2, 0.7, 0.5],
            SIZED,
            "the box [0.1, 0.2, 0.7, 0.5] is smaller than a pixel of the picture of 112 x 84",
        ),
        ([0.5, 0.5, 1.2, 1.2], {"frame": "unit"}, "outside the picture of 1 x 1"),
    ],
)
def test_a_gold_without_an_area_or_beyond_its_picture_judges_nothing(gold, params, reason) -> None:
    for verdict in (verify_box("[1, 2, 3, 4]", gold, **params), verify_boxes("[1, 2, 3, 4]", [gold], **params)):
        assert not verdict.valid and reason in verdict.reason
    if params:
        verdict = verify_points("(1, 2)", gold, **params)
        assert not verdict.valid and reason in verdict.reason
    assert verify_box("[9, 9, 112.5, 84]", [9, 9, 112.5, 84], **SIZED).value == 1.0  # rounding by less than a pixel


def test_a_gold_point_beyond_its_picture_judges_nothing() -> None:
    verdict = verify_points("(1, 2)", [[10, 20], [200, 20]], **SIZED)
    assert not verdict.valid and verdict.reason == "gold: the point [200, 20] lies outside the picture of 112 x 84"


def test_golds_of_any_kind_raise_nothing() -> None:
    deep: list = []
    for _ in range(2000):
        deep = [deep]
    for gold in (
        10**5000,
        [10**5000] * 4,
        {"bbox": object()},
        "[1, 2" * 50_000,
        "\ud800",
        [True] * 4,
        deep,
        "[" * 2000,
    ):
        assert not verify_box("[1, 2, 3, 4]", gold).valid
        assert not verify_boxes("[1, 2, 3, 4]", gold).valid
        assert not verify_points("[1, 2]", gold, frame="unit").valid


NUMBER = st.one_of(st.integers(-1000, 1000), st.floats(-1e3, 1e3))
TEXT = st.text(st.characters(codec="utf-8", exclude_categories=["Cc"]), max_size=20)
OBJECT = st.fixed_dictionaries({"bbox_2d": st.lists(NUMBER, min_size=4, max_size=4), "label": TEXT})


@given(st.lists(OBJECT, min_size=1, max_size=4))
def test_the_quick_way_through_plain_json_gives_what_the_rules_give(objects: list) -> None:
    quick = _plain_json(json.dumps(objects))
    assert [shape.numbers for shape in quick] == [tuple(each["bbox_2d"]) for each in objects]
    assert [shape.label for shape in quick] == [each["label"] for each in objects]
    slow = read_shapes(" " + json.dumps(objects))  # the blank keeps it from the quick way
    assert [shape.numbers for shape in slow] == [shape.numbers for shape in quick]
    assert [shape.label or "" for shape in slow] == [shape.label for shape in quick]


@given(st.text("0123456789.,;:=-+eE[](){}<>|/\\\"'` \nabxyloc_“”（）【】１，\ud800", max_size=200))
def test_any_text_is_read(text: str) -> None:
    for shape in [*read_shapes(text), *read_shapes(text, corners=False)]:
        assert len(shape.numbers) in (2, 4)
    assert all(len(point) == 2 for point in read_points(text))
