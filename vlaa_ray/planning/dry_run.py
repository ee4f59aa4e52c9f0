"""The plan that `--dry-run` shows before a run costs anything: it needs no GPU, no download and no Ray.

    report = examine(config)      # numbers and checks
    show(report, console)         # the same as tables

A check that fails (`failed`) ends the command with ConfigError or PlacementError.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from vlaa_ray.config import TrainingConfig
from vlaa_ray.errors import ConfigError, PlacementError, VlaaRayError
from vlaa_ray.planning.gpu_phases import GpuPhase, gpu_phases
from vlaa_ray.planning.memory import GIB, MemoryRow, Moment, held_bytes, memory_estimate, peak_bytes
from vlaa_ray.planning.placement import Placement, plan
from vlaa_ray.planning.start_checks import (
    Check,
    benchmark_checks,
    cluster_check,
    data_checks,
    model_check,
    reward_checks,
    run_folder_check,
    start_model_check,
)
from vlaa_ray.planning.work import work

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

_MEMORY = "GPU memory"


@dataclass(frozen=True)
class DryRun:
    """The plan of a run; `memory` is empty if the model's dimensions are unknown."""

    config: TrainingConfig
    placement: Placement
    memory: list[MemoryRow]
    work: dict[str, str]
    checks: list[Check]


def examine(config: TrainingConfig) -> DryRun:
    """Return the plan, the estimates and the checks of a run that trains."""
    placement = plan(config)
    config, start_model = start_model_check(config)
    dimensions, model = model_check(config.model.path)
    memory = memory_estimate(config, dimensions) if dimensions else []
    checks = [
        Check("config", True, "all keys are known, all rules across sections hold"),
        *start_model,
        model,
        *data_checks(config),
        *benchmark_checks(config),
        *(reward_checks(config.judges_with) if config.judges_with else ()),
        *_memory_checks(config, memory),
        cluster_check(config.ray.address),
        run_folder_check(config),
    ]
    return DryRun(config, placement, memory, work(config, dimensions), checks)


def show(report: DryRun, console: Console) -> None:
    """Print the report as tables."""
    console.print(_role_table(report.placement))
    if report.memory:
        console.print(_memory_table(report.memory))
        if phases := _phases(report.config, report.memory):
            console.print(_phase_table(phases))
    steps = _table("Steps", "", "")
    for name, value in report.work.items():
        steps.add_row(name, value)
    console.print(steps)
    checks = _table("Checks", "", "", "")
    for check in report.checks:
        checks.add_row({True: "ok", None: "later", False: "FAILS"}[check.ok], check.name, check.found)
    console.print(checks)


def by_role(memory: list[MemoryRow]) -> dict[str, int]:
    """Return the peak in bytes of one process of each role."""
    roles = dict.fromkeys(row.role for row in memory)
    return {role: peak_bytes(row for row in memory if row.role == role) for role in roles}


def _memory_checks(config: TrainingConfig, memory: list[MemoryRow]) -> list[Check]:
    """Return a check for each role on GPUs: whether its process fits the memory of a GPU."""
    shares = {"learner": 1.0} if config.learner.gpus_per_rank else {}
    if config.engines and config.engines.gpus_per_actor:
        shares["rollout"] = config.engines.gpu_memory_share
    gpu = config.ray.gpu_memory_bytes
    checks = []
    for role, need in by_role(memory).items():
        if share := shares.get(role):
            found = f"{need / GIB:.1f} GiB of {share * gpu / GIB:.1f} GiB on a GPU of {gpu / 1e9:g} GB"
            checks.append(Check(f"{_MEMORY}, {role}", need <= share * gpu, found))
    for phase in _phases(config, memory):
        if len(phase.parts) > 1:
            found = f"{phase.used_bytes / GIB:.1f} GiB of {gpu / GIB:.1f} GiB, {phase.gpus} together"
            checks.append(Check(f"{_MEMORY}, {phase.phase}", phase.free_bytes >= 0, found))
    return checks


def _phases(config: TrainingConfig, memory: list[MemoryRow]) -> list[GpuPhase]:
    return gpu_phases(config, memory, config.ray.gpu_memory_bytes)


def failed(report: DryRun) -> VlaaRayError | None:
    """Return the error with which the command ends if a check fails; None if all are ok."""
    faults = [check for check in report.checks if check.ok is False]
    wrong = [check for check in faults if not check.name.startswith(_MEMORY)]
    if wrong:
        found = "\n".join(f"  - {check.name}: {check.found}" for check in wrong)
        return ConfigError(f"the run could not start:\n{found}\n", fix="; ".join(dict.fromkeys(c.fix for c in wrong)))
    if not faults:
        return None
    fix = "use more ranks or a higher learner.zero_stage, fewer learner.micro_batch_tokens, or gradient_checkpointing"
    return PlacementError("the run would not fit: " + "; ".join(f"{c.name}: {c.found}" for c in faults), fix=fix)


def _role_table(placement: Placement) -> Table:
    table = _table("Placement", "role", "actors", "CPUs each", "GPUs each")
    for role, bundles in placement.bundles.items():
        table.add_row(role, str(len(bundles)), f"{bundles[0]['CPU']:g}", f"{bundles[0].get('GPU', 0):g}")
    table.add_row("driver", "1", f"{placement.driver_cpus:g}", "0")
    table.add_row("total", "", f"{placement.total_cpus:g}", str(placement.total_gpus), style="bold")
    return table


def _memory_table(memory: list[MemoryRow]) -> Table:
    table = _table("Memory of one process (an upper bound)", "role", "when", "item", "GiB", "")
    for role, peak in by_role(memory).items():
        rows = [row for row in memory if row.role == role]
        moments = [moment for moment in Moment if held_bytes(rows, moment)]
        for moment in moments:
            for row in (row for row in rows if row.moment is moment):
                table.add_row(role, moment.value, row.item, f"{row.num_bytes / GIB:.2f}", row.note)
            if len(moments) > 1:
                total = f"{held_bytes(rows, moment) / GIB:.2f}"
                table.add_row(role, moment.value, "sum", total, "", style="italic")
        note = "always + the largest sum" if len(moments) > 1 else ""
        table.add_row(role, "", "peak", f"{peak / GIB:.2f}", note, style="bold")
    return table


def _phase_table(phases: list[GpuPhase]) -> Table:
    size = phases[0].gpu_bytes
    title = f"Each GPU, of {size / 1e9:g} GB = {size / GIB:.2f} GiB"
    table = _table(title, "GPU of", "while", "used by", "GiB", "free GiB")
    for phase in phases:
        for name, num_bytes in phase.parts:
            last = name == phase.parts[-1][0]
            free = f"{phase.free_bytes / GIB:.2f}" if phase.free_bytes >= 0 else "DOES NOT FIT"
            table.add_row(phase.gpus, phase.phase, name, f"{num_bytes / GIB:.2f}", free if last else "")
    return table


def _table(title: str, *columns: str) -> Table:
    from rich.table import Table

    table = Table(title=title, title_justify="left", show_header=any(columns), box=None, padding=(0, 2, 0, 0))
    for name in columns:
        table.add_column(
            name, justify="right" if name in {"actors", "CPUs each", "GPUs each", "GiB", "free GiB"} else "left"
        )
    return table
