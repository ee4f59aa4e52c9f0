"""The table of metric names, and `metrics.jsonl`, where a run's numbers go.

Metric names exist only in `METRICS`; logging any other name is an error. `metrics.jsonl` (one JSON object a
step) is the source of truth. TensorBoard and W&B get copies through bounded queues from threads of their own.
"""

from __future__ import annotations

import difflib
import hashlib
import json
import logging
import math
import os
import re
import statistics
import time
from collections.abc import Iterable, Mapping
from functools import cache, partial
from pathlib import Path
from typing import Any, NamedTuple

from vlaa_ray.config import TrackingSection
from vlaa_ray.errors import VlaaRayError
from vlaa_ray.records import NO_ANSWER, VERIFIER_TYPE_PATTERN, Prompt, RewardResult, in_order
from vlaa_ray.trackers import BackgroundSink, TensorBoardSink, WandbSink

_LINES, _DROPPED = "metrics.jsonl", "dropped.jsonl"
LOG = logging.getLogger(__name__)


class Metric(NamedTuple):
    """A metric's name (`{…}` stands for one word), its unit ("" for a plain number) and its meaning."""

    name: str
    unit: str
    meaning: str


def _reward_metrics(prefix: str, of: str) -> tuple[Metric, ...]:
    metrics = [
        Metric(f"{prefix}/{{verifier_type}}/parts/{{part}}", "", f"mean of one part of the reward over {of}"),
        Metric(f"{prefix}/{{verifier_type}}/no_answer/{{why}}", "share", f"{of} that hold no answer, by the reason"),
    ]
    for name, which in (
        (prefix, of),
        (f"{prefix}/{{verifier_type}}", f"{of} of one verifier type"),
        (f"{prefix}/by_source/{{source}}", f"{of} of one data source"),
    ):
        metrics += [
            Metric(f"{name}/mean", "", f"mean reward of {which} that could be judged"),
            Metric(f"{name}/std", "", f"standard deviation of the reward over {which}"),
            Metric(f"{name}/count", "samples", f"{which} that could be judged"),
            Metric(f"{name}/invalid_share", "share", f"{which} that could not be judged; no mean counts them"),
        ]
    return tuple(metrics)


