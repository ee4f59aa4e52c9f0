"""The libraries around a CPU torch: usable, whatever their wheels were built for."""

import os
import sys

import numpy as np
from PIL import Image

from vlaa_ray.compat.cpu_wheels import register


def test_datasets_hold_pictures_and_give_them_as_tensors():
    import datasets
    import torch

    pixels = np.arange(48, dtype=np.uint8).reshape(4, 4, 3)
    data = datasets.Dataset.from_list([{"image": Image.fromarray(pixels)}])
    assert np.array_equal(np.asarray(data[0]["image"]), pixels)
    assert torch.equal(data.with_format("torch")[0]["image"], torch.from_numpy(pixels).permute(2, 0, 1))


def test_the_image_processors_of_transformers_can_be_imported():
    from transformers import Qwen2VLImageProcessor

    picture = Image.new("RGB", (56, 56))
    assert Qwen2VLImageProcessor()(picture, return_tensors="pt")["pixel_values"].shape == (16, 3 * 2 * 14 * 14)


def test_where_the_project_is_installed_nothing_has_to_be_registered():
    before = list(sys.path), os.environ.get("PYTHONPATH")
    register()
    assert (list(sys.path), os.environ.get("PYTHONPATH")) == before
