"""Perplexities by hand, and the subsets that they rank."""

import hashlib
import io
import json
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from vlaa_ray.config import PAPER_SYSTEM_PROMPT, PerplexitySection
from vlaa_ray.curation.perplexity import (
    answer_prompt,
    engine_section,
    highest,
    key_of,
    model_section,
    perplexity,
    write_subset,
)
from vlaa_ray.errors import DataError

NAN = math.nan
VALUES = st.floats(1, 1e6) | st.just(NAN) | st.just(math.inf)


def test_perplexity_by_hand():
    # three tokens of probability 1/2, 1/4 and 1/8: (2 · 4 · 8) ** (1/3) = 4
    assert perplexity(np.log(np.array([0.5, 0.25, 0.125], dtype=np.float32))) == pytest.approx(4, rel=1e-6)
    assert perplexity(np.zeros(5)) == 1
    assert perplexity(np.full(4000, math.log(0.1), dtype=np.float32)) == pytest.approx(10, rel=1e-6)


def test_the_prompt_of_a_row_has_its_question_and_its_picture(tmp_path):
    buffer = io.BytesIO()
    Image.new("RGB", (12, 8)).save(buffer, "PNG")
    (tmp_path / "shapes").mkdir()
    (tmp_path / "shapes/a.png").write_bytes(buffer.getvalue())
    row = {"image": "shapes/a.png", "question": "<image>How many?", "answer": "<think>.</think><answer>2</answer>"}
    prompt = answer_prompt("k1", row, tmp_path)
    (picture,) = prompt.images
    assert (prompt.prompt_id, prompt.question, prompt.solution) == ("k1", "<image>How many?", None)
    assert (picture.width_px, picture.height_px) == (12, 8)
    assert picture.sha256 == hashlib.sha256(buffer.getvalue()).hexdigest()
    with pytest.raises(DataError, match=r"none\.png"):
        answer_prompt("k2", row | {"image": "none.png"}, tmp_path)


def test_the_highest_means_in_the_rows_own_order():
    models = [[1.0, 9.0, 5.0, 4.0], [9.0, 3.0, 5.0, 2.0]]  # means 5, 6, 5, 3
    assert highest(models, 1) == [1]
    assert highest(models, 2) == [0, 1]  # of equals the first
    assert highest(models, 3) == [0, 1, 2]
    assert highest(models, 9) == [0, 1, 2, 3] and highest(models, 0) == []
    assert highest([[]], 3) == []


def test_what_a_model_could_not_read_is_never_chosen():
    assert highest([[1.0, NAN, 3.0], [1.0, 100.0, NAN]], 3) == [0]
    assert highest([[math.inf, 2.0]], 1) == [0]


@given(
    st.integers(1, 3).flatmap(lambda n: st.lists(st.lists(VALUES, min_size=n, max_size=n), max_size=20)),
    st.integers(0, 25),
)
def test_none_outside_is_higher_than_one_inside(rows, count):
    models = list(map(list, zip(*rows, strict=True))) or [[]]
    chosen = highest(models, count)
    means = [sum(row) / len(row) for row in rows]
    readable = [number for number, mean in enumerate(means) if not math.isnan(mean)]
    assert chosen == sorted(set(chosen)) and set(chosen) <= set(readable)
    assert len(chosen) == min(count, len(readable))
    inside = [means[number] for number in chosen]
    outside = [means[number] for number in readable if number not in chosen]
    assert not inside or not outside or min(inside) >= max(outside) * (1 - 1e-12)


def test_what_changes_the_key():
    section, row = PerplexitySection(models=("m",)), {"image": "a/1.png", "question": "?", "answer": "3"}
    keys = {key_of(section, "m", {**row, name: "other"}) for name in row}
    keys.add(key_of(section, "other", row))
    for change in ({"dtype": "fp32"}, {"min_pixels": 784}, {"max_pixels": 784}, {"system_prompt": False}):
        keys.add(key_of(section.model_copy(update=change), "m", row))
    keys.add(key_of(section.model_copy(update={"max_tokens": 10}), "m", row))  # what was too long may no longer be
    assert len(keys) == 9 and key_of(section, "m", row) not in keys
    same = section.model_copy(update={"batch": 1, "num_engines": 2, "gpus": 1, "keep": (1,)})
    assert key_of(same, "m", {**row, "id": "x"}) == key_of(section, "m", row)


def test_models_and_engines_as_the_section_says():
    section = PerplexitySection(models=("m",), max_tokens=512, batch=3, gpus=1)
    model, engine = model_section(section, "m"), engine_section(section)
    assert (model.path, model.system_prompt, model.dtype) == ("m", PAPER_SYSTEM_PROMPT, "bf16")
    assert model_section(section.model_copy(update={"system_prompt": False}), "m").system_prompt is None
    assert (engine.max_prompt_tokens, engine.max_completion_tokens, engine.max_num_seqs) == (512, 1, 3)


def test_a_subset_holds_the_records_as_they_are(tmp_path):
    rows = [{"id": f"r{n}", "gt": n, "question": "ü \u2028 \ud83d", "meta": {"a": [1]}} for n in range(5)]
    (tmp_path / "sft.json").write_text(json.dumps(rows))
    write_subset(tmp_path / "sft.json", tmp_path / "top.json", [3, 0])
    assert json.loads((tmp_path / "top.json").read_text(encoding="utf-8")) == [rows[0], rows[3]]
    write_subset(tmp_path / "sft.json", tmp_path / "top.json", [])
    assert json.loads((tmp_path / "top.json").read_text()) == []
    assert sorted(path.name for path in tmp_path.iterdir()) == ["sft.json", "top.json"]
    (tmp_path / "sft.json").write_text("[1]")
    with pytest.raises(DataError, match="must be a JSON object"):
        write_subset(tmp_path / "sft.json", tmp_path / "top.json", [0])
    assert json.loads((tmp_path / "top.json").read_text()) == []
