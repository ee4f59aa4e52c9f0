"""Small experiments: configs of stages, folders of runs as if they were finished, evaluations with known scores."""

import json
from pathlib import Path

import yaml

from vlaa_ray.config import ExperimentConfig, TrackingSection, dump_config
from vlaa_ray.experiments.plan import ExperimentPlan, plan_experiment
from vlaa_ray.monitoring.tracker import Tracker

TYPES = ("digit", "mcq")
SFT = {
    "run": {"name": "sft", "num_steps": 2},
    "model": {"path": "builtin:tiny-base"},
    "sft": {"samples_per_step": 4, "max_completion_tokens": 64},
}
GRPO = {
    "run": {"name": "grpo", "num_steps": 3},
    "model": {"path": "builtin:tiny-base"},
    "rollout": {"prompts_per_step": 4, "group_size": 4, "max_completion_tokens": 32},
}
EVAL = {"benchmarks": [{"name": "heldout", "data": "builtin:heldout", "records": True, "num_rows": 10}]}
ARMS = {
    "base": {},
    "sft": {"stages": ["sft"]},
    "grpo": {"stages": ["grpo"]},
    "sft-grpo": {"stages": ["sft", "grpo"]},
}


def experiment(folder: Path, **changes) -> ExperimentConfig:
    """The config of an experiment with four arms and two seeds below `folder`, with the changes."""
    for name, values in (("sft", SFT), ("grpo", GRPO), ("eval", EVAL)):
        (folder / f"{name}.yaml").write_text(yaml.safe_dump(values))
    values = {
        "run": {"name": "experiment", "dir": str(folder / "runs")},
        "start_model": "builtin:tiny-base",
        "seeds": [0, 1],
        "stages": {name: {"config": str(folder / f"{name}.yaml")} for name in ("sft", "grpo")},
        "arms": ARMS,
        "evaluation": {"config": str(folder / "eval.yaml")},
    }
    return ExperimentConfig.model_validate(values | changes)


def planned(folder: Path, only=(), **changes) -> ExperimentPlan:
    return plan_experiment(experiment(folder, **changes), only)


def finish(plan: ExperimentPlan, scores: dict[str, dict[int, dict[str, float]]]) -> None:
    """Write the folders of all runs, as if they were finished; `scores` are shares right by arm, seed and type."""
    for job in plan.jobs.values():
        job.folder.mkdir(parents=True, exist_ok=True)
        (job.folder / "run.json").write_text(json.dumps({"state": "finished", "step": job.config.num_steps or 0}))
        (job.folder / "config.yaml").write_text(dump_config(job.config))
        if job.grpo:
            write_grpo(job.folder, job.grpo.run.num_steps, job.grpo.run.seed)
    for name, arm in plan.arms.items():
        for seed, key in arm.evaluations.items():
            write_evaluation(plan.jobs[key].folder, scores[name][seed], len(name) + seed)


def write_grpo(folder: Path, num_steps: int, seed: int) -> None:
    """Metrics: reward step/10 + seed/100, length 10 + step, "wait" 8 times in the 16 completions of a step."""
    tracker = Tracker(folder, TrackingSection(tensorboard=False, wandb="disabled"), folder.name, {})
    for step in range(1, num_steps + 1):
        metrics = {"reward/mean": step / 10 + seed / 100, "completion/mean_tokens": 10.0 + step, "groups/count": 4}
        counts = {"alternatively": 0, "double-check": 0, "i_should_check": 0, "wait": 8}
        metrics |= {f"completion/reflection/{key}/count": count for key, count in counts.items()}
        tracker.log(step, metrics)
    tracker.close()


def write_evaluation(folder: Path, scores: dict[str, float], num_tokens: int) -> None:
    """Rows with these shares right by type, ten a type, and the result that they give."""
    rows, categories = [], {}
    for verifier_type, share in scores.items():
        right = round(10 * share)
        for number in range(10):
            correct = number < right
            rows.append(
                {
                    "benchmark": "heldout", "index": f"{verifier_type}/{number}", "sample": 0,
                    "question": f"Question {number}?", "gold": "1", "cluster": f"{verifier_type}/{number}",
                    "categories": {"verifier type": [verifier_type]}, "images": [],
                    "prediction": f"<think>Wait.</think><answer>{int(correct)}</answer>", "finish_reason": "stop",
                    "num_tokens": num_tokens, "extracted": str(int(correct)), "correct": correct,
                    "value": float(correct), "settled_by": "rule", "reason": "" if correct else "not 1",
                }
            )  # fmt: skip
        categories[verifier_type] = {"value": 10.0 * right, "num_rows": 10}
    mean = sum(row["value"] for row in rows) * 100 / len(rows)
    entry = {
        "num_rows": len(rows), "num_samples": 1, "headline": "reward",
        "settled": {"rule": len(rows), "judge": 0, "unsettled": 0, "unanswered": 0},
        "scores": {"reward": {"value": mean, "low": mean - 5, "high": mean + 5}},
        "categories": {"verifier type": categories},
    }  # fmt: skip
    result = {"model": {"name": folder.name, "kind": "folder"}, "conditions": {}, "benchmarks": {"heldout": entry}}
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "result.json").write_text(json.dumps(result))
    (folder / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (folder / "run.json").write_text(json.dumps({"state": "finished"}))


SCORES = {
    "base": {0: {"digit": 0.5, "mcq": 0.6}, 1: {"digit": 0.5, "mcq": 0.6}},
    "sft": {0: {"digit": 0.3, "mcq": 0.4}, 1: {"digit": 0.2, "mcq": 0.4}},
    "grpo": {0: {"digit": 0.7, "mcq": 0.8}, 1: {"digit": 0.8, "mcq": 0.8}},
    "sft-grpo": {0: {"digit": 0.6, "mcq": 0.5}, 1: {"digit": 0.5, "mcq": 0.5}},
}
