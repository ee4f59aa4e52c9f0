"""Run folders as a real run leaves them, made up: rewards that rise, phases that take time, pictures with boxes."""

import hashlib
import io
import json
import math
import random
from pathlib import Path

import pytest
from browser import serving
from PIL import Image, ImageDraw

from vlaa_ray.config import (
    REFLECTION_PHRASES,
    GrpoConfig,
    RewardModelConfig,
    SftConfig,
    TrackingSection,
    dump_config,
)
from vlaa_ray.monitoring.tracker import Tracker
from vlaa_ray.records import PAPER_TYPES
from vlaa_ray.text.phrases import phrase_keys

BASE = {"digit": 0.62, "mcq": 0.66, "math": 0.55, "iou": 0.48, "open_ended": 0.60}
GAIN = {"digit": 0.20, "mcq": 0.18, "math": 0.12, "iou": 0.22, "open_ended": 0.09}
GOLD = {
    "digit": 3,
    "mcq": "B",
    "math": "$\\frac{3}{4}$",
    "iou": [0.25, 0.30, 0.65, 0.70],
    "open_ended": "A blue circle.",
}
QUESTIONS = {
    "digit": "How many shapes are in the picture?",
    "mcq": "What colour is the shape? A: red, B: blue, C: grey, D: teal",
    "math": "Add the digits and divide by twelve. Give a fraction.",
    "iou": "Where is the circle? Answer with a box [x1, y1, x2, y2].",
    "open_ended": "Describe the picture.",
}


def reward_at(kind, progress):
    """The mean reward of a verifier type at a share of the run in [0, 1]."""
    return BASE[kind] + GAIN[kind] * (1 - math.exp(-4 * progress)) / (1 - math.exp(-4))


def picture_bytes(number):
    image = Image.new("RGB", (56, 56), (235, 235, 225))
    ImageDraw.Draw(image).ellipse((14, 17, 36, 39), fill=(40, 80 + 10 * (number % 12), 200))
    file = io.BytesIO()
    image.save(file, "PNG")
    return file.getvalue()


def summary(prefix, mean, count):
    """What a run logs of the rewards of some samples."""
    figures = {"mean": mean, "std": 0.4, "count": count, "invalid_share": 0.0}
    return {f"{prefix}/{name}": value for name, value in figures.items()}


