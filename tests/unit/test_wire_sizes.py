"""What a prompt costs on its way to an actor: its encoded images and little else, never pixels."""

import io

import numpy as np
import pytest
from PIL import Image
from ray import cloudpickle

from vlaa_ray.images.decode import load, reference, reference_of
from vlaa_ray.records import Group, OptimizerStep, Prompt
from vlaa_ray.roles import SampleRequest

FIXED_BYTES = 64 * 1024


def photo(seed, width=1600, height=1200):
    """A JPEG of some 600 kB, whose pixels are 5.8 MB."""
    colours = np.random.default_rng(seed).integers(0, 256, (height // 8, width // 8, 3), dtype=np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(colours).resize((width, height)).save(buffer, "JPEG", quality=90)
    return buffer.getvalue()


def prompt_of(*images):
    question, solution = "What is left of the red car? " * 50, "<think>I look.</think><answer>a tree</answer>" * 20
    return Prompt(
        prompt_id="p", question=question, gold="a tree", verifier_type="text", source="s", images=images,
        verifier_params={"image_size": [1600, 1200]}, solution=solution,
    )  # fmt: skip


def num_bytes(sent):
    """Of a message, as Ray serialises it: the pickle and the buffers that it lays beside it."""
    buffers = []
    inline = cloudpickle.dumps(sent, protocol=5, buffer_callback=buffers.append)
    return len(inline) + sum(buffer.raw().nbytes for buffer in buffers)


def messages(prompt):
    """What the rollout, reward and learner actors are sent of a prompt."""
    yield SampleRequest(prompt=prompt, num_samples=8, seed=1, temperature=1.0, max_completion_tokens=2048)
    yield prompt, ["<think>…</think><answer>a tree</answer>"] * 8, 0.5
    yield OptimizerStep(groups=(Group(prompt=prompt, position=0),), num_sequences=8, num_tokens=100)


@pytest.mark.parametrize("num_images", [0, 1, 3])
def test_a_prompt_with_its_images_costs_their_encoded_bytes(num_images):
    encoded = [photo(seed) for seed in range(num_images)]
    prompt = prompt_of(*(reference_of(data) for data in encoded))
    for image in prompt.images:
        load(image)  # the pixels that were made stay out of it
    for sent in messages(prompt):
        assert sum(map(len, encoded)) <= num_bytes(sent) <= 1.2 * sum(map(len, encoded)) + FIXED_BYTES


def test_a_prompt_with_image_files_costs_their_names(tmp_path):
    (tmp_path / "a.jpg").write_bytes(photo(0))
    prompt = prompt_of(reference(tmp_path / "a.jpg"))
    load(prompt.images[0])
    for sent in messages(prompt):
        assert num_bytes(sent) <= FIXED_BYTES


def test_an_image_that_a_prompt_has_twice_is_sent_once():
    image = reference_of(photo(0))
    for sent in messages(prompt_of(image, image)):
        assert num_bytes(sent) <= 1.2 * len(image.data) + FIXED_BYTES
