"""The six benchmarks of the Open LMM Reasoning Leaderboard, by name.

benchmark("MathVista").summary(graded) -> {"overall": 61.0}
"""

from __future__ import annotations

from vlaa_ray.errors import ConfigError
from vlaa_ray.evaluation.benchmarks.base import STYLES, Benchmark, GradedRow, Row, RowScore
from vlaa_ray.evaluation.benchmarks.dynamath import DynaMath
from vlaa_ray.evaluation.benchmarks.logicvista import LogicVista
from vlaa_ray.evaluation.benchmarks.mathverse import MathVerse
from vlaa_ray.evaluation.benchmarks.mathvision import MathVision
from vlaa_ray.evaluation.benchmarks.mathvista import MathVista
from vlaa_ray.evaluation.benchmarks.summaries import category_scores
from vlaa_ray.evaluation.benchmarks.wemath import WeMath

__all__ = ["BENCHMARKS", "STYLES", "Benchmark", "GradedRow", "Row", "RowScore", "benchmark", "category_scores"]

BENCHMARKS: dict[str, Benchmark] = {
    known.name: known for known in (MathVista(), MathVision(), MathVerse(), DynaMath(), WeMath(), LogicVista())
}
"""The benchmarks by name, in the order of the leaderboard's table."""


def benchmark(name: str) -> Benchmark:
    """Return the benchmark of a name, however its letters are cased: `MathVista`, `MathVista_MINI`, `We-Math`.

    Raises ConfigError, with the known names, for any other name.
    """
    wanted = _plain(name)
    for known in BENCHMARKS.values():
        if wanted in (_plain(known.name), _plain(known.kit_name)):
            return known
    fix = f"use one of {', '.join(BENCHMARKS)}"
    raise ConfigError(f"unknown benchmark {name!r}", got=name, expected=list(BENCHMARKS), fix=fix)


def _plain(name: str) -> str:
    return name.replace("-", "").replace("_", "").lower()
