"""Reads JSON arrays, JSON objects keyed by id and JSON Lines one item at a time.

Memory grows with the longest item, not with the file.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any

from vlaa_ray.data.files.streams import encoding_of, explained, open_bytes, open_text
from vlaa_ray.errors import DataError

_CHUNK_CHARS = 1 << 20
_BLANK = " \t\n\r"
_SPACE = re.compile(rf"[{_BLANK}]*")
_LONGEST_TOKEN = 16  # characters of "-Infinity" or of an escape: an error this near the end may be a token cut in two
_LONGEST_LINE = 1 << 26
_OPEN_ENDS = "{[,"  # the last character of the first line of an object that goes over several lines
_IDS = {"id", "qid", "prompt_id"}
_COLUMNS = {"messages", "conversations", "prompt", "message", "texts", "images", "image", "extra_info", "reward_model"}
"""Columns of one record whose value may be an object or a list of objects: no ids of records."""
_LINES_TRIED = 20  # a file whose first lines are all no JSON is of another kind


def json_rows(file: Path) -> Iterator[dict[str, Any] | DataError]:
    """Yield the objects of a JSON array, of a JSON object keyed by id, or of JSON Lines, in their order.

    An object of the second kind gets its key as `id`, unless it has an `id` of its own.

    An item that is not an object, or a line that is not JSON, gives a DataError in its place, with file and row.
    Raises DataError if the file can't be read, or if an array is broken: the rest of it can't be read then.
    """
    with explained(file):
        for number, value in enumerate(_values(file), start=1):
            if isinstance(value, dict | DataError):
                yield value
            else:
                yield DataError("a record must be a JSON object", file=str(file), row=number, got=type(value).__name__)


def _values(file: Path) -> Iterator[Any]:
    """Return the values of the file, read as its first line shows."""
    with open_text(file, errors="replace") as stream:
        line = ""
        while (more := stream.readline(_LONGEST_LINE)) and not line:
            line = more.strip(_BLANK)
        if line.startswith("["):
            return _whole(file, _array_items)
        if not line.startswith("{"):
            return _lines(file)
        return _object_values(file, line, is_alone=not more.strip(_BLANK) and not stream.read(1))


def _object_values(file: Path, line: str, is_alone: bool) -> Iterator[Any]:
    """Return the values of a file that begins with this line, which opens a JSON object.

    If the line holds the whole object, the file is JSON Lines, unless it is the only line and all values in it are
    objects or arrays. Otherwise the object goes over several lines: its values are records, or it is one itself.
    """
    try:
        record = json.loads(line) if len(line) < _LONGEST_LINE else None
    except (ValueError, RecursionError):
        record = None
    if record is not None:
        keyed = is_alone and record and _COLUMNS.isdisjoint(record) and all(map(_holds_records, record.values()))
        return _whole(file, _keyed_items) if keyed else _lines(file)
    if line[-1] not in _OPEN_ENDS and len(line) < _LONGEST_LINE:
        return _lines(file)  # a broken line
    return _whole(file, _keyed_items if _holds_objects(file) else _spread_items)


def _holds_records(value: Any) -> bool:
    return isinstance(value, dict) or (isinstance(value, list) and bool(value) and isinstance(value[0], dict))


def _holds_objects(file: Path) -> bool:
    """Return whether the first value of the file's JSON object is an object or an array of objects."""
    with open_text(file, errors="replace") as stream:
        text = _Text(stream)
        try:
            text.take("{")
            if text.value() in _COLUMNS:
                return False
            text.take(":")
            if text.peek() == "[":
                text.take("[")
            return text.peek() == "{"
        except (ValueError, RecursionError):
            return False


def _lines(file: Path) -> Iterator[Any]:
    """Yield the value of each line that isn't blank, or a DataError if the line is not JSON.

    Raises DataError if none of the first 20 lines is JSON: the file is of another kind.
    """
    bad: list[DataError] = []
    is_json = False
    number = 0
    for line in _line_texts(file):
        if not line.strip():
            continue
        number += 1
        try:
            value = json.loads(line.decode("utf-8") if isinstance(line, bytes) else line)
        except (ValueError, RecursionError) as error:
            value = DataError(f"a line is not JSON: {error}", file=str(file), row=number)
        is_json = is_json or not isinstance(value, DataError)
        if is_json:
            yield from bad
            bad = []
            yield value
        else:
            bad.append(value)
            _refuse_other_kind(file, bad)
    yield from bad


def _refuse_other_kind(file: Path, bad: list[DataError]) -> None:
    if len(bad) == _LINES_TRIED:
        fix = "name the file after its kind: .json, .jsonl, .csv, .tsv, .parquet or .arrow"
        message = f"the file is not JSON: its first {_LINES_TRIED} lines are not ({bad[0].message})"
        raise DataError(message, file=str(file), row=1, fix=fix)


def _line_texts(file: Path) -> Iterator[bytes] | Iterator[str]:
    """Yield the lines: in UTF-8 as bytes, so that a byte that is not UTF-8 costs its line alone."""
    encoding = encoding_of(file)
    if encoding not in ("utf-8", "utf-8-sig"):
        with open_text(file) as texts:
            yield from texts
        return
    with open_bytes(file) as lines:
        if encoding == "utf-8-sig":
            lines.read(3)
        yield from lines


def _whole(file: Path, items: Callable[[_Text], Iterator[Any]]) -> Iterator[Any]:
    """Yield the items of a file that is read as one JSON text. Raises DataError if it is broken."""
    with open_text(file) as stream:
        text = _Text(stream)
        number = 1
        try:
            for value in items(text):
                yield value
                number += 1
            if rest := text.peek():
                raise ValueError(f"{rest!r} stands after its end")
        except UnicodeDecodeError:
            raise  # it concerns the whole file, not a row
        except (ValueError, RecursionError) as error:
            what = "object" if items is _keyed_items else "array"
            raise DataError(f"the JSON {what} is broken: {error}", file=str(file), row=number) from error


def _array_items(text: _Text) -> Iterator[Any]:
    text.take("[")
    if text.peek() != "]":
        yield text.value()
        while text.peek() == ",":
            text.take(",")
            yield text.value()
    text.take("]")


def _keyed_items(text: _Text) -> Iterator[Any]:
    """Yield the records of a JSON object: each value with its key as `id`, or the items of a value that is an array."""
    text.take("{")
    while text.peek() != "}":
        key = str(text.value())
        text.take(":")
        if text.peek() == "[":
            yield from _array_items(text)
        else:
            value = text.value()
            has_id = not isinstance(value, dict) or not _IDS.isdisjoint(value)
            yield value if has_id else {"id": key, **value}
        if text.peek() != "}":
            text.take(",")
    text.take("}")


def _spread_items(text: _Text) -> Iterator[Any]:
    """Yield the values of JSON that stand one after another, each over several lines."""
    while text.peek():
        yield text.value()


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
