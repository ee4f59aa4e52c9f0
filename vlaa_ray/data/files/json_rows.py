"""Reads JSON arrays and JSON Lines one item at a time: memory grows with the longest item, not with the file."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

from vlaa_ray.errors import DataError

_CHUNK_CHARS = 1 << 20
_BLANK = " \t\n\r"
_SPACE = re.compile(rf"[{_BLANK}]*")
_LONGEST_TOKEN = 16  # characters of "-Infinity" or of an escape: an error this near the end may be a token cut in two


def json_rows(file: Path) -> Iterator[dict[str, Any] | DataError]:
    """Yield the objects of a JSON array or of JSON Lines, in their order.

    An item that is not an object, or a line that is not JSON, gives a DataError in its place, with file and row.
    Raises DataError if the file can't be read, or if an array is broken: the rest of it can't be read then.
    """
    try:
        values = _array_items(file) if _is_array(file) else _lines(file)
        for number, value in enumerate(values, start=1):
            if isinstance(value, dict | DataError):
                yield value
            else:
                yield DataError("a record must be a JSON object", file=str(file), row=number, got=type(value).__name__)
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"can't read the data: {error}", file=str(file)) from error


def _is_array(file: Path) -> bool:
    with file.open(encoding="utf-8", errors="replace") as stream:
        while (text := stream.read(_CHUNK_CHARS)) and not text.strip(_BLANK):
            pass
    return text.lstrip(_BLANK).startswith("[")


def _lines(file: Path) -> Iterator[Any]:
    """Yield the value of each line that isn't blank, or a DataError if the line is not JSON."""
    number = 0
    # The lines are read as bytes. In text, Python could split them at U+2028, which may stand in a JSON string.
    with file.open("rb") as lines:
        for line in lines:
            if not line.strip():
                continue
            number += 1
            try:
                yield json.loads(line.decode("utf-8"))
            except (ValueError, RecursionError) as error:
                yield DataError(f"a line is not JSON: {error}", file=str(file), row=number)


def _array_items(file: Path) -> Iterator[Any]:
    with file.open(encoding="utf-8") as stream:
        text = _Text(stream)
        text.take("[")
        number = 1
        try:
            if text.peek() != "]":
                yield text.value()
                while text.peek() == ",":
                    number += 1
                    text.take(",")
                    yield text.value()
            text.take("]")
            if rest := text.peek():
                raise ValueError(f"{rest!r} stands after its end")
        except UnicodeDecodeError:
            raise  # it concerns the whole file, not a row
        except (ValueError, RecursionError) as error:
            raise DataError(f"the JSON array is broken: {error}", file=str(file), row=number) from error


class _Text:
    """A window on a stream of JSON text; it grows until it holds the whole next value."""

    def __init__(self, stream: IO[str]) -> None:
        self._stream = stream
        self._decoder = json.JSONDecoder()
        self._text = ""
        self._place = 0
        self._ended = False

    def peek(self) -> str:
        """Return the next character that isn't blank, without consuming it; an empty text at the end."""
        while (place := _end_of_space(self._text, self._place)) == len(self._text) and not self._ended:
            self._place = place
            self._grow()
        self._place = place
        return self._text[place : place + 1]

    def take(self, character: str) -> None:
        """Consume `character`. Raises ValueError if the next character is another."""
        if (actual := self.peek()) != character:
            raise ValueError(f"expected {character!r}, got {actual!r}")
        self._place += 1

    def value(self) -> Any:
        """Return the next value as `json.loads` would. Raises ValueError or RecursionError as `json.loads` does."""
        self.peek()
        while True:
            try:
                value, end = self._decoder.raw_decode(self._text, self._place)
            except json.JSONDecodeError as error:
                cut = error.msg.startswith("Unterminated string") or error.pos >= len(self._text) - _LONGEST_TOKEN
                if self._ended or not cut:
                    raise ValueError(f"{error.msg}, at {self._text[error.pos : error.pos + 40]!r}") from None
            else:
                if self._ended or end < len(self._text) - _LONGEST_TOKEN:  # otherwise a number may continue
                    self._place = end
                    return value
            self._grow()

    def _grow(self) -> None:
        """Drop the consumed text, and at least double the rest, so that a long value is not decoded over and over."""
        left = self._text[self._place :]
        more = self._stream.read(max(_CHUNK_CHARS, len(left)))
        self._text, self._place, self._ended = left + more, 0, not more


def _end_of_space(text: str, place: int) -> int:
    blanks = _SPACE.match(text, place)
    assert blanks  # the pattern matches the empty text, too
    return blanks.end()
