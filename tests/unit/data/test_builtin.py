import hashlib
import io

import numpy as np
import pytest
from PIL import Image

from vlaa_ray.data.builtin import BuiltinData
from vlaa_ray.errors import DataError
from vlaa_ray.records import PAPER_TYPES
from vlaa_ray.rewards import score

NUM_CHECKED = 100  # prompts a verifier type


def pixels_of(prompt):
    return Image.open(io.BytesIO(prompt.images[0].data)).convert("RGB")


# Pixels, not files: another zlib compresses the same pixels to other bytes.
@pytest.mark.parametrize(
    ("split", "index", "pixels_sha256", "gold"),
    [
        ("train", 0, "d87f503987ed", 4),
        ("train", 1, "9eb34a38a55f", "D"),
        ("train", 2, "9998c2f6a795", "\\frac{5}{2}"),
        ("train", 3, "d71b7de1340f", "[0.67, 0.25, 0.94, 0.66]"),
        ("train", 4, "e4d6eb23dc89", "a black rectangle at the top center"),
        ("heldout", 0, "9f6091375adc", 2),
        ("heldout", 7, "3fdbaeeda1ec", "0"),
        ("heldout", 8, "048dd75a8c34", "[0.61, 0.07, 0.93, 0.50]"),
        ("heldout", 9, "fa9b80499d77", "the handwritten digits 9 and 3"),
    ],
)
def test_is_the_same_on_every_machine(split, index, pixels_sha256, gold):
    prompt = BuiltinData(split)[index]
    assert hashlib.sha256(pixels_of(prompt).tobytes()).hexdigest().startswith(pixels_sha256)
    assert prompt.gold == gold


def test_a_prompt_depends_on_nothing_but_split_type_and_number():
    everything, only_iou = BuiltinData("train"), BuiltinData("train", ("iou",))
    assert [only_iou[i] for i in (7, 3)] == [everything[5 * i + 3] for i in (7, 3)]
    assert everything[12] == BuiltinData("train")[12]
    mostly_iou = BuiltinData("train", ("iou", "digit", "iou"))
    assert [mostly_iou[index] for index in (0, 2, 3, 5)] == [only_iou[index] for index in range(4)]
    assert mostly_iou[4] == BuiltinData("train", ("digit",))[1]
    assert (len(everything), len(only_iou), len(BuiltinData("heldout"))) == (20_000, 4_000, 1_000)


def test_prompt_ids_are_unique_and_types_take_turns():
    data = BuiltinData("heldout")
    prompts = list(data)
    assert len({prompt.prompt_id for prompt in prompts}) == len(data)
    assert [prompt.verifier_type for prompt in prompts[:5]] == list(PAPER_TYPES)


def test_no_such_split_and_no_such_prompt():
    with pytest.raises(DataError, match="no built-in split 'dev'"):
        BuiltinData("dev")
    with pytest.raises(IndexError):
        BuiltinData("heldout")[1_000]


def test_the_splits_share_no_picture():
    # all of held-out's pictures of shapes against all that train can draw from; digits by the picture of each digit
    from vlaa_ray.data import builtin

    pictures = {
        split: {path.read_bytes() for path, _, _ in builtin._shape_index(split)} for split in ("train", "heldout")
    }
    assert not pictures["train"] & pictures["heldout"]
    assert len(pictures["train"]) == 2435
    digits, _ = builtin._digits()
    distinct = [digit.tobytes() for digit in digits]
    assert not set(distinct[: -builtin._HELDOUT_DIGITS]) & set(distinct[-builtin._HELDOUT_DIGITS :])
    heldout = {image.sha256 for prompt in BuiltinData("heldout") for image in prompt.images}
    train = BuiltinData("train")
    assert not heldout & {train[index].images[0].sha256 for index in range(0, 20_000, 10)}


