"""The parameters with which a prompt is judged: the config's, the record's, and the sizes that frames need."""

import pytest

from vlaa_ray.config import RewardsSection, VerifierSection
from vlaa_ray.errors import DataError
from vlaa_ray.records import ImageRef, Prompt
from vlaa_ray.rewards.manager import RewardManager
from vlaa_ray.rewards.params import VerifierParams

IMAGE = ImageRef(sha256="", width_px=400, height_px=200)


def prompt(kind="iou", images=(IMAGE,), **params):
    asked = {"question": "Where?", "gold": [77, 70, 231, 140], "source": ""}
    return Prompt(prompt_id="p", verifier_type=kind, images=images, verifier_params=params, **asked)


def input_size(image):
    assert image is IMAGE
    return 308, 140


def of(one, **params):
    return VerifierParams({one.verifier_type: VerifierSection(params=params)}, input_size).of(one)


def test_sizes_are_filled_in_for_frames_in_pixels_wherever_they_are_named():
    assert of(prompt(), frame="resized_px") == {"frame": "resized_px", "input_size": [308, 140]}
    assert of(prompt(frame="original_px")) == {"frame": "original_px", "image_size": [400, 200]}
    assert of(prompt(gold_frame="original_px"), frame="resized_px") == {
        "frame": "resized_px", "gold_frame": "original_px", "input_size": [308, 140], "image_size": [400, 200],
    }  # fmt: skip


def test_sizes_of_the_record_or_the_config_stay():
    assert of(prompt(frame="resized_px", input_size=[28, 56]))["input_size"] == [28, 56]
    assert of(prompt(), frame="original_px", image_size=[5, 5])["image_size"] == [5, 5]


def test_nothing_is_added_without_need_or_without_an_image():
    assert of(prompt(), frame="unit") == {"frame": "unit"}
    assert of(prompt(images=()), frame="original_px") == {"frame": "original_px"}
    assert of(prompt("digit", frame="original_px")) == {"frame": "original_px"}
    assert VerifierParams({}).of(prompt(frame="resized_px")) == {"frame": "resized_px"}


def test_a_picture_that_the_model_does_not_take_has_no_size():
    def refuse(image):
        raise DataError("too long and thin")

    assert VerifierParams({}, refuse).of(prompt(frame="resized_px")) == {"frame": "resized_px"}


@pytest.mark.parametrize(("sizes", "value"), [(input_size, 1.0), (None, None)])
def test_boxes_in_pixels_of_the_models_picture_are_judged_by_its_size(sizes, value):
    section = RewardsSection.model_validate({"verifiers": {"iou": {"params": {"frame": "resized_px"}}}})
    with RewardManager(section, sizes) as rewards:
        (result,) = rewards.score([(prompt(), "<answer>[77, 70, 231, 140]</answer>")])
    assert result.value == value
    assert result.valid or result.reason == "no size (width, height) for the frame 'resized_px'"
