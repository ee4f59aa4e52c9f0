"""The description of the weights that the learner sends: name, dtype and shape of every tensor, in order.

    manifest = Manifest.of(model.state_dict().items())
    for bucket in manifest.plan_buckets(256 << 20): ...

Names are Hugging Face's. Use `state_dict()`, not `named_parameters()`: the latter leaves out an `lm_head.weight` that
is tied to the embeddings, and an engine that packs its weights then keeps the old head.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from math import prod
from typing import Any, Protocol

from vlaa_ray.errors import WeightSyncError
from vlaa_ray.models.dtypes import ITEM_BYTES, dtype_name

_SHOWN = 6  # the largest number of names that a message lists


class TensorLike(Protocol):
    """A tensor or its description; a manifest needs only dtype and shape."""

    @property
    def dtype(self) -> Any:
        """The dtype, whose text names it as torch does (`torch.float32`)."""

    @property
    def shape(self) -> Any:
        """The shape, a sequence of numbers."""


@dataclass(frozen=True)
class TensorEntry:
    """The description of one tensor; `dtype` is torch's name (`float32`), `shape` that of the unsharded tensor."""

    name: str
    dtype: str
    shape: tuple[int, ...]

    @property
    def nbytes(self) -> int:
        """The size of the tensor in bytes."""
        return prod(self.shape) * ITEM_BYTES[self.dtype]


@dataclass(frozen=True)
class Manifest:
    """The descriptions of all tensors of an update, in order.

    Raises:
        WeightSyncError: a name is listed twice, or a dtype can't be sent.

    """

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
        """Return the manifest of (name, tensor) pairs; only dtype and shape are read, so meta tensors will do."""
        entries = (TensorEntry(name, dtype_name(tensor.dtype), tuple(tensor.shape)) for name, tensor in named)
        return cls(tuple(entries))

    @classmethod
    def from_wire(cls, wire: Iterable[tuple[str, str, Iterable[int]]]) -> Manifest:
        """Return the manifest that `to_wire` has turned into plain lists."""
        return cls(tuple(TensorEntry(name, dtype, tuple(shape)) for name, dtype, shape in wire))

    def to_wire(self) -> list[tuple[str, str, list[int]]]:
        """Return the manifest as plain lists, for messages between processes."""
        return [(entry.name, entry.dtype, list(entry.shape)) for entry in self.entries]

    def __iter__(self) -> Iterator[TensorEntry]:
        return iter(self.entries)

    def __len__(self) -> int:
        return len(self.entries)

    @property
    def names(self) -> list[str]:
        """The names of all tensors, in order."""
        return [entry.name for entry in self.entries]

    @property
    def nbytes(self) -> int:
        """The size of all tensors in bytes."""
        return sum(entry.nbytes for entry in self.entries)

    def plan_buckets(self, bucket_bytes: int) -> list[tuple[TensorEntry, ...]]:
        """Return the entries, in order, in buckets of at most `bucket_bytes`; a larger tensor gets its own bucket."""
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
        """Return a sentence that names the differing tensors, or "" if both hold the same tensors (in any order)."""
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
            _listed("different dtype or shape in", differing),
        ]
        return "; ".join(part for part in parts if part)


def _kind(entry: TensorEntry) -> str:
    return f"{entry.dtype}{list(entry.shape)}"


def _listed(head: str, names: list[str]) -> str:
    return f"{head} {len(names)}: {_some(names)}" if names else ""


def _some(names: list[str]) -> str:
    more = f", and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + more
