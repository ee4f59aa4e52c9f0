"""The best one-to-one matching of answered boxes or points with gold ones."""

from __future__ import annotations

import numpy as np


def best_total(worth: np.ndarray) -> float:
    """Return the largest total worth of a one-to-one matching of rows with columns.

    `worth` is [gold, answered], each entry at least 0. The method is scipy's version of the Hungarian method.
    """
    if min(worth.shape) <= 1:
        return float(worth.max(initial=0.0))  # without the import of scipy, which takes a second
    from scipy.optimize import linear_sum_assignment

    return float(worth[linear_sum_assignment(worth, maximize=True)].sum())
