"""Which answered thing belongs to which gold one: the assignment that is worth most, whatever their order."""

from __future__ import annotations

import numpy as np


def best_assignment(worth: np.ndarray) -> list[tuple[int, int]]:
    """(row, column) pairs, each row and column once at most, of the largest total worth.

    worth: [gold, answered], at least 0. The Hungarian method, as scipy has it.
    """
    from scipy.optimize import linear_sum_assignment

    rows, columns = linear_sum_assignment(worth, maximize=True)
    return list(zip(rows.tolist(), columns.tolist(), strict=True))
