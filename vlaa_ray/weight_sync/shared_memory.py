"""Weights through files in /dev/shm: written once, mapped by every engine of the node, gone after the update.

    sender = SharedMemorySender("vlaa-quickstart-", manifest, bucket_bytes=256 << 20)
    for bucket in sender.buckets(tensors):      # a collective under ZeRO-3: to the end on every rank
        await engine.update_weights(asdict(bucket))

Tensors are taken from the iterator one at a time and copied into the file at once, so that the learner holds one
bucket and one tensor, however large the model. To another node the bytes travel by Ray's object store:
`pack_bucket` reads them here, `unpack_bucket` makes the same file there.
"""

from __future__ import annotations

import mmap
import os
import re
import secrets
import zlib
from collections.abc import Generator, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch

from vlaa_ray.errors import WeightSyncError
from vlaa_ray.models.dtypes import dtype_name, torch_dtype
from vlaa_ray.weight_sync.manifest import Manifest, TensorEntry

SHARED_MEMORY = Path("/dev/shm")  # a tmpfs of the node, not a folder for temporary files
_ALIGNMENT = 64  # bytes; a mapped tensor of any dtype may start there
_FILE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


@dataclass(frozen=True)
class Bucket:
    """Where a bucket's tensors lie in its file, and what they must hash to. Plain values: it travels as JSON."""

    file: str  # a name in /dev/shm
    nbytes: int
    names: list[str]
    dtypes: list[str]
    shapes: list[list[int]]
    offsets: list[int]
    checksums: list[int]  # CRC-32 of each tensor's bytes


class SharedMemorySender:
    """Writes a manifest's tensors into buckets; file names start with `prefix`, so that leftovers can be found."""

    def __init__(self, prefix: str, manifest: Manifest, bucket_bytes: int) -> None:
        self._prefix = prefix
        self._manifest = manifest
        self._plan = manifest.plan_buckets(bucket_bytes)

    def buckets(self, tensors: Iterable[tuple[str, torch.Tensor]]) -> Generator[Bucket, None, None]:
        """The buckets, one at a time; a bucket's file exists until the next one is asked for or the iterator closed.

        WeightSyncError if the tensors are not the manifest's, in its order, or /dev/shm is full.
        """
        stream = iter(tensors)
        for entries in self._plan:
            offsets = _offsets(entries)
            size = offsets[-1] + entries[-1].nbytes
            with _file(self._prefix, size) as (name, memory):
                checksums = [
                    _write(entry, memory[offset : offset + entry.nbytes], stream)
                    for entry, offset in zip(entries, offsets, strict=True)
                ]
                yield Bucket(
                    file=name,
                    nbytes=size,
                    names=[entry.name for entry in entries],
                    dtypes=[entry.dtype for entry in entries],
                    shapes=[list(entry.shape) for entry in entries],
                    offsets=offsets,
                    checksums=checksums,
                )
        _require_end(stream)


def take_part(tensors: Iterable[tuple[str, torch.Tensor]], manifest: Manifest, bucket_bytes: int) -> Iterator[int]:
    """What ranks that don't send do beside `buckets`: the same stream in the same pieces, checked, nothing written."""
    stream = iter(tensors)
    for entries in manifest.plan_buckets(bucket_bytes):
        for entry in entries:
            _take(entry, stream)
        yield len(entries)
    _require_end(stream)  # to the end: a gather may be open


def read_bucket(bucket: Bucket) -> Iterator[tuple[str, torch.Tensor]]:
    """The bucket's tensors, each a copy with its checksum verified; WeightSyncError names one that was altered.

    Copies, because vLLM's loaders keep what they are given until a layer is complete, and the file goes before that.
    """
    memory = _map(bucket)
    for name, dtype, shape, offset, expected in zip(
        bucket.names, bucket.dtypes, bucket.shapes, bucket.offsets, bucket.checksums, strict=True
    ):
        entry = TensorEntry(name, dtype, tuple(shape))
        copy = torch.empty(entry.nbytes, dtype=torch.uint8)
        np.copyto(copy.numpy(), memory[offset : offset + entry.nbytes])
        if (got := _checksum(copy.numpy())) != expected:
            raise WeightSyncError("a weight was altered on its way", name=name, got=got, expected=expected)
        yield name, copy.view(torch_dtype(dtype)).view(entry.shape)


