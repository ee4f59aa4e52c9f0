"""What the learner sends to the engines: every tensor's name, dtype and shape, in the order of sending.

    manifest = Manifest.of(model.state_dict().items())
    for bucket in manifest.plan_buckets(256 << 20): ...

Names are Hugging Face's. Take `state_dict()`, not `named_parameters()`: the latter leaves out `lm_head.weight`
where it is tied to the embeddings, and an engine that packs its weights then keeps the old head.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from math import prod
from typing import Any, Protocol

from vlaa_ray.errors import WeightSyncError
from vlaa_ray.models.dtypes import ITEM_BYTES, dtype_name

_SHOWN = 6  # names of a difference that a message lists


class TensorLike(Protocol):
    """A tensor, or its description: all that a manifest needs to know of it."""

    @property
    def dtype(self) -> Any: ...

    @property
    def shape(self) -> Any: ...


@dataclass(frozen=True)
class TensorEntry:
    """One tensor; `dtype` as torch names it (`float32`), `shape` of the whole tensor, never of a shard."""

    name: str
    dtype: str
    shape: tuple[int, ...]

    @property
    def nbytes(self) -> int:
        return prod(self.shape) * ITEM_BYTES[self.dtype]


@dataclass(frozen=True)
class Manifest:
    """All tensors of an update, in order. Equal manifests describe the same stream of tensors."""

    entries: tuple[TensorEntry, ...]

    def __post_init__(self) -> None:
        names = [entry.name for entry in self.entries]
        if len(set(names)) < len(names):
            twice = sorted(name for name, count in Counter(names).items() if count > 1)
            raise WeightSyncError("a weight is listed twice", got=_some(twice))
        if unknown := sorted({entry.dtype for entry in self.entries} - ITEM_BYTES.keys()):
            raise WeightSyncError("weights of this dtype can't be sent", got=unknown, expected=sorted(ITEM_BYTES))

    @classmethod
    def of(cls, named: Iterable[tuple[str, TensorLike]]) -> Manifest:
        """The manifest of (name, tensor) pairs; only dtype and shape are read, so meta tensors serve as well."""
        entries = (TensorEntry(name, dtype_name(tensor.dtype), tuple(tensor.shape)) for name, tensor in named)
        return cls(tuple(entries))

    @classmethod
    def from_wire(cls, wire: Iterable[tuple[str, str, Iterable[int]]]) -> Manifest:
        return cls(tuple(TensorEntry(name, dtype, tuple(shape)) for name, dtype, shape in wire))

    def to_wire(self) -> list[tuple[str, str, list[int]]]:
        """The same as plain lists, for messages between processes."""
        return [(entry.name, entry.dtype, list(entry.shape)) for entry in self.entries]

    def __iter__(self) -> Iterator[TensorEntry]:
        return iter(self.entries)

    def __len__(self) -> int:
        return len(self.entries)

    @property
    def names(self) -> list[str]:
        return [entry.name for entry in self.entries]

    @property
    def nbytes(self) -> int:
        return sum(entry.nbytes for entry in self.entries)

    def plan_buckets(self, bucket_bytes: int) -> list[tuple[TensorEntry, ...]]:
        """The entries cut, in order, into pieces of at most `bucket_bytes`; a larger tensor is a bucket of its own."""
        buckets: list[list[TensorEntry]] = []
        room = 0
        for entry in self.entries:
            if not buckets or entry.nbytes > room:
                buckets.append([])
                room = bucket_bytes
            buckets[-1].append(entry)
            room -= entry.nbytes
        return [tuple(bucket) for bucket in buckets]

    def difference(self, engine: Manifest) -> str:
        """What a reader must know to repair it, or "" if both hold the same tensors (in whatever order)."""
        here = {entry.name: entry for entry in self.entries}
        there = {entry.name: entry for entry in engine.entries}
        differing = [
            f"{name}: the learner {_kind(here[name])}, the engine {_kind(there[name])}"
            for name in here
            if name in there and here[name] != there[name]
        ]
        parts = [
            _listed("the engine lacks", [name for name in here if name not in there]),
            _listed("the learner lacks", [name for name in there if name not in here]),
            _listed("not alike:", differing),
        ]
        return "; ".join(part for part in parts if part)


def _kind(entry: TensorEntry) -> str:
    return f"{entry.dtype}{list(entry.shape)}"


def _listed(head: str, names: list[str]) -> str:
    return f"{head} {len(names)}: {_some(names)}" if names else ""


def _some(names: list[str]) -> str:
    more = f", and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + more
