"""Weights over NCCL: vLLM's own packed broadcast from the learner's rank 0 to every engine's GPUs.

The engines join as ranks 1, 2, ... after the learner's 0. vLLM hands every engine the same rank offset, which
suits one engine; `with_rank_offsets` gives each of several its own.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

from vlaa_ray.weight_sync.manifest import Manifest
from vlaa_ray.weight_sync.transport import EngineClient

if TYPE_CHECKING:
    import torch


class NcclTransport:
    """`WeightTransport` over NCCL; made on the learner's rank 0, while the engines' clients are ready to join.

    `num_engine_ranks` is the number of GPUs of all engines together; `bucket_bytes` the size of one broadcast.
    """

    def __init__(
        self,
        client: EngineClient,
        manifest: Manifest,
        *,
        address: str,
        port: int,
        num_engine_ranks: int,
        bucket_bytes: int,
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
        self._engine = WeightTransferTrainerFactory.trainer_init(info, client=client, source=self._source)

    def send(self, tensors: Iterable[tuple[str, torch.Tensor]]) -> None:
        self._source.tensors = tensors
        self._engine.send_weights()

    def close(self) -> None:
        self._engine.shutdown()


def with_rank_offsets(init_info: dict[str, Any], num_engines: int, ranks_per_engine: int) -> list[dict[str, Any]]:
    """The handshake message for each engine, in order: the same, with ranks of its own."""
    first = init_info["rank_offset"]
    return [{**init_info, "rank_offset": first + index * ranks_per_engine} for index in range(num_engines)]


def _source(manifest: Manifest) -> Any:
    import torch
    from vllm.distributed.weight_transfer.base import ParamMeta, WeightSource

    class Source(WeightSource):
        tensors: Iterable[tuple[str, torch.Tensor]] = ()

        def metadata(self) -> list[ParamMeta]:
            return [ParamMeta(entry.name, getattr(torch, entry.dtype), entry.shape) for entry in manifest]

        def __iter__(self) -> Iterator[tuple[str, torch.Tensor]]:
            for name, tensor in self.tensors:  # packing keeps them until a buffer is full; ZeRO-3 takes them back
                yield name, tensor.detach().clone()

    return Source()
