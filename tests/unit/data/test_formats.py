"""Small records of every format, after its documented schema: read as they are, golds of their own type."""

import base64
import io
import json
from pathlib import Path

import pytest
from formats import PNG, ROWS, USER, png, read_prompts, written
from PIL import Image

from vlaa_ray.config import DataSection, RewardsSection
from vlaa_ray.data.dataset import open_dataset
from vlaa_ray.data.files.sources import record_files
from vlaa_ray.data.formats.registry import FORMATS, read_record
from vlaa_ray.errors import DataError
from vlaa_ray.images.decode import load
from vlaa_ray.records import Defect, Turn
from vlaa_ray.rewards.gold_checks import gold_faults
from vlaa_ray.rewards.manager import RewardManager

IMAGE_PART, TEXT_PART = {"type": "image", "image": "coco/a.png"}, {"type": "text", "text": "How many?"}
LARGE = png()
EXPECTED = {
    "vlaa-thinking": ("iou", "[0.1, 0.2, 0.7, 0.5]", "coco", {"frame": "unit"}),
    "verl": ("math", "2 \\sqrt{3}", "hiyouga/geometry3k", {}),
    "easyr1": ("math", "4.5", "easyr1", {}),
    "vlm-r1": ("iou", [1, 2, 30, 20], "vlm-r1", {"frame": "original_px", "image_size": [40, 30]}),
    "vlm-r1 evaluation": ("iou", [1, 2, 30, 20], "vlm-r1", {"frame": "original_px", "image_size": [40, 30]}),
    "llava-cot": ("open_ended", "red", "coco", {}),
    "llava-cot r1": ("open_ended", "The square is red.", "llava-cot", {}),
    "mmk12": ("math", "$$6$$", "mmk12", {}),
    "virl39k": ("math", "\\boxed{60}", "Processed", {}),
    "mm-eureka": ("math", "$\\boxed{60}$", "mm-eureka", {}),
    "vero": ("number", "12", "charts", {"rel_tol": 0.05}),
    "r1-v": ("math", "3", "r1-v", {}),
    "r1-v evaluation": ("math", 3, "r1-v", {}),
    "messages": ("math", "5", "messages", {}),
    "paired turns": ("text", "a square", "texts", {}),
    "vlmevalkit": ("mcq", "A", "vlmevalkit", {}),
    "instruction and output": ("text", "red", "instruction", {}),
    "query and response": ("text", "a square", "query", {}),
    "question and answer": ("digit", "4", "question", {}),
}


def test_every_format_has_a_record_here() -> None:
    assert {layout.name for layout in FORMATS} == set(ROWS) == set(EXPECTED)


@pytest.mark.parametrize("name", ROWS)
def test_a_record_is_read_as_it_is(tmp_path, name) -> None:
    assert read_record(ROWS[name]).record_format == name
    (prompt,) = open_dataset(written(tmp_path, ROWS[name]), DataSection(), None)
    assert (prompt.verifier_type, prompt.gold, prompt.source, prompt.verifier_params) == EXPECTED[name]
    assert type(prompt.gold) is type(EXPECTED[name][1])
    assert prompt.question and len(prompt.images) == 1
    assert load(prompt.images[0]).size == (40, 30)


@pytest.mark.parametrize(
    ("name", "change", "fault"),
    [
        ("verl", {"prompt": [{"role": "user", "content": "<image> or <image>?"}]}, "the question is 2, but"),
        ("verl", {"prompt": [{"role": "user", "content": " <image>\n"}]}, "the question is empty"),
        ("virl39k", {"question": "a\0b"}, "NUL"),
        ("virl39k", {"answer": "a\0b"}, "the gold holds a NUL"),
        ("r1-v evaluation", {"ground_truth": float("nan")}, "the gold is nan"),
        ("r1-v", {"image": {"bytes": png(size=(1, 1))}}, "1 x 1 pixels is too small to show anything"),
    ],
)
def test_what_no_model_can_be_asked_with_is_left_out_of_a_run(tmp_path, name, change, fault) -> None:
    rows = [ROWS[name] | {"id": "sound"}, ROWS[name] | change]
    left_out: list[Defect] = []
    file = written(tmp_path, *rows)
    (prompt,) = open_dataset(file, DataSection(max_bad_share=1), None, quarantine=left_out)
    (defect,) = left_out
    assert (prompt.prompt_id, defect.row) == ("sound", 2) and fault in defect.reason
    assert defect.id == ("q-1" if name == "virl39k" else f"{Path(file).name}:2")


