"""The stream of questions: bounded, resumed by row, and never mixed with answers of another model."""

import asyncio
from dataclasses import replace

import pytest
from evaluating import SAMPLING, FakeSampler, by_seed, letters

from vlaa_ray.errors import ConfigError, DataError, RolloutError
from vlaa_ray.evaluation.answers import AnswerWriter, StoredAnswers
from vlaa_ray.evaluation.asking import Asking


def ask(path, sampler, sampling=SAMPLING, questions=None, num_in_flight=3):
    counted = []
    asking = Asking(sampling, questions or [letters()], StoredAnswers(path))
    with AnswerWriter(path) as writer:
        asyncio.run(asking.run(sampler, writer, num_in_flight, lambda *counts: counted.append(counts)))
    return asking, counted


def lines(path):
    return sorted(path.read_text().splitlines())


def test_every_question_is_asked_once_with_a_bounded_number_in_flight(tmp_path):
    path = tmp_path / "answers.jsonl"
    sampler = FakeSampler(by_seed)
    _, counted = ask(path, sampler)
    assert sorted(sampler.asked) == [f"Letters/{number}" for number in range(8)]
    assert sampler.most_at_once == 3 and len(lines(path)) == 8
    assert counted == [(1, 4)] * 8


def test_what_a_killed_process_has_written_is_not_asked_again_and_the_result_is_the_same(tmp_path):
    whole, resumed = tmp_path / "whole.jsonl", tmp_path / "resumed.jsonl"
    sampling = replace(SAMPLING, num_samples=3)
    ask(whole, FakeSampler(by_seed), sampling)
    torn = whole.read_bytes()
    resumed.write_bytes(torn[: len(torn) // 2])  # in the middle of a line, and of a question's samples
    sampler = FakeSampler(by_seed)
    ask(resumed, sampler, sampling)
    assert 0 < len(sampler.asked) < 8
    assert lines(resumed) == lines(whole)
    again = FakeSampler(by_seed)
    ask(resumed, again, sampling)
    assert not again.asked and lines(resumed) == lines(whole)


def test_more_samples_keep_those_that_are_there(tmp_path):
    path = tmp_path / "answers.jsonl"
    ask(path, FakeSampler(by_seed))
    before = lines(path)
    ask(path, FakeSampler(by_seed), replace(SAMPLING, num_samples=2))
    assert set(before) < set(lines(path)) and len(lines(path)) == 16


@pytest.mark.parametrize(
    "change", [{"model": "another"}, {"temperature": 0.9}, {"system_prompt": "Think."}, {"max_completion_tokens": 8}]
)
def test_answers_under_other_conditions_are_refused(tmp_path, change):
    path = tmp_path / "answers.jsonl"
    ask(path, FakeSampler(by_seed))
    with pytest.raises(ConfigError, match="answers of another model"):
        ask(path, FakeSampler(by_seed), replace(SAMPLING, **change))


def test_a_question_without_an_answer_says_why_and_is_asked_again_next_time(tmp_path):
    path = tmp_path / "answers.jsonl"

    def refuse(prompt_id, seed):
        if prompt_id == "Letters/3":
            raise DataError("the prompt is too long", got=9)
        return by_seed(prompt_id, seed)

    asking, _ = ask(path, FakeSampler(refuse))
    assert asking.failures == {("Letters", "3"): "the prompt is too long (9)"}
    sampler = FakeSampler(by_seed)
    ask(path, sampler)
    assert sampler.asked == ["Letters/3"]


def test_a_model_that_answers_nothing_is_an_error(tmp_path):
    def refuse(prompt_id, seed):
        raise DataError("the prompt is too long")

    with pytest.raises(DataError, match="answered no question"):
        ask(tmp_path / "answers.jsonl", FakeSampler(refuse))


def test_a_lost_engine_ends_the_stream_and_keeps_what_was_answered(tmp_path):
    path = tmp_path / "answers.jsonl"

    def fail(prompt_id, seed):
        if prompt_id == "Letters/5":
            raise RolloutError("no engine is left")
        return by_seed(prompt_id, seed)

    with pytest.raises(RolloutError):
        ask(path, FakeSampler(fail), num_in_flight=1)
    assert len(StoredAnswers(path)) == 5
