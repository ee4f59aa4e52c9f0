"""Verdicts and figures: by rule, by a judge that is asked once, and what nobody settles stays in the denominator."""

from dataclasses import replace

import pytest
from endpoint import Endpoint
from evaluating import answered, letters, score

from vlaa_ray.config import JudgeSection
from vlaa_ray.errors import RewardError
from vlaa_ray.evaluation.figures import figures_of
from vlaa_ray.evaluation.judge import NO_JUDGE, AnswerJudge
from vlaa_ray.evaluation.questions import AnswerVerdict
from vlaa_ray.evaluation.scoring import unsettled_line


@pytest.fixture
def endpoint():
    server = Endpoint(lambda body: (200, {"choices": [{"message": {"content": "A"}}], "usage": {}}))
    yield server
    server.close()


def judged(answers, folder, endpoint, **changes):
    section = JudgeSection(url=endpoint.url, model="judge", **changes)
    judge = AnswerJudge(section, folder)
    try:
        return score(answers, judge)
    finally:
        judge.close()


def test_without_a_judge_unsettled_rows_say_so_and_count_as_wrong(tmp_path):
    verdicts = score(answered(tmp_path))
    assert [samples[0].correct for samples in verdicts] == [True, True, None, None, None, False, True, True]
    assert verdicts[2][0].reason == f"no letter is named; {NO_JUDGE}"
    entry, _ = figures_of(letters(), verdicts)
    assert entry["settled"] == {"rule": 5, "judge": 0, "unsettled": 3, "unanswered": 0}
    assert entry["scores"]["overall"]["value"] == 100 * 4 / 8
    assert entry["scores"]["worst_case"]["value"] == 100 * 2 / 4
    assert entry["categories"]["parity"] == {
        "even": {"value": 50.0, "num_rows": 4},
        "odd": {"value": 50.0, "num_rows": 4},
    }


def test_a_judge_settles_what_it_can_and_nothing_is_paid_twice(tmp_path, endpoint):
    answers = answered(tmp_path)
    verdicts = judged(answers, tmp_path, endpoint)
    assert [samples[0].settled_by for samples in verdicts] == ["rule"] * 2 + ["judge"] * 2 + [""] + ["rule"] * 3
    assert [verdicts[number][0].correct for number in (2, 3, 4)] == [True, False, None]
    assert len(endpoint.bodies) == 2 and {body["temperature"] for body in endpoint.bodies} == {0.0}
    assert judged(answers, tmp_path, endpoint) == verdicts
    assert len(endpoint.bodies) == 2


def test_replies_that_can_not_be_used_are_asked_for_three_times_and_then_the_row_is_unsettled(tmp_path, endpoint):
    endpoint.answer = lambda body: (200, {"choices": [{"message": {"content": "I think so"}}]})
    verdicts = judged(answered(tmp_path), tmp_path, endpoint)
    assert verdicts[2][0].correct is None and "the judge's reply can't be used: not a letter" in verdicts[2][0].reason
    assert sorted(body["temperature"] for body in endpoint.bodies) == [0.0, 0.0, 0.5, 0.5, 1.0, 1.0]
    judged(answered(tmp_path), tmp_path, endpoint)
    assert len(endpoint.bodies) == 6  # unusable replies are paid, too


def test_a_judge_that_refuses_a_row_leaves_it_unsettled_with_the_reason(tmp_path, endpoint):
    endpoint.answer = lambda body: (400, "too long")
    verdict = judged(answered(tmp_path), tmp_path, endpoint)[2][0]
    assert verdict.correct is None and "the judge gives no answer: 400" in verdict.reason


def test_a_judge_that_is_down_is_one_typed_error(tmp_path, endpoint):
    answers = answered(tmp_path)
    endpoint.close()
    with pytest.raises(RewardError, match="the judge doesn't answer"):
        judged(answers, tmp_path, endpoint, give_up_s=0.3, timeout_s=0.2)


def test_rows_without_an_answer_are_counted_and_count_as_wrong(tmp_path):
    answers = answered(tmp_path)
    answers.stored._places.pop(next(key for key in answers.stored._places if key.row == "0"))
    verdicts = score(answers)
    assert verdicts[0][0].reason == "no answer: it was not asked" and not verdicts[0][0].answered
    entry, _ = figures_of(letters(), verdicts)
    assert entry["settled"]["unanswered"] == 1 and entry["scores"]["overall"]["value"] == 100 * 3 / 8


def test_several_samples_give_their_mean_pass_at_k_and_the_majority(tmp_path):
    texts = [["A", "B", "B"], *(["A", "A", "A"] for _ in range(7))]  # row 0 once, rows 2, 4, 6 always, others never
    verdicts = score(answered(tmp_path, texts, num_samples=3))
    entry, clusters = figures_of(letters(), verdicts)
    assert entry["num_samples"] == 3
    assert entry["scores"]["overall"]["value"] == pytest.approx(100 * (1 / 3 + 3) / 8)
    assert entry["pass_at_k"] == pytest.approx({"1": 100 * (1 / 3 + 3) / 8, "2": 100 * (1 - 1 / 3 + 3) / 8, "3": 50.0})
    assert entry["majority"] == pytest.approx(100 * 3 / 8)
    assert clusters.values["overall"] == pytest.approx([100 / 6, 50, 50, 50])


def test_intervals_draw_whole_clusters_and_figures_that_are_no_mean_have_none(tmp_path):
    entry, clusters = figures_of(letters(), score(answered(tmp_path)))
    assert clusters.names == ("0", "1", "2", "3")
    assert clusters.values["overall"] == [100.0, 0.0, 0.0, 100.0]
    assert clusters.values["worst_case"] == [100.0, 0.0, 0.0, 100.0]
    assert (entry["scores"]["overall"]["low"], entry["scores"]["overall"]["high"]) == (0.0, 100.0)
    assert entry["scores"]["odd"] == {"value": 8.0, "low": None, "high": None}


def test_a_line_says_how_many_answers_have_no_verdict_and_why():
    right, open_ = AnswerVerdict(value=1.0, correct=True), AnswerVerdict(value=0.0, correct=None, settled_by="")
    dead, vague = replace(open_, reason="the judge gives no answer: 500"), replace(open_, reason="no rule fits")
    assert unsettled_line([[right], [AnswerVerdict.unanswered("refused")]]) == ""
    assert unsettled_line([[right, dead]]) == (
        "1 of 2 answers have no verdict and count as wrong, because the judge gives no answer: 500"
    )
    assert unsettled_line([[dead, vague], [dead, right]]) == (
        "3 of 4 answers have no verdict and count as wrong, 2 times because the judge gives no answer: 500"
    )