def metrics_at(step, num_steps, rng):
    progress = step / num_steps
    flat = "zero_variance_share"
    row = {"groups/count": 60, "groups/failed": 0, "groups/resampled": 0, f"groups/{flat}": 0.06 + 0.2 * progress}
    row |= summary("reward", 0.0, 480) | {f"groups/by_source/shapes/{flat}": row[f"groups/{flat}"]}
    for kind in PAPER_TYPES:
        row |= summary(f"reward/{kind}", 0.0, 96)
        row |= {f"groups/{kind}/{flat}": 0.06 + 0.2 * progress, f"time/reward/{kind}_s": 0.03}
        row[f"reward/{kind}/mean"] = min(1.0, reward_at(kind, progress) + rng.gauss(0, 0.02))
        row[f"completion/{kind}/mean_tokens"] = 20 + 3 * len(kind) + rng.gauss(0, 0.5)
        row[f"completion/{kind}/reflection_share"] = 0.02 * len(kind) * progress
    row["reward/mean"] = sum(row[f"reward/{kind}/mean"] for kind in PAPER_TYPES) / 5
    row |= summary("reward/by_source/shapes", row["reward/mean"], 480)
    rollout, learn = abs(rng.gauss(1.1, 0.1)), abs(rng.gauss(1.9, 0.1))
    times = {"rollout": rollout, "learn": learn, "weight_sync": 0.09}
    times |= {"eval": 2.4} if step % 10 == 0 else {}
    times |= {"checkpoint": 0.8} if step % 10 == 0 else {}
    row |= {f"time/{phase}_s": seconds for phase, seconds in times.items()}
    row["time/step_s"] = sum(times.values()) + 0.12
    row["time/reward_s"] = 0.15
    return row | {
        "policy/kl": 0.02 * progress + abs(rng.gauss(0, 0.001)),
        "policy/entropy": 0.42 - 0.2 * progress + rng.gauss(0, 0.01),
        "policy/clip_share": abs(rng.gauss(0.002, 0.001)),
        "policy/clip_low_share": 0.0004,
        "policy/clip_high_share": 0.0011,
        "policy/ratio_max": 1.4,
        "policy/loss": rng.gauss(0, 0.01),
        "policy/grad_norm": abs(rng.gauss(0.4, 0.08)),
        "learning_rate": 1e-4 * (1 + math.cos(math.pi * progress)) / 2,
        "logprob_diff/mean_abs": abs(rng.gauss(6e-7, 1e-7)),
        "logprob_diff/max_abs": abs(rng.gauss(9e-6, 2e-6)),
        "completion/mean_tokens": 38 + 3 * progress + rng.gauss(0, 0.5),
        "completion/truncated_share": 0.01,
        "completion/reflection/share": 0.1 * progress,
        **{f"completion/reflection/{key}/count": 0 for key in phrase_keys(REFLECTION_PHRASES).values()},
        "completion/reflection/wait/count": step,
        "completion/reflection/i_should_check/count": 2,
        "completion/length_reward_correlation": 0.3 * progress - 0.1,
        "staleness/max": step % 2,
        "staleness/mean": (step % 2) / 2,
        "weight_version": step,
        "throughput/samples_per_s": 480 / row["time/step_s"],
        "throughput/rollout_tokens_per_s": 480 * 40 / rollout,
        "memory/rollout_rss_bytes": 1.6e9 + 1e5 * step,
        "memory/learner_rss_bytes": 0.9e9,
        **dict.fromkeys(("rollout/restarts", "reward/restarts", "learner/restarts"), 0),
        **dict.fromkeys(("rollout/replicas", "rollout/replicas_wanted"), 1),
        **dict.fromkeys(("reward/replicas", "reward/replicas_wanted", "learner/ranks"), 1),
        "ledger/trained": 450,
        "ledger/open": 0,
        "load/wait_share": rollout / row["time/step_s"],
        "load/sampling_share": 0.9,
        "load/groups_waiting": 0,
    }


def evaluation_at(progress):
    row = {}
    for kind in PAPER_TYPES:
        row |= summary(f"eval/reward/{kind}", reward_at(kind, progress), 200)
    mean = sum(row[f"eval/reward/{kind}/mean"] for kind in PAPER_TYPES) / 5
    row |= summary("eval/reward", mean, 1000) | summary("eval/reward/by_source/shapes", mean, 1000)
    return row | {"eval/completion/mean_tokens": 39.0}


def rollout_rows(step, num_steps, tracker):
    rows = []
    for position, kind in enumerate(PAPER_TYPES):
        data = picture_bytes(position + step)
        sha256 = hashlib.sha256(data).hexdigest()
        path = tracker.save_image(sha256, data)
        for sample in range(2):
            good = sample == 0
            answer = json.dumps(GOLD[kind]) if good else "[0.05, 0.10, 0.45, 0.60]" if kind == "iou" else "no idea"
            reward = (1.0 if good else 0.0) if kind != "iou" else (0.83 if good else 0.19)
            rows.append(
                {
                    "step": step, "prompt_id": f"shapes/train/{position}", "position": position, "sample": sample,
                    "verifier_type": kind, "source": "shapes", "question": QUESTIONS[kind], "gold": GOLD[kind],
                    "images": [{"path": path, "sha256": sha256, "width_px": 56, "height_px": 56}],
                    "completion": f"<think>One blue circle; step {step}.</think><answer>{answer}</answer>",
                    "num_tokens": 21, "finish_reason": "stop" if good else "length", "reward": reward, "valid": True,
                    "extracted": answer, "reason": "" if good else "the answer is another one", "parts": {},
                    "advantage": 1.0 if good else -1.0, "rollout_logprob_mean": -0.31, "rollout_logprob_min": -2.5,
                    "weight_version": step - 1,
                }
            )  # fmt: skip
    return rows


