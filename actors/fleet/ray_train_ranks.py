"""What Ray Train does with its workers before the loop runs on them: each one learns its rank and where they meet.

Ray Train's own backend opens torch's process group with a store that listens on every interface of the machine.
Here `vlaa_ray.learner.deepspeed` opens it, on the ranks of GRPO and of training on written answers alike.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ray.train.backend import Backend
from ray.train.torch import TorchConfig

from actors.process.meeting_point import meeting_point


@dataclass
class RanksConfig(TorchConfig):
    """Torch's devices as Ray Train sets them, with ranks that meet in our own way."""

    cpu: bool = True
    """Whether the ranks have no GPU."""

    @property
    def backend_cls(self) -> type[Backend]:
        """The steps that Ray Train takes at the start."""
        return _RanksBackend


class _RanksBackend(Backend):
    share_cuda_visible_devices = True

    def on_start(self, worker_group: Any, backend_config: RanksConfig) -> None:
        address, port = worker_group.execute_single(0, meeting_point)
        worker_group.execute(_prepare_rank, address, port, cpu=backend_config.cpu)


def _prepare_rank(address: str, port: int, *, cpu: bool) -> None:
    import ray.train

    from vlaa_ray.learner.deepspeed import set_rank_environment

    context = ray.train.get_context()
    set_rank_environment(
        context.get_world_rank(),
        context.get_world_size(),
        address,
        port,
        cpu=cpu,
        local_rank=context.get_local_rank(),
        local_size=context.get_local_world_size(),
    )
