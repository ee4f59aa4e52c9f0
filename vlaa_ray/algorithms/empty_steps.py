"""The limit on steps in a row that have nothing to train on."""

from __future__ import annotations

from vlaa_ray.errors import DataError

_MOST_IN_A_ROW = 10


class EmptySteps:
    """A counter of the empty steps since the last step that trained. A run skips them, but fails at the tenth."""

    def __init__(self) -> None:
        self._in_a_row = 0

    def observe(self, is_empty: bool, last_reason: str) -> bool:
        """Record one step and return `is_empty`; a step that is not empty sets the count back to 0.

        `last_reason` says why the last sample was left out; it goes into the message.

        Raises:
            DataError: this is the tenth empty step in a row.

        """
        self._in_a_row = self._in_a_row + 1 if is_empty else 0
        if self._in_a_row == _MOST_IN_A_ROW:
            message = f"nothing could be trained on for {_MOST_IN_A_ROW} steps: {last_reason}"
            raise DataError(message, fix="see dropped.jsonl for all reasons; vlaa-ray data check finds them beforehand")
        return is_empty
