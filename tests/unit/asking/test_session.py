"""From files to an answer with marks; the small model answers in this process."""

import json
import time

import numpy as np
import pytest
from PIL import Image

from vlaa_ray.asking.deadline import within
from vlaa_ray.asking.local import LocalModel
from vlaa_ray.asking.session import AskSettings, answer_question, prompt_of_files, write_picture
from vlaa_ray.cli import main
from vlaa_ray.data.builtin import BuiltinData
from vlaa_ray.errors import DataError, DeadlineExceeded, ModelError
from vlaa_ray.images.decode import encoded
from vlaa_ray.images.overlay import COLOUR, draw_marks
from vlaa_ray.run.model_source import resolve_model

HELDOUT = BuiltinData("heldout")
ASKED = {prompt.verifier_type: prompt for prompt in (HELDOUT[index] for index in range(5))}


@pytest.fixture
def picture(tmp_path):
    path = tmp_path / "picture.png"
    path.write_bytes(encoded(ASKED["iou"].images[0]))
    return path


def test_the_model_answers_and_its_box_is_in_the_pixels_of_the_picture(picture, tmp_path):
    source, told = resolve_model("builtin:tiny-base"), []
    prompt = prompt_of_files(ASKED["iou"].question, [picture])
    answered = answer_question(source, prompt, AskSettings(max_tokens=48), told.append)
    assert answered.reply.tagged and answered.generated.finish_reason == "stop"
    shares = json.loads(answered.reply.answer)
    (mark,) = answered.marks
    width, height = Image.open(picture).size
    assert mark.pixels == pytest.approx([shares[0] * width, shares[1] * height, shares[2] * width, shares[3] * height])
    assert (answered.frame, answered.is_guess) == ("unit", True)  # nothing says the frame of the built-in model
    assert told[0] == "Loading tiny-base …" and told[1].startswith("Ready after")
    write_picture(answered, tmp_path / "out.png")
    assert (np.asarray(Image.open(tmp_path / "out.png")) == COLOUR).all(-1).any()


def test_the_same_question_has_the_same_answer_and_the_length_is_limited(picture):
    model = LocalModel.load(resolve_model("builtin:tiny-base"))
    prompt = prompt_of_files(ASKED["iou"].question, [picture])
    first, second = (model.generate(prompt, max_tokens=6, temperature=0.0, seed=seed) for seed in (1, 2))
    assert first.text == second.text and (first.finish_reason, first.num_tokens) == ("length", 6)
    sampled = {model.generate(prompt, max_tokens=6, temperature=2.0, seed=seed).text for seed in (1, 1, 2)}
    assert len(sampled) == 2
    with pytest.raises(ModelError, match="don't fit"):
        model.generate(prompt, max_tokens=4096, temperature=0.0, seed=0)


def test_files_are_checked_before_a_model_is_loaded(picture, tmp_path):
    with pytest.raises(DataError, match="can't read the image"):
        prompt_of_files("?", [tmp_path / "missing.png"])
    (tmp_path / "text.png").write_text("no picture")
    with pytest.raises(DataError, match="not an image"):
        prompt_of_files("?", [tmp_path / "text.png"])
    with pytest.raises(DataError, match="number of <image>"):
        prompt_of_files("<image> and <image>?", [picture])


def test_a_box_is_drawn_inside_its_edges_and_a_small_picture_is_enlarged():
    drawn = np.asarray(draw_marks(Image.new("RGB", (100, 50), "black"), [((25.0, 10.0, 75.0, 40.0), None)]))
    assert drawn.shape == (200, 400, 3)  # 448 // 100 = 4 times
    rows, columns = np.where((drawn == COLOUR).all(-1))
    assert (columns.min(), columns.max(), rows.min(), rows.max()) == (100, 299, 40, 159)
    assert not drawn[80, 200].any()  # nothing inside


def test_points_and_labels_are_drawn_also_at_the_edges():
    picture = Image.new("RGB", (600, 400), "black")
    drawn = np.asarray(draw_marks(picture, [((0.0, 0.0), "an eye\n" * 30), ((599.0, 399.0), "ear")]))
    assert drawn.shape == (400, 600, 3) and tuple(drawn[0, 0]) != (0, 0, 0)
    assert not np.asarray(picture).any()  # the picture itself stays


def test_a_wait_ends_at_its_deadline():
    started = time.monotonic()
    with pytest.raises(DeadlineExceeded, match=r"the answer took longer than 0\.2 s"), within(0.2, "the answer"):
        time.sleep(5)
    assert time.monotonic() - started < 2
    with within(60, "nothing"):
        pass


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--model", "builtin:tiny-base", " "], "the question is empty"),
        (["--model", "builtin:tiny-base", "--out", "a.png", "?"], "no picture to draw on"),
        (["--model", "builtin:tiny-base", "--image", "PICTURE", "--out", "a.txt", "?"], "must end in"),
        (["--model", "builtin:tiny-base", "--image", "PICTURE", "--out", "PICTURE", "?"], "another file of this"),
        (["--model", "nothing", "--image", "PICTURE", "?"], "no model of this name"),
    ],
)
def test_the_command_refuses_in_one_message(picture, tmp_path, monkeypatch, capsys, words, message):
    monkeypatch.chdir(tmp_path)
    before = picture.read_bytes()
    assert main(["ask", *(str(picture) if word == "PICTURE" else word for word in words)]) != 0
    assert message in " ".join(capsys.readouterr().err.replace("│", " ").split())
    assert picture.read_bytes() == before
