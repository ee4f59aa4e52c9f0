"""A prompt with a real picture."""

import io

import pytest
from PIL import Image

from vlaa_ray.images.decode import reference_of
from vlaa_ray.records import Prompt


@pytest.fixture
def prompt() -> Prompt:
    file = io.BytesIO()
    Image.new("RGB", (40, 30), "red").save(file, "PNG")
    return Prompt(
        prompt_id="p",
        question="What is it?",
        gold="a red square",
        verifier_type="open_ended",
        source="test",
        images=(reference_of(file.getvalue()),),
    )
