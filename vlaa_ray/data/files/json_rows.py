"""JSON arrays and JSON Lines, an item at a time: what is held of a file is its longest item, not its text."""

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
_LONGEST_TOKEN = 16  # characters of "-Infinity" or of an escape: a fault so near the end may be a cut through it


def json_rows(file: Path) -> Iterator[dict[str, Any] | DataError]:
    """The objects of a JSON array or of JSON Lines, in their order; DataError names file and row.

    What is no object comes as the DataError that it is, and so does a line that isn't JSON. A broken array can't be
    read on: there the error is raised, as for a file that can't be read.
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
    """The value of each line that isn't blank, or what is wrong with it."""
    number = 0
    with file.open("rb") as lines:  # of bytes: JSON strings may hold U+2028 and other line ends of Unicode
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
                raise ValueError(f"{rest!r} after its end")
        except UnicodeDecodeError:
            raise  # of the file as such, not of a row
        except (ValueError, RecursionError) as error:
            raise DataError(f"the JSON array is broken: {error}", file=str(file), row=number) from error


class _Text:
    """The part of a stream that is being read; it grows as far as one value needs."""

    def __init__(self, stream: IO[str]) -> None:
        self._stream = stream
        self._decoder = json.JSONDecoder()
        self._text = ""
        self._place = 0
        self._ended = False

    def peek(self) -> str:
        """The next character that isn't blank; empty at the end."""
        while (place := _end_of_space(self._text, self._place)) == len(self._text) and not self._ended:
            self._place = place
            self._grow()
        self._place = place
        return self._text[place : place + 1]

    def take(self, character: str) -> None:
        """Step over `character`; ValueError if something else comes."""
        if (found := self.peek()) != character:
            raise ValueError(f"expected {character!r}, got {found!r}")
        self._place += 1

    def value(self) -> Any:
        """The next value, as `json.loads` gives it; its ValueError, its RecursionError."""
        self.peek()
        while True:
            try:
                value, end = self._decoder.raw_decode(self._text, self._place)
            except json.JSONDecodeError as error:
                cut = error.msg.startswith("Unterminated string") or error.pos >= len(self._text) - _LONGEST_TOKEN
                if self._ended or not cut:
                    raise ValueError(f"{error.msg}, at {self._text[error.pos : error.pos + 40]!r}") from None
            else:
                if self._ended or end < len(self._text) - _LONGEST_TOKEN:  # else a number may go on
                    self._place = end
                    return value
            self._grow()

    def _grow(self) -> None:
        """Let go of what is done, and at least double what is left, so that a long value is not read over and over."""
        left = self._text[self._place :]
        more = self._stream.read(max(_CHUNK_CHARS, len(left)))
        self._text, self._place, self._ended = left + more, 0, not more


def _end_of_space(text: str, place: int) -> int:
    found = _SPACE.match(text, place)
    assert found  # it matches nothing, too
    return found.end()
