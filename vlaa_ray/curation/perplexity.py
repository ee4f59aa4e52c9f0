"""Subsets of the SFT set with the highest perplexity under some models (arXiv 2504.11468, sections 3.1 and 4.2).

The perplexity of an answer is exp(-mean log-probability of its tokens), thinking included, given the question and the
picture in the chat format. The paper ranks the answers by the mean over two models and keeps the highest. It does not
say what the answer is conditioned on; question and picture are our choice.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from vlaa_ray.config import PAPER_SYSTEM_PROMPT, ModelSection, PerplexitySection, RolloutSection
from vlaa_ray.data.files.json_rows import json_rows
from vlaa_ray.errors import DataError
from vlaa_ray.images.decode import load, reference
from vlaa_ray.records import Prompt
from vlaa_ray.storage.atomic import replacing

if TYPE_CHECKING:
    from vlaa_ray.models.chat import ChatFormat
    from vlaa_ray.rollout.engine import RolloutEngine

STEP = "perplexity"


def perplexity(logprobs: np.ndarray) -> float:
    """Return exp(-mean(logprobs)), where `logprobs` is [C] float with C > 0."""
    return float(np.exp(-np.asarray(logprobs, dtype=np.float64).mean()))


def model_section(section: PerplexitySection, model: str) -> ModelSection:
    """Return the section `model` for this model, as engines and chat formats expect it."""
    return ModelSection(
        path=model,
        dtype=section.dtype,
        system_prompt=PAPER_SYSTEM_PROMPT if section.system_prompt else None,
        min_pixels=section.min_pixels,
        max_pixels=section.max_pixels,
    )


def engine_section(section: PerplexitySection) -> RolloutSection:
    """Return the section `rollout` for an engine that reads answers. It samples one token, the minimum of vLLM."""
    return RolloutSection(
        max_prompt_tokens=section.max_tokens,
        max_completion_tokens=1,
        max_num_seqs=section.batch,
        gpus_per_actor=section.gpus,
        kv_cache_bytes=section.kv_cache_bytes,
    )


def key_of(section: PerplexitySection, model: str, row: Mapping[str, Any]) -> str:
    """Return the SHA-256 of everything that determines a row's perplexity under a model.

    The picture enters by its file name, which is a hash of its content.
    """
    inputs = [model, row["image"], row["question"], row["answer"], section.min_pixels, section.max_pixels]
    inputs += [section.dtype, section.system_prompt, section.max_tokens]
    return hashlib.sha256(json.dumps(inputs).encode("utf-8", "surrogatepass")).hexdigest()


def answer_prompt(key: str, row: Mapping[str, Any], images: Path) -> Prompt:
    """Return the prompt of a row of the SFT set, with its picture below `images`; `key` becomes its id.

    Raises DataError if the picture can't be read.
    """
    picture = reference(images / row["image"])
    return Prompt(prompt_id=key, question=row["question"], gold="", verifier_type="text", source="", images=(picture,))


async def row_perplexity(
    key: str, row: Mapping[str, Any], images: Path, chat: ChatFormat, engine: RolloutEngine, deadline_s: float
) -> float:
    """Return the perplexity of a row's answer under the engine's model; NaN if it is too long or has control tokens.

    Raises DataError if the picture can't be read, and DeadlineExceeded if there is no result after `deadline_s`.
    """
    from vlaa_ray.rollout.engine import PromptRefused

    prompt = answer_prompt(key, row, images)
    pixels = await asyncio.to_thread(load, prompt.images[0])
    try:
        ids, answer_ids = chat.prompt_token_ids(prompt), chat.completion_token_ids(row["answer"])
        return perplexity(await engine.logprobs(ids, [pixels], answer_ids.tolist(), deadline_s=deadline_s))
    except (DataError, PromptRefused):
        return math.nan


def highest(values: Sequence[Sequence[float]], count: int) -> list[int]:
    """Return the indices (from 0), ascending, of the `count` rows with the highest perplexity.

    `values` is [models][rows]; the perplexity of a row is the mean over the models. A row with a NaN is never chosen.
    """
    means = np.asarray(values, dtype=np.float64).mean(axis=0)
    ranked = [int(row) for row in np.argsort(-means, kind="stable") if not np.isnan(means[row])]
    return sorted(ranked[:count])


def write_subset(file: Path, target: Path, rows: Sequence[int]) -> None:
    """Write the records of `file` with these numbers (from 0) to `target`, unchanged.

    Raises DataError if a record of `file` is not a JSON object.
    """
    chosen = set(rows)
    with replacing(target) as partial, partial.open("w", encoding="utf-8", errors="backslashreplace") as out:
        lines = (json.dumps(row, ensure_ascii=False) for row in _rows(file, chosen))
        out.write("[\n" + ",\n".join(lines) + "\n]\n")


def _rows(file: Path, chosen: set[int]) -> Iterator[dict[str, Any]]:
    for number, row in enumerate(json_rows(file)):
        if isinstance(row, DataError):
            raise row
        if number in chosen:
            yield row
