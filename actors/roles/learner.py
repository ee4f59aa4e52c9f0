"""One rank of the learner as a Ray actor."""

from __future__ import annotations

from collections import deque
from pathlib import Path
from typing import Any

import ray

from actors.process.meeting_point import meeting_point
from actors.process.set_up import set_up_actor_process, tree_rss_bytes
from vlaa_ray.config import GrpoConfig


class LearnerActor:
    """One rank of the policy in training. All ranks must be called alike, and together."""

    def __init__(self, config: GrpoConfig, rank: int, log_file: str, shm_prefix: str) -> None:
        set_up_actor_process(log_file, shm_prefix)
        self._config = config
        self._rank = rank
        self._shm_prefix = shm_prefix
        self._pieces: Any = None
        self._nccl: Any = None

    def meeting_point(self) -> tuple[str, int, str]:
        """(address of this node, a free port on it, the node's id): the other ranks meet rank 0 there."""
        return *meeting_point(), ray.get_runtime_context().get_node_id()

    def start(self, master_address: str, master_port: int) -> None:
        """Load the model; returns when all ranks have met."""
        from vlaa_ray.learner.deepspeed import set_rank_environment

        learner = self._config.learner
        set_rank_environment(self._rank, learner.num_ranks, master_address, master_port, cpu=learner.gpus_per_rank == 0)
        from vlaa_ray.learner.rl import RLLearner

        self._learner = RLLearner(self._config)

    def update(self, steps: list[Any]) -> tuple[int, dict[str, float]]:
        """(weight version afterwards, metrics over all ranks)."""
        metrics = self._learner.update(steps)
        return self._learner.weight_version, metrics

    def manifest(self) -> list[Any]:
        """Names, dtypes and shapes of all tensors that `next_bucket` gives, in wire form."""
        return self._learner.core.manifest().to_wire()

    def next_bucket(self) -> Any:
        """The next piece of the weights, in shared memory of this node until the next call; None after the last.

        All ranks are called together; only rank 0 answers with buckets, the others take part in gathering.
        """
        from vlaa_ray.weight_sync.shared_memory import SharedMemorySender, take_part

        if self._pieces is None:
            core, size = self._learner.core, self._config.weight_sync.bucket_bytes
            manifest = core.manifest()
            if self._rank == 0:
                self._pieces = SharedMemorySender(self._shm_prefix, manifest, size).buckets(core.weights())
            else:
                self._pieces = take_part(core.weights(), manifest, size)
        self._bucket = next(self._pieces, None)
        if self._bucket is None:
            self._pieces = None
        return self._bucket

    def packed_bucket(self) -> Any:
        """The current bucket's bytes, for engines on other nodes."""
        from vlaa_ray.weight_sync.shared_memory import pack_bucket

        assert self._bucket  # it has been asked for before
        return pack_bucket(self._bucket)

    def open_broadcast(self, address: str, port: int, num_engine_ranks: int) -> None:
        """Open a new NCCL group with the engines in the place of the last one; on rank 0 only."""
        from vlaa_ray.weight_sync.nccl import NcclSender

        if self._nccl is not None:
            self._nccl.close()
        self._nccl = NcclSender(
            self._learner.core.manifest(),
            address=address,
            port=port,
            num_engine_ranks=num_engine_ranks,
            bucket_bytes=self._config.weight_sync.bucket_bytes,
        )

    def broadcast(self) -> None:
        """Gather the weights on all ranks; rank 0 sends them to the NCCL group."""
        weights = self._learner.core.weights()
        if self._rank == 0:
            self._nccl.send(weights)
        else:
            deque(weights, maxlen=0)

    def save(self, folder: str) -> None:
        """See `RLLearner.save`."""
        self._learner.save(Path(folder))

    def load(self, folder: str) -> int:
        """Restore what `save` wrote; returns the weight version."""
        self._learner.load(Path(folder))
        return self._learner.weight_version

    def rss_bytes(self) -> int:
        """Resident memory of this process and its children, in bytes."""
        return tree_rss_bytes()
