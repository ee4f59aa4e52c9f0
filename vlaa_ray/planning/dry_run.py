"""The plan that `train --dry-run` shows before a run costs anything: it needs no GPU, no download and no Ray.

    report = examine(config)      # numbers and checks
    show(report, console)         # the same as tables

A check that fails (`failed`) ends the command with PlacementError.
"""

from __future__ import annotations

import importlib.util
import math
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vlaa_ray.algorithms.schedule import learning_rate
from vlaa_ray.config import GrpoConfig, Source
from vlaa_ray.errors import ConfigError, ModelError, PlacementError, VlaaRayError
from vlaa_ray.models.dimensions import count_parameters, model_dimensions
from vlaa_ray.planning.memory import GIB, MemoryRow, kv_bytes_per_token, memory_estimate
from vlaa_ray.planning.placement import Placement, plan
from vlaa_ray.run.run_json import read_run, run_path

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

_GPU_BYTES = 80 * 10**9
"""The memory of the GPU for which a plan is checked: an 80 GB card."""


@dataclass(frozen=True)
class Check:
    """The result of one check; `ok` is None for something that only the machine of the run can tell."""

    name: str
    ok: bool | None
    found: str


@dataclass(frozen=True)
class DryRun:
    """The plan of a run; `memory` is empty if the model's dimensions are unknown."""

    config: GrpoConfig
    placement: Placement
    memory: list[MemoryRow]
    facts: dict[str, str]
    checks: list[Check]


def examine(config: GrpoConfig) -> DryRun:
    """Return the plan, the estimates and the checks of `config`."""
    placement = plan(config)
    try:
        dimensions = model_dimensions(config.model.path)
        memory = memory_estimate(config, dimensions)
        model = Check("model", True, f"{count_parameters(dimensions).total:,} parameters")
    except ModelError as error:
        dimensions, memory = {}, []
        model = Check("model", None, f"{error.message}; {error.fix}")
    checks = [
        Check("config", True, "all keys are known, all rules across sections hold"),
        model,
        *_data_checks("data.train", config.data.train),
        *_data_checks("data.heldout", config.data.heldout),
        *_reward_checks(config),
        *_memory_checks(config, memory),
        _run_folder_check(config),
    ]
    return DryRun(config, placement, memory, _facts(config, dimensions), checks)


def show(report: DryRun, console: Console) -> None:
    """Print the report as tables."""
    console.print(_role_table(report.placement))
    if report.memory:
        console.print(_memory_table(report.memory))
    steps = _table("Steps", "", "")
    for name, value in report.facts.items():
        steps.add_row(name, value)
    console.print(steps)
    checks = _table("Checks", "", "", "")
    for check in report.checks:
        checks.add_row({True: "ok", None: "later", False: "FAILS"}[check.ok], check.name, check.found)
    console.print(checks)


def by_role(memory: list[MemoryRow]) -> dict[str, int]:
    """Return the bytes of one process of each role."""
    totals: dict[str, int] = {}
    for row in memory:
        totals[row.role] = totals.get(row.role, 0) + row.num_bytes
    return totals


def _facts(config: GrpoConfig, dimensions: dict[str, Any]) -> dict[str, str]:
    """Return the numbers of the run's work, in words, by title."""
    rollout, optim, num_steps = config.rollout, config.learner.optim, config.run.num_steps
    updates = num_steps * config.learner.updates_per_step
    samples = rollout.prompts_per_step * rollout.group_size
    warmup = math.ceil(optim.warmup_share * updates)

    def rate(update: int) -> str:
        args = (optim.learning_rate, optim.min_learning_rate, optim.warmup_share)
        return f"{learning_rate(update - 1, updates, *args):.3g} at update {update:,}"

    groups = rollout.prompts_per_step // (config.learner.updates_per_step * config.learner.num_ranks)
    facts = {
        "steps": f"{num_steps:,} of {rollout.prompts_per_step:,} prompts x {rollout.group_size} = {samples:,} samples",
        "samples": f"{num_steps * samples:,} of {num_steps * rollout.prompts_per_step:,} prompts",
        "updates": f"{updates:,} ({config.learner.updates_per_step} a step, {groups} groups a rank in each)",
        "learning rate": ", ".join(rate(update) for update in dict.fromkeys((1, max(1, warmup), updates))),
        "KL": _kl(config),
        "staleness": "synchronous" if config.max_staleness == 0 else f"up to {config.max_staleness} steps",
        "checkpoints": f"every {config.checkpoint.every_steps} steps, {config.checkpoint.keep} kept",
    }
    if dimensions and rollout.gpus_per_actor:
        facts["KV cache"] = _kv_fact(config, dimensions)
    return facts


def _kl(config: GrpoConfig) -> str:
    kl = config.grpo.kl
    if kl.coefficient == 0:
        return "no KL term, no reference policy"
    target = f", adapted towards {kl.target:g}" if kl.target else ", constant"
    return f"{kl.estimator} in the loss, coefficient {kl.coefficient:g}{target}"


