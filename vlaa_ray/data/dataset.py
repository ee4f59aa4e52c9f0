"""The prompts that a run reads: its sources are opened, filtered and mixed."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any, TypeVar

import numpy as np

from vlaa_ray.config import DataSection, Source, SourceSection
from vlaa_ray.config.base_folder import BUILTIN
from vlaa_ray.data.builtin import BuiltinData
from vlaa_ray.data.files.sources import record_files
from vlaa_ray.data.fingerprint import fingerprint, mixed
from vlaa_ray.data.readers import Opened, PromptFilter, open_prompts
from vlaa_ray.errors import DataError
from vlaa_ray.records import PAPER_TYPES, VERIFIER_TYPES, Defect, Prompt

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
    """Return the first `limit` prompts of a source of the config, or all if `limit` is None.

    The source is `builtin:SPLIT`, a file, a folder, a dataset of the hub, or a list of these that are mixed.
    A record is bad if it can't be read, if its verifier type is not in `verifier_types`, or if it lacks the worked
    answer that `solved` asks for. With a list for `quarantine`, bad records are left out and added to that list.

    Raises DataError for the first bad record if `quarantine` is None, if all records of a file are bad, or if their
    share is above `data.max_bad_share`. Raises DataError, too, if a file can't be read or no prompt is left.
    """
    if not isinstance(source, str):
        parts = [_open(section, data, verifier_types, quarantine, solved) for section in source]
        weights = [section.weight for section in source]
        digests = [fingerprint(part, solved=solved)["sha256"] for part in parts]
        return first(Mixture(parts, weights, mixed([section.path for section in source], digests, weights)), limit)
    return first(_open(data.alone(source), data, verifier_types, quarantine, solved), limit)


def _open(
    source: SourceSection,
    data: DataSection,
    verifier_types: Collection[str],
    quarantine: list[Defect] | None,
    solved: bool,
) -> Sequence[Prompt]:
    wanted = PromptFilter(data.verifier_types, source.max_per_source, solved)
    prompts: Sequence[Prompt] = []
    if source.path.startswith(BUILTIN):
        types = PAPER_TYPES if data.verifier_types is None else data.verifier_types
        prompts = BuiltinData(source.path.removeprefix(BUILTIN), types)
        if source.max_per_source:
            prompts = [prompt for prompt in prompts if wanted(prompt)]
    else:
        parts = []
        for file in record_files(source.path):
            opened = open_prompts(file, source.image_root, verifier_types, source.verifier_type, wanted, data.fetch)
            leave_out(opened, data.max_bad_share, quarantine)
            if opened.items:
                parts.append(opened.items)
        if parts:
            digest = str(wanted.digest)
            prompts = Mixture(parts, [1.0] * len(parts), {"sha256": digest, "sources": {source.path: digest}})
    if not prompts:
        raise DataError(
            "no prompt is left", file=source.path, fix="check data.verifier_types and the records of the file"
        )
    return prompts


def leave_out(opened: Opened[Any], max_bad_share: float, quarantine: list[Defect] | None) -> None:
    """Add a file's defects to `quarantine`.

    Raises DataError for the first defect if `quarantine` is None, if all records are bad, or if the share of bad
    records is above `max_bad_share`.
    """
    error, num_bad = opened.first_error, len(opened.defects)
    if error and (quarantine is None or num_bad > max_bad_share * opened.num_rows or num_bad == opened.num_rows):
        fix = (
            error.fix
            or "list all bad records with `vlaa-ray data check`; data.max_bad_share is the share a run may skip"
        )
        raise DataError(error.message, fix=fix, **error.facts, bad=num_bad, records=opened.num_rows)
    if quarantine is not None:
        quarantine += opened.defects


class Mixture(Sequence[Item]):
    """Several sequences one after another, each repeated by its weight: 2 gives all items twice, 0.5 every other one.

    `stored_fingerprint`, if given, is what `fingerprint` returns for the mixture, apart from `num_prompts`.
    """

    def __init__(
        self,
        parts: Sequence[Sequence[Item]],
        weights: Sequence[float],
        stored_fingerprint: dict[str, Any] | None = None,
    ) -> None:
        self._parts, self.stored_fingerprint = parts, stored_fingerprint
        counts = [max(1, round(len(part) * weight)) for part, weight in zip(parts, weights, strict=True)]
        # spread evenly over the part: its first half alone could leave out whole sources
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
    """Return the first `limit` items, or all if `limit` is None. An item is made when it is asked for."""
    if not limit or limit >= len(items):
        return items
    return items[:limit] if isinstance(items, list) else _First(items, limit)


class _First(Sequence[Item]):
    def __init__(self, items: Sequence[Item], count: int) -> None:
        self._items, self._count = items, count
        whole = getattr(items, "stored_fingerprint", None)
        self.stored_fingerprint = whole and {**whole, "sha256": f"{whole['sha256']}, {count} of it"}

    def __len__(self) -> int:
        return self._count

    def __getitem__(self, index: int) -> Item:  # type: ignore[override]
        if not 0 <= index < self._count:
            raise IndexError(index)
        return self._items[index]
