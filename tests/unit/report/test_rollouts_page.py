"""`rollouts.html` as text: what is on it, what its limits leave out, and that foreign text stays data."""

import hashlib
import json
import re
import shutil
from base64 import b64decode, b64encode
from io import BytesIO

import pytest
from many_rollouts import write_rollouts
from pages import NASTY, Page
from PIL import Image

from vlaa_ray.report.rollouts_page import write_rollouts_page
from vlaa_ray.run.reader import RecordedRun


@pytest.fixture
def run(tmp_path):
    """Three steps of four groups with five rollouts each."""
    return write_rollouts(tmp_path / "made", 3, 4, 5)


def page_of(run, **limits):
    return write_rollouts_page(RecordedRun.read(run), **limits).read_text(encoding="utf-8")


def data_of(html, name="rows-data"):
    return json.loads(re.search(rf'<script type="application/json" id="{name}">(.*?)</script>', html, re.DOTALL)[1])


def test_all_rollouts_are_on_the_page_by_their_prompts_and_the_newest_step_is_first(run):
    html = page_of(run)
    data = data_of(html)
    assert [group["step"] for group in data["groups"]] == [3] * 4 + [2] * 4 + [1] * 4
    assert [len(group["rollouts"]) for group in data["groups"]] == [5] * 12
    group = data["groups"][2]
    assert (group["type"], group["source"], group["prompt"]) == ("iou", "source-2", "made/3/2")
    assert (
        group["marked"] == 0 and group["marks"] == [[0.25, 0.25, 0.25, 0.5]] and group["pictures"] == ["images/2.png"]
    )
    rollout = dict(zip(data["columns"], group["rollouts"][1], strict=True))
    completion = rollout.pop("completion")
    assert completion.endswith("3-2-1</think><answer>[0.5, 0.25, 0.75, 0.5]</answer>")
    assert rollout == {
        "sample": 1, "tokens": 11, "ended": "stop", "reward": 0.25, "advantage": 0.1235, "logprob": -0.3, "version": 2,
        "extracted": "[0.5, 0.25, 0.75, 0.5]", "reason": "", "parts": '{"accuracy": 0.25}',
        "marks": [[0.5, 0.25, 0.25, 0.25]],
    }  # fmt: skip
    assert "60 rollouts in 12 groups" in Page(html).words and "left out" not in Page(html).words


def test_older_steps_are_left_out_where_the_page_is_full_and_it_says_so(run):
    whole = page_of(run)
    size = len(re.search(r'"groups":\[(.*?)\]\}</script>', whole, re.DOTALL)[1].encode())
    html = page_of(run, text_bytes=size // 2)
    steps = [group["step"] for group in data_of(html)["groups"]]
    assert set(steps) == {3, 2} and steps.count(3) == 4 and steps.count(2) < 4
    assert "some rollouts of step 2 and all rollouts of the steps before it are left out" in Page(html).words
    assert sorted(data_of(html, "pictures-data")) == ["images/0.png", "images/1.png", "images/2.png", "images/3.png"]


def test_steps_whose_rollouts_were_removed_are_counted(run):
    (run / "metrics.jsonl").write_text("".join(f'{{"step": {step}}}\n' for step in range(5)))
    (run / "rollouts/step_000002.jsonl").unlink()
    assert "1 step has no rollouts any more" in Page(page_of(run)).words


def test_a_picture_is_there_once_and_small_and_those_without_room_are_counted(run):
    Image.effect_noise((1600, 1200), 90).convert("RGB").save(run / "images/0.png")
    html = page_of(run)
    pictures = data_of(html, "pictures-data")
    assert len(pictures) == 4 and html.count("data:image/") == 4
    photograph = Image.open(BytesIO(b64decode(pictures["images/0.png"]["uri"].partition(",")[2])))
    assert photograph.format == "JPEG" and photograph.size == (320, 240)
    room = sum(len(pictures[f"images/{number}.png"]["uri"]) for number in (0, 1, 2))
    html = page_of(run, picture_bytes=room)
    assert sorted(data_of(html, "pictures-data")) == ["images/0.png", "images/1.png", "images/2.png"]
    assert "1 of 4 pictures are left out" in Page(html).words


def test_a_picture_comes_from_the_run_folder_only(tmp_path):
    Image.new("RGB", (9, 9)).save(tmp_path / "secret.png")
    images = [{"path": "../secret.png"}, {"path": "images/none.png"}, {"no": "path"}, 7]
    run = write_rollouts(tmp_path / "made", 1, 1, 2, images=images)
    pictures = data_of(page_of(run), "pictures-data")
    assert [picture["uri"] for picture in pictures.values()] == [""] * 4
    assert "outside the run folder" in pictures["../secret.png"]["missing"]
    assert "does not exist" in pictures["images/none.png"]["missing"]


def test_foreign_text_is_data_and_one_script_runs(tmp_path):
    odd = NASTY + "</script><!--<script>\ud800\0\u2028]]>"
    texts = dict.fromkeys(("question", "gold", "completion", "extracted", "reason", "prompt_id", "source"), odd)
    run = write_rollouts(tmp_path / "made", 1, 1, 2, verifier_type=NASTY, finish_reason=NASTY, **texts)
    html = page_of(run)
    page = Page(html)
    assert page.tags.count("script") == 3 and not {"iframe", "object", "embed", "form", "link", "base"} & set(page.tags)
    (script,) = re.findall(r"<script>(.*?)</script>", html, re.DOTALL)
    policy = next(value for _, name, value in page.attributes if name == "content" and "default-src" in value)
    allowed = b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert "default-src 'none'" in policy and f"script-src 'sha256-{allowed}';" in policy
    assert data_of(html)["groups"][0]["question"] == odd.replace("\ud800", "?")


def test_rows_of_another_writer_are_shown_as_far_as_they_go(tmp_path):
    run = write_rollouts(tmp_path / "made", 1, 1, 1)
    rows = [
        '{"step": Infinity, "reward": NaN, "num_tokens": true, "completion": {"a": 1}, "images": 3}',
        '{"question": "Why?", "reward": "good", "parts": []}',
        "[1]",
        '{"question": "cut o',
    ]
    (run / "rollouts/step_000001.jsonl").write_text("\n".join(rows), encoding="utf-8")
    data = data_of(page_of(run))
    first, second = (
        dict(zip(data["columns"], group["rollouts"][0], strict=True)) | {"step": group["step"]}
        for group in data["groups"]
    )
    assert (first["step"], first["reward"], first["tokens"], first["completion"]) == (0, None, "true", '{"a": 1}')
    assert (second["step"], second["reward"], second["parts"], second["completion"]) == (0, "good", "", "")


def test_the_middle_of_a_long_completion_is_left_out(tmp_path):
    long = "a" * 5_000 + "b" * 5_000
    run = write_rollouts(tmp_path / "made", 1, 1, 1, completion=long)
    html = page_of(run)
    data = data_of(html)
    shown = data["groups"][0]["rollouts"][0][data["columns"].index("completion")]
    assert shown == "a" * 3_000 + "\n[… 4000 characters left out …]\n" + "b" * 3_000
    assert "Texts of more than 6,000 characters are cut" in Page(html).words


def test_a_run_without_rollouts_has_no_page_and_an_old_one_goes(run):
    page_of(run)
    shutil.rmtree(run / "rollouts")
    assert write_rollouts_page(RecordedRun.read(run)) is None
    assert not (run / "rollouts.html").exists()
