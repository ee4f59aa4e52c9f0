import json

import pytest
from formats import read_prompts
from PIL import Image

from vlaa_ray.config import DataSection
from vlaa_ray.data.dataset import open_dataset
from vlaa_ray.errors import DataError

CLEVR = {"id": "c1", "image": "clevr_math/CLEVR_train_027977.png", "question": "How many cubes?", "gt": 3}
ALLAVA = {
    "id": "a1",
    "image": "/allava_laion/images/100760552.png",
    "question": "Describe it.",
    "gt": "A paragraph.",
    "ds_answer": "<think>I look.</think><answer>A paragraph.</answer>",
}
COCO = {"id": "v1", "image": "images/coco/train2017/1.png", "question": "Where?", "gt": "[0.1, 0.2, 0.7, 0.5]"}
ROWS = [CLEVR, ALLAVA, COCO]


@pytest.fixture
def folder(tmp_path):
    for name in ("clevr_math/CLEVR_train_027977", "allava_laion/images/100760552", "coco/train2017/1"):
        path = tmp_path / "images" / f"{name}.png"
        path.parent.mkdir(parents=True)
        Image.new("RGB", (40, 30)).save(path)
    return tmp_path


def written(folder, rows, *, lines=False):
    file = folder / "data.json"
    texts = [json.dumps(row, ensure_ascii=False) for row in rows]
    file.write_text(
        "\n".join(texts) + "\n" if lines else json.dumps(rows, ensure_ascii=False, indent=1), encoding="utf-8"
    )
    return file


@pytest.mark.parametrize("lines", [False, True])
def test_array_and_json_lines_give_the_same_prompts(folder, lines):
    clevr, allava, coco = read_prompts(written(folder, ROWS, lines=lines), None)
    assert (clevr.prompt_id, clevr.question, clevr.verifier_type, clevr.source) == (
        "c1",
        "How many cubes?",
        "digit",
        "clevr_math",
    )
    assert clevr.gold == 3 and type(clevr.gold) is int
    assert clevr.images[0].path == str(folder / "images/clevr_math/CLEVR_train_027977.png")
    assert (clevr.images[0].width_px, clevr.images[0].height_px) == (40, 30)
    assert allava.images[0].path == str(folder / "images/allava_laion/images/100760552.png")
    assert (allava.verifier_type, allava.solution) == ("open_ended", ALLAVA["ds_answer"])
    assert (coco.verifier_type, coco.source, coco.verifier_params) == ("iou", "coco", {"frame": "unit"})
    assert clevr.solution is None and clevr.verifier_params == {}


def test_line_ends_of_unicode_inside_strings_end_no_line(folder):
    rows = [CLEVR | {"question": "one\u2028two\x85three"}, CLEVR]
    first, _ = read_prompts(written(folder, rows, lines=True), None)
    assert first.question == "one\u2028two\x85three"


def test_the_verifier_type_of_the_record_wins(folder):
    (prompt,) = read_prompts(written(folder, [CLEVR | {"verifier_type": "math", "gt": "3"}]), None)
    assert (prompt.verifier_type, prompt.gold) == ("math", "3")


def test_without_gt_the_gold_is_what_the_answer_says(folder):
    said = "<think>Is it <answer>1</answer>? No.</think>\n<answer> B </answer>"
    rows = [{"image": CLEVR["image"], "question": "?", "answer": answer} for answer in (said, "B", 4)]
    prompts = read_prompts(written(folder, rows), None)
    assert [prompt.gold for prompt in prompts] == ["B", "B", 4]
    assert [prompt.solution for prompt in prompts] == [said, None, None]
    assert prompts[1].prompt_id == "data.json:2"


def test_image_root_may_lie_elsewhere_and_be_part_of_the_path(folder):
    file = written(folder, [CLEVR, COCO])
    elsewhere = folder / "elsewhere"
    (folder / "images").rename(elsewhere)
    assert len(read_prompts(file, elsewhere)) == 2
    (prompt,) = read_prompts(written(folder, [COCO]), elsewhere / "coco")
    assert prompt.images[0].path == str(elsewhere / "coco/train2017/1.png") and prompt.verifier_type == "iou"


