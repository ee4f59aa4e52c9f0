"""One rank of the learner as a Ray actor."""

from __future__ import annotations

from collections import deque
from pathlib import Path
from typing import Any

import ray

from actors.process.environment import require_own_gpus
from actors.process.meeting_point import meeting_point
from actors.process.set_up import set_up_actor_process, tree_rss_bytes
from vlaa_ray.config import GrpoConfig
from vlaa_ray.run.parts import PartSender, bring_checkpoint


class LearnerActor:
    """One rank of the policy in training. All ranks must get the same calls in the same order."""

    def __init__(self, config: GrpoConfig, rank: int, log_file: str, shm_prefix: str, ranks_on_node: int) -> None:
        set_up_actor_process(log_file, shm_prefix)
        require_own_gpus(config.learner.gpus_per_rank)
        self._config = config
        self._rank = rank
        self._ranks_on_node = ranks_on_node
        self._shm_prefix = shm_prefix
        self._parts = PartSender(config, ranks_on_node, config.deadlines.checkpoint_s)
        self._pieces: Any = None
        self._nccl: Any = None

    def meeting_point(self) -> tuple[str, int, str]:
        """Return (address of this node, a free port on it, the node's id), where the other ranks connect to rank 0."""
        return *meeting_point(), ray.get_runtime_context().get_node_id()

    def start(self, master_address: str, master_port: int) -> None:
        """Load the model, and return when all ranks are connected."""
        from vlaa_ray.learner.deepspeed import set_rank_environment

        learner = self._config.learner
        set_rank_environment(
            self._rank,
            learner.num_ranks,
            master_address,
            master_port,
            cpu=learner.gpus_per_rank == 0,
            local_size=self._ranks_on_node,
        )
        from vlaa_ray.learner.rl import RLLearner

        self._learner = RLLearner(self._config)

    def accumulate(self, groups: list[Any]) -> None:
        """Add the gradient of the groups to the next update."""
        self._learner.accumulate(groups)

    def update(self, steps: list[Any]) -> tuple[int, dict[str, float]]:
        """Do the optimizer steps, and return (weight version afterwards, metrics over all ranks)."""
        metrics = self._learner.update(steps)
        return self._learner.weight_version, metrics

    def manifest(self) -> list[Any]:
        """Return the names, dtypes and shapes of all tensors that `next_bucket` gives, as plain lists."""
        return self._learner.core.manifest().to_wire()

    def next_bucket(self) -> Any:
        """Return the next bucket of weights; None after the last.

        Its bytes stay in this node's shared memory until the call after the next, so that engines load it meanwhile.
        All ranks must be called together. Only rank 0 returns buckets; the other ranks take part in the gathering.
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

    def drop_series(self) -> None:
        """End a series of buckets before its last one; their files in shared memory go."""
        if self._pieces is not None:
            self._pieces.close()
            self._pieces = None

    def packed_bucket(self) -> Any:
        """Return the current bucket's bytes, for engines on other nodes."""
        from vlaa_ray.weight_sync.shared_memory import pack_bucket

        assert self._bucket  # `next_bucket` was called before
        return pack_bucket(self._bucket)

    def open_broadcast(self, address: str, port: int, num_engine_ranks: int) -> None:
        """Open a new NCCL group with the engines, after closing the last one; on rank 0 only."""
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
        """Begin to write a checkpoint, or write it whole where the config says so; then ask `is_written`."""
        self._parts.prepare(Path(folder))
        save = self._learner.begin_save if self._config.copies_checkpoints else self._learner.save
        save(Path(folder))

    def is_written(self) -> bool:
        """See `LearnerCore.is_written`."""
        written: bool = self._learner.core.is_written()
        return written

    def hand_over(self, folder: str) -> None:
        """Send the files of a node with a disk of its own to the run's bucket; call it when all ranks have written."""
        self._parts.hand_over(Path(folder), self._learner.core.engine.num_ranks)

    def load(self, folder: str) -> int:
        """Restore what `save` wrote, and return the weight version."""
        bring_checkpoint(self._config, Path(folder))
        self._learner.load(Path(folder))
        return self._learner.weight_version

    def offload(self) -> None:
        """Move the learner from the GPU into RAM; on the CPU it is there already."""
        if self._config.learner.gpus_per_rank:
            self._learner.offload()

    def reload(self) -> None:
        """Bring back what `offload` moved."""
        if self._config.learner.gpus_per_rank:
            self._learner.reload()

    def rss_bytes(self) -> int:
        """Return the resident memory of this process and its children, in bytes."""
        return tree_rss_bytes()
