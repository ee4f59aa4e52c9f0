"""The result of an experiment is what its runs' files say, and its words are no stronger than its intervals."""

import json

import pytest
from experiments import SCORES, finish, planned

from vlaa_ray.experiments.analysis import Estimate, mean_interval
from vlaa_ray.experiments.comparisons import ArmComparison, statements
from vlaa_ray.experiments.outcome import scores_of, trained_of
from vlaa_ray.experiments.progress import JobStates
from vlaa_ray.experiments.published import is_published, published_change, published_scores, row_names
from vlaa_ray.experiments.results import write_result


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """(plan, result) of the small experiment with all runs finished."""
    plan = planned(tmp_path_factory.mktemp("experiment"))
    finish(plan, SCORES)
    return plan, write_result(plan, JobStates.of(plan.jobs.values()), None)


def test_every_score_is_recomputed_from_the_rows(finished):
    plan, result = finished
    for arm in result["arms"].values():
        for seed, folder in arm["evaluations"].items():
            rows = [json.loads(line) for line in (plan.folder / folder / "rows.jsonl").read_text().splitlines()]
            for kind in ("digit", "mcq"):
                values = [row["value"] for row in rows if row["categories"]["verifier type"] == [kind]]
                assert arm["scores"][seed][kind] == pytest.approx(100 * sum(values) / len(values))
            assert arm["scores"][seed]["mean"] == pytest.approx(100 * sum(row["value"] for row in rows) / len(rows))
    assert result["columns"] == ["digit", "mcq", "mean"] and result["state"] == "complete"


def test_every_figure_of_training_is_recomputed_from_the_metrics(finished):
    plan, result = finished
    for name in ("grpo", "sft-grpo"):
        for seed in (0, 1):
            folder = plan.jobs[plan.arms[name].stages[seed][-1]].folder
            steps = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
            training, curves = result["arms"][name]["training"][str(seed)], result["arms"][name]["curves"][str(seed)]
            assert curves["reward"] == [[step["step"], step["reward/mean"]] for step in steps]
            assert training["reward_end"] == steps[-1]["reward/mean"]  # a fifth of three steps is one
            tokens = sum(step["groups/count"] * 4 * step["completion/mean_tokens"] for step in steps)
            assert result["arms"][name]["used"][str(seed)] == {"samples": 48, "tokens": tokens}
            waits = sum(step["completion/reflection/wait/count"] for step in steps)
            assert training["reflections"]["wait"] == waits == 24 and training["num_samples"] == 48
            assert curves["reflections"] == [[1, 50.0], [2, 50.0], [3, 50.0]]


def test_means_and_changes_are_those_of_the_scores(finished):
    _, result = finished
    grpo = result["arms"]["grpo"]
    assert [grpo["scores"][seed]["mean"] for seed in ("0", "1")] == [75.0, 80.0]
    assert grpo["mean"]["mean"] == mean_interval([75.0, 80.0]).as_dict()
    assert grpo["difference"]["mean"] == mean_interval([20.0, 25.0]).as_dict()
    assert grpo["relative_change"]["mean"] == mean_interval([100 * 20 / 55, 100 * 25 / 55]).as_dict()
    assert result["arms"]["base"]["mean"]["mean"] == {"value": 55.0, "low": None, "high": None, "count": 1}


def test_arms_are_sorted_into_the_papers_tables(finished):
    arms = finished[1]["arms"]
    assert {name: arm["kind"] for name, arm in arms.items()} == {
        "base": "start", "sft": "sft", "grpo": "grpo", "sft-grpo": "sft_grpo"
    }  # fmt: skip
    assert {name: arm["table"] for name, arm in arms.items()} == {
        "base": "table4", "sft": "table2", "grpo": "table4", "sft-grpo": "table3"
    }  # fmt: skip


def test_grpo_arms_that_differ_in_rewards_or_schedules_have_their_tables(tmp_path):
    changes = {
        "words": {"rewards.open_ended.beta": 2.0},
        "types": {"data.verifier_types": ["digit", "mcq"]},
        "rate": {"learner.optim.min_learning_rate": 1e-8},
        "kl": {"grpo.kl.coefficient": 0.01, "grpo.kl.target": 0.005},
        "clip": {"grpo.clip_high": 0.28},
    }
    arms = {"grpo": {"stages": ["grpo"]}}
    arms |= {name: {"stages": [{"stage": "grpo", "set": keys}], "varies": ["data"]} for name, keys in changes.items()}
    plan = planned(tmp_path, arms=arms, seeds=[0])
    assert plan.broken() == {}
    result = write_result_of(plan)
    tables = {name: arm["table"] for name, arm in result["arms"].items()}
    assert tables == {
        "grpo": "table4", "words": "table5", "types": "table5", "rate": "table6", "kl": "table6", "clip": "other"
    }  # fmt: skip


def write_result_of(plan):
    plan.folder.mkdir(parents=True, exist_ok=True)
    return write_result(plan, JobStates.of(plan.jobs.values()), None)