def build_run(path, *, num_steps=80, finished=True, evaluate=True, rollouts=True, files=True):
    """A run folder as the tracker writes it; `files=False` leaves config.yaml and run.json out."""
    rng = random.Random(0)
    path.mkdir(parents=True, exist_ok=True)
    config = GrpoConfig.model_validate({"run": {"name": path.name, "num_steps": num_steps}, "model": {"path": "tiny"}})
    tracker = Tracker(path, TrackingSection(tensorboard=False, wandb="disabled"), path.name, {})
    last = num_steps if finished else num_steps // 2
    if evaluate:
        tracker.log(0, evaluation_at(0.0) | {"weight_version": 0})
    for step in range(1, last + 1):
        evaluation = evaluation_at(step / num_steps) if evaluate and step % 10 == 0 else {}
        tracker.log(step, metrics_at(step, num_steps, rng) | evaluation)
        if rollouts and step in (1, 2, last):
            tracker.log_rollouts(step, rollout_rows(step, num_steps, tracker))
    tracker.close()
    if files:
        (path / "config.yaml").write_text(dump_config(config), encoding="utf-8")
        cause = {
            "type": "LearnerError",
            "message": "learner rank 1 died",
            "fix": "resume",
            "tail": ["line 1", "line 2"],
        }
        state = {"state": "finished"} if finished else {"state": "failed", "cause": cause}
        (path / "run.json").write_text(json.dumps(state | {"versions": {"vllm": "0.32.0", "torch": "2.13.0"}}))
    return path


def supervised_metrics(kind, step, num_steps):
    """A step of SFT or of a reward model, with every metric that such a run logs."""
    progress = step / num_steps
    row = {"policy/loss": 2.6 - 1.2 * progress, "policy/grad_norm": 0.8 - 0.3 * progress, "learning_rate": 1e-4}
    row["samples/dropped"] = float(step == 3)
    evaluated = step % 10 == 0
    if kind == "sft":
        row |= {"policy/entropy": 1.1 - 0.6 * progress, "completion/mean_tokens": 24.0}
        return row | ({"eval/loss": 2.7 - progress, "eval/samples/dropped": 0} if evaluated else {})
    row |= {"pairs/accuracy": 0.5 + 0.4 * progress, "pairs/margin": 1.5 * progress}
    measured = {"eval/pairs/accuracy": 0.5 + 0.3 * progress, "eval/pairs/margin": progress, "eval/samples/dropped": 0}
    return row | (measured if evaluated else {})


def build_supervised_run(path, kind, *, num_steps=40):
    """The folder of a finished run on written answers; `kind` is "sft" or "reward-model"."""
    path.mkdir(parents=True, exist_ok=True)
    made = SftConfig if kind == "sft" else RewardModelConfig
    data = {} if kind == "sft" else {"train": "train.jsonl", "heldout": "heldout.jsonl"}
    values = {"run": {"name": path.name, "num_steps": num_steps}, "model": {"path": "tiny"}, "data": data}
    tracker = Tracker(path, TrackingSection(tensorboard=False, wandb="disabled"), path.name, {})
    for step in range(1, num_steps + 1):
        tracker.log(step, supervised_metrics(kind, step, num_steps))
    tracker.close()
    (path / "config.yaml").write_text(dump_config(made.model_validate(values)), encoding="utf-8")
    (path / "run.json").write_text(json.dumps({"state": "finished", "versions": {"torch": "2.13.0"}}))
    return path


@pytest.fixture
def make_supervised_run(tmp_path):
    """Makes the folder of a supervised run of a kind."""
    return lambda kind: build_supervised_run(tmp_path / kind, kind)


@pytest.fixture
def make_run(tmp_path):
    """Makes a run folder with the keywords of `build_run`."""
    return lambda name="demo", **changes: build_run(tmp_path / name, **changes)


@pytest.fixture(scope="session")
def finished_run(tmp_path_factory) -> Path:
    """One complete run of 80 steps, with its report written."""
    from vlaa_ray.report import write_report

    run = build_run(tmp_path_factory.mktemp("runs") / "demo")
    write_report(run)
    return run


@pytest.fixture
def served(tmp_path):
    """(the address of the test's folder, the paths that were requested)."""
    with serving(tmp_path) as address_and_requested:
        yield address_and_requested


@pytest.fixture
def site(served):
    """The test's folder at an address."""
    return served[0]
