"""The weights in a model's folder as a source for `WeightSync`, in place of the ranks of a learner."""

from __future__ import annotations

import asyncio
from collections.abc import Generator
from pathlib import Path
from typing import Any

import ray

from vlaa_ray.config import ModelSection


class FolderWeights:
    """A `WeightSource` that reads a folder; the model is in this process's RAM while its weights are sent."""

    def __init__(self, model: ModelSection, folder: Path, shm_prefix: str, bucket_bytes: int) -> None:
        self._model, self._folder = model, folder
        self._shm_prefix, self._bucket_bytes = shm_prefix, bucket_bytes
        self._buckets: Generator[Any, None, None] | None = None
        self._bucket: Any = None
        self.weight_version = 0
        """The number of optimizer steps of the weights that are in the folder now; its writer sets this."""
        self.node_id = ray.get_runtime_context().get_node_id()
        self.turn = asyncio.Lock()

    async def manifest(self) -> list[Any]:
        """See `WeightSource`."""
        from vlaa_ray.weight_sync.manifest import Manifest

        return Manifest.of((await asyncio.to_thread(self._weights)).items()).to_wire()

    async def next_bucket(self) -> Any:
        """See `WeightSource`."""
        from vlaa_ray.weight_sync.manifest import Manifest
        from vlaa_ray.weight_sync.shared_memory import SharedMemorySender

        if self._buckets is None:
            weights = await asyncio.to_thread(self._weights)
            sender = SharedMemorySender(self._shm_prefix, Manifest.of(weights.items()), self._bucket_bytes)
            self._buckets = sender.buckets(weights.items())
        self._bucket = await asyncio.to_thread(next, self._buckets, None)
        if self._bucket is None:
            self._buckets = None
        return self._bucket

    @property
    def can_pause_series(self) -> bool:
        """See `WeightSource`."""
        return True

    async def recover(self) -> None:
        """See `WeightSource`; a folder is not lost."""

    async def drop_series(self) -> None:
        """See `WeightSource`."""
        if self._buckets is not None:
            self._buckets.close()
        self._buckets = None

    def packed_bucket(self) -> Any:
        """See `WeightSource`."""
        from vlaa_ray.weight_sync.shared_memory import pack_bucket

        return ray.put(pack_bucket(self._bucket))

    def _weights(self) -> dict[str, Any]:
        from vlaa_ray.models.loading import load_model

        return dict(load_model(self._model, self._folder).state_dict())
