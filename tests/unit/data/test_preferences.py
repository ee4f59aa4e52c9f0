"""Built-in answers are ranked by what is true in them; files of pairs are read, and refused by row."""

import json
import re

import pytest
from PIL import Image

from vlaa_ray.config import DataSection
from vlaa_ray.data.preferences import open_preferences
from vlaa_ray.errors import DataError
from vlaa_ray.records import Defect


def is_true(gold: str, answer: str) -> bool:
    """Whether an answer is the gold with parts left out: "a circle" and "a red circle" of "a red circle at the top"."""
    _, colour, shape, at_place = re.fullmatch(r"(a) (\w+) (\w+)( at the .*)", gold).groups()
    return re.fullmatch(f"a ({colour} )?{shape}({at_place})?", answer) is not None


def test_true_answers_are_worth_more_than_false_ones_and_more_the_more_they_say() -> None:
    preferences = open_preferences("builtin:train", DataSection(), None)
    shapes = [one for index in range(500) if (one := preferences[index]).prompt.gold.startswith("a ")]
    num_false = 0
    for one in shapes:
        worths = dict(zip(one.answers, one.worths, strict=True))
        true = sorted((answer for answer in worths if is_true(one.prompt.gold, answer)), key=len)
        assert one.prompt.gold in true and one.prompt.verifier_params["reference"] in true
        assert worths[one.prompt.gold] == max(worths.values())
        assert worths[true[0]] < worths[true[-1]]
        false = [worth for answer, worth in worths.items() if answer not in true]
        assert all(worth < worths[true[0]] for worth in false)
        num_false += len(false)
    assert num_false > 2 * len(shapes)


def test_answers_are_a_pure_function_of_their_index_and_splits_differ() -> None:
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
    assert (pair.prompt.question, pair.answers, pair.worths) == ("What is it?", ("a cat", "a dog"), (1.0, 0.0))
    file.write_text(json.dumps(row) + "\n" + json.dumps(row | {"rejected": None}) + "\n")
    with pytest.raises(DataError, match="two texts") as caught:
        open_preferences(str(file), DataSection(), None)
    assert caught.value.facts["row"] == 2


def test_a_few_bad_pairs_are_left_out(tmp_path) -> None:
    row = {"image": None, "question": "What is it?", "chosen": "a cat", "rejected": "a dog"}
    rows = [row | {"id": number} for number in range(40)]
    rows[7] |= {"rejected": 3}
    file = tmp_path / "pairs.jsonl"
    file.write_text("".join(json.dumps(one) + "\n" for one in rows))
    quarantine: list[Defect] = []
    assert len(open_preferences(str(file), DataSection(), None, quarantine)) == 39
    assert [(one.id, one.row, one.reason) for one in quarantine] == [("7", 8, "a pair needs two texts")]
    with pytest.raises(DataError, match="two texts"):
        open_preferences(str(file), DataSection(max_bad_share=0.01), None, [])
