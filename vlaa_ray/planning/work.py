"""The work of a run in words, by title: its steps, samples and updates, and the learning rate on the way.

For example:

    work(config, dimensions)["samples"] -> "100,352 of 25,088 prompts"
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from vlaa_ray.algorithms.schedule import learning_rate
from vlaa_ray.config import GrpoConfig, RewardModelConfig, SftConfig, SupervisedConfig, TrainingConfig
from vlaa_ray.planning.memory import kv_bytes_per_token, memory_estimate, peak_bytes


def work(config: TrainingConfig, dimensions: dict[str, Any]) -> dict[str, str]:
    """Return the work of a run; `dimensions` are those of its model, {} if they are unknown."""
    return _WORK[config.command](config, dimensions)


def _grpo_work(config: GrpoConfig, dimensions: dict[str, Any]) -> dict[str, str]:
    rollout, num_steps = config.rollout, config.run.num_steps
    updates = num_steps * config.learner.updates_per_step
    samples = rollout.prompts_per_step * rollout.group_size
    groups = rollout.prompts_per_step // (config.learner.updates_per_step * config.learner.num_ranks)
    words = {
        "steps": f"{num_steps:,} of {rollout.prompts_per_step:,} prompts x {rollout.group_size} = {samples:,} samples",
        "samples": f"{num_steps * samples:,} of {num_steps * rollout.prompts_per_step:,} prompts",
        "updates": f"{updates:,} ({config.learner.updates_per_step} a step, {groups} groups a rank in each)",
        "learning rate": _rates(config, updates),
        "KL": _kl(config),
        "staleness": "synchronous" if config.max_staleness == 0 else f"up to {config.max_staleness} steps",
        "placement": "engines and learner ranks on the same devices, in turn" if config.colocated else "split",
        "checkpoints": _checkpoints(config),
    }
    if dimensions and rollout.gpus_per_actor:
        words["KV cache"] = _kv_cache(config, dimensions)
    return words


def _supervised_work(config: SupervisedConfig, dimensions: dict[str, Any]) -> dict[str, str]:
    """Return the work of a run on written answers; a length in epochs stays one, as only the data tell the steps."""
    samples, num_steps = config.limits.samples_per_step, config.num_steps
    if num_steps is None:
        steps = f"as many as {config.num_epochs:g} passes over the data take, of {samples:,} samples"
        return {"steps": steps, "checkpoints": _checkpoints(config)}
    return {
        "steps": f"{num_steps:,} of {samples:,} samples",
        "samples": f"{num_steps * samples:,}",
        "learning rate": _rates(config, num_steps),
        "checkpoints": _checkpoints(config),
    }


def _rates(config: TrainingConfig, updates: int) -> str:
    """Return the learning rate at the first update, at the end of the warm-up, and at the last update."""
    optim = config.learner.optim
    warmup = math.ceil(optim.warmup_share * updates)

    def rate(update: int) -> str:
        args = (optim.learning_rate, optim.min_learning_rate, optim.warmup_share)
        return f"{learning_rate(update - 1, updates, *args):.3g} at update {update:,}"

    return ", ".join(rate(update) for update in dict.fromkeys((1, max(1, warmup), updates)))


def _checkpoints(config: TrainingConfig) -> str:
    return f"every {config.checkpoint.every_steps} steps, {config.checkpoint.keep} kept"


def _kl(config: GrpoConfig) -> str:
    kl = config.grpo.kl
    if kl.coefficient == 0:
        return "no KL term, no reference policy"
    target = f", adapted towards {kl.target:g}" if kl.target else ", constant"
    return f"{kl.estimator} in the loss, coefficient {kl.coefficient:g}{target}"


def _kv_cache(config: GrpoConfig, dimensions: dict[str, Any]) -> str:
    rollout = config.rollout
    rows = [row for row in memory_estimate(config, dimensions) if row.role == "rollout"]
    free = rollout.gpu_memory_share * config.ray.gpu_memory_bytes - peak_bytes(rows)
    tokens = int(free * rollout.tensor_parallel_size / kv_bytes_per_token(dimensions, config.model.dtype))
    length = rollout.max_prompt_tokens + rollout.max_completion_tokens
    return f"{max(0, tokens):,} tokens an engine, {max(0, tokens) // length:,} sequences of full length at once"


_WORK: dict[str, Callable[[Any, dict[str, Any]], dict[str, str]]] = {
    GrpoConfig.command: _grpo_work,
    SftConfig.command: _supervised_work,
    RewardModelConfig.command: _supervised_work,
}