def test_llava_cot_can_be_learned_from() -> None:
    draft = read_record(ROWS["llava-cot"])
    assert draft.solution == "<think>I look.\nRed.\nSo red.</think><answer>red</answer>"


VERO = {"prompt": [{"role": "user", "content": [IMAGE_PART, TEXT_PART]}], "data_source": "a", "domain": "chart_ocr"}
VERO |= {"images": ["coco/a.png"]}
BOX = '[{"bbox_2d": [1, 2, 30, 20], "label": "cat"}]'
PIXELS = {"frame": "original_px", "image_size": [40, 30]}
VERO_KINDS = [
    ("exact_match", "42", ("text", "42", {})),
    ("list_string_match", "['red', 'crimson']", ("text", ["red", "crimson"], {})),
    ("multiple_choice", "B", ("mcq", "B", {})),
    ("counting", "3", ("digit", "3", {})),
    ("ordering", "[2, 1, 3]", ("list", "[2, 1, 3]", {"ordered": True})),
    ("list_match", "a, b", ("list", "a, b", {})),
    ("grounding", f"```json\n{BOX}\n```", ("boxes", json.loads(BOX), PIXELS)),
    ("clicking", BOX, ("points", json.loads(BOX), PIXELS)),
    ("llm_judge", "A long story.", ("open_ended", "A long story.", {})),
]


@pytest.mark.parametrize(("reward_type", "answer", "expected"), VERO_KINDS)
@pytest.mark.parametrize("shipped", [False, True])
def test_the_reward_types_of_vero(tmp_path, reward_type, answer, expected, shipped) -> None:
    """As its description has them, and as its scripts write them."""
    row = VERO | {"reward_type": reward_type, "answer": answer}
    if shipped:
        row = VERO | {"reward_model": {"ground_truth": answer}, "extra_info": {"reward_type": reward_type}}
    (prompt,) = read_prompts(written(tmp_path, row), None)
    assert (prompt.verifier_type, prompt.gold, prompt.verifier_params) == expected
    with RewardManager(RewardsSection()) as rewards:
        assert gold_faults(rewards, [prompt]) == [None]


def test_what_vero_has_and_no_verifier_judges_is_named(tmp_path) -> None:
    row = VERO | {"reward_type": "web_action", "answer": "{'ACTION': 'CLICK'}"}
    with pytest.raises(DataError, match=r"no verifier for this record.*web_action"):
        read_prompts(written(tmp_path, row), None)
    row = VERO | {"reward_type": "clicking", "answer": BOX, "extra_info": {"normalize_bbox_to_1000": True}}
    (prompt,) = read_prompts(written(tmp_path, row), None)
    with RewardManager(RewardsSection()) as rewards:
        assert gold_faults(rewards, [prompt]) == [None]
        hit, missed = rewards.score([(prompt, f"<answer>[{at}]</answer>") for at in ("500, 500", "5, 500")])
    assert (hit.value, missed.value) == (1.0, 0.0)


@pytest.mark.parametrize("named", ["", "rule", None, "{'a': array([1])}"])
def test_other_reward_types_are_left_to_verl(tmp_path, named) -> None:
    extra = named if named and named.startswith("{") else {"reward_type": named, "index": 0}
    row = VERO | {"reward_model": {"ground_truth": "4"}, "extra_info": extra}
    (prompt,) = read_prompts(written(tmp_path, row), None)
    assert (prompt.verifier_type, prompt.gold) == ("math", "4")


