"""The panels of the dashboards: which metrics are drawn together, and the queries that Prometheus gets for them.

Every row of both tables is in some panel; a query is made from the row. `monitoring.dashboards` writes the files.
"""

from __future__ import annotations

from typing import NamedTuple

from vlaa_ray.monitoring.health import HEALTH
from vlaa_ray.monitoring.names import METRICS
from vlaa_ray.monitoring.prometheus import family_of

RAY = "ray_"
"""Ray puts this before every name."""
_ROWS = {metric.name: metric for metric in (*METRICS, *HEALTH)}
_OF_RUN = 'run=~"$run"'


class Query(NamedTuple):
    """A query of a panel, and how its lines are named: `{{label}}` stands for the value of a label."""

    expression: str
    legend: str


class Panel(NamedTuple):
    """A panel of lines over time; `names` are rows of the tables, `queries` ask for what others measure."""

    title: str
    names: tuple[str, ...] = ()
    unit: str = ""
    about: str = ""
    queries: tuple[Query, ...] = ()

    def all_queries(self) -> list[Query]:
        """Return the queries of all rows, then the others."""
        return [*(query_of(name) for name in self.names), *self.queries]

    @property
    def text(self) -> str:
        """What the panel shows: its own text, or the meanings of its rows."""
        meanings = dict.fromkeys(_ROWS[name].meaning for name in self.names)
        return self.about or " ".join(f"{meaning[0].upper()}{meaning[1:]}." for meaning in meanings)


def query_of(name: str) -> Query:
    """Return the query for a row: the newest series wins where an actor has started again."""
    family = family_of(_ROWS[name])
    labels = ", ".join(("run", *family.labels))
    legend = " ".join(("{{run}}", *(f"{{{{{label}}}}}" for label in family.labels)))
    return Query(f"max by ({labels}) ({RAY}{family.name}{{{_OF_RUN}}})", f"{legend} {name}")


def _typed(prefix: str, end: str) -> tuple[str, ...]:
    """Return the row of `prefix` that has a value for each verifier type."""
    return (f"{prefix}/{{verifier_type}}/{end}",)


def _vllm(name: str) -> str:
    return f'ray_vllm_{name}{{model_name=~"$run"}}'


def _rate(name: str, legend: str) -> Query:
    return Query(f"sum by (model_name) (rate({_vllm(name)}[2m]))", f"{{{{model_name}}}} {legend}")


def _late(name: str, legend: str) -> Query:
    rates = f"sum by (model_name, le) (rate({_vllm(name + '_bucket')}[5m]))"
    return Query(f"histogram_quantile(0.95, {rates})", f"{{{{model_name}}}} {legend}")


