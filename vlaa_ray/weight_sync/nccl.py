"""Weights over NCCL: vLLM's own packed broadcast from the learner's rank 0 to every engine's GPUs.

The engines join as ranks 1, 2, ... after the learner's 0. Whoever calls this also calls the engines: `open` with their
`init_weight_transfer_engine`, `send` with their `update_weights`, both at the same time.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

from vlaa_ray.models.dtypes import torch_dtype
from vlaa_ray.weight_sync.manifest import Manifest

if TYPE_CHECKING:
    import torch


class NcclSender:
    """The learner's end of the broadcast; returns from the constructor once all engines have joined.

    `num_engine_ranks` is the number of GPUs of all engines together; `bucket_bytes` the size of one broadcast.
    """

    def __init__(
        self, manifest: Manifest, *, address: str, port: int, num_engine_ranks: int, bucket_bytes: int
    ) -> None:
        from vllm.distributed.weight_transfer.factory import WeightTransferTrainerFactory
        from vllm.distributed.weight_transfer.nccl_engine import NCCLTrainerInitInfo

        info = NCCLTrainerInitInfo(
            master_address=address,
            master_port=port,
            world_size=1 + num_engine_ranks,
            packed_buffer_size_bytes=bucket_bytes,
            rank=0,
        )
        self._source = _source(manifest)
        self._engine = WeightTransferTrainerFactory.trainer_init(info, client=_CalledElsewhere(), source=self._source)

    def send(self, tensors: Iterable[tuple[str, torch.Tensor]]) -> None:
        """Broadcast the manifest's tensors, in its order."""
        import torch

        torch.cuda.synchronize()  # packing reads on streams of its own
        self._source.tensors = tensors
        self._engine.send_weights()

    def close(self) -> None:
        self._engine.shutdown()


def join_info(*, address: str, port: int, rank: int, num_ranks: int, bucket_bytes: int) -> dict[str, Any]:
    """What an engine needs to join as `rank` of `num_ranks`; an engine of several GPUs takes the ranks after it too."""
    from vllm.distributed.weight_transfer.packed_tensor import DEFAULT_PACKED_NUM_BUFFERS

    return {
        "master_address": address,
        "master_port": port,
        "rank_offset": rank,
        "world_size": num_ranks,
        "packed": True,
        "packed_buffer_size_bytes": bucket_bytes,
        "packed_num_buffers": DEFAULT_PACKED_NUM_BUFFERS,
    }


def update_info(manifest: Manifest) -> dict[str, Any]:
    """What an engine needs to receive one broadcast of the manifest's tensors."""
    return {
        "names": manifest.names,
        "dtype_names": [entry.dtype for entry in manifest],
        "shapes": [list(entry.shape) for entry in manifest],
    }


class _CalledElsewhere:
    """vLLM's trainer would call the engines from its own process; they are actors, and called by the driver."""

    def init_weight_transfer_engine(self, init_info: dict[str, Any]) -> None: ...

    def start_weight_update(self) -> None: ...

    def update_weights(self, update_info: dict[str, Any] | list[dict[str, Any]]) -> None: ...

    def finish_weight_update(self, weight_version: str | None = None) -> None: ...


def _source(manifest: Manifest) -> Any:
    from vllm.distributed.weight_transfer.base import ParamMeta, WeightSource

    class Source(WeightSource):
        tensors: Iterable[tuple[str, torch.Tensor]] = ()

        def metadata(self) -> list[ParamMeta]:
            return [ParamMeta(entry.name, torch_dtype(entry.dtype), entry.shape) for entry in manifest]

        def __iter__(self) -> Iterator[tuple[str, torch.Tensor]]:
            for name, tensor in self.tensors:  # packing keeps them until a buffer is full; ZeRO-3 takes them back
                yield name, tensor.detach().clone()

    return Source()
