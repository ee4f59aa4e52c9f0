"""Run folders as a real run leaves them, made up: rewards that rise, phases that take time, pictures with boxes."""

import hashlib
import io
import json
import math
import random
from pathlib import Path

import pytest
from PIL import Image, ImageDraw

from vlaa_ray.config import GrpoConfig, TrackingSection, dump_config
from vlaa_ray.monitoring.tracker import Tracker
from vlaa_ray.records import PAPER_TYPES

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


def metrics_at(step, num_steps, rng):
    progress = step / num_steps
    row = {"reward/invalid_share": 0.0, "groups/count": 60, "groups/zero_variance_share": 0.06 + 0.2 * progress}
    for kind in PAPER_TYPES:
        row[f"reward/{kind}/mean"] = min(1.0, reward_at(kind, progress) + rng.gauss(0, 0.02))
        row[f"completion/{kind}/mean_tokens"] = 20 + 3 * len(kind) + rng.gauss(0, 0.5)
    row["reward/mean"] = sum(row[f"reward/{kind}/mean"] for kind in PAPER_TYPES) / 5
    rollout, learn = abs(rng.gauss(1.1, 0.1)), abs(rng.gauss(1.9, 0.1))
    times = {"rollout": rollout, "reward": 0.15, "learn": learn, "weight_sync": 0.09}
    times |= {"eval": 2.4} if step % 10 == 0 else {}
    times |= {"checkpoint": 0.8} if step % 10 == 0 else {}
    row |= {f"time/{phase}_s": seconds for phase, seconds in times.items()}
    row["time/step_s"] = sum(times.values()) + 0.12
    return row | {
        "policy/kl": 0.02 * progress + abs(rng.gauss(0, 0.001)),
        "policy/entropy": 0.42 - 0.2 * progress + rng.gauss(0, 0.01),
        "policy/clip_share": abs(rng.gauss(0.002, 0.001)),
        "policy/loss": rng.gauss(0, 0.01),
        "policy/grad_norm": abs(rng.gauss(0.4, 0.08)),
        "learning_rate": 1e-4 * (1 + math.cos(math.pi * progress)) / 2,
        "logprob_diff/mean_abs": abs(rng.gauss(6e-7, 1e-7)),
        "logprob_diff/max_abs": abs(rng.gauss(9e-6, 2e-6)),
        "completion/mean_tokens": 38 + 3 * progress + rng.gauss(0, 0.5),
        "completion/truncated_share": 0.01,
        "staleness/max": step % 2,
        "weight_version": step,
        "throughput/samples_per_s": 512 / row["time/step_s"],
        "memory/rollout_rss_bytes": 1.6e9 + 1e5 * step,
        "memory/learner_rss_bytes": 0.9e9,
    }


def evaluation_at(progress):
    row = {}
    for kind in PAPER_TYPES:
        row |= {f"eval/reward/{kind}/mean": reward_at(kind, progress), f"eval/reward/{kind}/std": 0.4}
        row[f"eval/reward/{kind}/count"] = 200
    row["eval/reward/mean"] = sum(row[f"eval/reward/{kind}/mean"] for kind in PAPER_TYPES) / 5
    return row | {"eval/reward/std": 0.4, "eval/reward/count": 1000}


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
        tracker.log(0, evaluation_at(0.0))
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