METRICS: tuple[Metric, ...] = (
    Metric("step", "steps", "training steps done; 0 is the base model"),
    *_reward_metrics("reward", "training samples"),
    *_reward_metrics("eval/reward", "held-out samples"),
    Metric("eval/loss", "nats", "mean loss of a held-out answer token (SFT)"),
    Metric("samples/dropped", "samples", "written answers that could not be trained on; dropped.jsonl has the reasons"),
    Metric("eval/samples/dropped", "samples", "the same, of the held-out ones; listed the first time"),
    Metric("pairs/accuracy", "share", "pairs of answers whose better one the reward model scores higher"),
    Metric("pairs/margin", "", "mean score of the better answers less that of the others"),
    Metric("eval/pairs/accuracy", "share", "the same accuracy, on held-out pairs"),
    Metric("eval/pairs/margin", "", "the same margin, on held-out pairs"),
    Metric("eval/completion/mean_tokens", "tokens", "mean length of the held-out completions"),
    Metric("eval/{benchmark}", "", "score on a benchmark, by the benchmark's own rules"),
    Metric("groups/count", "groups", "groups that the update used"),
    Metric("groups/failed", "groups", "prompts that could not be sampled or judged, and were dropped"),
    Metric("groups/zero_variance_share", "share", "groups whose rewards are all equal: they teach nothing"),
    Metric("groups/{verifier_type}/zero_variance_share", "share", "the same, of one verifier type"),
    Metric("groups/by_source/{source}/zero_variance_share", "share", "the same, of one data source"),
    Metric("groups/resampled", "groups", "groups drawn in place of those without variance"),
    Metric("logprob_diff/mean_abs", "nats", "mean |rollout_logprobs - old_logprobs|: engine against learner"),
    Metric("logprob_diff/max_abs", "nats", "largest |rollout_logprobs - old_logprobs|"),
    Metric("policy/loss", "", "the loss, its KL term counted in"),
    Metric("policy/kl", "nats", "KL of the policy from the reference, by the configured estimator"),
    Metric("policy/kl_coefficient", "", "weight of the KL term"),
    Metric("policy/entropy", "nats", "mean entropy of the next-token distribution over completion tokens"),
    Metric("policy/clip_share", "share", "tokens whose probability ratio is clipped"),
    Metric("policy/clip_low_share", "share", "tokens clipped at the lower bound"),
    Metric("policy/clip_high_share", "share", "tokens clipped at the upper bound"),
    Metric("policy/ratio_max", "", "largest probability ratio"),
    Metric("policy/importance_mean", "", "mean importance weight, learner over engine, after the cap"),
    Metric("policy/importance_capped_share", "share", "tokens whose importance weight is cut at the cap"),
    Metric("policy/grad_norm", "", "norm of the gradient before clipping"),
    Metric("learning_rate", "", "learning rate of the update"),
    Metric("completion/mean_tokens", "tokens", "mean length of the completions"),
    Metric("completion/truncated_share", "share", "completions cut at the token limit"),
    Metric("completion/{verifier_type}/mean_tokens", "tokens", "mean length of one verifier type's completions"),
    Metric("staleness/max", "steps", "largest staleness of a rollout that the update used"),
    Metric("staleness/mean", "steps", "mean staleness of the rollouts that the update used"),
    Metric("weight_version", "steps", "optimizer steps that made the current weights"),
    Metric("time/start_s", "s", "until all actors were ready"),
    Metric("time/step_s", "s", "the whole step, evaluation and checkpoint counted in"),
    Metric("time/rollout_s", "s", "sampling"),
    Metric("time/reward_s", "s", "scoring, where it was not hidden behind sampling"),
    Metric("time/reward/{verifier_type}_s", "s", "scoring of one verifier type"),
    Metric("time/learn_s", "s", "the update"),
    Metric("time/weight_sync_s", "s", "new weights to the engines"),
    Metric("time/eval_s", "s", "held-out evaluation"),
    Metric("time/checkpoint_s", "s", "writing the checkpoint of the step before"),
    Metric("time/wait_s", "s", "the learner's wait for groups"),
    Metric("throughput/samples_per_s", "samples/s", "trained samples by the whole step's time"),
    Metric("throughput/rollout_tokens_per_s", "tokens/s", "sampled tokens by the sampling time"),
    Metric("memory/{role}_rss_bytes", "bytes", "resident memory of a role's processes, the largest one"),
    Metric("memory/{role}_gpu_bytes", "bytes", "peak GPU memory of a role, the largest one"),
    Metric("memory/object_store_bytes", "bytes", "Ray's object store in use"),
    Metric("rollout/restarts", "actors", "rollout actors replaced so far"),
    Metric("rollout/resampled_prompts", "prompts", "prompts asked again because an actor was lost"),
    Metric("reward/restarts", "actors", "reward actors replaced so far"),
    Metric("reward/timeouts", "samples", "verifications killed at the time limit"),
)

_NOT_IN_NAMES = re.compile(r"[^A-Za-z0-9_.-]+")
_WORDS = {"verifier_type": VERIFIER_TYPE_PATTERN, "role": "[a-z][a-z0-9_]*"}


@cache
def describe(name: str) -> Metric:
    """The table's entry for a concrete name such as `reward/iou/mean`; VlaaRayError if there is none."""
    for metric in METRICS:
        pattern = re.sub(r"\\{(\w+)\\}", lambda m: f"(?:{_WORDS.get(m[1], '[A-Za-z0-9_.-]+')})", re.escape(metric.name))
        if re.fullmatch(pattern, name):
            return metric
    near = difflib.get_close_matches(name, [metric.name for metric in METRICS], n=1, cutoff=0.5)
    hint = f"did you mean {near[0]!r}? " if near else ""
    raise VlaaRayError(f"unknown metric {name!r}", fix=f"{hint}Metric names exist only in vlaa_ray/metrics.py")


def types_in(names: Iterable[str], pattern: str) -> list[str]:
    """The verifier types that metrics such as `reward/{}/mean` are named for, in the order of tables and curves."""
    known = re.compile(pattern.format(f"({VERIFIER_TYPE_PATTERN})"))
    return in_order(match[1] for name in names if (match := known.fullmatch(name)))