@pytest.mark.parametrize(
    ("method", "gold", "kind"), [("odLength", [], "boxes"), (None, [], "boxes"), ("mcq", "None", "mcq")]
)
def test_nothing_to_detect_is_no_box(tmp_path, method, gold, kind) -> None:
    turns = [{"from": "human", "value": "<image>Find cats."}, {"from": "gpt", "value": "None"}]
    row = {"image": "coco/a.png", "conversations": turns} | ({"accu_reward_method": method} if method else {})
    (prompt,) = read_prompts(written(tmp_path, row), None)
    assert (prompt.gold, prompt.verifier_type) == (gold, kind)


def test_what_the_papers_sft_set_has_beyond_its_rl_set(tmp_path) -> None:
    row = {"question": "What is it?", "gt": "a red bus", "meta": "{'text_question': 'It\\'s red', 'n': None}"}
    rows = [row | {"image": f"{source}/a.png"} for source in ("coco", "chartqa", "vg")]
    assert read_record(rows[0] | {"gt": "0.1, 0.2, 0.3, 0.4"}).verifier_type == "iou"
    (tmp_path / "images/vg").mkdir(parents=True)
    (tmp_path / "images/chartqa").mkdir()
    file = written(tmp_path, *rows)
    for source in ("vg", "chartqa"):
        (tmp_path / f"images/{source}/a.png").write_bytes(PNG)
    prompts = read_prompts(file, None, keep=["meta.text_question"])
    assert [prompt.verifier_type for prompt in prompts] == ["open_ended"] * 3
    assert {prompt.meta["meta.text_question"] for prompt in prompts} == {"It's red"}


def test_the_last_question_of_a_conversation_is_asked_after_its_earlier_turns(tmp_path) -> None:
    turns = [("human", "<image>Find it."), ("gpt", [1, 2, 30, 20]), ("human", "And in <image>?"), ("gpt", [1, 2, 3, 4])]
    row = {"image": ["coco/a.png", "coco/blue.png"], "conversations": [{"from": who, "value": it} for who, it in turns]}
    file = written(tmp_path, row)
    Image.new("RGB", (80, 60), "blue").save(tmp_path / "images/coco/blue.png")
    (prompt,) = read_prompts(file, None)
    assert (prompt.question, prompt.gold, prompt.verifier_params["image_size"]) == (
        "And in <image>?",
        [1, 2, 3, 4],
        [80, 60],
    )
    assert prompt.history == (
        Turn(role="user", text="<image>Find it.", num_images=1),
        Turn(role="assistant", text="[1, 2, 30, 20]"),
    )
    assert [load(image).getpixel((0, 0)) for image in prompt.images] == [(255, 0, 0), (0, 0, 255)]
    assert prompt.gold_image == prompt.images[1]
    row["conversations"].append({"from": "human", "value": "And there?"})
    del row["conversations"][3]
    (prompt,) = read_prompts(written(tmp_path, row), None)
    assert (prompt.question, prompt.gold, prompt.history) == ("<image>Find it.", [1, 2, 30, 20], ())
    assert [load(image).getpixel((0, 0)) for image in prompt.images] == [(255, 0, 0)]


def test_short_answers_beside_a_caption_are_easy_r1s() -> None:
    row = {"problem": "<image>Find x.", "images": ["coco/a.png"], "caption": "A triangle."}
    kinds = {
        answer: read_record(row | {"answer": answer}).verifier_type
        for answer in ("4.5", r"2 \sqrt{3} \text{ cm}", "B", "The square is red.")
    }
    assert list(kinds.values()) == ["math", "math", "math", "open_ended"]
    assert read_record(row | {"answer": "It is two cats.", "data_source": "mine"}).record_format == "easyr1"


