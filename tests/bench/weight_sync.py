"""Weights through shared memory, from one process to another: seconds a GB, with the buckets in turn and overlapped.

The receiver reads and checks every tensor as an engine's worker does, without vLLM.
"""

from __future__ import annotations

import multiprocessing
import os
import statistics
import time
from collections import deque
from concurrent.futures import Future, ProcessPoolExecutor
from functools import partial

from common import show

SIZE_BYTES, BUCKET_BYTES, TENSOR_BYTES, REPEATS = 1 << 30, 128 << 20, 16 << 20, 3


def receive(bucket) -> int:
    """The number of tensors of one bucket, read and checked."""
    import torch

    from vlaa_ray.weight_sync.shared_memory import read_bucket

    torch.set_num_threads(1)
    return len(list(read_bucket(bucket)))


def buckets_of(weights):
    from vlaa_ray.weight_sync.manifest import Manifest
    from vlaa_ray.weight_sync.shared_memory import SharedMemorySender

    sender = SharedMemorySender(f"vlaa-bench-{os.getpid()}-", Manifest.of(weights.items()), BUCKET_BYTES)
    return sender.buckets(weights.items())


def write(weights) -> float:
    """Seconds that the sender needs alone."""
    start = time.monotonic()
    deque(buckets_of(weights), 0)
    return time.monotonic() - start


def send(weights, receiver: ProcessPoolExecutor, *, overlapped: bool) -> float:
    """Seconds until all weights are there."""
    start, running, arrived = time.monotonic(), done(), 0
    for bucket in buckets_of(weights):
        arrived += running.result()
        running = receiver.submit(receive, bucket)
        if bucket.is_last or not overlapped:
            arrived += running.result()
            running = done()
    assert arrived == len(weights)
    return time.monotonic() - start


def done() -> Future[int]:
    future: Future[int] = Future()
    future.set_result(0)
    return future


def main() -> None:
    import torch

    torch.set_num_threads(1)
    number = TENSOR_BYTES // 2
    weights = {f"layer.{i}": torch.randn(number).bfloat16() for i in range(SIZE_BYTES // TENSOR_BYTES)}
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=context) as receiver:
        modes = {
            "written, not read": partial(write, weights),
            "in turn": partial(send, weights, receiver, overlapped=False),
            "overlapped": partial(send, weights, receiver, overlapped=True),
        }
        for run in modes.values():  # imports, and the first touch of all memory
            run()
        seconds: dict[str, list[float]] = {name: [] for name in modes}
        for _ in range(REPEATS):
            for name, run in modes.items():
                seconds[name].append(run())
    gigabytes = SIZE_BYTES / 1e9
    rows = [[name, f"{statistics.median(each) / gigabytes:.2f}"] for name, each in seconds.items()]
    note = "Overlapped, the longer half counts, if each half has a core."
    show("Weights through shared memory", ["buckets", "s/GB"], rows, note)


if __name__ == "__main__":
    main()
