"""The table of metrics: every name that a run may log, with its unit, meaning, kinds of run and better direction.

Any other name is an error. `docs/metrics.md` is this table as a page; `metric_page()` writes it.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable
from functools import cache
from typing import Literal, NamedTuple

from vlaa_ray.errors import VlaaRayError
from vlaa_ray.records import VERIFIER_TYPE_PATTERN, in_order

Kind = Literal["grpo", "sft", "reward-model"]
Better = Literal["higher", "lower", ""]

GRPO: tuple[Kind, ...] = ("grpo",)
SUPERVISED: tuple[Kind, ...] = ("sft", "reward-model")
ALL: tuple[Kind, ...] = (*GRPO, *SUPERVISED)


class Metric(NamedTuple):
    """A row of the table."""

    name: str
    """The name. `{…}` stands for one word, `{figure}` for one or more words with slashes between them."""
    unit: str
    """The unit; "" for a plain number."""
    meaning: str
    runs: tuple[Kind, ...] = GRPO
    """The kinds of run that log it."""
    when: str = ""
    """The condition under which it is logged; "" if every run of these kinds logs it in some step."""
    better: Better = ""
    """The direction of improvement; "" where neither direction is better."""
    sft_when: str = ""
    """The condition in an SFT run, where it is another one."""

    def condition(self, kind: Kind) -> str:
        """Return the condition under which this kind of run logs it; "" for always."""
        return (self.sft_when or self.when) if kind == "sft" else self.when

    def is_expected(self, kind: Kind) -> bool:
        """Return True if this kind of run can log it without being asked to sample held-out answers."""
        return kind in self.runs and not (kind == "sft" and self.sft_when)


def _reward_metrics(prefix: str, of: str, runs: tuple[Kind, ...] = GRPO, sft_when: str = "") -> tuple[Metric, ...]:
    with_parts, without_answer = "the verifier's reward has parts", "an answer is missing for that reason"
    metrics = [
        Metric(f"{prefix}/{{verifier_type}}/parts/{{part}}", "", f"mean of one part of the reward over {of}",
               when=with_parts, better="higher"),
        Metric(f"{prefix}/{{verifier_type}}/no_answer/{{why}}", "share", f"{of} without an answer, by the reason",
               when=without_answer, better="lower"),
    ]  # fmt: skip
    for name, which in (
        (prefix, of),
        (f"{prefix}/{{verifier_type}}", f"{of} of one verifier type"),
        (f"{prefix}/by_source/{{source}}", f"{of} of one data source"),
    ):
        metrics += [
            Metric(f"{name}/mean", "", f"mean reward of the {which} that could be judged", better="higher"),
            Metric(f"{name}/std", "", f"standard deviation of the reward over the {which} that could be judged"),
            Metric(f"{name}/count", "samples", f"number of {which} that could be judged"),
            Metric(f"{name}/invalid_share", "share", f"share of the {which} that could not be judged; they are in no "
                   "mean", better="lower"),
        ]  # fmt: skip
    return tuple(metric._replace(runs=runs, sft_when=sft_when) for metric in metrics)


_OF_SOURCE = re.compile(r"reward/by_source/([^/]+)/count")
_SAMPLED = "eval.rewards"
_KL = "grpo.kl.coefficient > 0"
_PHRASES = "tracking.reflection_phrases has some"
_CORRECTED = "max_staleness > 0, or model.dtype is bf16"

METRICS: tuple[Metric, ...] = (
    Metric("step", "steps", "training steps done; 0 is the base model", ALL),
    *_reward_metrics("reward", "training samples"),
    *_reward_metrics("eval/reward", "held-out samples", ("grpo", "sft"), _SAMPLED),
    Metric("eval/loss", "nats", "mean loss of a held-out answer token", ("sft",), better="lower"),
    Metric("samples/dropped", "samples", "written answers of the step that could not be trained on; dropped.jsonl "
           "lists the reasons", SUPERVISED, better="lower"),
    Metric("eval/samples/dropped", "samples", "held-out answers that could not be used; dropped.jsonl lists them once",
           SUPERVISED, better="lower"),
    Metric("pairs/accuracy", "share", "pairs of answers in which the reward model scores the better answer higher",
           ("reward-model",), better="higher"),
    Metric("pairs/margin", "", "mean score of the better answers minus that of the others", ("reward-model",),
           better="higher"),
    Metric("eval/pairs/accuracy", "share", "held-out pairs in which the reward model scores the better answer higher",
           ("reward-model",), better="higher"),
    Metric("eval/pairs/margin", "", "mean score of the better held-out answers minus that of the others",
           ("reward-model",), better="higher"),
    Metric("eval/completion/mean_tokens", "tokens", "mean length of the held-out completions", ("grpo", "sft"),
           sft_when=_SAMPLED),
    Metric("eval/benchmark/{name}/score", "%", "the figure of a benchmark that the leaderboard counts, by the "
           "benchmark's rules alone", when="eval.benchmarks names it", better="higher"),
    Metric("eval/benchmark/{name}/unsettled_share", "share", "answers that the rules can't settle; they count as wrong",
           when="eval.benchmarks names it", better="lower"),
    Metric("eval/benchmark/{name}/unanswered_share", "share", "rows that could not be asked; they count as wrong",
           when="eval.benchmarks names it", better="lower"),
    Metric("eval/benchmark/{name}/{figure}", "%", "another figure of a benchmark, such as overall or worst_case",
           when="eval.benchmarks names it"),
    Metric("groups/count", "groups", "groups taken for the step, whether the update could use them or not"),
    Metric("groups/failed", "groups", "prompts that could not be sampled or judged, and were dropped", better="lower"),
    Metric("groups/resampled", "groups", "groups taken beyond the planned number, in place of those without variance"),
    Metric("groups/zero_variance_share", "share", "groups whose judged rewards do not differ; their rewards give a "
           "gradient only where grpo.advantage compares them with the whole batch", better="lower"),
    Metric("groups/{verifier_type}/zero_variance_share", "share", "the same share, for one verifier type",
           better="lower"),
    Metric("groups/by_source/{source}/zero_variance_share", "share", "the same share, for one data source",
           better="lower"),
    Metric("logprob_diff/mean_abs", "nats", "mean |rollout_logprobs - old_logprobs|: engine against learner",
           better="lower"),
    Metric("logprob_diff/max_abs", "nats", "largest |rollout_logprobs - old_logprobs|", better="lower"),
    Metric("policy/loss", "", "loss of the update with all its terms; in GRPO it says little about the policy",
           ALL),
    Metric("policy/kl", "nats", "KL of the policy from the reference, by the configured estimator", when=_KL),
    Metric("policy/kl_coefficient", "", "weight of the KL term", when=_KL),
    Metric("policy/entropy", "nats", "mean entropy of the next-token distribution over completion tokens",
           ("grpo", "sft")),
    Metric("policy/clip_share", "share", "tokens whose probability ratio is clipped"),
    Metric("policy/clip_low_share", "share", "tokens clipped at the lower bound"),
    Metric("policy/clip_high_share", "share", "tokens clipped at the upper bound"),
    Metric("policy/ratio_max", "", "largest probability ratio, policy over old policy"),
    Metric("policy/importance_mean", "", "mean importance weight, learner over engine, after the cap",
           when=_CORRECTED),
    Metric("policy/importance_capped_share", "share", "tokens whose importance weight is cut at the cap",
           when=_CORRECTED),
    Metric("policy/grad_norm", "", "norm of the gradient before clipping", ALL),
    Metric("learning_rate", "", "learning rate of the update", ALL),
    Metric("completion/mean_tokens", "tokens", "mean length of the completions trained on", ("grpo", "sft")),
    Metric("completion/{verifier_type}/mean_tokens", "tokens", "mean length of the completions of one verifier type"),
    Metric("completion/reflection/share", "share", "completions with at least one phrase of "
           "tracking.reflection_phrases", when=_PHRASES),
    Metric("completion/reflection/{phrase}/count", "times", "occurrences of one of these phrases in all completions of "
           "the step", when=_PHRASES),
    Metric("completion/{verifier_type}/reflection_share", "share", "the share with a phrase, for one verifier type",
           when=_PHRASES),
    Metric("completion/length_reward_correlation", "", "correlation of a completion's tokens with its reward, each "
           "minus its group's mean", when="lengths and rewards differ within groups"),
    Metric("completion/sft_opening_share", "share", "completions that begin with the first words of a worked answer of "
           "an earlier SFT", when="tracking.sft_data names it"),
    Metric("completion/truncated_share", "share", "completions cut at the token limit", better="lower"),
    Metric("staleness/max", "steps", "largest staleness of a rollout that the step used"),
    Metric("staleness/mean", "steps", "mean staleness of the rollouts that the step used"),
    Metric("weight_version", "steps", "optimizer steps that made the current weights"),
    Metric("time/step_s", "s", "the whole step, with evaluation and the checkpoint of the step before", better="lower"),
    Metric("time/rollout_s", "s", "the step's wait for its groups: the sampling and scoring that was not finished "
           "before the step", better="lower"),
    Metric("time/reward_s", "s", "busy time of a reward actor since the last step, the mean over the actors; most "
           "of it passes while other prompts are sampled", better="lower"),
    Metric("time/reward/{verifier_type}_s", "s", "the part of time/reward_s that one verifier type took",
           better="lower"),
    Metric("time/learn_s", "s", "the update", better="lower"),
    Metric("time/weight_sync_s", "s", "sending the new weights to the engines", better="lower"),
    Metric("time/turns_s", "s", "moves of the roles on and off the devices that they share; a part of the times above "
           "and below", when="placement: colocated", better="lower"),
    Metric("time/heldout_rewards_s", "s", "sampling and scoring of held-out answers: the start of the engines or the "
           "sending of new weights to them included", ("sft",), when=_SAMPLED, better="lower"),
    Metric("time/eval_s", "s", "held-out evaluation", better="lower"),
    Metric("time/checkpoint_s", "s", "the learner's copy of its state for the checkpoint of the step before; writing "
           "and hashing it goes on beside the next steps", when="the step before wrote one", better="lower"),
    Metric("storage/behind_s", "s", "time since the bucket last had all that the run has written", ("grpo",),
           when="run.dir is in a bucket", better="lower"),
    Metric("storage/failures", "times", "failed tries in a row to send to the bucket; 0 where it answers", ("grpo",),
           when="run.dir is in a bucket", better="lower"),
    Metric("throughput/samples_per_s", "samples/s", "samples of the step divided by time/step_s", better="higher"),
    Metric("throughput/rollout_tokens_per_s", "tokens/s", "tokens of the step's completions divided by time/rollout_s; "
           "more than the engines' speed where max_staleness > 0 hides sampling behind learning", better="higher"),
    Metric("memory/{role}_rss_bytes", "bytes", "resident memory of the role's largest process"),
    Metric("ledger/trained", "samples", "samples of the step that were trained on"),
    Metric("ledger/open", "samples", "samples that are asked for and have no end yet"),
    Metric("ledger/dropped/{why}", "samples", "samples of the step that were dropped, by the reason: "
           "failed (dropped.jsonl has the prompts), not_judged, no_variance, resampled, overlong, empty, run_ended",
           when="a sample was dropped for that reason"),
    Metric("rollout/restarts", "actors", "rollout actors replaced so far", better="lower"),
    Metric("reward/restarts", "actors", "reward actors replaced so far", better="lower"),
    Metric("learner/restarts", "times", "times that the learner's ranks were started again so far", better="lower"),
    Metric("learner/ranks", "ranks", "ranks of the learner"),
    Metric("rollout/replicas", "actors", "rollout actors that sample at the end of the step"),
    Metric("reward/replicas", "actors", "reward actors that score at the end of the step"),
    Metric("rollout/replicas_wanted", "actors", "rollout actors that the run asks for after the step"),
    Metric("reward/replicas_wanted", "actors", "reward actors that the run asks for after the step"),
    Metric("load/wait_share", "share", "share of the step in which the learner waited for groups; it decides about "
           "more actors"),
    Metric("load/sampling_share", "share", "share of sampling in the time of sampling and scoring; it decides which "
           "actors are too few"),
    Metric("load/groups_waiting", "groups", "finished groups of later steps that wait for the learner; they decide "
           "about fewer actors"),
)  # fmt: skip


_WORD = "[A-Za-z0-9_.-]+"
_WORDS = {
    "verifier_type": VERIFIER_TYPE_PATTERN,
    "role": "[a-z][a-z0-9_]*",
    "figure": rf"{_WORD}(?:/{_WORD})*",
    "metric": rf"{_WORD}(?:/{_WORD})*",
}


def word_pattern(metric: Metric) -> str:
    """Return a regular expression for the concrete names of a row, with a group for each placeholder."""
    return re.sub(r"\\{(\w+)\\}", lambda m: f"({_WORDS.get(m[1], _WORD)})", re.escape(metric.name))


@cache
def describe(name: str, table: tuple[Metric, ...] = METRICS) -> Metric:
    """Return the table's row for a concrete name such as `reward/iou/mean`.

    Raises:
        VlaaRayError: the table has no such name; the message names the nearest one.

    """
    for metric in table:
        if re.fullmatch(word_pattern(metric), name):
            return metric
    near = difflib.get_close_matches(name, [metric.name for metric in table], n=1, cutoff=0.5)
    hint = f"did you mean {near[0]!r}? " if near else ""
    raise VlaaRayError(
        f"unknown metric {name!r}", fix=f"{hint}docs/metrics.md lists the names; a new one needs a row in its table"
    )


def types_in(names: Iterable[str], pattern: str) -> list[str]:
    """Return the verifier types in metrics such as `reward/{}/mean`, in the order of tables and curves."""
    regex = re.compile(pattern.format(f"({VERIFIER_TYPE_PATTERN})"))
    return in_order(match[1] for name in names if (match := regex.fullmatch(name)))


def sources_in(names: Iterable[str]) -> list[str]:
    """Return the data sources in metrics such as `reward/by_source/{}/count`, sorted."""
    return sorted({match[1] for name in names if (match := _OF_SOURCE.fullmatch(name))})


def metric_page() -> str:
    """Return the table of metrics, and that of health, as Markdown: the text of `docs/metrics.md`."""
    from vlaa_ray.monitoring.health import HEALTH

    lines = [
        "# Metrics",
        "",
        "This table lists every name that a run may write to `metrics.jsonl`, TensorBoard and W&B. Any other name is",
        "an error.",
        "This page is generated: `python -m vlaa_ray.monitoring.names > docs/metrics.md`.",
        "",
        "`{…}` stands for a word: a verifier type (`iou`), a data source, a role (`learner`). A metric without an",
        "entry in the column *Logged when* is in at least one step of every finished run of its kinds.",
        "",
        *_table(METRICS),
        "",
        "## In Prometheus",
        "",
        "The same metrics are gauges of Ray with the label `run`; a word in braces is a label, too. Of data sources,",
        "the 20 largest have series. [cluster/README.md](../cluster/README.md#watching-runs) says how to collect them.",
        "",
        "| Name | In Prometheus | Labels |",
        "|---|---|---|",
        *(_exported(metric) for metric in METRICS),
        "",
        "## Health",
        "",
        "What a run is doing right now is in Prometheus alone.",
        "",
        *_table(HEALTH),
        "",
        "| Name | In Prometheus | Labels |",
        "|---|---|---|",
        *(_exported(metric) for metric in HEALTH),
    ]
    return "\n".join(lines) + "\n"


def _table(metrics: Iterable[Metric]) -> list[str]:
    lines = ["| Name | Unit | Meaning | Runs | Logged when | Better |", "|---|---|---|---|---|---|"]
    for metric in metrics:
        meaning = metric.meaning.replace("|", "\\|")
        conditions = [metric.when, metric.sft_when and f"in sft: {metric.sft_when}"]
        when = "; ".join(filter(None, conditions))
        cells = (f"`{metric.name}`", metric.unit, meaning, ", ".join(metric.runs), when, metric.better)
        lines.append("| " + " | ".join(cells) + " |")
    return lines


def _exported(metric: Metric) -> str:
    from vlaa_ray.monitoring.prometheus import family_of

    family = family_of(metric)
    return f"| `{metric.name}` | `ray_{family.name}` | {', '.join(family.labels)} |"


if __name__ == "__main__":
    import sys

    sys.stdout.write(metric_page())