@pytest.mark.parametrize("name", ["../secret.png", "coco/../../secret.png", "coco/link/secret.png", "a\0b.png"])
def test_nothing_outside_the_image_root_is_read(folder, name):
    Image.new("RGB", (4, 4)).save(folder / "secret.png")
    (folder / "images/coco/link").symlink_to(folder)
    with pytest.raises(DataError, match=r"outside the image root.*row=2") as caught:
        read_prompts(written(folder, [CLEVR, CLEVR | {"image": name, "verifier_type": "digit"}]), None)
    assert caught.value.facts["got"] == name


def test_an_absolute_path_is_taken_as_relative(folder):
    (prompt,) = read_prompts(written(folder, [CLEVR | {"image": "//" + CLEVR["image"]}]), None)
    assert prompt.images[0].path == str(folder / "images" / CLEVR["image"])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"question": None}, r"the question must be text, not NoneType.*row=2"),
        ({"drop": "question"}, r"lacks a field.*row=2"),
        ({"drop": "image"}, r"lacks a field.*row=2"),
        ({"drop": "gt"}, r"lacks a field.*row=2"),
        ({"image": "clevr_math/none.png"}, r"can't read the image.*clevr_math/none\.png"),
        ({"image": "unknown/1.png"}, r"no verifier.*row=2.*unknown"),
        ({"verifier_type": "taste"}, r"no verifier.*row=2.*taste"),
    ],
)
def test_a_bad_record_is_named(folder, change, message):
    row = CLEVR | {key: value for key, value in change.items() if key != "drop"}
    row.pop(change.get("drop"), None)
    file = written(folder, [CLEVR, row])
    with pytest.raises(DataError, match=message):
        read_prompts(file, None)


@pytest.mark.parametrize("row", ["text", 5, ["list"], None])
@pytest.mark.parametrize("lines", [False, True])
def test_a_record_that_is_no_object_is_named(folder, row, lines):
    with pytest.raises(DataError, match=r"must be a JSON object.*row=2"):
        read_prompts(written(folder, [CLEVR, row], lines=lines), None)


@pytest.mark.parametrize("text", ["{", '[{"b"', "[", "[" * 100_000, "9" * 5_000, "\ufeff["], ids=lambda text: text[:9])
def test_what_is_not_json_is_a_data_error(folder, text):
    file = folder / "bad.json"
    file.write_text(text, encoding="utf-8")
    with pytest.raises(DataError, match=r"(a line is not JSON|the JSON array is broken): .*bad\.json.*row="):
        read_prompts(file, None)


def test_files_that_cant_be_read(folder):
    (folder / "latin.json").write_bytes(b'["\xe9"]')
    for name in ("none.json", "latin.json"):
        with pytest.raises(DataError, match=rf"can't read the data.*{name}"):
            read_prompts(folder / name, None)


def test_open_dataset_filters_by_type_and_limits(folder):
    file = str(written(folder, ROWS))
    data = DataSection(verifier_types=("iou", "digit"))
    assert [prompt.prompt_id for prompt in open_dataset(file, data, None)] == ["c1", "v1"]
    assert [prompt.prompt_id for prompt in open_dataset(file, data, 1)] == ["c1"]
    with pytest.raises(DataError, match="no prompt is left"):
        open_dataset(file, DataSection(verifier_types=("mcq",)), None)


def test_a_record_names_its_verifier_and_its_parameters(folder):
    params = {"frame": "original_px", "image_size": [40, 30], "radius": 0.1}
    point = COCO | {"gt": [20, 15], "verifier_type": "points", "verifier_params": params}
    counted = CLEVR | {"verifier_params": {"partial_credit": True}}
    points, digit = read_prompts(written(folder, [point, counted]), None)
    assert (points.verifier_type, points.gold, points.verifier_params) == ("points", [20, 15], params)
    assert (digit.verifier_type, digit.verifier_params) == ("digit", {"partial_credit": True})
