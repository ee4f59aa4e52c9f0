"""Measurements of what feeds a GPU and takes its results: pictures into batches, and weights into shared memory."""

from __future__ import annotations

import io
import mmap
import os
import secrets
import zlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial

import numpy as np
import torch
from harness import Bench

from vlaa_ray.models.batches import PackingTools, Row, collate
from vlaa_ray.records import ImageRef
from vlaa_ray.weight_sync.manifest import Manifest
from vlaa_ray.weight_sync.shared_memory import SHARED_MEMORY, SharedMemorySender, read_bucket

PIECE_BYTES = 64 << 20


def collating(bench: Bench) -> None:
    """Batches of one group with a picture each, collated by 1 and by 8 threads."""
    tools, rows = _pictures(bench)
    torch.set_num_threads(1)  # the threads that count are those of the pool
    seconds = {}
    for threads in (1, 8):
        with ThreadPoolExecutor(threads) as pool:
            collated = partial(pool.map, partial(collate, tools=tools))
            _, seconds[threads] = bench.timed(lambda collated=collated: list(collated([[row] for row in rows])))
        bench.note(f"{threads} threads", len(rows) / seconds[threads], "pictures/s")
    bench.note("8 threads over 1", seconds[1] / seconds[8])


def device_to_shared_memory(bench: Bench) -> None:
    """Bytes of the device into a file in shared memory, with their CRC, in pieces of 64 MiB."""
    size = bench.sizes.sync_bytes
    source = torch.randint(256, (size,), dtype=torch.uint8, device=bench.device)
    with _shared(size) as memory:
        target = torch.from_numpy(memory)
        pieces = [slice(start, start + PIECE_BYTES) for start in range(0, size, PIECE_BYTES)]
        first, later = bench.timed(lambda: target.copy_(source))
        bench.note("copy into a new file", size / first / 1e9, "GB/s")
        bench.note("copy into a file that was written before", size / later / 1e9, "GB/s")
        _, seconds = bench.timed(lambda: [zlib.crc32(memory[piece].data) for piece in pieces])
        bench.note("CRC, 1 thread", size / seconds / 1e9, "GB/s")
        with ThreadPoolExecutor(4) as pool:
            _, seconds = bench.timed(lambda: list(pool.map(lambda piece: zlib.crc32(memory[piece].data), pieces)))
            bench.note("CRC, 4 threads", size / seconds / 1e9, "GB/s")

            def overlapped() -> None:
                copies = []
                for piece in pieces:
                    target[piece].copy_(source[piece])
                    copies.append(pool.submit(zlib.crc32, memory[piece].data))
                for copy in copies:
                    copy.result(60)

            _, seconds = bench.timed(overlapped)
            bench.note("copy, with the CRC of a piece beside the next copy", size / seconds / 1e9, "GB/s")
        if bench.device.type == "cuda":
            _registered(bench, source, target)
    _project_path(bench, source)


def _registered(bench: Bench, source: torch.Tensor, target: torch.Tensor) -> None:
    """Note the copy into the same file after its pages were pinned."""
    runtime = torch.cuda.cudart()
    result = runtime.cudaHostRegister(target.data_ptr(), target.nbytes, 0)
    if result != runtime.cudaError.success:
        bench.note("copy into a pinned file", f"cudaHostRegister refuses: {result}")
        return
    _, seconds = bench.timed(lambda: target.copy_(source, non_blocking=True))
    bench.note("copy into a pinned file", target.nbytes / seconds / 1e9, "GB/s")
    runtime.cudaHostUnregister(target.data_ptr())


def _project_path(bench: Bench, source: torch.Tensor) -> None:
    """Note the weight transfer as it is: the learner's side and one engine's side, one after the other."""
    pieces = source.view(torch.bfloat16).split(PIECE_BYTES // 2)
    tensors = [(f"weight.{number}", piece) for number, piece in enumerate(pieces)]
    sender = SharedMemorySender("vlaa-measure-", Manifest.of(tensors), bucket_bytes=256 << 20)
    _, written = bench.timed(lambda: [None for _ in sender.buckets(iter(tensors))])
    bench.note("the project's sender: write and CRC", source.nbytes / written / 1e9, "GB/s")
    _, both = bench.timed(lambda: [list(read_bucket(bucket)) for bucket in sender.buckets(iter(tensors))])
    bench.note("sender and reader in turn", source.nbytes / both / 1e9, "GB/s")


@contextmanager
def _shared(size: int) -> Iterator[np.ndarray]:
    """Yield the memory of a new file in shared memory."""
    path = SHARED_MEMORY / f"vlaa-measure-{secrets.token_hex(8)}"
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        os.ftruncate(descriptor, size)
        yield np.frombuffer(mmap.mmap(descriptor, size), dtype=np.uint8)
    finally:
        os.close(descriptor)
        path.unlink()


def _pictures(bench: Bench) -> tuple[PackingTools, list[Row]]:
    """Return the tools of the built-in model and a row for each picture; needs pydantic, Pillow and torchvision."""
    from PIL import Image

    from vlaa_ray.config.sections import ModelSection
    from vlaa_ray.models.batch_tools import packing_tools
    from vlaa_ray.models.chat import chat_format_of
    from vlaa_ray.models.families import family_of
    from vlaa_ray.models.loading import load_model

    section = ModelSection(path="builtin:tiny-base", min_pixels=56 * 56, max_pixels=1003520)
    model, chat = load_model(section), chat_format_of(section)
    width, height = bench.sizes.picture_px
    random, rows = np.random.default_rng(0), []
    for _ in range(bench.sizes.num_pictures):
        encoded = io.BytesIO()
        coarse = random.integers(0, 256, (height // 14, width // 14, 3), dtype=np.uint8)
        Image.fromarray(coarse).resize((width, height)).save(encoded, "JPEG", quality=90)
        image = ImageRef.from_bytes(encoded.getvalue(), width_px=width, height_px=height)
        num_tokens = family_of(model.config).num_image_tokens(model.config, chat.processor, image)
        ids = np.array([*[chat.image_token_id] * num_tokens, *[5] * 50], dtype=np.int32)
        completions = tuple(np.full(250, 5, dtype=np.int32) for _ in range(4))
        rows.append(Row(prompt_token_ids=ids, images=(image,), completions=completions, sequence_ids=(0, 1, 2, 3)))
    return packing_tools(model, chat), rows
