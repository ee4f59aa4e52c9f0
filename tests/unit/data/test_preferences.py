"""Built-in pairs put the truer answer first; files of pairs are read, and refused by row."""

import json
import re

import pytest
from PIL import Image

from vlaa_ray.config import DataSection
from vlaa_ray.data.preferences import open_preferences
from vlaa_ray.errors import DataError


def is_true(gold: str, answer: str) -> bool:
    """Whether an answer is the gold with parts left out: "a circle" and "a red circle" of "a red circle at the top"."""
    _, colour, shape, at_place = re.fullmatch(r"(a) (\w+) (\w+)( at the .*)", gold).groups()
    return re.fullmatch(f"a ({colour} )?{shape}({at_place})?", answer) is not None


def test_the_better_answer_comes_first() -> None:
    pairs = open_preferences("builtin:train", DataSection(), None)
    shapes = [pair for index in range(2000) if (pair := pairs[index]).prompt.gold.startswith("a ")]
    whole = [pair for pair in shapes if pair.chosen == pair.prompt.gold]
    assert len(whole) > 200
    assert all(pair.rejected != pair.prompt.gold for pair in shapes)
    true = [pair for pair in shapes if is_true(pair.prompt.gold, pair.rejected)]
    assert len(true) > 50
    for pair in true:  # what beats a true answer is a longer true one
        assert is_true(pair.prompt.gold, pair.chosen)
        assert len(pair.chosen) > len(pair.rejected)


def test_pairs_are_a_pure_function_of_their_index_and_splits_differ() -> None:
    train, heldout = (open_preferences(f"builtin:{split}", DataSection(), 10) for split in ("train", "heldout"))
    assert [train[i] for i in range(10)] == [train[i] for i in range(10)]
    assert len(train) == 10
    images = {train[i].prompt.images[0].sha256 for i in range(10)}
    assert images.isdisjoint(heldout[i].prompt.images[0].sha256 for i in range(10))


def test_a_file_of_pairs(tmp_path) -> None:
    (tmp_path / "images").mkdir()
    Image.new("RGB", (40, 30)).save(tmp_path / "images" / "a.png")
    row = {"image": "a.png", "question": "What is it?", "chosen": "a cat", "rejected": "a dog"}
    file = tmp_path / "pairs.jsonl"
    file.write_text(json.dumps(row) + "\n")
    (pair,) = open_preferences(str(file), DataSection(), None)
    assert (pair.prompt.question, pair.chosen, pair.rejected) == ("What is it?", "a cat", "a dog")
    file.write_text(json.dumps(row) + "\n" + json.dumps(row | {"rejected": None}) + "\n")
    with pytest.raises(DataError, match="two texts") as caught:
        open_preferences(str(file), DataSection(), None)
    assert caught.value.facts["row"] == 2
