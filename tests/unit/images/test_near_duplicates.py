"""What looks alike and what doesn't: copies of all kinds, and pictures that a careless hash takes for one another."""

import io

import numpy as np
import pytest
from PIL import Image, ImageDraw

from vlaa_ray.data.builtin import BuiltinData
from vlaa_ray.images.decode import load
from vlaa_ray.images.near_duplicates import LookAlikes, Place, perceptual_hash
from vlaa_ray.records import ImageRef


def photo(seed):
    rng = np.random.default_rng(seed)
    colours = rng.integers(0, 256, (int(rng.integers(4, 30)), int(rng.integers(4, 30)), 3), dtype=np.uint8)
    return Image.fromarray(colours).resize((400, 300), Image.Resampling.BICUBIC)


def page(seed, num_lines=30):
    rng = np.random.default_rng(seed)
    image = Image.new("RGB", (600, 800), "white")
    for line in range(num_lines):
        words = ("".join(map(chr, rng.integers(97, 123, rng.integers(2, 9)))) for _ in range(9))
        ImageDraw.Draw(image).text((40, 60 + 20 * line), " ".join(words), fill="black")
    return image


def saved_as(image, quality):
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=quality)
    return Image.open(buffer)


def pairs(*files):
    """The pairs (index of the picture in the first file, in the second) of two files with these pictures."""
    found = LookAlikes()
    for file, pictures in zip("ab", files, strict=True):
        for row, picture in enumerate(pictures):
            ref = ImageRef(sha256=f"{file}{row}", width_px=picture.width, height_px=picture.height)
            found.add(ref, picture.convert("RGB"), Place(file, file, row))
    return [(pair.first.row, pair.second.row) for pair in found.pairs]


def reference_hash(small):
    """The discrete cosine transform by its definition, frequency by frequency."""
    grey = small @ [0.299, 0.587, 0.114]
    rows, columns = np.mgrid[:32, :32]
    values = [
        (grey * np.cos(np.pi * u * (2 * rows + 1) / 64) * np.cos(np.pi * v * (2 * columns + 1) / 64)).sum()
        for u in range(8)
        for v in range(8)
    ]
    bits = "".join("1" if value > np.median(values) else "0" for value in values)
    return [int(bits[start : start + 16], 2) for start in range(0, 64, 16)]


def test_the_hash_is_the_definitions():
    for seed in range(20):
        small = np.random.default_rng(seed).uniform(0, 255, (32, 32, 3))
        assert perceptual_hash(small).tolist() == reference_hash(small)


@pytest.mark.parametrize("make", [photo, page])
@pytest.mark.parametrize(
    "copy",
    [
        lambda image: image.copy(),
        lambda image: image.resize((image.width // 2, image.height // 2)),
        lambda image: image.resize((image.width * 2, image.height * 2)),
        lambda image: saved_as(image, 50),
    ],
)
def test_copies_look_alike(make, copy):
    originals = [make(seed) for seed in range(30)]
    found = pairs(originals, [copy(image) for image in originals])
    assert set(found) <= {(number, number) for number in range(30)}
    assert len(found) >= 26


@pytest.mark.parametrize("make", [photo, page])
def test_different_pictures_dont(make):
    assert pairs([make(seed) for seed in range(60)], [make(seed) for seed in range(60, 120)]) == []


def test_plain_pictures_and_near_blank_pages_are_left_out():
    plain = [Image.new("RGB", (60, 50), colour) for colour in ("white", "black", "red")]
    assert pairs(plain, plain) == []
    assert pairs([page(seed, 1) for seed in range(30)], [page(seed, 1) for seed in range(30)]) == []


def test_the_same_shape_elsewhere_or_in_another_colour_is_another_picture():
    pictures = {image.sha256: load(image) for index in range(600) for image in BuiltinData("train")[index].images}
    half = len(pictures) // 2
    assert len(pictures) > 300
    assert pairs(list(pictures.values())[:half], list(pictures.values())[half:]) == []


def test_look_alikes_of_one_source_are_counted_and_the_same_image_again_is_not():
    found, image = LookAlikes(), photo(0)
    for row, sha256 in enumerate("abac"):
        ref, place = ImageRef(sha256=sha256, width_px=400, height_px=300), Place("train", f"train/{row}.jsonl", row)
        if not found.knows(ref, place):
            found.add(ref, image, place)
    assert (found.num_alike, found.pairs) == (2, [])