def pack_bucket(bucket: Bucket) -> np.ndarray:
    """[nbytes] uint8: the bucket's bytes, mapped and read-only; for the way to another node."""
    return _map(bucket)


@contextmanager
def unpack_bucket(bucket: Bucket, data: np.ndarray, prefix: str) -> Iterator[Bucket]:
    """The bucket with `data` in a file of this node, which is gone at the end of the block."""
    with _file(prefix, bucket.nbytes) as (name, memory):
        np.copyto(memory, data)
        yield replace(bucket, file=name)


def _offsets(entries: tuple[TensorEntry, ...]) -> list[int]:
    offsets, end = [], 0
    for entry in entries:
        offsets.append(end)
        end += -(-entry.nbytes // _ALIGNMENT) * _ALIGNMENT
    return offsets


def _write(entry: TensorEntry, memory: np.ndarray, stream: Iterator[tuple[str, torch.Tensor]]) -> int:
    tensor = _take(entry, stream)
    torch.from_numpy(memory).view(tensor.dtype).view(tensor.shape).copy_(tensor)
    return _checksum(memory)


def _take(entry: TensorEntry, stream: Iterator[tuple[str, torch.Tensor]]) -> torch.Tensor:
    name, tensor = next(stream, ("nothing", torch.empty(0)))
    got = TensorEntry(name, dtype_name(tensor.dtype), tuple(tensor.shape))
    if got != entry:
        raise WeightSyncError("the source doesn't yield what its manifest says", got=str(got), expected=str(entry))
    return tensor.detach()


def _require_end(stream: Iterator[tuple[str, torch.Tensor]]) -> None:
    if (extra := next(stream, None)) is not None:
        raise WeightSyncError("the source has more tensors than its manifest", got=extra[0])


def _checksum(memory: np.ndarray) -> int:
    return zlib.crc32(memory.data)  # 3.5 GB/s on one core; an altered bit or a swap of two words changes it


@contextmanager
def _file(prefix: str, nbytes: int) -> Iterator[tuple[str, np.ndarray]]:
    name = f"{prefix}{secrets.token_hex(8)}"
    path = _path(name)
    try:
        yield name, _create(path, nbytes)
    finally:
        path.unlink(missing_ok=True)


def _create(path: Path, nbytes: int) -> np.ndarray:
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
        try:
            os.posix_fallocate(descriptor, 0, nbytes)  # a full /dev/shm fails here, not with SIGBUS at a write
            memory = mmap.mmap(descriptor, nbytes)
        finally:
            os.close(descriptor)
    except OSError as error:
        raise WeightSyncError(
            f"can't write weights to shared memory: {error.strerror}",
            file=str(path),
            needed_bytes=nbytes,
            fix="enlarge /dev/shm, or lower weight_sync.bucket_bytes",
        ) from error
    return np.frombuffer(memory, dtype=np.uint8)


def _map(bucket: Bucket) -> np.ndarray:
    path = _path(bucket.file)
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW)
        try:
            memory = mmap.mmap(descriptor, bucket.nbytes, prot=mmap.PROT_READ)
        finally:
            os.close(descriptor)
    except (OSError, ValueError) as error:  # ValueError: the file is shorter than it must be
        raise WeightSyncError(f"can't read weights from shared memory: {error}", file=str(path)) from error
    return np.frombuffer(memory, dtype=np.uint8)


def _path(name: str) -> Path:
    if not _FILE_NAME.fullmatch(name):
        raise WeightSyncError("not a name of a shared memory file", got=name, expected=_FILE_NAME.pattern)
    return SHARED_MEMORY / name
