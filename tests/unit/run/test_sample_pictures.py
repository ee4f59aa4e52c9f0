"""Pictures of rollouts for the trackers: which rollouts they show, and the boxes on them."""

import hashlib
import io

import numpy as np
import pytest
from PIL import Image

from vlaa_ray.images.overlay import COLOUR
from vlaa_ray.run.sample_pictures import sample_pictures


@pytest.fixture
def picture_file(tmp_path):
    """A black picture of 100 x 50 pixels in the run folder, as a rollout names it."""
    file = io.BytesIO()
    Image.new("RGB", (100, 50), "black").save(file, "PNG")
    name = f"images/{hashlib.sha256(file.getvalue()).hexdigest()}.png"
    (tmp_path / "images").mkdir()
    (tmp_path / name).write_bytes(file.getvalue())
    return {"path": name}


def rollout(kind, image, **changes):
    row = {"verifier_type": kind, "images": [image], "question": "Where?", "gold": "B", "completion": "There."}
    return row | {"extracted": None, "reward": 0.5, "valid": True, "reason": ""} | changes


def marked(picture):
    """The corners (left, top, right, bottom) of what is drawn in the colour of marks."""
    rows, columns = np.nonzero((np.asarray(picture) == COLOUR).all(axis=2))
    return columns.min(), rows.min(), columns.max() + 1, rows.max() + 1


def test_there_is_one_picture_of_each_verifier_type_and_none_without_a_file(tmp_path, picture_file):
    rows = [
        rollout("mcq", {"path": "images/gone.png"}),
        rollout("mcq", picture_file, completion="The second."),
        rollout("mcq", picture_file, completion="The third."),
        rollout("math", picture_file, images=[]),
        rollout("digit", picture_file, valid=False, reward=None, reason="no verdict"),
    ]
    found = {sample.name: sample.caption for sample in sample_pictures(tmp_path, rows)}
    assert list(found) == ["samples/mcq", "samples/digit"]
    assert found["samples/mcq"] == "Where?\n\nThe second.\n\ngold: B\n\nreward: 0.5"
    assert found["samples/digit"].endswith("reward: not judged: no verdict")


def test_a_predicted_box_is_drawn_at_its_place_on_the_enlarged_picture(tmp_path, picture_file):
    row = rollout("iou", picture_file, gold="none", extracted="[250, 500, 750, 1000]")
    (sample,) = sample_pictures(tmp_path, [row | {"verifier_params": {"frame": "rel1000"}}])
    assert sample.picture.size == (400, 200)  # four times as large
    left, _, right, bottom = marked(sample.picture)  # the label is above the box
    assert (left, right, bottom) == (100, 300, 200)
