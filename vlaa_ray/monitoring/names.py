"""The table of metric names: any other name is an error."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable
from functools import cache
from typing import NamedTuple

from vlaa_ray.errors import VlaaRayError
from vlaa_ray.records import VERIFIER_TYPE_PATTERN, in_order


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
    raise VlaaRayError(f"unknown metric {name!r}", fix=f"{hint}Metric names exist only in vlaa_ray/monitoring")


def types_in(names: Iterable[str], pattern: str) -> list[str]:
    """The verifier types that metrics such as `reward/{}/mean` are named for, in the order of tables and curves."""
    known = re.compile(pattern.format(f"({VERIFIER_TYPE_PATTERN})"))
    return in_order(match[1] for name in names if (match := known.fullmatch(name)))
