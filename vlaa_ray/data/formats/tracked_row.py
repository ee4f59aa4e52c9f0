"""A row that remembers which of its columns a reader has looked at, so that no column is left out in silence."""

from __future__ import annotations

from typing import Any


class TrackedRow(dict[str, Any]):
    """A row as a dict. `looked_at` holds the names of the columns whose value was asked for.

    Asking whether a column exists (`name in row`) is no look at its value.
    """

    __slots__ = ("looked_at",)

    def __init__(self, row: dict[str, Any]) -> None:
        super().__init__(row)
        self.looked_at: set[str] = set()

    def __getitem__(self, name: str) -> Any:
        self.looked_at.add(name)
        return super().__getitem__(name)

    def get(self, name: str, default: Any = None) -> Any:
        """Return the value of a column, or `default`, and remember the look."""
        self.looked_at.add(name)
        return super().get(name, default)

    def with_values(self, **values: Any) -> TrackedRow:
        """Return a row with further or other values. A look at either row counts for both."""
        changed = TrackedRow({**self, **values})
        changed.looked_at = self.looked_at
        return changed

    def peek(self, name: str) -> Any:
        """Return the value of a column without a look that counts."""
        return super().get(name)

    def unread(self) -> tuple[str, ...]:
        """Return the names of the columns that hold a value at which no reader has looked, in their order."""
        return tuple(name for name, value in self.items() if name not in self.looked_at and not is_missing(value))


def is_missing(value: Any) -> bool:
    """Return whether a value says nothing: None, NaN, a blank text, an empty list or mapping."""
    if isinstance(value, str):
        return not value or value.isspace()
    if isinstance(value, float):
        return value != value
    return value is None or (isinstance(value, list | tuple | dict) and not value)