BOXES = [{"bbox_2d": [1, 2, 3, 4], "label": "cat"}]


@pytest.mark.parametrize(
    ("value", "method", "kind"),
    [
        ('```json\n[{"bbox_2d": [1, 2, 3, 4], "label": "cat"}]\n```', None, "boxes"),
        (json.dumps(BOXES), None, "boxes"),
        ("<answer>[1, 2, 30, 20]</answer>", None, "iou"),
        ("<answer> B </answer>", "mcq", "mcq"),
        ("yes", "yes_no", "yes_no"),
        ("a cat", None, "text"),
        (7, None, "text"),
    ],
)
def test_vlm_r1s_other_golds(value, method, kind) -> None:
    row = ROWS["vlm-r1"] | {"conversations": [ROWS["vlm-r1"]["conversations"][0], {"from": "gpt", "value": value}]}
    draft = read_record(row | ({"accu_reward_method": method} if method else {}))
    assert draft.verifier_type == kind
    assert draft.gold == {"mcq": "B", "boxes": BOXES, "iou": [1, 2, 30, 20]}.get(kind, value)


def test_the_records_own_verifier_wins_over_the_configs_and_that_over_the_formats(tmp_path) -> None:
    file = written(tmp_path, ROWS["easyr1"])
    (prompt,) = open_dataset(file, DataSection(verifier_type="number"), None)
    assert prompt.verifier_type == "number"
    file = written(tmp_path, ROWS["easyr1"] | {"verifier_type": "text", "verifier_params": {}})
    (prompt,) = open_dataset(file, DataSection(verifier_type="number"), None)
    assert prompt.verifier_type == "text"


@pytest.mark.parametrize(
    ("image", "source"),
    [
        ({"bytes": PNG, "path": "coco/a.png"}, "coco"),
        ({"bytes": PNG, "path": None}, "vlaa-thinking"),
        ("data:image/png;base64," + base64.b64encode(PNG).decode(), "vlaa-thinking"),
        ("images/coco/a.png", "coco"),
        ("file://coco/a.png", "coco"),
        (["coco/a.png"], "vlaa-thinking"),
    ],
)
def test_vlaa_thinking_records_may_hold_their_picture(tmp_path, image, source) -> None:
    record = {"question": "How many?", "gt": "3", "verifier_type": "digit", "image": image}
    (prompt,) = read_prompts(written(tmp_path, record), None)
    assert prompt.source == source
    assert load(prompt.images[0]).getpixel((0, 0)) == (255, 0, 0)


@pytest.mark.parametrize(
    ("content", "question"),
    [
        ([TEXT_PART, IMAGE_PART], "How many?<image>"),
        ([IMAGE_PART, {"type": "text", "text": " or "}, IMAGE_PART, TEXT_PART], "<image> or <image>How many?"),
        ([IMAGE_PART, {"type": "text", "text": "In <image>: how many?"}], "In <image>: how many?"),
        (
            [{"type": "image_url", "image_url": {"url": "coco/a.png"}}, TEXT_PART, TEXT_PART],
            "<image>How many?\nHow many?",
        ),
        ([{"type": "image", "url": "coco/a.png"}, {"type": "image", "path": "coco/a.png"}], "<image><image>"),
    ],
)
def test_images_keep_their_places_among_the_parts_of_a_message(tmp_path, content, question) -> None:
    messages = [{"role": "system", "content": "Think."}, {"role": "user", "content": content}]
    row = {"prompt": messages, "data_source": "a", "reward_model": {"ground_truth": "7"}}
    (prompt,) = read_prompts(written(tmp_path, row), None)
    assert (prompt.question, len(prompt.images)) == (question, question.count("<image>"))


