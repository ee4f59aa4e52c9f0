"""Answered things matched to gold ones by the assignment that is worth most, whatever their order."""

from __future__ import annotations

import numpy as np


def best_total(worth: np.ndarray) -> float:
    """The largest sum of entries of which no two share a row or a column.

    worth: [gold, answered], at least 0. The Hungarian method, as scipy has it.
    """
    from scipy.optimize import linear_sum_assignment

    return float(worth[linear_sum_assignment(worth, maximize=True)].sum())
