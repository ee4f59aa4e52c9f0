"""Steps that have nothing to train on are passed over, but not for ever."""

from __future__ import annotations

from vlaa_ray.errors import DataError

_MOST_IN_A_ROW = 10


class EmptySteps:
    """Counts them as they come."""

    def __init__(self) -> None:
        self._in_a_row = 0

    def count(self, is_idle: bool, last_reason: str) -> bool:
        """Whether the step is one; DataError at the tenth in a row, with the reason that was seen last."""
        self._in_a_row = self._in_a_row + 1 if is_idle else 0
        if self._in_a_row == _MOST_IN_A_ROW:
            message = f"nothing could be trained on for {_MOST_IN_A_ROW} steps: {last_reason}"
            raise DataError(message, fix="dropped.jsonl has all reasons; vlaa-ray data check finds them beforehand")
        return is_idle
