"""The Ray actor with one vLLM engine: it samples completions of prompts, and receives new weights in between."""

from __future__ import annotations

import asyncio
from contextlib import nullcontext
from dataclasses import asdict
from typing import Any

import numpy as np

from actors.process.set_up import set_up_actor_process, tree_rss_bytes
from vlaa_ray.config import FleetConfig
from vlaa_ray.errors import DataError
from vlaa_ray.records import SampledGroup
from vlaa_ray.roles import SampleRequest


class RolloutActor:
    """One engine. All methods run on one event loop, so that requests are sampled at the same time."""

    def __init__(self, config: FleetConfig, log_file: str, shm_prefix: str) -> None:
        set_up_actor_process(log_file, shm_prefix)
        self._config = config
        self._shm_prefix = shm_prefix
        self._staged: list[tuple[Any, Any]] = []

    async def start(self) -> None:
        """Start the engine with the weights of `model.path`; before sampling it must get the learner's weights.

        An engine that shares its device falls asleep at once, so that the learner can start.
        """
        from vlaa_ray.models.chat import chat_format_of
        from vlaa_ray.models.paths import local_path
        from vlaa_ray.rollout.engine import RolloutEngine

        config = self._config
        path = local_path(config.model.path)
        self._chat = chat_format_of(config.model)
        self._engine = await RolloutEngine.start(
            config.model,
            config.rollout,
            path,
            banned_token_ids=self._chat.banned_token_ids,
            transport=config.transport,
            sleeps=config.colocated,
            sync_deadline_s=config.weight_sync_s,
            name=config.run.name,
        )
        if config.colocated:
            await self._engine.weights.sleep(keep_weights=False)

    async def sample(self, request: SampleRequest) -> SampledGroup:
        """Return the prompt's completions; errors as for `RolloutEngine.sample`, but DataError for a refused prompt."""
        from vlaa_ray.images.decode import load
        from vlaa_ray.rollout.engine import PromptRefused

        prompt = request.prompt
        images = [await asyncio.to_thread(load, image) for image in prompt.images]
        try:
            return await self._engine.sample(
                self._chat.prompt_token_ids(prompt),
                images,
                num_samples=request.num_samples,
                seed=request.seed,
                temperature=request.temperature,
                top_p=request.top_p,
                max_tokens=request.max_completion_tokens,
                deadline_s=self._config.deadlines.rollout_s,
            )
        except PromptRefused as error:
            raise DataError(error.message, fix=error.fix, prompt_id=prompt.prompt_id, **error.facts) from error

    async def check_manifest(self, wire: list[Any]) -> None:
        """Compare the learner's tensors with the engine's, and open the transport; ModelError if they differ."""
        from vlaa_ray.weight_sync.manifest import Manifest

        self._manifest = Manifest.from_wire(wire)
        await self._engine.weights.check_manifest(self._manifest)
        if self._config.transport == "shared_memory":
            await self._engine.weights.init_weight_transfer_engine({})

    async def pause(self) -> None:
        """Finish the running requests, and take no new ones until `finish_and_resume`."""
        await self._engine.weights.pause()

    async def sleep(self, keep_weights: bool) -> None:
        """See `EngineWeights.sleep`."""
        await self._engine.weights.sleep(keep_weights=keep_weights)

    async def wake_weights(self) -> None:
        """See `EngineWeights.wake_weights`."""
        await self._engine.weights.wake_weights()

    async def wake_cache(self) -> None:
        """See `EngineWeights.wake_cache`."""
        await self._engine.weights.wake_cache()

    async def start_weight_update(self) -> None:
        """Prepare the engine for new weights; it must be paused."""
        await self._engine.weights.start_weight_update()

    async def join_broadcast(self, address: str, port: int, rank: int, num_ranks: int) -> None:
        """Leave the last NCCL group of the learner and join the new one."""
        from vlaa_ray.weight_sync.nccl import join_info

        size = self._config.bucket_bytes
        info = join_info(address=address, port=port, rank=rank, num_ranks=num_ranks, bucket_bytes=size)
        await self._engine.weights.init_weight_transfer_engine(info)

    async def receive_broadcast(self) -> None:
        """Receive all weights from the learner's NCCL group."""
        from vlaa_ray.weight_sync.nccl import update_info

        await self._engine.weights.load_bucket(update_info(self._manifest))

    async def load_bucket(self, bucket: Any, data: Any) -> None:
        """Load a bucket from this node's shared memory; `data` holds its bytes if it was made on another node."""
        from vlaa_ray.weight_sync.shared_memory import unpack_bucket

        block = nullcontext(bucket) if data is None else unpack_bucket(bucket, data, self._shm_prefix)
        with block as local:
            await self._engine.weights.load_bucket(asdict(local))

    async def stage_bucket(self, bucket: Any, data: Any) -> None:
        """Keep a bucket and its bytes in this process's RAM until `load_staged` or `drop_staged`."""
        self._staged.append((bucket, np.array(data)))  # a copy: Ray's object store need not keep the model

    async def load_staged(self) -> None:
        """Load all buckets that were staged into the paused engine."""
        staged, self._staged = self._staged, []
        await self.start_weight_update()
        for bucket, data in staged:
            await self.load_bucket(bucket, data)

    async def drop_staged(self) -> None:
        """Forget what was staged: the learner has newer weights."""
        self._staged.clear()

    async def finish_and_resume(self, weight_version: int) -> None:
        """Check that the update is complete, clear the caches, and sample with the new weights."""
        await self._engine.weights.finish_weight_update()
        await self._engine.weights.resume(weight_version)

    def node_id(self) -> str:
        """Return Ray's id of the node on which this actor runs."""
        import ray

        return ray.get_runtime_context().get_node_id()

    async def stay(self) -> None:
        """Never return: this call fails when the actor ends."""
        await asyncio.Event().wait()

    async def rss_bytes(self) -> int:
        """Return the resident memory of this process and its children, in bytes."""
        return await asyncio.to_thread(tree_rss_bytes)
