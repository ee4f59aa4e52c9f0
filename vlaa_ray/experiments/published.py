"""The numbers of arXiv 2504.11468 (version 1), to stand beside runs with its models and its data: `published.json`.

The columns are MathVista, MathVision, MathVerse (vision only), DynaMath (worst case), WeMath (strict) and LogicVista.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Mapping
from pathlib import Path

BENCHMARKS = ("MathVista", "MathVision", "MathVerse", "DynaMath", "WeMath", "LogicVista")


@functools.cache
def _published() -> dict[str, dict[str, dict[str, float]]]:
    text = (Path(__file__).parent / "published.json").read_text(encoding="utf-8")
    return {key: value for key, value in json.loads(text).items() if key != "source"}


def is_published(row: str) -> bool:
    """Return whether the paper has a row of this name, such as `table4/…`."""
    return row in _published()["scores"] or row in _published()["relative_change"]


def published_scores(row: str) -> Mapping[str, float]:
    """Return the accuracies of a row by benchmark; {} for an unknown one. Rows of table 2 have their `mean` alone.

    A row with all six benchmarks has their mean too, computed: the paper's own averages are not all those of its rows.
    """
    scores = _published()["scores"].get(row, {})
    whole = set(BENCHMARKS) <= scores.keys()
    return {**scores, "mean": sum(scores[name] for name in BENCHMARKS) / len(BENCHMARKS)} if whole else scores


def published_change(row: str) -> Mapping[str, float]:
    """Return the relative changes of a row of figure 3 by benchmark; {} for an unknown one."""
    return _published()["relative_change"].get(row, {})


def published_reflections(row: str) -> Mapping[str, float]:
    """Return how often each phrase of figure 7 was found in the training outputs of a model; {} for an unknown one."""
    return _published()["reflections"].get(row.partition("/")[2], {})


def row_names() -> list[str]:
    """Return the names of all rows."""
    return [*_published()["scores"], *_published()["relative_change"]]