@pytest.mark.parametrize("split", ["train", "heldout"])
@pytest.mark.parametrize("kind", PAPER_TYPES)
def test_careful_solutions_earn_the_full_reward_and_hasty_ones_a_part_of_it(split, kind):
    data = BuiltinData(split, (kind,))
    num_careful = 0
    for index in range(NUM_CHECKED):
        prompt = data[index]
        careful = prompt.solution.startswith("<think>")
        num_careful += careful
        result = score(prompt.solution, prompt.gold, kind, **prompt.verifier_params)
        about = (prompt.prompt_id, prompt.gold, prompt.solution, result)
        assert result.valid, about
        if careful or kind in ("digit", "mcq", "math"):
            assert result.value == 1.0, about
        else:
            assert 0.0 < result.value < 1.0, about
    expected = 0.5 if kind == "mcq" else 0.3  # colours 0.7, shapes 0.3
    assert abs(num_careful / NUM_CHECKED - expected) < 0.1


def test_a_box_by_hand():
    # a blue rectangle of 64 x 64 pixels: all blue in columns 44–58 and rows 17–40, at least half blue one pixel further
    # to each side (row 15 is an eighth blue): [43/64, 16/64, 60/64, 42/64] = [0.671875, 0.25, 0.9375, 0.65625]
    prompt = BuiltinData("train", ("iou",))[0]
    pixels = np.asarray(pixels_of(prompt))
    blue = (pixels == (0, 0, 255)).all(axis=2)
    assert blue[17:41, 44:59].all() and blue.sum() == 24 * 15
    assert (pixels[16:42, 43:60, 0] <= 116).mean() > 0.99 and pixels[30, 43, 0] == pixels[30, 59, 0] == 116
    assert (pixels[15, 44:59, 0] >= 203).all()
    assert prompt.gold == "[0.67, 0.25, 0.94, 0.66]"
    assert prompt.question == "Where is the rectangle?"


def test_boxes_are_the_tightest_around_what_they_name():
    data = BuiltinData("heldout", ("iou",))
    for index in range(NUM_CHECKED):
        prompt = data[index]
        pixels = np.asarray(pixels_of(prompt)).astype(int)
        size = pixels.shape[0]
        left, top, right, bottom = (round(float(edge) * size) for edge in prompt.gold.strip("[]").split(","))
        if prompt.source == "digits":
            ink = pixels.sum(axis=2) < 3 * 255
        else:  # anti-aliased edges hardly differ from the ground: what counts has left it by 60 of 765
            ink = np.abs(pixels - np.median(pixels.reshape(-1, 3), axis=0)).sum(axis=2) > 60
            assert ink.sum() == ink[top:bottom, left:right].sum(), prompt.prompt_id
        box = ink[top:bottom, left:right]
        assert all(edge.any() for edge in (box[0], box[-1], box[:, 0], box[:, -1])), prompt.prompt_id


def test_counts_follow_from_the_picture():
    # each digit lies in a quarter of its own: the number of quarters with ink is the gold
    data = BuiltinData("train", ("digit",))
    for index in range(0, 2 * NUM_CHECKED, 2):
        prompt = data[index]
        ink = np.asarray(pixels_of(prompt)).min(axis=2) < 255
        quarters = ink.reshape(2, 28, 2, 28).any(axis=(1, 3))
        assert quarters.sum() == prompt.gold, prompt.prompt_id


def test_the_right_choice_is_what_easy_vqa_answers():
    import easy_vqa

    _, answers, ids = easy_vqa.get_test_questions()
    paths = easy_vqa.get_test_image_paths()
    said: dict[bytes, set[str]] = {}
    for answer, image_id in zip(answers, ids, strict=True):
        if answer not in ("yes", "no"):
            with open(paths[image_id], "rb") as file:
                said.setdefault(file.read(), set()).add(answer)
    data = BuiltinData("heldout", ("mcq",))
    for index in range(NUM_CHECKED):
        prompt = data[index]
        options = dict(line.split(": ") for line in prompt.question.splitlines()[1:])
        assert len(set(options.values())) == len(options) >= 3
        assert options[prompt.gold] in said[prompt.images[0].data], prompt.prompt_id
