"""The transport of weights through two files in /dev/shm, written in turn and mapped by every engine of the node.

    sender = SharedMemorySender("vlaa-quickstart-", manifest, bucket_bytes=256 << 20)
    for bucket in sender.buckets(tensors):      # a collective under ZeRO-3: every rank iterates to the end
        await engine.load_bucket(asdict(bucket))    # at the same time the next bucket, if any, may be asked for

Tensors are taken from the iterator one at a time and copied into a file at once. So the learner holds two buckets
and one tensor only, for a model of any size. Another node gets the bytes through Ray's object store:
`pack_bucket` reads them here, `unpack_bucket` makes the same file there.
"""

from __future__ import annotations

import mmap
import os
import re
import secrets
import zlib
from collections.abc import Generator, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from itertools import cycle
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
    """The description of a bucket: where its tensors are in its file, and their checksums; it can be sent as JSON."""

    file: str  # a name in /dev/shm
    nbytes: int
    names: list[str]
    dtypes: list[str]
    shapes: list[list[int]]
    offsets: list[int]
    checksums: list[int]  # CRC-32 of each tensor's bytes
    is_last: bool = False  # its file goes when the iterator is asked for more


class SharedMemorySender:
    """The sender of a manifest's tensors; its file names start with `prefix`, so that leftovers can be found."""

    def __init__(self, prefix: str, manifest: Manifest, bucket_bytes: int) -> None:
        self._prefix = prefix
        self._manifest = manifest
        self._plan = manifest.plan_buckets(bucket_bytes)

    def buckets(self, tensors: Iterable[tuple[str, torch.Tensor]]) -> Generator[Bucket, None, None]:
        """Yield the buckets one at a time; a bucket's bytes are there until the bucket after the next is asked for.

        Both files are removed at the iterator's end.

        Raises:
            WeightSyncError: the tensors are not those of the manifest in its order, or /dev/shm is full.

        """
        stream = iter(tensors)
        sizes = [_size(entries) for entries in self._plan]
        with ExitStack() as stack:
            files = [
                stack.enter_context(_file(self._prefix, max(sizes[turn::2]))) for turn in range(min(2, len(sizes)))
            ]
            for entries, size, (name, memory) in zip(self._plan, sizes, cycle(files), strict=False):
                offsets = _offsets(entries)
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
                    is_last=entries is self._plan[-1],
                )
            _require_end(stream)


def take_part(
    tensors: Iterable[tuple[str, torch.Tensor]], manifest: Manifest, bucket_bytes: int
) -> Generator[int, None, None]:
    """Iterate over the same tensors as `buckets` on another rank, in the same pieces, without writing them.

    Yields the number of tensors of each bucket. The ranks that don't send use it, because gathering is a collective.

    Raises:
        WeightSyncError: the tensors are not those of the manifest in its order.

    """
    stream = iter(tensors)
    for entries in manifest.plan_buckets(bucket_bytes):
        for entry in entries:
            _take(entry, stream)
        yield len(entries)
    _require_end(stream)  # the iterator must reach its end, where an open gather is closed


def read_bucket(bucket: Bucket) -> Iterator[tuple[str, torch.Tensor]]:
    """Yield (name, tensor) of the bucket; each tensor is a copy whose checksum was verified.

    They are copies because vLLM's loaders keep tensors until a layer is complete, and the file changes before that.

    Raises:
        WeightSyncError: the file can't be read, or a tensor has another checksum.

    """
    memory = _map(bucket)
    for name, dtype, shape, offset, expected in zip(
        bucket.names, bucket.dtypes, bucket.shapes, bucket.offsets, bucket.checksums, strict=True
    ):
        entry = TensorEntry(name, dtype, tuple(shape))
        copy = torch.empty(entry.nbytes, dtype=torch.uint8)
        np.copyto(copy.numpy(), memory[offset : offset + entry.nbytes])
        if (got := _checksum(copy.numpy())) != expected:
            raise WeightSyncError("a weight was altered in transit", name=name, got=got, expected=expected)
        yield name, copy.view(torch_dtype(dtype)).view(entry.shape)


def pack_bucket(bucket: Bucket) -> np.ndarray:
    """Return the bucket's bytes [nbytes] uint8, mapped and read-only, to be sent to another node."""
    return _map(bucket)


@contextmanager
def unpack_bucket(bucket: Bucket, data: np.ndarray, prefix: str) -> Iterator[Bucket]:
    """Write `data` into a file of this node and yield its bucket; the file is removed at the end of the block."""
    with _file(prefix, bucket.nbytes) as (name, memory):
        np.copyto(memory, data)
        yield replace(bucket, file=name)


def _size(entries: tuple[TensorEntry, ...]) -> int:
    return _offsets(entries)[-1] + entries[-1].nbytes


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
        message = "a weight differs from its entry in the manifest (name, dtype, shape or order)"
        raise WeightSyncError(message, got=str(got), expected=str(entry))
    return tensor.detach()


def _require_end(stream: Iterator[tuple[str, torch.Tensor]]) -> None:
    if (extra := next(stream, None)) is not None:
        raise WeightSyncError("there are more weights than their manifest says", got=extra[0])


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
        raise WeightSyncError("this is not the name of a shared memory file", got=name, expected=_FILE_NAME.pattern)
    return SHARED_MEMORY / name
