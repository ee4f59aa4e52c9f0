"""Data, images and models that lie in buckets."""

import json

import pytest
from formats import png

from vlaa_ray.config import DataSection
from vlaa_ray.config.base_folder import expand_home, find_data, find_input
from vlaa_ray.data.dataset import open_dataset
from vlaa_ray.errors import ConfigError, DataError, StorageError
from vlaa_ray.images.decode import load
from vlaa_ray.models.paths import BUILTIN_MODELS, description_path, local_path
from vlaa_ray.records import VERIFIER_TYPES
from vlaa_ray.storage.places import BucketPath


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("VLAA_RAY_CACHE", str(tmp_path / "node-a"))


def put(url: str, files: dict[str, bytes]) -> None:
    for name, data in files.items():
        (BucketPath.parse(url) / name).write(data)


def rows(*images: str) -> bytes:
    made = [
        {"problem": f"<image>How many? {row}", "answer": "4", "images": [image], "verifier_type": "digit"}
        for row, image in enumerate(images)
    ]
    return "".join(json.dumps(row) + "\n" for row in made).encode()


def test_prompts_and_their_images_are_read_from_a_bucket_on_every_node(bucket, tmp_path, monkeypatch):
    url = bucket.new_folder("data")
    put(url, {"train.jsonl": rows("a.png", "images/b.png"), "pictures/images/a.png": png(), "pictures/b.png": png()})
    data = DataSection(train=f"{url}/train.jsonl", image_root=f"{url}/pictures")
    prompts = open_dataset(data.train, data, None, VERIFIER_TYPES, None)
    images = [prompts[index].images[0] for index in range(2)]
    assert [image.path for image in images] == [f"{url}/pictures/images/a.png", f"{url}/pictures/b.png"]
    monkeypatch.setenv("VLAA_RAY_CACHE", str(tmp_path / "node-b"))  # the engine's node has no copy yet
    assert load(images[0]).size == (images[0].width_px, images[0].height_px)


def test_a_folder_in_a_bucket_brings_its_images(s3):
    url = s3.new_folder("data")
    put(url, {"train.jsonl": rows("a.png"), "images/a.png": png()})
    data = DataSection(train=url)
    assert len(open_dataset(data.train, data, None, VERIFIER_TYPES, None)) == 1


@pytest.mark.parametrize("image", ["missing.png", "../secret.png"])
def test_an_image_that_is_not_below_the_root_is_a_bad_record(s3, image):
    url = s3.new_folder("data")
    put(url, {"train.jsonl": rows(image), "secret.png": png()})
    data = DataSection(train=f"{url}/train.jsonl", image_root=f"{url}/pictures")
    with pytest.raises(DataError, match=r"no such image|outside the image root"):
        open_dataset(data.train, data, None, VERIFIER_TYPES, None)


def test_a_model_in_a_bucket_is_copied_and_its_description_without_weights(s3):
    url = s3.new_folder("model")
    folder = BUILTIN_MODELS / "tiny-base"
    put(url, {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()})
    described = {path.name for path in map(type(folder), [description_path(url)]) for path in path.iterdir()}
    assert "config.json" in described and not any(name.endswith(".safetensors") for name in described)
    copied = type(folder)(local_path(url))
    assert {path.name: path.read_bytes() for path in copied.iterdir()} == {
        path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()
    }
    put(url, {"config.json": b"{}  "})  # a change there makes a new copy
    assert (type(folder)(local_path(url)) / "config.json").read_bytes() == b"{}  "
    with pytest.raises(StorageError, match="nothing at this address"):
        local_path(url + "-typo")


def test_addresses_stay_as_they_are_and_a_file_address_is_a_path(tmp_path):
    assert find_input("s3://bucket/a/") == "s3://bucket/a"
    assert find_data("gs://bucket/a/train.jsonl") == "gs://bucket/a/train.jsonl"
    assert expand_home(f"file://{tmp_path}/x") == f"{tmp_path}/x"


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("s3://AKIA:secret@bucket/a", "must hold no key"),
        ("s3:///a", "names no bucket"),
        ("gs://bucket/../a", r"holds '\.\.'"),
    ],
)
def test_an_address_that_can_not_be_used_is_refused_without_its_key(url, message):
    with pytest.raises(ConfigError, match=message) as refused:
        expand_home(url)
    assert "secret" not in str(refused.value)
