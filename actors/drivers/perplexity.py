"""The measurement of the perplexities of an SFT set on Ray Data, with a pool of vLLM engines for each model in turn."""

from __future__ import annotations

import asyncio
import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from vlaa_ray.config import PerplexitySection
from vlaa_ray.curation.perplexity import (
    STEP,
    engine_section,
    highest,
    key_of,
    model_section,
    row_perplexity,
    write_subset,
)
from vlaa_ray.services.call_store import CALLS, CallStore, Reply, Usage

_DEADLINE_S = 600.0  # for one answer, while the engine reads others
_LOCK_S = 60.0


def write_subsets(section: PerplexitySection, folder: Path) -> list[Path]:
    """Write `perplexity.jsonl` and the subsets of `sft.json` into the folder; return the paths of the subsets.

    Perplexities that an earlier attempt at the run has recorded are not measured again.

    Raises:
        TeacherError: another process has the recorded calls open.
        DataError: a picture can't be read.
        RayError: a worker died.

    """
    store = CallStore(folder / CALLS, wait_s=_LOCK_S)
    try:
        values = [list(_perplexities(section, model, folder, store)) for model in section.models]
    finally:
        store.close()
    with (folder / "perplexity.jsonl").open("w", encoding="ascii") as out:
        for row, row_values in enumerate(zip(*values, strict=True)):
            measured = [None if math.isnan(value) else value for value in row_values]
            out.write(json.dumps({"row": row, **dict(zip(section.models, measured, strict=True))}) + "\n")
    files = []
    for count in section.keep:
        files.append(folder / f"sft_top_{count}.json")
        write_subset(folder / "sft.json", files[-1], highest(values, count))
    return files


def _perplexities(section: PerplexitySection, model: str, folder: Path, store: CallStore) -> Iterator[float]:
    """Yield the perplexity of each row under one model; NaN if the row is too long or holds control tokens."""
    import ray
    from ray.data import ActorPoolStrategy, DataContext

    from actors.process.environment import role_environment

    DataContext.get_current().execution_options.preserve_order = True
    measured = ray.data.read_parquet(str(folder / "sft.parquet"), columns=["image", "question", "answer"]).map_batches(
        PerplexityEngine,
        fn_constructor_args=(section, model, str(folder / "images"), store.keys(STEP)),
        batch_size=section.batch,
        compute=ActorPoolStrategy(size=section.num_engines),
        num_cpus=1,
        num_gpus=section.gpus,
        max_restarts=0,  # a run that is started again loses nothing
        runtime_env={"env_vars": role_environment("rollout", None, 1, section.gpus)},
    )
    for batch in measured.iter_batches(batch_size=None, batch_format="numpy"):
        for key, value in zip(batch["key"].tolist(), batch["perplexity"].tolist(), strict=True):
            recorded = store.get(key)
            if recorded is None and not math.isnan(value):
                store.put(key, STEP, Reply(text=repr(value)), Usage())
            yield float(recorded.text) if recorded else value


class PerplexityEngine:
    """A worker of the pool: a vLLM engine, which starts at the first answer whose perplexity is not recorded yet."""

    def __init__(self, section: PerplexitySection, model: str, images: str, recorded: frozenset[str]) -> None:
        self._section, self._model, self._recorded = section, model, recorded
        self._images = Path(images)
        self._starting = asyncio.Lock()
        self._engine: Any = None

    async def __call__(self, batch: dict[str, Any]) -> dict[str, Any]:
        rows = [dict(zip(batch, values, strict=True)) for values in zip(*batch.values(), strict=True)]
        keys = [key_of(self._section, self._model, row) for row in rows]
        values = await asyncio.gather(*(self._row_perplexity(key, row) for key, row in zip(keys, rows, strict=True)))
        return {"key": keys, "perplexity": values}

    async def _row_perplexity(self, key: str, row: dict[str, Any]) -> float:
        if key in self._recorded:
            return math.nan  # the driver takes the recorded value
        async with self._starting:
            if self._engine is None:
                await self._start()
        return await row_perplexity(key, row, self._images, self._chat, self._engine, _DEADLINE_S)

    async def _start(self) -> None:
        from vlaa_ray.compat.cpu_wheels import register

        register()
        from vlaa_ray.models.chat import chat_format_of
        from vlaa_ray.models.paths import local_path
        from vlaa_ray.rollout.engine import RolloutEngine

        model = model_section(self._section, self._model)
        self._chat = chat_format_of(model)
        self._engine = await RolloutEngine.start(model, engine_section(self._section), local_path(model.path))
