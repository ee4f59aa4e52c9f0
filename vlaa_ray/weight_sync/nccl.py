"""The transport of weights over NCCL: vLLM's own packed broadcast from the learner's rank 0 to the GPUs of all engines.

The learner is rank 0 of the broadcast; the engines join as ranks 1, 2, ... The caller must call both sides at the
same time: `NcclSender(...)` here with `init_weight_transfer_engine` of the engines, and `send` with
`EngineWeights.load_bucket`.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from types import ModuleType
from typing import TYPE_CHECKING, Any

from vlaa_ray.models.dtypes import torch_dtype
from vlaa_ray.weight_sync.manifest import Manifest

if TYPE_CHECKING:
    import torch


class NcclSender:
    """The learner's end of the broadcast. The constructor returns when all engines have joined.

    `num_engine_ranks` is the number of GPUs of all engines together, `bucket_bytes` the size of one broadcast.
    """

    def __init__(
        self, manifest: Manifest, *, address: str, port: int, num_engine_ranks: int, bucket_bytes: int
    ) -> None:
        # vLLM's settings for its own processes, such as one thread for compiling, are not for the learner
        sys.modules.setdefault("vllm.env_override", ModuleType("vllm.env_override"))
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
        """Broadcast the manifest's tensors; `tensors` must yield them in its order."""
        import torch

        torch.cuda.synchronize()  # packing reads on its own streams
        self._source.tensors = tensors
        self._engine.send_weights()

    def close(self) -> None:
        """Leave the group of the broadcast."""
        self._engine.shutdown()


def join_info(*, address: str, port: int, rank: int, num_ranks: int, bucket_bytes: int) -> dict[str, Any]:
    """Return the arguments with which an engine joins as `rank` of `num_ranks`.

    An engine with several GPUs takes the next ranks too.
    """
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
    """Return the arguments with which an engine receives one broadcast of the manifest's tensors."""
    return {
        "names": manifest.names,
        "dtype_names": [entry.dtype for entry in manifest],
        "shapes": [list(entry.shape) for entry in manifest],
    }


class _CalledElsewhere:
    """A client that does nothing: vLLM's trainer would call the engines itself, but here the driver calls them."""

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
            for name, tensor in self.tensors:  # copies: packing keeps tensors until a buffer is full, ZeRO-3 does not
                yield name, tensor.detach().clone()

    return Source()
