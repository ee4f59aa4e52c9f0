"""The page of a data set: what is drawn where, what is said of each record, and nothing that runs."""

import io
import json
import random
from itertools import pairwise

import numpy as np
import pytest
from pages import NASTY, Page, assert_inert
from PIL import Image

from vlaa_ray.cli import main
from vlaa_ray.config import ModelSection
from vlaa_ray.models.chat import chat_format_of
from vlaa_ray.records import ImageRef, Prompt
from vlaa_ray.report.data_samples import Draw, DrawnRecord, Stratum, data_sample
from vlaa_ray.rewards.params import VerifierParams

CHAT_MODEL = ModelSection(path="builtin:tiny-base", min_pixels=3136, max_pixels=50_176)
CONFIG = "model: {path: builtin:tiny-base, min_pixels: 3136, max_pixels: 50176}\nrun: {name: trial, num_steps: 1}\n"


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "images").mkdir()
    Image.new("RGB", (400, 200), (10, 20, 30)).save(tmp_path / "images/a.png")
    noise = np.random.default_rng(0).integers(0, 256, (700, 900, 3), dtype=np.uint8)
    Image.fromarray(noise).save(tmp_path / "images/photo.png")
    (tmp_path / "trial.yaml").write_text(CONFIG)
    return tmp_path


def record(number, **changes):
    return {
        "id": f"r{number}",
        "image": "a.png",
        "question": f"How many {number}?",
        "gt": number,
        "verifier_type": "digit",
    } | changes


def page_of(folder, rows, *options):
    file = folder / "train.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert main(["data", "show", str(file), "--out", str(folder / "data.html"), *options]) == 0
    return Page((folder / "data.html").read_text(encoding="utf-8"))


def of(page, wanted, name):
    return [value for tag, key, value in page.attributes if (tag, key) == (wanted, name)]


FRAMES = [
    ("iou", [0.25, 0.5, 0.75, 1.0], {"frame": "unit"}),
    ("iou", [250, 500, 750, 1000], {"frame": "rel1000"}),
    ("iou", "[100, 100, 300, 200]", {"frame": "original_px"}),
    ("iou", [63, 56, 189, 112], {"frame": "resized_px", "input_size": [252, 112]}),
    ("iou", [250, 500, 750, 1000], {"frame": "unit", "gold_frame": "rel1000"}),
    ("boxes", [{"bbox_2d": [100, 100, 300, 200], "label": "x"}], {"frame": "original_px"}),
    ("points", [100, 100, 300, 200], {"frame": "original_px"}),
]


@pytest.mark.parametrize(("kind", "gold", "params"), FRAMES)
def test_gold_boxes_of_every_frame_are_drawn_at_their_place(folder, kind, gold, params):
    page = page_of(folder, [record(1, gt=gold, verifier_type=kind, verifier_params=params)])
    drawn = {edge: float(of(page, "rect", edge)[-1]) for edge in ("x", "y", "width", "height")}
    assert drawn == pytest.approx({"x": 0.25, "y": 0.5, "width": 0.5, "height": 0.5})
    assert of(page, "rect", "class") == ["halo", "gold"] and "Not drawn" not in page.words


def test_pixels_of_the_resized_picture_need_a_config(folder):
    # 400 x 200 pixels are brought below 50,176: 308 x 140, both multiples of 28
    row = record(1, gt=[77, 70, 231, 140], verifier_type="iou", verifier_params={"frame": "resized_px"})
    assert "Not drawn: no size (width, height) for the frame" in page_of(folder, [row]).words
    page = page_of(folder, [row], "--config", str(folder / "trial.yaml"))
    drawn = [float(of(page, "rect", edge)[-1]) for edge in ("x", "y", "width", "height")]
    assert drawn == pytest.approx([0.25, 0.5, 0.5, 0.5])


def test_points_are_drawn_and_what_lies_outside_is_not(folder):
    params = {"frame": "original_px"}
    page = page_of(folder, [record(1, gt=[[100, 50], [500, 50]], verifier_type="points", verifier_params=params)])
    assert of(page, "path", "d") == ["M0.25 0.25h0"] * 2
    assert "Not drawn: a point lies outside the image" in page.words
    page = page_of(folder, [record(1, gt=[0.1, 0.2, 1.5, 0.5], verifier_type="iou", verifier_params={"frame": "unit"})])
    assert not of(page, "rect", "class") and "Not drawn: the box reaches outside the image" in page.words
    page = page_of(folder, [record(1, gt=[0.1, 0.2, 0.5, 0.5], verifier_type="boxes")])
    assert not of(page, "rect", "class") and "Not drawn: the record does not say in which frame" in page.words


def test_everything_that_is_known_of_a_record_is_said(folder):
    solution = "<think>I see three.</think><answer>3</answer>"
    rows = [record(3, answer=solution, gt=3, verifier_params={"tolerance": 1}), record(4, image="none.png")]
    page = page_of(folder, rows, "--config", str(folder / "trial.yaml"))
    chat = chat_format_of(CHAT_MODEL)
    image = ImageRef(sha256="", width_px=400, height_px=200)
    asked = Prompt(
        prompt_id="r3", question="How many 3?", gold=3, verifier_type="digit", source="a.png", images=(image,)
    )
    for text in (
        "2 records 1 of them shown",
        "1 bad",
        "row 1 of train.jsonl",
        "Gold · int 3",
        "id r3",
        'verifier digit {"tolerance": 1}',
        "images 400 x 200 px",
        f"image tokens {chat.num_image_tokens(image)}",
        f"prompt tokens {len(chat.expanded_token_ids(asked))}",
        "r4 row 2 of",
        "can't read the image: No such file or directory",
    ):
        assert text in page.words, text
    assert [value for value in of(page, "span", "class") if value in ("think", "answer")] == ["think", "answer"]


