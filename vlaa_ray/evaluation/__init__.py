"""Evaluation: held-out prompts sampled during training, and the six benchmarks.

score_row("MathVista", {"answer": "6", "answer_type": "integer"}, "<answer>6</answer>").correct -> True
dynamath_summary([[1, 1], [1, 0]]) -> {"average": 75.0, "worst_case": 50.0}
"""

from __future__ import annotations

from typing import Any

from vlaa_ray.evaluation.benchmarks import RowScore, benchmark
from vlaa_ray.evaluation.benchmarks.dynamath import dynamath_summary

__all__ = ["RowScore", "dynamath_summary", "score_row"]


def score_row(benchmark_name: str, row: dict[str, Any], prediction: str) -> RowScore:
    """Return the verdict of a benchmark's rules on one prediction. `row` holds the columns of the row by name.

    Raises ConfigError for an unknown benchmark.
    """
    return benchmark(benchmark_name).score(row, prediction)
