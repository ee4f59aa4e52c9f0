"""The memory that a run uses and leaves free on each GPU, while engines sample and while the learner learns.

For example:

    for phase in gpu_phases(config, memory_estimate(config, dimensions), 80 * 10**9):
        print(phase.gpus, phase.phase, phase.free_bytes)
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from vlaa_ray.config import TrainingConfig
from vlaa_ray.planning.memory import MemoryRow, Moment, held_bytes, peak_bytes


@dataclass(frozen=True)
class GpuPhase:
    """The memory of one GPU in one phase of a step."""

    gpus: str
    """The GPUs of this kind: those of an engine, of a learner rank, or of both in turn."""
    phase: str
    parts: tuple[tuple[str, int], ...]
    """What uses the GPU, and the bytes of each."""
    gpu_bytes: int

    @property
    def used_bytes(self) -> int:
        """The sum of the parts."""
        return sum(num_bytes for _, num_bytes in self.parts)

    @property
    def free_bytes(self) -> int:
        """The bytes that are left on the GPU; below 0 if the parts do not fit."""
        return self.gpu_bytes - self.used_bytes


def gpu_phases(config: TrainingConfig, memory: Sequence[MemoryRow], gpu_bytes: int) -> list[GpuPhase]:
    """Return the phases of each kind of GPU that the run uses, from the rows of `memory_estimate`.

    With `placement: colocated`, an engine and a learner rank have the same GPU in turn. While one works, the other
    keeps only its process there; `asleep_ram_bytes` says what it then takes in RAM.
    """
    learner = [row for row in memory if row.role == "learner"]
    engine = [row for row in memory if row.role == "rollout"]
    on_gpus = config.engines if config.engines and config.engines.gpus_per_actor else None
    pool = ("engine's share of the GPU", int(on_gpus.gpu_memory_share * gpu_bytes) if on_gpus else 0)
    held, peak = ("learner, between updates", held_bytes(learner)), ("learner, at its peak", peak_bytes(learner))
    if config.colocated and config.learner.gpus_per_rank and on_gpus:
        name = "engine and learner"
        sending = ("learner, sending weights", held_bytes(learner) + held_bytes(learner, Moment.SYNC))
        receiving = sum(row.num_bytes for row in engine if row.item in {"weights", "weight sync", "process"})
        return [
            GpuPhase(name, "sampling", (pool, ("learner asleep", _process_bytes(learner))), gpu_bytes),
            GpuPhase(name, "learning", (peak, ("engine asleep", _process_bytes(engine))), gpu_bytes),
            GpuPhase(name, "sending weights", (sending, ("engine without a cache", receiving)), gpu_bytes),
        ]
    phases = []
    if on_gpus:
        phases.append(GpuPhase("engine", "sampling and learning", (pool,), gpu_bytes))
    if config.learner.gpus_per_rank:
        phases.append(GpuPhase("learner", "sampling", (held,), gpu_bytes))
        phases.append(GpuPhase("learner", "learning", (peak,), gpu_bytes))
    return phases


def asleep_ram_bytes(config: TrainingConfig, memory: Sequence[MemoryRow]) -> int:
    """Return the RAM that an engine and a learner rank on one GPU take in turn; 0 unless they share GPUs.

    While the engine works, the learner has moved all that it holds to RAM. While the learner works, the engine keeps at
    most its weights there (vLLM's sleep level 1). The two are never asleep at the same time, so the larger counts.
    """
    if not (config.colocated and config.learner.gpus_per_rank):
        return 0
    learner = [row for row in memory if row.role == "learner" and row.item not in {"process", "margin"}]
    weights = sum(row.num_bytes for row in memory if (row.role, row.item) == ("rollout", "weights"))
    return max(held_bytes(learner), weights)


def _process_bytes(rows: Sequence[MemoryRow]) -> int:
    return sum(row.num_bytes for row in rows if row.item == "process")
