"""A vLLM engine in the test's own process: its weights are updated call by call, as the fleet does it."""

import asyncio
from contextlib import closing
from dataclasses import asdict

from vlaa_ray.weight_sync.manifest import Manifest
from vlaa_ray.weight_sync.shared_memory import SharedMemorySender


async def buckets_of(weights, prefix, bucket_bytes=1 << 20):
    """The weights in buckets in shared memory; to be closed by who does not read to the end."""
    sender = SharedMemorySender(prefix, Manifest.of(weights.items()), bucket_bytes)
    with closing(sender.buckets(weights.items())) as buckets:
        for bucket in buckets:
            yield bucket


async def update_weights(engine, buckets, version):
    """The calls of `RolloutActor` in the order of `WeightSync.publish`."""
    await engine.weights.pause()
    await engine.weights.start_weight_update()
    async for bucket in buckets:
        await engine.weights.load_bucket(asdict(bucket))
    await engine.weights.finish_weight_update()
    await engine.weights.resume(version)


async def end(engine, deadline_s=30):
    """End the engine's processes; in a run they end with their actor."""
    if engine._llm.output_handler is not None:
        engine._llm.output_handler.cancel()  # or it takes the end for a death, and logs it
    async with asyncio.timeout(deadline_s + 10):
        await asyncio.to_thread(engine._llm.shutdown, timeout=deadline_s)
    engine._llm.shutdown = lambda: None  # __del__ calls it again, at exit without the modules it needs