def test_the_csv_of_an_imagefolder_is_read(tmp_path) -> None:
    file, other = tmp_path / "metadata.csv", Path(written(tmp_path, ROWS["easyr1"]))
    file.write_text("image_id,licence\n1,MIT\n")
    assert record_files(tmp_path) == [other]  # where there are others, this one tells about them
    other.unlink()
    file.write_text('file_name,problem,answer\ncoco/a.png,"How many, all in all?",3\n', encoding="utf-8-sig")
    (prompt,) = open_dataset(str(tmp_path), DataSection(), None)
    assert (prompt.question, prompt.gold) == ("How many, all in all?", "3")
    assert load(prompt.images[0]).size == (40, 30)
    file.write_text("file_name,problem,answer\ncoco/a.png,?,3,4\n")
    with pytest.raises(DataError, match=r"more values than the header has names.*row=1"):
        read_prompts(file, None)
    rows = [
        b'coco/a.png,He said "hi",1',
        b'coco/a.png,"He said "hi" twice",2',
        b"coco/a.png,caf\xe9,3",
        b'coco/a.png,"?,4',
    ]
    file.write_bytes(b"\n".join([b"file_name,problem,answer", *rows]))
    left_out: list[Defect] = []
    (prompt,) = open_dataset(str(file), DataSection(), None, quarantine=left_out)
    assert prompt.gold == "1" and [one.row for one in left_out] == [2, 3, 4]
    assert "problem holds the byte 0xe9, which is not UTF-8" in left_out[1].reason
    assert all(one.reason.startswith("a row is not CSV: ") for one in left_out)
    noise = io.BytesIO()
    Image.effect_noise((900, 300), 99).save(noise, "PNG")
    large = base64.b64encode(noise.getvalue()).decode()
    file.write_text(f'images,problem,answer\n"[""coco/a.png"", ""{large}""]",Alike?,no\n')
    (prompt,) = read_prompts(file, None)
    assert [image.width_px for image in prompt.images] == [40, 900] and len(large) > 200_000


def test_several_images_and_saved_datasets(tmp_path) -> None:
    from datasets import Dataset, Features, Sequence, Value
    from datasets import Image as ImageFeature

    two = [{"bytes": png("red"), "path": None}, {"bytes": png("blue"), "path": None}]
    features = Features({"problem": Value("string"), "answer": Value("string"), "images": Sequence(ImageFeature())})
    rows = {"problem": ["<image><image>Alike?"], "answer": ["no"], "images": [two]}
    Dataset.from_dict(rows, features=features).save_to_disk(str(tmp_path / "saved"))
    (prompt,) = read_prompts(tmp_path / "saved", None, verifier_type="yes_no")
    assert [load(image).getpixel((0, 0)) for image in prompt.images] == [(255, 0, 0), (0, 0, 255)]
    with pytest.raises(DataError, match="can't read the data"):
        read_prompts(tmp_path, None)


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        ("verl", {"reward_model": {"style": "rule"}}, r"damaged record: reward_model has no ground_truth.*row=1"),
        ("verl", {"prompt": []}, r"damaged record: the prompt has 0 user messages"),
        (
            "verl",
            {"prompt": [USER, {"role": "assistant", "content": "3"}, USER]},
            "the number of <image> in the conversation is 2, but the number of images is 1",
        ),
        ("verl", {"prompt": [{"role": "user", "content": [{"type": "video"}, TEXT_PART]}]}, "videos are not supported"),
        ("mm-eureka", {"message": "{"}, r"damaged record"),
        ("vlm-r1", {"conversations": [{"from": "human", "value": "?"}]}, r"lacks a human or a gpt turn"),
        ("vlm-r1", {"conversations": 3}, r"damaged record"),
        ("vero", {"reward_type": "poetry"}, r"no verifier for this record"),
        ("vero", {"images": ["data:image/png;base64,!!"]}, r"not base64.*row=1"),
        ("easyr1", {"images": ["https://example.com/a.png"]}, r"the image is not fetched.*row=1"),
        ("easyr1", {"images": ["file:///etc/passwd"]}, r"can't read the image.*row=1"),
        ("easyr1", {"images": [None]}, r"the image has a form that can't be read"),
        ("r1-v", {"image": {"bytes": b"no picture"}}, r"not an image of a known format.*row=1"),
        (
            "vero",
            {"images": ["data:image/png;base64,AAAA"]},
            r"known format.*got='an image of 26 characters of base64'",
        ),
    ],
)
def test_a_damaged_record_is_named(tmp_path, name, change, message) -> None:
    with pytest.raises(DataError, match=message):
        read_prompts(written(tmp_path, ROWS[name] | change), None)


