"""What can't be trained on is left out with its reason; only a run that finds nothing else ends."""

import io

import numpy as np
import pytest
from PIL import Image

from vlaa_ray.config import SamplesSection
from vlaa_ray.errors import DataError
from vlaa_ray.images.decode import reference, reference_of
from vlaa_ray.learner.row_filter import RowFilter
from vlaa_ray.models.batches import Row
from vlaa_ray.records import Preference, Prompt

LIMITS = SamplesSection(max_prompt_tokens=10, max_completion_tokens=5)


def png() -> bytes:
    out = io.BytesIO()
    Image.effect_noise((60, 50), 90).save(out, "PNG")
    return out.getvalue()


def prompt(name, *images):
    return Prompt(prompt_id=name, question=name, gold="", verifier_type="text", source="", images=images)


def make(item, number, lengths=None):
    lengths = lengths or {}
    asked, said = lengths.get(item.question, (10, 5))
    if item.question == "control":
        raise DataError("the question holds the control token '<|im_end|>'")
    ids = np.zeros(asked, dtype=np.int32)
    return Row(prompt_token_ids=ids, images=item.images, completions=(np.zeros(said),), sequence_ids=(number,))


def test_each_is_used_or_dropped_with_its_reason():
    usable = RowFilter("sft", LIMITS)
    cut = reference_of(png()[:400])
    items = [prompt("a"), prompt("long"), prompt("talk"), prompt("control"), prompt("cut", cut), prompt("b")]
    rows = usable.rows(items, lambda item, number: make(item, number, {"long": (11, 5), "talk": (10, 6)}))
    assert [row.sequence_ids for row in rows] == [(0,), (5,)]
    assert [(one["id"], one["reason"].split(" (")[0]) for one in usable.dropped] == [
        ("long", "11 tokens, over sft.max_prompt_tokens = 10"),
        ("talk", "6 tokens, over sft.max_completion_tokens = 5"),
        ("control", "the question holds the control token '<|im_end|>'"),
        ("cut", "the image is damaged: image file is truncated"),
    ]
    assert usable.rows([prompt("a")], make) and usable.dropped == []


def test_an_image_is_decoded_for_this_once(tmp_path):
    (tmp_path / "a.png").write_bytes(png())
    seen = prompt("a", reference(tmp_path / "a.png"))
    usable = RowFilter("sft", LIMITS)
    assert usable.rows([seen], make)
    (tmp_path / "a.png").unlink()
    assert usable.rows([seen], make)  # whoever trains on it finds out
    assert not RowFilter("sft", LIMITS).rows([seen], make)


def test_pairs_are_named_by_their_prompt():
    usable = RowFilter("reward_model", LIMITS)
    pair = Preference(prompt=prompt("control"), answers=("a", "b"), worths=(1.0, 0.0))
    assert not usable.rows([pair], lambda pair, number: make(pair.prompt, number))
    assert usable.dropped[0]["id"] == "control"


def test_steps_without_anything_are_passed_over_but_not_forever():
    usable = RowFilter("sft", LIMITS)
    usable.rows([prompt("control")], make)
    assert not usable.is_empty_step(7.0)
    assert all(usable.is_empty_step(0.0) for _ in range(9))
    assert not usable.is_empty_step(7.0)
    assert all(usable.is_empty_step(0.0) for _ in range(9))
    with pytest.raises(DataError, match="nothing could be trained on for 10 steps: the question holds the control"):
        usable.is_empty_step(0.0)