def reward_metrics(samples: Iterable[tuple[Prompt, RewardResult]], prefix: str = "reward") -> dict[str, float]:
    """Means, deviations, counts and invalid shares, over all, by verifier type and by source; {} for no samples.

    A sample that can't be judged enters `invalid_share` and nothing else. Deviations are of the population.
    """
    samples = list(samples)
    metrics = _summary([result for _, result in samples], prefix)
    for name, sources in by_source(prompt for prompt, _ in samples).items():
        of_source = [result for prompt, result in samples if prompt.source in sources]
        metrics |= _summary(of_source, f"{prefix}/by_source/{name}")
    for verifier_type in sorted({prompt.verifier_type for prompt, _ in samples}):
        of_type = [result for prompt, result in samples if prompt.verifier_type == verifier_type]
        metrics |= _summary(of_type, f"{prefix}/{verifier_type}")
        for why, reason in NO_ANSWER.items():
            if count := sum(result.extracted is None and result.reason == reason for result in of_type):
                metrics[f"{prefix}/{verifier_type}/no_answer/{why}"] = count / len(of_type)
        parts = [result.parts for result in of_type if result.valid]
        for part in sorted({name for names in parts for name in names}):
            metrics[f"{prefix}/{verifier_type}/parts/{part}"] = statistics.fmean(p[part] for p in parts if part in p)
    return metrics


def by_source(prompts: Iterable[Prompt]) -> dict[str, set[str]]:
    """The sources of the prompts by their names in metrics, which have letters, digits and _ . - only."""
    found: dict[str, set[str]] = {}
    for source in sorted({prompt.source for prompt in prompts}):
        found.setdefault(_NOT_IN_NAMES.sub("_", source) or "none", set()).add(source)
    return found


def _summary(results: list[RewardResult], prefix: str) -> dict[str, float]:
    if not results:
        return {}
    values = [result.value for result in results if result.valid and result.value is not None]
    metrics = {f"{prefix}/count": len(values), f"{prefix}/invalid_share": 1 - len(values) / len(results)}
    if values:
        metrics |= {f"{prefix}/mean": statistics.fmean(values), f"{prefix}/std": statistics.pstdev(values)}
    return metrics


class Tracker:
    """Writes a run's numbers, sampled rollouts and their images into the run folder, and copies to trackers.

    What it writes itself must succeed (OSError otherwise). TensorBoard and W&B may fail, hang or be missing:
    each is told about on the log once and switched off, and `log` never waits for one.
    """

    def __init__(self, run_dir: Path, tracking: TrackingSection, run_name: str, config: dict[str, Any]) -> None:
        self._run_dir = Path(run_dir)
        (self._run_dir / "rollouts").mkdir(parents=True, exist_ok=True)
        path = self._run_dir / _LINES
        _drop_torn_line(path)
        done = read_metrics(self._run_dir)
        next_step = done[-1]["step"] + 1 if done else None
        self._lines = path.open("a", encoding="utf-8")
        self._sinks: list[BackgroundSink] = []
        if tracking.tensorboard:
            self._sinks.append(BackgroundSink("TensorBoard", partial(TensorBoardSink, self._run_dir, next_step)))
        mode = os.environ.get("WANDB_MODE") or tracking.wandb
        if mode != "disabled":
            make = partial(WandbSink, self._run_dir, mode, tracking.wandb_project, run_name, config)
            self._sinks.append(BackgroundSink("W&B", make))

    def log(self, step: int, metrics: Mapping[str, float]) -> None:
        """Appends one line to `metrics.jsonl`; a number that is not finite becomes null, with a warning."""
        row = {"step": step, **{name: _number(name, value, step) for name, value in metrics.items() if name != "step"}}
        self._lines.write(json.dumps(row) + "\n")
        self._lines.flush()
        for sink in self._sinks:
            sink.put(row)

    def log_rollouts(self, step: int, rows: list[dict[str, Any]]) -> None:
        """Writes `rollouts/step_NNNNNN.jsonl`, one rollout a line, at once or not at all."""
        text = "".join(json.dumps(_plain(row), ensure_ascii=False) + "\n" for row in rows)
        # A lone surrogate in a completion has no UTF-8; its backslash escape is the same string in JSON.
        _replace(self._run_dir / "rollouts" / f"step_{step:06d}.jsonl", text.encode("utf-8", "backslashreplace"))

    def log_dropped(self, rows: list[dict[str, Any]]) -> None:
        """Adds to `dropped.jsonl`: step, id and reason of prompts that could not be trained on."""
        if rows:
            text = "".join(json.dumps(row) + "\n" for row in rows)  # escapes say what has no UTF-8
            with (self._run_dir / _DROPPED).open("a", encoding="ascii") as lines:
                lines.write(text)

    def save_image(self, sha256: str, data: bytes) -> str:
        """The path of the image in the run folder, relative to it: `images/<sha256>.<ext>`; written once."""
        if sha256 != hashlib.sha256(data).hexdigest():
            raise VlaaRayError("the image's bytes don't have the sha256 they are filed under", got=sha256)
        name = f"images/{sha256}.{_extension(data)}"
        path = self._run_dir / name
        if not path.exists():
            path.parent.mkdir(exist_ok=True)
            _replace(path, data)
        return name

    def close(self, timeout_s: float = 15.0) -> None:
        """Ends the trackers, waiting at most `timeout_s` for all of them together; safe to call twice."""
        deadline = time.monotonic() + timeout_s
        self._lines.close()
        for sink in self._sinks:
            sink.finish.set()
        for sink in self._sinks:
            sink.join(deadline)
        self._sinks = []


