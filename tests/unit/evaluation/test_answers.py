"""`answers.jsonl`: what is written is found again, a torn line is asked again, and nothing is there twice."""

import dataclasses
import json

import pytest

from vlaa_ray.errors import DataError
from vlaa_ray.evaluation.answers import Answer, AnswerKey, AnswerWriter, StoredAnswers


def answer(index: str, sample: int = 0, **changes) -> Answer:
    values = {"prediction": f"<answer>{index}</answer> \u00e9\ud800", "finish_reason": "stop", "num_tokens": 3}
    return Answer(benchmark="MathVista", index=index, sample=sample, request="r", **{**values, **changes})


def write(path, *answers):
    with AnswerWriter(path) as writer:
        for each in answers:
            writer.add([each])


def test_answers_are_found_again_after_reopening(tmp_path):
    path = tmp_path / "answers.jsonl"
    write(path, answer("1"), answer("2", 1))
    write(path, answer("3"))
    stored = StoredAnswers(path)
    assert len(stored) == 3 and stored.num_damaged == 0
    assert stored.get(AnswerKey("MathVista", "2", 1)) == answer("2", 1)
    assert stored.get(AnswerKey("MathVista", "2", 0)) is None


def test_a_torn_last_line_is_dropped_and_the_next_answer_begins_on_a_line_of_its_own(tmp_path):
    path = tmp_path / "answers.jsonl"
    write(path, answer("1"), answer("2"))
    path.write_bytes(path.read_bytes()[:-9])
    assert set(StoredAnswers(path).requests) == {AnswerKey("MathVista", "1", 0)}
    write(path, answer("2"))
    assert len(StoredAnswers(path)) == 2


@pytest.mark.parametrize("damage", [b"\0\0\0\n", b"[1]\n", b'{"benchmark": 1}\n', b"{}\n", b"\xff\n"])
def test_a_damaged_line_is_dropped_and_counted(tmp_path, damage):
    path = tmp_path / "answers.jsonl"
    write(path, answer("1"))
    path.write_bytes(damage + path.read_bytes())
    stored = StoredAnswers(path)
    assert len(stored) == 1 and stored.num_damaged == 1
    assert stored.get(AnswerKey("MathVista", "1", 0)) == answer("1")
    assert path.read_bytes().count(b"\n") == 1


def test_of_two_answers_to_one_question_the_first_stays(tmp_path):
    path = tmp_path / "answers.jsonl"
    write(path, answer("1"), answer("1", prediction="another"), answer("2"))
    stored = StoredAnswers(path)
    assert len(stored) == 2 and stored.get(AnswerKey("MathVista", "1", 0)) == answer("1")
    assert [json.loads(line)["index"] for line in path.read_text().splitlines()] == ["1", "2"]


def test_a_disk_that_takes_nothing_is_a_typed_error(tmp_path):
    (tmp_path / "answers.jsonl").mkdir()
    with pytest.raises(DataError, match="can't write the answers"), AnswerWriter(tmp_path / "answers.jsonl") as writer:
        writer.add([answer("1")])


def test_an_answer_is_one_line_with_the_documented_keys(tmp_path):
    write(tmp_path / "answers.jsonl", answer("1", prediction="two\nlines"))
    (line,) = (tmp_path / "answers.jsonl").read_text().splitlines()
    assert set(json.loads(line)) == {field.name for field in dataclasses.fields(Answer)}