@pytest.mark.parametrize(
    ("name", "change", "gold", "images"),
    [
        ("verl", {"reward_model": json.dumps({"ground_truth": "7"})}, "7", 1),
        ("verl", {"images": None, "prompt": [{"role": "user", "content": [IMAGE_PART, TEXT_PART]}]}, None, 1),
        ("verl", {"images": None, "prompt": json.dumps([{"role": "user", "content": [TEXT_PART]}])}, None, 0),
        ("vlaa-thinking", {"gt": None, "answer": "<answer>[0, 0, 1, 1]</answer>"}, "[0, 0, 1, 1]", 1),
        ("vlaa-thinking", {"gt": None, "answer": r"So it is \boxed{7}."}, "7", 1),
        ("vlaa-thinking", {"gt": None, "answer": r"\boxed{3} and \boxed{4}"}, r"\boxed{3} and \boxed{4}", 1),
        ("vlaa-thinking", {"gt": None, "answer": r"So: \boxed{}"}, r"So: \boxed{}", 1),
        ("mm-eureka", {"image": "missing/other.png"}, None, 1),
        ("vero", {"reward_type": "math", "extra_info": "{"}, "12", 1),
        ("vlaa-thinking", {"verifier_params": {"frame": "unit", "rel_tol": None}}, None, 1),
    ],
)
def test_what_else_publishers_ship(tmp_path, name, change, gold, images) -> None:
    row = {key: value for key, value in (ROWS[name] | change).items() if value is not None or key == "gt"}
    (prompt,) = read_prompts(written(tmp_path, row), None)
    assert len(prompt.images) == images
    assert gold in (None, prompt.gold) and None not in prompt.verifier_params.values()


@pytest.mark.parametrize(
    "image",
    [
        *("coco/a.png", "images/coco/a.png", "/coco/a.png", "./images/coco/a.png", "/images/coco/a.png"),
        base64.b64encode(LARGE).decode(),
        base64.b64encode(PNG).decode(),
        base64.encodebytes(LARGE).decode(),
        {"bytes": base64.b64encode(LARGE).decode()},
    ],
)
def test_an_image_is_found_however_it_is_named(tmp_path, image) -> None:
    file = written(tmp_path, ROWS["easyr1"] | {"images": [image]})
    for root in (None, tmp_path, tmp_path / "images"):
        (prompt,) = read_prompts(file, root)
        assert load(prompt.images[0]).width >= 40


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"images": ["x\ud800.png"]}, "not a valid file name"),
        ({"images": [{"bytes": "!"}]}, "not base64"),
        ({"problem": None}, "the question must be text, not NoneType"),
        ({"problem": ["a"]}, "the question must be text, not list"),
        ({"videos": ["a.mp4"]}, "videos are not supported"),
    ],
)
def test_what_can_not_be_meant_is_named(tmp_path, change, message) -> None:
    file = written(tmp_path, ROWS["easyr1"] | change)
    with pytest.raises(DataError, match=message):
        read_prompts(file, None)


def test_published_answers_of_sft_end_in_prose() -> None:
    row = {"image": "coco/a.png", "question": "?", "gt": 3, "verifier_type": "digit"}
    draft = read_record(row | {"ds_answer": "<think>One, two, three.</think>\n\nThe answer is 3."})
    assert draft.solution == "<think>One, two, three.</think><answer>3</answer>"
