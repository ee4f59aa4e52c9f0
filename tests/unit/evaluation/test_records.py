"""Records of your own: their names, their verifiers' verdicts, and what can't be judged; and the progress display."""

import asyncio
import io
import json

import pytest
from evaluating import SAMPLING, FakeSampler
from PIL import Image
from rich.console import Console

from vlaa_ray.config import BenchmarkSection
from vlaa_ray.errors import DataError
from vlaa_ray.evaluation.answers import AnswerWriter, StoredAnswers
from vlaa_ray.evaluation.asking import Asking
from vlaa_ray.evaluation.figures import figures_of
from vlaa_ray.evaluation.progress import EvaluationProgress
from vlaa_ray.evaluation.questions import open_questions
from vlaa_ray.evaluation.scoring import AnswerSet, score_records
from vlaa_ray.rewards import score

RECORDS = [
    {"id": "a", "question": "How many?", "gt": 3, "verifier_type": "digit"},
    {"id": "a", "question": "How many more?", "gt": 4, "verifier_type": "digit"},
    {"id": "c", "question": "Where?", "gt": "[0, 0, 1, 1]", "verifier_type": "iou"},
    {"id": "d", "question": "Where?", "gt": "[0, 0, 1, 1]", "verifier_type": "iou"},
    {"id": "e", "question": "?", "gt": 1, "verifier_type": "nothing"},
]


class Rewards:
    async def score(self, prompt, completions, progress):
        assert progress == 1.0
        if prompt.prompt_id == "d":
            raise DataError("no answer can be judged by this gold")
        return [
            score(completion.text, prompt.gold, prompt.verifier_type, **prompt.verifier_params)
            for completion in completions
        ]


@pytest.fixture
def questions(tmp_path):
    file = tmp_path / "mine.jsonl"
    Image.new("RGB", (56, 56), "red").save(tmp_path / "red.png")
    file.write_text("".join(json.dumps({**record, "image": "red.png"}) + "\n" for record in RECORDS))
    return open_questions(BenchmarkSection(name="mine", data=str(file), records=True), "kit")


def test_a_record_that_can_not_be_used_is_left_out_and_listed(questions):
    assert [questions.index(number) for number in range(len(questions))] == ["a", "a#2", "c", "d"]
    assert len(questions.defects) == 1
    assert questions.categories(2)["verifier type"] == ["iou"]


def test_verifiers_give_rewards_and_an_iou_of_one_half_is_right(questions, tmp_path):
    texts = {"a": "<answer>3</answer>", "c": "<answer>[0, 0, 1, 0.5]</answer>", "d": "<answer>[0, 0, 1, 1]</answer>"}
    path = tmp_path / "answers.jsonl"
    asking = Asking(SAMPLING, [questions], StoredAnswers(path))
    with AnswerWriter(path) as writer:
        sampler = FakeSampler(lambda prompt_id, seed: texts[prompt_id])
        asyncio.run(asking.run(sampler, writer, 2, lambda *_: None))
    answers = AnswerSet(questions=questions, stored=StoredAnswers(path), failures={}, num_samples=1)
    verdicts = asyncio.run(score_records(questions, answers, Rewards(), lambda _: None))
    assert [samples[0].value for samples in verdicts] == pytest.approx([1.0, 0.0, 0.5, 0.0])
    assert [samples[0].correct for samples in verdicts] == [True, False, True, None]
    entry, _ = figures_of(questions, verdicts)
    assert entry["headline"] == "reward"
    assert entry["scores"]["reward"]["value"] == pytest.approx(100 * 1.5 / 4)
    assert entry["scores"]["accuracy"]["value"] == 50.0
    assert entry["settled"] == {"rule": 3, "judge": 0, "unsettled": 1, "unanswered": 0}
    assert entry["categories"]["verifier type"]["digit"] == {"value": 50.0, "num_rows": 2}


def test_the_progress_says_pace_and_time_left_every_ten_seconds():
    now, output = 0.0, io.StringIO()
    with EvaluationProgress(Console(file=output, width=100), lambda: now) as progress:
        progress.stage("asking", 100)
        for _ in range(11):
            now += 1.0
            progress.advance(2, 30)
        assert progress.left_s() == pytest.approx((100 - 22) / 2)
    assert output.getvalue().splitlines() == ["asking · 20/100 answers · 30 tokens/s · 40 s left"]