def _kv_fact(config: GrpoConfig, dimensions: dict[str, Any]) -> str:
    rollout = config.rollout
    rows = [row for row in memory_estimate(config, dimensions) if row.role == "rollout"]
    free = rollout.gpu_memory_share * _GPU_BYTES - sum(row.num_bytes for row in rows)
    tokens = int(free * rollout.tensor_parallel_size / kv_bytes_per_token(dimensions, config.model.dtype))
    length = rollout.max_prompt_tokens + rollout.max_completion_tokens
    return f"{max(0, tokens):,} tokens an engine, {max(0, tokens) // length:,} sequences of full length at once"


def _data_checks(name: str, source: Source) -> list[Check]:
    if isinstance(source, str):
        return [_data_check(name, source)]
    return [_data_check(f"{name}[{index}]", part.path) for index, part in enumerate(source)]


def _data_check(name: str, source: str) -> Check:
    if source.startswith("builtin:"):
        return Check(name, True, f"{source} needs no files")
    if Path(source).exists():
        return Check(name, True, f"{source} exists")
    return Check(name, None, f"{source} is not on this machine; the run needs it when it starts")


def _reward_checks(config: GrpoConfig) -> list[Check]:
    """Return checks of the user's verifiers and of the scorer of open answers: whether they can be loaded."""
    checks = []
    for name, verifier in config.rewards.verifiers.items():
        if verifier.function:
            module = verifier.function.partition(":")[0]
            here = _can_import(module)
            where = "can be imported" if here else "is neither on the Python path nor in the current folder"
            checks.append(Check(f"rewards.verifiers.{name}", here, f"{module} {where}"))
    section = config.rewards.open_ended
    scorer = section.service.url or section.model
    if section.scorer != "words" and scorer:
        is_here = True if scorer.startswith("builtin:") or Path(scorer).is_dir() else None
        text = f"{section.scorer}: {scorer} {'exists' if is_here else 'is needed when the run starts'}"
        checks.append(Check("rewards.open_ended", is_here, text))
    return checks


def _can_import(module: str) -> bool:
    if (Path.cwd() / f"{module.replace('.', '/')}.py").is_file():
        return True
    try:
        return importlib.util.find_spec(module) is not None
    except ImportError:
        return False


def _memory_checks(config: GrpoConfig, memory: list[MemoryRow]) -> list[Check]:
    """Return a check for each role on GPUs: whether its process fits the memory of a GPU."""
    on_gpu = {"learner": config.learner.gpus_per_rank, "rollout": config.rollout.gpus_per_actor}
    checks = []
    for role, need in by_role(memory).items():
        if on_gpu.get(role):
            share = config.rollout.gpu_memory_share if role == "rollout" else 1.0
            found = f"{need / GIB:.1f} GiB of {share * _GPU_BYTES / GIB:.1f} GiB on an 80 GB GPU"
            checks.append(Check(f"GPU memory, {role}", need <= share * _GPU_BYTES, found))
    return checks


def _run_folder_check(config: GrpoConfig) -> Check:
    """Return the state of the run folder, from which `--resume auto` would continue."""
    path = run_path(config)
    state = read_run(path)
    if not state:
        return Check("run folder", True, f"{path} is new")
    return Check("run folder", True, f"{path}: {state.get('state')} at step {state.get('step')}; see --resume")


def failed(report: DryRun) -> VlaaRayError | None:
    """Return the error with which the command ends if a check fails; None if all are ok."""
    names = {check.name: f"{check.name}: {check.found}" for check in report.checks if check.ok is False}
    if not names:
        return None
    missing = [text for name, text in names.items() if name.startswith("rewards.")]
    if missing:
        fix = "start the run in the folder of that file"
        return ConfigError("the run could not start: " + "; ".join(missing), fix=fix)
    fix = "use more ranks or a higher learner.zero_stage, fewer learner.micro_batch_tokens, or gradient_checkpointing"
    return PlacementError("the run would not fit: " + "; ".join(names.values()), fix=fix)


def _role_table(placement: Placement) -> Table:
    table = _table("Placement", "role", "actors", "CPUs each", "GPUs each")
    for role, bundles in placement.bundles.items():
        table.add_row(role, str(len(bundles)), f"{bundles[0]['CPU']:g}", f"{bundles[0].get('GPU', 0):g}")
    table.add_row("driver", "1", f"{placement.driver_cpus:g}", "0")
    table.add_row("total", "", f"{placement.total_cpus:g}", str(placement.total_gpus), style="bold")
    return table


def _memory_table(memory: list[MemoryRow]) -> Table:
    table = _table("Memory of one process (estimate)", "role", "item", "GiB", "")
    for role, total in by_role(memory).items():
        for row in (row for row in memory if row.role == role):
            table.add_row(role, row.item, f"{row.num_bytes / GIB:.2f}", row.note)
        table.add_row(role, "total", f"{total / GIB:.2f}", "", style="bold")
    return table


def _table(title: str, *columns: str) -> Table:
    from rich.table import Table

    table = Table(title=title, title_justify="left", show_header=any(columns), box=None, padding=(0, 2, 0, 0))
    for name in columns:
        table.add_column(name, justify="right" if name in {"actors", "CPUs each", "GPUs each", "GiB"} else "left")
    return table
