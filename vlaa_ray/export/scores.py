"""The benchmark results of `vlaa-ray eval` that a model card shows: only those of the exported checkpoint."""

from __future__ import annotations

from pathlib import Path

from vlaa_ray.errors import DataError
from vlaa_ray.report.evaluation_folder import RecordedEvaluation, read_result
from vlaa_ray.run.model_source import ModelSource


def read_scores(folder: Path, source: ModelSource) -> RecordedEvaluation:
    """Return the result in the evaluation folder of `source`.

    Raises:
        DataError: there is no result, it has another form, or another checkpoint was evaluated.

    """
    result = read_result(folder)
    if result.model.weight_version != source.weight_version:
        raise DataError(
            "the scores belong to another checkpoint",
            file=str(folder),
            got=f"{result.model.name}, {result.model.weight_version} steps",
            expected=f"the model after {source.weight_version} optimizer steps",
        )
    return result
