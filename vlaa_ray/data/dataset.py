"""Where prompts come from, and in which order a run takes them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence
from typing import Any, Generic, TypeVar

import numpy as np

from vlaa_ray.config import DataSection, Source, SourceSection
from vlaa_ray.data.builtin import BUILTIN, BuiltinData
from vlaa_ray.data.files.sources import record_files
from vlaa_ray.data.fingerprint import Digest, fingerprint, mixed
from vlaa_ray.data.readers import Opened, open_prompts
from vlaa_ray.errors import DataError
from vlaa_ray.records import PAPER_TYPES, VERIFIER_TYPES, Defect, Prompt

UNSOLVED = "the record has no worked answer to learn from"
Item = TypeVar("Item")


def open_dataset(
    source: Source,
    data: DataSection,
    limit: int | None,
    verifier_types: Collection[str] = VERIFIER_TYPES,
    quarantine: list[Defect] | None = None,
    *,
    solved: bool = False,
) -> Sequence[Prompt]:
    """The first `limit` prompts of what the config names: `builtin:SPLIT`, a file, or several that are mixed.

    A record that can't be read, wants another verifier than `verifier_types`, or lacks the worked answer that `solved`
    asks for, is a DataError. With a list for `quarantine` it is left out and added to that, unless those are all of
    a file's records, or more than `data.max_bad_share`.
    """
    if not isinstance(source, str):
        parts = [_open(one, data, verifier_types, quarantine, solved) for one in source]
        weights = [one.weight for one in source]
        digests = [fingerprint(part, solved=solved)["sha256"] for part in parts]
        return first(Mixture(parts, weights, mixed([one.path for one in source], digests, weights)), limit)
    return first(_open(data.alone(source), data, verifier_types, quarantine, solved), limit)


def _open(
    source: SourceSection, data: DataSection, known: Collection[str], quarantine: list[Defect] | None, solved: bool
) -> Sequence[Prompt]:
    wanted = _Wanted(data.verifier_types, source.max_per_source, solved)
    prompts: Sequence[Prompt] = []
    if source.path.startswith(BUILTIN):
        types = PAPER_TYPES if data.verifier_types is None else data.verifier_types
        prompts = BuiltinData(source.path.removeprefix(BUILTIN), types)
        if source.max_per_source:
            prompts = [prompt for prompt in prompts if wanted(prompt)]
    else:
        parts = []
        for file in record_files(source.path):
            opened = open_prompts(file, source.image_root, known, source.verifier_type, wanted, data.fetch)
            leave_out(opened, data.max_bad_share, quarantine)
            if opened.items:
                parts.append(opened.items)
        if parts:
            digest = str(wanted.digest)
            prompts = Mixture(parts, [1.0] * len(parts), {"sha256": digest, "sources": {source.path: digest}})
    if not prompts:
        raise DataError("no prompt is left", file=source.path, fix="look at data.verifier_types and at the file")
    return prompts


class _Wanted:
    """Says of prompt after prompt whether it is of the verifier types (None: of any) and not one too many.

    DataError where it should be solved and isn't.
    """

    def __init__(self, verifier_types: Collection[str] | None, max_per_source: int | None, solved: bool) -> None:
        self._verifier_types, self._most, self._solved = verifier_types, max_per_source, solved
        self._seen: Counter[str] = Counter()
        self.digest = Digest(solved)
        """Of those that were wanted."""

    def __call__(self, prompt: Prompt) -> bool:
        if self._verifier_types is not None and prompt.verifier_type not in self._verifier_types:
            return False
        if self._solved and prompt.solution is None:
            raise DataError(UNSOLVED, id=prompt.prompt_id)
        self._seen[prompt.source] += 1
        if self._most is not None and self._seen[prompt.source] > self._most:
            return False
        self.digest.add(prompt)
        return True


def leave_out(opened: Opened[Any], most: float, quarantine: list[Defect] | None) -> None:
    """Add what can't be used to the quarantine; DataError for the first if there is none, or it is too much or all."""
    error, num_bad = opened.first_error, len(opened.defects)
    if error and (quarantine is None or num_bad > most * opened.num_rows or num_bad == opened.num_rows):
        fix = error.fix or "vlaa-ray data check names them all; data.max_bad_share is how many a run may leave out"
        raise DataError(error.message, fix=fix, **error.facts, bad=num_bad, records=opened.num_rows)
    if quarantine is not None:
        quarantine += opened.defects


class Mixture(Sequence[Item]):
    """Parts one after another, each as often as its weight says: 2 for twice, 0.5 for every other item.

    `known` is what their `fingerprint` says of them.
    """

    def __init__(
        self, parts: Sequence[Sequence[Item]], weights: Sequence[float], known: dict[str, Any] | None = None
    ) -> None:
        self._parts, self.known = parts, known
        counts = [max(1, round(len(part) * weight)) for part, weight in zip(parts, weights, strict=True)]
        # evenly over the part: the first of two halves would leave out whole sources
        self._places = [
            np.arange(count) * len(part) // count if count < len(part) else np.arange(count) % len(part)
            for part, count in zip(parts, counts, strict=True)
        ]
        self._ends = np.cumsum(counts)

    def __len__(self) -> int:
        return int(self._ends[-1])

    def __getitem__(self, index: int) -> Item:  # type: ignore[override]
        if not 0 <= index < len(self):
            raise IndexError(index)
        part = int(np.searchsorted(self._ends, index, side="right"))
        start = int(self._ends[part - 1]) if part else 0
        return self._parts[part][int(self._places[part][index - start])]


def first(items: Sequence[Item], limit: int | None) -> Sequence[Item]:
    """The first `limit` items, made no earlier than they are asked for; None for all."""
    if not limit or limit >= len(items):
        return items
    return items[:limit] if isinstance(items, list) else _First(items, limit)


class SeededOrder(Generic[Item]):
    """The item of each position: a seeded permutation of the data, a new one for every epoch.

    A pure function of (seed, position), so a resumed run asks on where it stopped.
    """

    def __init__(self, items: Sequence[Item], seed: int) -> None:
        self._items = items
        self._seed = seed
        self._epoch = -1
        self._permutation = np.empty(0, dtype=np.int64)

    def __getitem__(self, position: int) -> Item:
        epoch, offset = divmod(position, len(self._items))
        if epoch != self._epoch:
            self._permutation = np.random.default_rng([self._seed, epoch]).permutation(len(self._items))
            self._epoch = epoch
        return self._items[int(self._permutation[offset])]


class _First(Sequence[Item]):
    def __init__(self, items: Sequence[Item], count: int) -> None:
        self._items, self._count = items, count
        known = getattr(items, "known", None)
        self.known = known and {**known, "sha256": f"{known['sha256']}, {count} of it"}

    def __len__(self) -> int:
        return self._count

    def __getitem__(self, index: int) -> Item:  # type: ignore[override]
        if not 0 <= index < self._count:
            raise IndexError(index)
        return self._items[index]
