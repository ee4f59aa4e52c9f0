"""Perplexities of an SFT set on Ray Data: a pool of vLLM engines reads the answers, one model after the other."""

from __future__ import annotations

import asyncio
import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from vlaa_ray.config import PerplexitySection
from vlaa_ray.curation.perplexity import STEP, engine_section, highest, key_of, model_section, perplexity, write_subset
from vlaa_ray.curation.steps import Reply
from vlaa_ray.curation.store import CALLS, CallStore, Usage
from vlaa_ray.errors import DataError

_DEADLINE_S = 600.0  # for one answer, while others are read
_LOCK_S = 60.0


def write_subsets(section: PerplexitySection, folder: Path) -> list[Path]:
    """Write `perplexity.jsonl` and the subsets of `sft.json`; their files. What was measured before isn't again."""
    store = CallStore(folder / CALLS, wait_s=_LOCK_S)
    try:
        values = [list(_perplexities(section, model, folder, store)) for model in section.models]
    finally:
        store.close()
    with (folder / "perplexity.jsonl").open("w", encoding="ascii") as out:
        for row, of_row in enumerate(zip(*values, strict=True)):
            known = [None if math.isnan(one) else one for one in of_row]
            out.write(json.dumps({"row": row, **dict(zip(section.models, known, strict=True))}) + "\n")
    files = []
    for count in section.keep:
        files.append(folder / f"sft_top_{count}.json")
        write_subset(folder / "sft.json", files[-1], highest(values, count))
    return files


def _perplexities(section: PerplexitySection, model: str, folder: Path, store: CallStore) -> Iterator[float]:
    """The perplexity of each row; NaN where it is too long."""
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
        max_restarts=0,  # as for the steps
        runtime_env={"env_vars": role_environment("rollout", None, 1, section.gpus)},
    )
    for batch in measured.iter_batches(batch_size=None, batch_format="numpy"):
        for key, value in zip(batch["key"].tolist(), batch["perplexity"].tolist(), strict=True):
            known = store.get(key)
            if known is None and not math.isnan(value):
                store.put(key, STEP, Reply(text=repr(value)), Usage())
            yield float(known.text) if known else value


class PerplexityEngine:
    """A worker of the pool: an engine that starts with the first answer that isn't known."""

    def __init__(self, section: PerplexitySection, model: str, images: str, known: frozenset[str]) -> None:
        self._section, self._model, self._known = section, model, known
        self._images = Path(images)
        self._starting = asyncio.Lock()
        self._engine: Any = None

    async def __call__(self, batch: dict[str, Any]) -> dict[str, Any]:
        rows = [dict(zip(batch, values, strict=True)) for values in zip(*batch.values(), strict=True)]
        keys = [key_of(self._section, self._model, row) for row in rows]
        values = await asyncio.gather(*(self._one(key, row) for key, row in zip(keys, rows, strict=True)))
        return {"key": keys, "perplexity": values}

    async def _one(self, key: str, row: dict[str, Any]) -> float:
        if key in self._known:
            return math.nan  # the driver has it
        async with self._starting:
            if self._engine is None:
                await self._start()
        from vlaa_ray.images.decode import load, reference
        from vlaa_ray.records import Prompt
        from vlaa_ray.rollout.engine import PromptRefused

        image = reference(self._images / row["image"])  # one that can't be read ends the run
        prompt = Prompt(
            prompt_id=key, question=row["question"], gold="", verifier_type="text", source="", images=(image,)
        )
        pixels = await asyncio.to_thread(load, image)
        try:
            ids, answer = self._chat.prompt_token_ids(prompt), self._chat.completion_token_ids(row["answer"])
            return perplexity(await self._engine.logprobs(ids, [pixels], answer, deadline_s=_DEADLINE_S))
        except (DataError, PromptRefused):  # it holds control tokens, or is too long
            return math.nan

    async def _start(self) -> None:
        from vlaa_ray.compat.cpu_wheels import register

        register()
        from vlaa_ray.models.chat import chat_format_of
        from vlaa_ray.models.paths import local_path
        from vlaa_ray.rollout.engine import RolloutEngine

        model = model_section(self._section, self._model)
        self._chat = chat_format_of(model)
        self._engine = await RolloutEngine.start(model, engine_section(self._section), local_path(model.path))
