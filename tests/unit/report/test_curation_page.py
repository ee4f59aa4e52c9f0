"""The page of a curation: what happened to whom, hostile text as text, and nothing that runs."""

import io
from itertools import pairwise

import pytest
from curating import config, sample
from pages import NASTY, Page, assert_inert
from PIL import Image

from vlaa_ray.curation.outputs import Outputs
from vlaa_ray.report.curation_page import write_curation_page

SOLUTION = "<think>I see three.</think><answer>3</answer>"


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "images/shapes").mkdir(parents=True)
    buffer = io.BytesIO()
    Image.new("RGB", (120, 80), "teal").save(buffer, "PNG")
    (tmp_path / "images/shapes/a.png").write_bytes(buffer.getvalue())
    return tmp_path


def page_of(folder, samples, calls=None, **changes):
    outputs = Outputs(config(**changes), folder)
    for one in samples:
        outputs.take(one)
    outputs.write()
    outputs.calls = calls or outputs.calls
    return Page(write_curation_page(folder, outputs).read_text(encoding="utf-8"))


def kept(number, **changes):
    return sample(index=number, sample_id=f"s{number}", solution=SOLUTION, verdict="Yes", **changes)


def of(page, wanted, name):
    return [value for tag, key, value in page.attributes if (tag, key) == (wanted, name)]


def test_what_became_of_whom(folder):
    doubt = "<think>Wait.</think><answer>3</answer>"
    samples = [
        kept(0, caption="Three circles.", distilled="<think>The caption says 3.</think>3", rewritten=SOLUTION),
        kept(1).with_(solution=doubt),
        kept(2).drop("verify", "the answer differs from the gold", "so it says"),
        kept(3, image="").drop("metadata", "the record can't be read", "a line is not JSON"),
    ]
    calls = {"spent": {"verify": {"calls": 1234, "input_tokens": 5000, "output_tokens": 678, "cost": 1.5}}}
    page = page_of(folder, samples, calls)
    assert "4 records 2 of them dropped" in page.words
    for text in (
        "metadata 4 3 1 × the record can't be read",
        "verify 3 2 1,234 5,678 1.50 1 × the answer differs from the gold",
        "shapes 4 2 1 1",
        "Question How many circles? Gold 3 Caption Three circles.",
        "The caption says 3.",
        "verified Yes",
        "detail a line is not JSON",
        "no picture was kept",
    ):
        assert text in page.words, text
    titles = [text for text in page.text if text in {"SFT", "RL"} or text.startswith(("verify:", "metadata:"))]
    assert titles[-4:] == [
        "SFT",
        "RL",
        "metadata: the record can't be read",
        "verify: the answer differs from the gold",
    ]
    assert page.tags.count("img") == 3 and page.tags.count("article") == 4


def test_a_picture_that_is_gone_is_named(folder):
    assert "can't read the image" in page_of(folder, [kept(0, image="shapes/gone.png")]).words


def test_some_of_many_are_shown_and_counted(folder):
    page = page_of(folder, [kept(number) for number in range(20)])
    assert "6 of 20" in page.words and page.tags.count("article") == 6


def test_text_of_data_and_models_is_text(folder):
    odd = NASTY + "\ud800\0\u202e"
    texts = dict.fromkeys(("question", "caption", "distilled", "rewritten", "verdict", "source", "sample_id"), odd)
    samples = [
        kept(0).with_(**texts, gold=odd),
        kept(1).with_(**texts).drop("verify", NASTY, odd),
        kept(2).with_(**texts, gold={NASTY: [NASTY]}, image=NASTY).drop("caption", "x", odd),
    ]
    page = page_of(folder, samples, run={"name": "trial"})
    assert_inert(page)
    assert page.tags.count("style") == 1 and page.tags.count("img") == 2
    assert page.words.count("<script>alert(1)</script>") >= 12 and "{{ 7*7 }}" in page.words


def test_it_can_be_read_without_seeing_it(folder):
    page = page_of(folder, [kept(0), kept(1).drop("verify", "the answer differs from the gold")])
    assert len([value for value in of(page, "img", "alt") if value]) == page.tags.count("img") == 2
    headings = [int(tag[1]) for tag in page.tags if tag in ("h1", "h2", "h3", "h4")]
    assert headings[0] == 1 and headings.count(1) == 1
    assert all(after <= before + 1 for before, after in pairwise(headings))
    assert page.tags.count("caption") == page.tags.count("table") == 2
    assert {value[1:] for value in of(page, "a", "href")} <= set(of(page, "section", "id"))