def read_metrics(run_dir: Path, name: str = _LINES) -> list[dict[str, Any]]:
    """The rows of `metrics.jsonl` ([] without the file); a torn last line is left out, any other is an error."""
    path = Path(run_dir) / name
    lines = path.read_text(encoding="utf-8", errors="replace").splitlines() if path.exists() else []
    rows = []
    for number, line in enumerate(lines, start=1):
        try:
            row = json.loads(line)
            row["step"] = int(row["step"])
        except (ValueError, TypeError, KeyError) as error:
            if number == len(lines):
                break
            raise VlaaRayError(f"not a row of metrics: {error}", file=str(path), row=number) from error
        rows.append(row)
    return rows


def truncate_after(run_dir: Path, step: int) -> None:
    """Drops what was written of steps after `step`: a resumed run makes those again."""
    run_dir = Path(run_dir)
    for path in (run_dir / "rollouts").glob("step_*.jsonl"):
        if int(path.stem.removeprefix("step_")) > step:
            path.unlink()
    for name in (_LINES, _DROPPED):
        if (run_dir / name).exists():
            kept = [row for row in read_metrics(run_dir, name) if row["step"] <= step]
            _replace(run_dir / name, "".join(json.dumps(row) + "\n" for row in kept).encode())


def _number(name: str, value: Any, step: int) -> float | int | None:
    describe(name)
    try:
        number = value if isinstance(value, int) else float(value)
    except (TypeError, ValueError) as error:
        raise VlaaRayError(f"metric {name!r} is not a number", step=step, got=repr(value)) from error
    if math.isfinite(number):
        return number
    LOG.warning("step %d: %s is %s; written as null", step, name, number)
    return None


def _plain(value: Any) -> Any:
    """`value` in JSON's types: NumPy scalars and arrays become Python's, numbers that are not finite null."""
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if hasattr(value, "tolist"):
        return _plain(value.tolist())
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return value if isinstance(value, str | int | None) else str(value)


def _extension(data: bytes) -> str:
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return "webp"
    magic = {b"\x89PNG": "png", b"\xff\xd8\xff": "jpg", b"GIF8": "gif", b"BM": "bmp"}
    return next((extension for start, extension in magic.items() if data.startswith(start)), "bin")


def _replace(path: Path, data: bytes) -> None:
    """Writes a file whole: a reader sees the old content or the new, whatever dies in between."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    with temporary.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    os.replace(temporary, path)


def _drop_torn_line(path: Path) -> None:
    """Cuts a line that a killed writer left without its end, so that the next one starts on its own."""
    if path.exists() and (data := path.read_bytes()) and not data.endswith(b"\n"):
        os.truncate(path, data.rfind(b"\n") + 1)