GROUPS: dict[str, tuple[Panel, ...]] = {
    "Learning": (
        Panel("Reward", ("reward/mean", "eval/reward/mean")),
        Panel("Reward by verifier type", _typed("reward", "mean")),
        Panel("Held-out reward by verifier type", _typed("eval/reward", "mean")),
        Panel("Benchmarks", ("eval/benchmark/{name}/score", "eval/benchmark/{name}/{figure}"), "percent"),
        Panel(
            "Benchmarks: answers without a verdict",
            ("eval/benchmark/{name}/unsettled_share", "eval/benchmark/{name}/unanswered_share"),
            "percentunit",
        ),
        Panel("Loss", ("policy/loss", "eval/loss")),
        Panel("KL", ("policy/kl", "policy/kl_coefficient")),
        Panel("Entropy", ("policy/entropy",)),
        Panel(
            "Clipped tokens",
            ("policy/clip_share", "policy/clip_low_share", "policy/clip_high_share"),
            "percentunit",
        ),
        Panel("Ratios", ("policy/ratio_max", "policy/importance_mean")),
        Panel("Capped importance weights", ("policy/importance_capped_share",), "percentunit"),
        Panel("Gradient", ("policy/grad_norm",)),
        Panel("Learning rate", ("learning_rate",)),
        Panel("Engine against learner", ("logprob_diff/mean_abs", "logprob_diff/max_abs", "limit/{metric}")),
        Panel("Staleness", ("staleness/max", "staleness/mean")),
        Panel("Reward model", ("pairs/accuracy", "eval/pairs/accuracy", "pairs/margin", "eval/pairs/margin")),
        Panel("Steps", ("step", "steps_planned", "weight_version")),
    ),
    "Data and rewards": (
        Panel("Not judged", ("reward/invalid_share", "eval/reward/invalid_share"), "percentunit"),
        Panel("Not judged, by verifier type", (*_typed("reward", "invalid_share"),
                                               *_typed("eval/reward", "invalid_share")), "percentunit"),
        Panel("No answer", (*_typed("reward", "no_answer/{why}"), *_typed("eval/reward", "no_answer/{why}")),
              "percentunit"),
        Panel("Parts of the reward", (*_typed("reward", "parts/{part}"), *_typed("eval/reward", "parts/{part}"))),
        Panel("Spread of the reward", ("reward/std", "eval/reward/std", *_typed("reward", "std"),
                                       *_typed("eval/reward", "std"))),
        Panel("Judged samples", ("reward/count", "eval/reward/count", *_typed("reward", "count"),
                                 *_typed("eval/reward", "count"), "group_size")),
        Panel("Reward by source", ("reward/by_source/{source}/mean", "eval/reward/by_source/{source}/mean")),
        Panel("Spread of the reward by source", ("reward/by_source/{source}/std",
                                                 "eval/reward/by_source/{source}/std")),
        Panel("Judged samples by source", ("reward/by_source/{source}/count", "eval/reward/by_source/{source}/count")),
        Panel("Not judged, by source", ("reward/by_source/{source}/invalid_share",
                                        "eval/reward/by_source/{source}/invalid_share"), "percentunit"),
        Panel("Groups", ("groups/count", "groups/failed", "groups/resampled")),
        Panel("Groups without variance", ("groups/zero_variance_share", "groups/{verifier_type}/zero_variance_share",
                                          "groups/by_source/{source}/zero_variance_share"), "percentunit"),
        Panel("Length of completions", ("completion/mean_tokens", "eval/completion/mean_tokens",
                                        "completion/{verifier_type}/mean_tokens")),
        Panel("Cut completions", ("completion/truncated_share",), "percentunit"),
        Panel("Length and reward", ("completion/length_reward_correlation",)),
        Panel("Reflection", ("completion/reflection/share", "completion/{verifier_type}/reflection_share",
                             "completion/sft_opening_share"), "percentunit"),
        Panel("Reflection phrases", ("completion/reflection/{phrase}/count",)),
        Panel("Dropped written answers", ("samples/dropped", "eval/samples/dropped")),
    ),
    "Throughput and idle": (
        Panel("Time of a step", ("time/step_s", "time/rollout_s", "time/learn_s", "time/weight_sync_s", "time/eval_s",
                                 "time/checkpoint_s", "time/turns_s", "time/heldout_rewards_s"), "s"),
        Panel("Time of scoring", ("time/reward_s", "time/reward/{verifier_type}_s"), "s"),
        Panel("Tokens a second", ("throughput/rollout_tokens_per_s",)),
        Panel("Samples a second", ("throughput/samples_per_s",)),
        Panel("Goodput", ("goodput",), "percentunit"),
        Panel("Who waits", ("load/wait_share", "load/sampling_share"), "percentunit"),
        Panel("Finished groups that wait", ("load/groups_waiting",)),
    ),
    "Roles and phases": (
        Panel("Phase", ("phase/{phase}",)),
        Panel("Signs of life", ("phase_age_s", "step_age_s", "checkpoint_age_s"), "s"),
        Panel("Actors by state", ("replicas/{role}/{state}",)),
        Panel("Actors and what is wanted", ("rollout/replicas", "rollout/replicas_wanted", "reward/replicas",
                                            "reward/replicas_wanted", "learner/ranks")),
        Panel("Calls", ("queue/{role}",)),
    ),
    "Faults": (
        Panel("Losses by cause", ("losses/{role}/{cause}",)),
        Panel("Restarts", ("rollout/restarts", "reward/restarts", "learner/restarts")),
        Panel("Ledger", ("ledger/trained", "ledger/open", "ledger/dropped/{why}")),
        Panel("Services that do not answer", ("service/{service}/failing_s",), "s"),
        Panel("Bucket behind", ("storage/behind_s",), "s"),
        Panel("Failed tries of the bucket", ("storage/failures",)),
    ),
    "Memory": (
        Panel("Largest process of a role", ("memory/{role}_rss_bytes",), "bytes"),
        Panel("Free disk of the driver's node", ("disk/{place}/free_share",), "percentunit"),
        Panel("Memory of the nodes", unit="bytes", about="Used and whole memory of each node, as Ray sees it.",
              queries=(Query("sum by (instance) (ray_node_mem_used)", "{{instance}} used"),
                       Query("sum by (instance) (ray_node_mem_total)", "{{instance}} whole"))),
        Panel("Disks of the nodes", unit="percent", about="Used share of each node's disk, as Ray sees it.",
              queries=(Query("max by (instance) (ray_node_disk_utilization_percentage)", "{{instance}}"),)),
        Panel("Object store", unit="bytes", about="Objects in Ray's store on each node.",
              queries=(Query("sum by (instance) (ray_object_store_memory)", "{{instance}}"),)),
    ),
    "Engines": (
        Panel("Requests", about="Requests of all engines, with rollout.engine_metrics; nothing while they are idle.",
              queries=(Query(f"sum by (model_name) ({_vllm('num_requests_running')})", "{{model_name}} running"),
                       Query(f"sum by (model_name) ({_vllm('num_requests_waiting')})", "{{model_name}} waiting"))),
        Panel("Tokens a second of the engines", about="Tokens read and written by all engines.",
              queries=(_rate("prompt_tokens_total", "prompt"), _rate("generation_tokens_total", "completion"))),
        Panel("Keys and values", unit="percentunit", about="Used share of the memory for keys and values, by engine.",
              queries=(Query(f"max by (model_name, WorkerId) ({_vllm('kv_cache_usage_perc')})",
                             "{{model_name}} {{WorkerId}}"),)),
        Panel("Prefix cache", unit="percentunit", about="Share of prompt tokens that were found in the cache.",
              queries=(Query(f"(sum by (model_name) (rate({_vllm('prefix_cache_hits_total')}[5m])) "
                             f"or 0 * sum by (model_name) (rate({_vllm('prefix_cache_queries_total')}[5m]))) "
                             f"/ sum by (model_name) (rate({_vllm('prefix_cache_queries_total')}[5m]))",
                             "{{model_name}}"),)),
        Panel("Latency of the engines", unit="s", about="95% of the requests are faster.",
              queries=(_late("e2e_request_latency_seconds", "whole request"),
                       _late("time_to_first_token_seconds", "first token"))),
        Panel("Preemptions", about="Requests that an engine put back for want of memory.",
              queries=(Query(f"sum by (model_name) (rate({_vllm('num_preemptions_total')}[2m])) or vector(0)",
                             "{{model_name}} a second"),)),
    ),
    "Serving": (
        Panel("Requests a second", about="Requests to a model that `vlaa-ray serve` serves, by deployment.",
              queries=(Query("sum by (deployment) (rate(ray_serve_deployment_request_counter_total[2m]))",
                             "{{deployment}}"),)),
        Panel("Errors a second", about="Requests that ended with an error.",
              queries=(Query("sum by (deployment) (rate(ray_serve_deployment_error_counter_total[2m])) or vector(0)",
                             "{{deployment}}"),)),
        Panel("Latency", unit="ms", about="95% of the requests are faster.",
              queries=(Query("histogram_quantile(0.95, sum by (deployment, le) "
                             "(rate(ray_serve_deployment_processing_latency_ms_bucket[5m])))", "{{deployment}}"),)),
        Panel("Requests in work", about="Requests that the replicas are answering.",
              queries=(Query("sum by (deployment) (ray_serve_replica_processing_queries)", "{{deployment}}"),)),
    ),
}  # fmt: skip
DASHBOARDS: dict[str, tuple[str, ...]] = {
    "learning": ("Learning", "Data and rewards"),
    "run": ("Roles and phases", "Throughput and idle", "Faults", "Memory"),
    "engines": ("Engines", "Serving"),
}
"""The groups of each dashboard; it is written to `cluster/grafana/NAME.json`."""
