"""Subsets of the SFT set whose answers two models expect least (arXiv 2504.11468, sections 3.1 and 4.2).

The perplexity of an answer is exp(-mean log-probability of its tokens), thinking included, after question and picture
in the chat format. The paper ranks by the mean over its models and keeps the highest; its conditioning is unpublished.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from vlaa_ray.config import PAPER_SYSTEM_PROMPT, ModelSection, PerplexitySection, RolloutSection
from vlaa_ray.data.files.json_rows import json_rows
from vlaa_ray.errors import DataError
from vlaa_ray.storage.atomic import replacing

STEP = "perplexity"


def perplexity(logprobs: np.ndarray) -> float:
    """The exponential of the mean negative log-probability; [C] float, C > 0."""
    return float(np.exp(-np.asarray(logprobs, dtype=np.float64).mean()))


def model_section(section: PerplexitySection, model: str) -> ModelSection:
    """The model as engines and chat formats take it."""
    return ModelSection(
        path=model,
        dtype=section.dtype,
        system_prompt=PAPER_SYSTEM_PROMPT if section.system_prompt else None,
        min_pixels=section.min_pixels,
        max_pixels=section.max_pixels,
    )


def engine_section(section: PerplexitySection) -> RolloutSection:
    """An engine that reads, and says one token of its own."""
    return RolloutSection(
        max_prompt_tokens=section.max_tokens,
        max_completion_tokens=1,
        max_num_seqs=section.batch,
        gpus_per_actor=section.gpus,
        kv_cache_bytes=section.kv_cache_bytes,
    )


def key_of(section: PerplexitySection, model: str, row: Mapping[str, Any]) -> str:
    """The hash of all that a row's perplexity under a model follows from; pictures are named by their content."""
    asked = [model, row["image"], row["question"], row["answer"], section.min_pixels, section.max_pixels]
    asked += [section.dtype, section.system_prompt, section.max_tokens]
    return hashlib.sha256(json.dumps(asked).encode("utf-8", "surrogatepass")).hexdigest()


def highest(values: Sequence[Sequence[float]], count: int) -> list[int]:
    """The rows with the highest mean over models, in the rows' own order; [models][rows], NaN is never chosen."""
    means = np.asarray(values, dtype=np.float64).mean(axis=0)
    ranked = [int(row) for row in np.argsort(-means, kind="stable") if not np.isnan(means[row])]
    return sorted(ranked[:count])


def write_subset(file: Path, target: Path, rows: Sequence[int]) -> None:
    """The records of `file` with these numbers (from 0), as they are."""
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
