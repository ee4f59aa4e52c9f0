"""The rollouts of a run's steps and their pictures on disk, within a number of bytes.

    rollouts/step_000012.jsonl     one rollout a line
    images/SHA256.png              each picture once

When they take more, steps go one by one, and with them the pictures that no other step shows. The step goes that is
closest to its neighbours, so that those of a long run stay about equally far apart; the first and the newest stay.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vlaa_ray.errors import VlaaRayError
from vlaa_ray.storage.atomic import write_whole
from vlaa_ray.storage.metrics_file import step_of

_PICTURE = re.compile(rb'"path": "(images/[0-9a-f]{64}\.\w+)"')  # in a completion such quotes are escaped
_NEWEST = 10
"""The newest steps that always stay, since people look at them."""


@dataclass(frozen=True)
class _StoredStep:
    num_bytes: int
    images: frozenset[str]
    """The paths of its pictures, relative to the run folder."""


class RolloutArchive:
    """The archive of the run in a folder; `max_bytes` may be exceeded by what the steps that stay take."""

    def __init__(self, run_dir: Path, max_bytes: int) -> None:
        self._run_dir, self._max_bytes = run_dir, max_bytes
        (run_dir / "rollouts").mkdir(parents=True, exist_ok=True)
        self._steps: dict[int, _StoredStep] = {}
        self._uses: Counter[str] = Counter()
        self._image_bytes: dict[str, int] = {}
        for path in sorted((run_dir / "rollouts").glob("step_*.jsonl")):  # of a run that is resumed
            if (number := step_of(path)) is not None:
                self._add(number, _stored(path.read_bytes()))

    @property
    def num_bytes(self) -> int:
        """The size of the rollouts on disk and of their pictures."""
        return sum(step.num_bytes for step in self._steps.values()) + sum(self._image_bytes.values())

    def write(self, step: int, rows: list[dict[str, Any]]) -> None:
        """Write the rollouts of a step atomically, then remove others if there are too many."""
        text = "".join(json.dumps(_plain(row), ensure_ascii=False) + "\n" for row in rows)
        # A lone surrogate in a completion has no UTF-8; its backslash escape is the same string in JSON.
        data = text.encode("utf-8", "backslashreplace")
        write_whole(self._path(step), data)
        if step in self._steps:
            self._forget(step)
        self._add(step, _stored(data))
        while self.num_bytes > self._max_bytes and (goes := self._least_missed()) is not None:
            self._path(goes).unlink(missing_ok=True)
            for image in self._forget(goes):
                (self._run_dir / image).unlink(missing_ok=True)

    def save_image(self, sha256: str, data: bytes) -> str:
        """Write the image unless it is there, and return its path relative to the run folder: `images/<sha256>.<ext>`.

        Raises:
            VlaaRayError: the bytes have another sha256.

        """
        if sha256 != hashlib.sha256(data).hexdigest():
            raise VlaaRayError("the image's bytes don't have the given sha256", got=sha256)
        name = f"images/{sha256}.{_extension(data)}"
        path = self._run_dir / name
        if not path.exists():
            path.parent.mkdir(exist_ok=True)
            write_whole(path, data)
        return name

    def _path(self, step: int) -> Path:
        return self._run_dir / "rollouts" / f"step_{step:06d}.jsonl"

    def _add(self, number: int, step: _StoredStep) -> None:
        self._steps[number] = step
        self._uses.update(step.images)
        for image in step.images - self._image_bytes.keys():
            path = self._run_dir / image
            self._image_bytes[image] = path.stat().st_size if path.is_file() else 0

    def _forget(self, number: int) -> list[str]:
        """Take a step out of the books, and return the pictures that no other step shows."""
        images = self._steps.pop(number).images
        self._uses.subtract(images)
        unused = [image for image in images if not self._uses[image]]
        for image in unused:
            del self._uses[image], self._image_bytes[image]
        return unused

    def _least_missed(self) -> int | None:
        """Return the step whose neighbours are closest, the oldest of several; None if all must stay."""
        numbers = sorted(self._steps)
        inner = range(1, len(numbers) - _NEWEST)
        gaps = {number: numbers[number + 1] - numbers[number - 1] for number in inner}
        return numbers[min(gaps, key=lambda number: (gaps[number], number))] if gaps else None


def _stored(data: bytes) -> _StoredStep:
    """Return the books of a step from its file, which is not parsed: for a long run that is resumed this takes long."""
    return _StoredStep(len(data), frozenset(name.decode() for name in _PICTURE.findall(data)))


def _plain(value: Any) -> Any:
    """Return `value` in JSON's types: NumPy scalars and arrays become Python's, numbers that are not finite None."""
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if hasattr(value, "tolist"):
        return _plain(value.tolist())
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return value if isinstance(value, str | int | None) else str(value)


def _extension(data: bytes) -> str:
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return "webp"
    magic = {b"\x89PNG": "png", b"\xff\xd8\xff": "jpg", b"GIF8": "gif", b"BM": "bmp"}
    return next((extension for start, extension in magic.items() if data.startswith(start)), "bin")