def test_the_result_is_written_before_anything_has_run(tmp_path):
    result = write_result_of(planned(tmp_path))
    assert result["state"] == "running" and result["columns"] == [] and result["statements"] == []
    assert {arm["state"] for arm in result["arms"].values()} == {"waiting"}


def test_a_broken_and_a_failed_arm_are_there_with_their_causes(tmp_path):
    arms = {"base": {}, "sft": {"stages": ["sft"]}, "typo": {"stages": ["nothing"]}}
    plan = planned(tmp_path, arms=arms)
    finish(plan, SCORES)
    states = JobStates.of(plan.jobs.values())
    failed = plan.arms["sft"].stages[1][0]
    states.states[failed], states.causes[failed] = "failed", "LearnerError: it died"
    result = write_result(plan, states, None)
    assert result["state"] == "incomplete"
    assert result["arms"]["base"]["state"] == "complete"
    assert (result["arms"]["sft"]["state"], result["arms"]["sft"]["problems"]) == ("failed", ["LearnerError: it died"])
    assert result["arms"]["typo"]["state"] == "broken" and "nothing" in result["arms"]["typo"]["problems"][0]


def test_the_agreement_is_over_models_each_once(finished):
    agreement = finished[1]["agreement"]
    assert agreement["training reward"]["count"] == 4  # two arms with GRPO, two seeds
    assert agreement["held-out answer length"]["count"] == 7  # the start model is one
    assert agreement["held-out reflection phrases"] is None  # all models have one phrase an answer


def test_statements_say_what_an_interval_shows_and_no_more():
    def said(low, high):
        estimate = Estimate((low + high) / 2, low, high, 3)
        return statements([ArmComparison("sft-grpo", "grpo", estimate)], 3)

    assert said(-9.0, -3.0)[0] == ("sft-grpo scores 6.0 points less than grpo (95% interval -9.0 to -3.0, 3 seeds).")
    assert said(-9.0, 3.0)[0] == (
        "No difference between sft-grpo and grpo is shown: -3.0 points (95% interval -9.0 to +3.0, 3 seeds)."
    )
    alone = statements([ArmComparison("a", "b", Estimate(2.0, None, None, 1))], 1)
    assert alone[0] == "With one seed, a scores 2.0 points more than b; how much of that is chance is not known."
    assert statements([ArmComparison("a", "b", None)], 2) == []


def test_several_comparisons_are_said_to_be_several(finished):
    lines = finished[1]["statements"]
    assert any(line.startswith("These are 4 comparisons") for line in lines)
    assert [(pair["arm"], pair["against"]) for pair in finished[1]["comparisons"]] == [
        ("sft", "base"), ("grpo", "base"), ("sft-grpo", "base"), ("sft-grpo", "grpo")
    ]  # fmt: skip


def test_several_benchmarks_have_a_column_each_and_their_mean():
    entry = {"headline": "overall", "scores": {"overall": {"value": 40.0}}, "categories": {"verifier type": {}}}
    other = {"headline": "worst_case", "scores": {"worst_case": {"value": 10.0}, "average": {"value": 30.0}}}
    assert scores_of({"MathVista": entry, "DynaMath": other}) == {"MathVista": 40.0, "DynaMath": 10.0, "mean": 25.0}


def test_a_run_without_steps_has_no_training(tmp_path):
    assert trained_of([(tmp_path / "none", 4)]) is None


def test_the_published_rows_have_the_papers_means():
    """Tables 2, 4 and 5 and figure 3 of arXiv 2504.11468: the averages that the paper prints, to its rounding."""
    printed = {
        "table4/Qwen2-VL-2B": 20.5, "table4/Qwen2.5-VL-3B": 31.8, "table4/Qwen2-VL-7B": 28.8,
        "table4/Qwen2.5-VL-7B": 40.1, "table4/VLAA-Thinker-Qwen2.5-3B": 35.4, "table4/VLAA-Thinker-Qwen2-7B": 32.5,
        "table4/VLAA-Thinker-Qwen2.5-7B": 42.5, "table3/Qwen2-VL-7B-Inst+SFT": 19.8, "figure5/GRPO only": 34.49,
        "figure5/5K SFT + GRPO": 20.98, "figure5/10K SFT + GRPO": 21.78,
    }  # fmt: skip
    for row, mean in printed.items():
        scores = published_scores(row)
        assert len(scores) == 7 and scores["mean"] == pytest.approx(mean, abs=0.06)
    for size, mean in (("25K", -32.2), ("126K", -47.0)):
        rows = [published_change(row) for row in row_names() if row.startswith("figure3/") and row.endswith(f" {size}")]
        cells = [value for row in rows for value in row.values()]
        assert len(cells) == 24 and sum(cells) / 24 == pytest.approx(mean, abs=0.06)
    assert is_published("table6/LR2+KL2") and not is_published("table6/LR9")
    assert published_scores("table6/LR2+KL2") == {"MathVerse": 35.8, "DynaMath": 18.6, "LogicVista": 39.2}
