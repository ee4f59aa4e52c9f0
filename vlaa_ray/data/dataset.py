"""Where prompts come from, and in which order a run asks them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from vlaa_ray.config import DataSection
from vlaa_ray.data.embedded import EmbeddedData
from vlaa_ray.data.readers import read_vlaa_thinking
from vlaa_ray.errors import DataError
from vlaa_ray.records import Prompt

_BUILTIN = "builtin:"


def open_dataset(source: str, data: DataSection, limit: int | None) -> Sequence[Prompt]:
    """The first `limit` prompts of a source of the config: `builtin:SPLIT` or a file."""
    prompts: Sequence[Prompt]
    if source.startswith(_BUILTIN):
        prompts = EmbeddedData(source.removeprefix(_BUILTIN), data.verifier_types)  # type: ignore[arg-type]
    else:
        everything = read_vlaa_thinking(source, data.image_root)
        prompts = [prompt for prompt in everything if prompt.verifier_type in data.verifier_types]
    if not prompts:
        raise DataError("no prompt is left", file=source, fix="look at data.verifier_types and at the file")
    return _First(prompts, limit) if limit and limit < len(prompts) else prompts


class PromptOrder:
    """The prompt of each position: a seeded permutation of the data, a new one for every epoch.

    A pure function of (seed, position), so a resumed run asks on where it stopped.
    """

    def __init__(self, prompts: Sequence[Prompt], seed: int) -> None:
        self._prompts = prompts
        self._seed = seed
        self._epoch = -1
        self._permutation = np.empty(0, dtype=np.int64)

    def __getitem__(self, position: int) -> Prompt:
        epoch, offset = divmod(position, len(self._prompts))
        if epoch != self._epoch:
            self._permutation = np.random.default_rng([self._seed, epoch]).permutation(len(self._prompts))
            self._epoch = epoch
        return self._prompts[int(self._permutation[offset])]


class _First(Sequence[Prompt]):
    def __init__(self, prompts: Sequence[Prompt], count: int) -> None:
        self._prompts, self._count = prompts, count

    def __len__(self) -> int:
        return self._count

    def __getitem__(self, index: int) -> Prompt:  # type: ignore[override]
        if not 0 <= index < self._count:
            raise IndexError(index)
        return self._prompts[index]