def test_a_shape_that_the_model_refuses_is_said(folder):
    Image.new("RGB", (900, 4)).save(folder / "images/line.png")
    page = page_of(folder, [record(1, image="line.png")], "--config", str(folder / "trial.yaml"))
    assert "can't be used as a prompt the model takes no image of this shape" in page.words


def test_the_built_in_data_is_shown(tmp_path):
    out = tmp_path / "data.html"
    assert main(["data", "show", "builtin:heldout", "--limit", "10", "--out", str(out)]) == 0
    page = Page(out.read_text(encoding="utf-8"))
    assert "1,000 records 10 of them shown" in page.words
    for kind in ("digit", "mcq", "math", "iou", "open_ended"):
        assert kind in page.words
    assert page.tags.count("img") == 10 and "gold" in of(page, "rect", "class")


def test_text_of_data_stays_text_and_nothing_is_fetched(folder):
    nasty = {key: NASTY for key in ("id", "question", "gt")}
    rows = [record(1, **nasty, verifier_type="text", answer=f"<think>{NASTY}</think><answer>{NASTY}</answer>")]
    rows += [record(2, image=f"{NASTY}/a.png"), record(3, id=NASTY, verifier_type=NASTY), record(4, image="photo.png")]
    rows += [record(5, verifier_params={NASTY: NASTY}), record(6, question="a\ud83d\x00\u202eb")]
    page = page_of(folder, rows)
    assert_inert(page)
    assert page.tags.count("style") == 1 and page.tags.count("img") == 4
    assert page.words.count("<script>alert(1)</script>") >= 6 and "{{ 7*7 }}" in page.words


def test_it_can_be_read_without_seeing_it(folder):
    page = page_of(folder, [record(1), record(2, verifier_type="mcq", gt="B"), record(3, image="none.png")])
    assert len([value for value in of(page, "img", "alt") if value]) == page.tags.count("img") == 2
    headings = [int(tag[1]) for tag in page.tags if tag in ("h1", "h2", "h3", "h4")]
    assert headings[0] == 1 and headings.count(1) == 1
    assert all(after <= before + 1 for before, after in pairwise(headings))
    assert page.tags.count("caption") == page.tags.count("table") == 2


def drawn(limit, seed, sizes):
    """The rows that are chosen of strata with so many records."""
    draw = Draw(limit, random.Random(seed))
    for name, size in sizes.items():
        prompts = [
            Prompt(prompt_id=f"{name}{row}", question="?", gold=1, verifier_type="digit", source=name)
            for row in range(size)
        ]
        draw.take_in("f", enumerate(prompts))
    assert {stratum: found.count for stratum, found in draw.drawn.items()} == {
        Stratum("f", "digit", name): size for name, size in sizes.items()
    }
    return [found.prompt.prompt_id for _, found in draw.chosen()]


def test_every_stratum_has_its_turn_and_a_seed_gives_the_same_again():
    chosen = drawn(10, 0, {"a": 1000, "b": 3, "c": 50})
    assert len(set(chosen)) == 10
    assert [sum(one.startswith(name) for one in chosen) for name in "abc"] == [4, 3, 3]
    assert drawn(10, 0, {"a": 1000, "b": 3, "c": 50}) == chosen != drawn(10, 1, {"a": 1000, "b": 3, "c": 50})
    assert sorted(drawn(10, 0, {"a": 2})) == ["a0", "a1"]


def test_every_record_has_the_same_chance():
    counts = np.zeros(20)
    for seed in range(2000):
        for one in drawn(5, seed, {"a": 20}):
            counts[int(one[1:])] += 1
    assert np.abs(counts / 2000 - 0.25).max() < 5 * (0.25 * 0.75 / 2000) ** 0.5


def test_only_the_first_picture_is_drawn_on():
    buffer = io.BytesIO()
    Image.new("RGB", (20, 10)).save(buffer, "PNG")
    image = ImageRef.from_bytes(buffer.getvalue(), width_px=20, height_px=10)
    prompt = Prompt(
        prompt_id="p",
        question="?",
        gold=[0, 0, 1, 1],
        verifier_type="iou",
        source="s",
        images=(image, image),
        verifier_params={"frame": "unit"},
    )
    sample = data_sample("f", DrawnRecord(1, prompt), VerifierParams({}), None)
    assert [len(picture.boxes) for picture in sample.pictures] == [1, 0] and sample.has_marks


@pytest.mark.parametrize("text", ["", "[]", "\n"])
def test_data_without_a_record_makes_no_page(folder, capsys, text):
    (folder / "empty.json").write_text(text)
    assert main(["data", "show", str(folder / "empty.json"), "--out", str(folder / "page.html")]) == 1
    assert "DataError: no record to show" in capsys.readouterr().err and not (folder / "page.html").exists()
