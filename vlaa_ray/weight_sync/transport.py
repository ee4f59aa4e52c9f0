"""How weights get from the learner to the engines: one small interface, two ways.

`SharedMemoryTransport` (shared_memory.py) serves CPUs and GPUs, `NcclTransport` (nccl.py) GPUs. Both live in the
learner's rank 0 and drive the engines through an `EngineClient`; other ranks only iterate the same tensors, because
gathering them is a collective.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    import torch


class EngineClient(Protocol):
    """All engines as one, with vLLM's names: each call returns when every engine has done it, and has a deadline."""

    def init_weight_transfer_engine(self, init_info: dict[str, Any]) -> None: ...

    def start_weight_update(self) -> None: ...

    def update_weights(self, update_info: dict[str, Any] | list[dict[str, Any]]) -> None: ...

    def finish_weight_update(self, weight_version: str | None = None) -> None: ...


class WeightTransport(Protocol):
    """One way to send weights. The engines are paused before `send` and resumed after it by the caller."""

    def send(self, tensors: Iterable[tuple[str, torch.Tensor]]) -> None:
        """Send the manifest's tensors, in its order; WeightSyncError if they are not those or don't arrive."""

    def close(self) -> None: ...
