"""The benchmark results of `vlaa-ray eval`, as a model card shows them: each score with its conditions."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from vlaa_ray.errors import DataError
from vlaa_ray.run.model_source import ModelSource
from vlaa_ray.storage.mapping_file import read_mapping

RESULT = "result.json"


class _Read(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore", protected_namespaces=())


class EvaluatedModel(_Read):
    """The model that was evaluated."""

    name: str
    path: str = ""
    kind: str = ""
    weight_version: int | None = None


class RecordedScore(_Read):
    """A score in percent with its 95% interval."""

    value: float
    low: float | None = None
    high: float | None = None


class RecordedBenchmark(_Read):
    """The scores of one benchmark; `headline` is the key of the one that leaderboards count."""

    num_rows: int
    headline: str
    scores: dict[str, RecordedScore]
    num_samples: int = 1
    settled: dict[str, int] = {}


class RecordedEvaluation(_Read):
    """One evaluation: the content of a `result.json`."""

    model: EvaluatedModel
    conditions: dict[str, Any]
    benchmarks: dict[str, RecordedBenchmark]
    mean_of_six: float | None = None
    created: str = ""
    version: str = ""


def read_scores(folder: Path, source: ModelSource) -> RecordedEvaluation:
    """Return the result of an evaluation of `source`; `folder` is that of the evaluation, or its `result.json`.

    Raises:
        DataError: there is no result, it has another form, or another checkpoint was evaluated.

    """
    path = folder / RESULT if folder.is_dir() else folder
    value, fault = read_mapping(path, json.loads)
    if fault:
        fix = "name the folder of a finished `vlaa-ray eval`"
        raise DataError(f"no result of an evaluation: {fault}", file=str(path), fix=fix)
    try:
        result = RecordedEvaluation.model_validate(value)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"]))
        raise DataError(f"not a result of `vlaa-ray eval`: {place}: {first['msg']}", file=str(path)) from error
    version = result.model.weight_version
    if version != source.weight_version:
        message = "the scores belong to another checkpoint"
        expected = f"the model after {source.weight_version} optimizer steps"
        raise DataError(message, file=str(path), got=f"{result.model.name}, {version} steps", expected=expected)
    return result
