"""The viewer of rows: what the pages of evaluations hold as data, for `rows.js` to show one row at a time.

Questions, answers and golds are foreign text. They enter a page only as JSON in a data block, in which no character
can end the block, and the script shows them only as text. The page's policy allows this one script, by its hash.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import chain, zip_longest
from pathlib import Path
from typing import Any

from vlaa_ray.report.evaluation_folder import AnsweredRow
from vlaa_ray.report.html import safe
from vlaa_ray.text.answers import split_thoughts

PICTURE_CHARS = 64_000_000
"""The most characters of pictures (as data URIs) in a page."""
TEXT_CHARS = 64_000_000
"""The most characters of questions and answers in a page; longer texts are cut to shorter ones until they fit."""
_MOST_CHARS = 8_000
_LEAST_CHARS = 500
_STARTS = ((b"\xff\xd8\xff", "jpeg"), (b"\x89PNG\r\n\x1a\n", "png"), (b"GIF8", "gif"), (b"RIFF", "webp"))


@dataclass(frozen=True)
class ShownRow:
    """A question with one answer, or in a comparison with the answers of both models. `change` is for comparisons."""

    answers: tuple[AnsweredRow, ...]
    change: str = ""


@dataclass(frozen=True)
class Album:
    """The pictures of a page as data URIs, by their names in the folder, and the numbers of those that are not there.

    `num_left_out` had no room; `num_missing` can't be read, or are not pictures.
    """

    uris: dict[str, str]
    num_left_out: int
    num_missing: int


def viewer(rows: Sequence[ShownRow], album: Album, titles: Sequence[str]) -> dict[str, Any]:
    """Return the values that the templates need for the viewer.

    `titles` name the answers of a row, where there are several. `category_ids` maps (benchmark, category, label) to the
    value of its filter.
    """
    benchmarks = list(dict.fromkeys(row.answers[0].benchmark for row in rows))
    labels = list(
        dict.fromkeys(
            (row.answers[0].benchmark, name, label) for row in rows for name, label in row.answers[0].categories
        )
    )
    category_ids = {label: number for number, label in enumerate(labels)}
    names = list(dict.fromkeys(name for row in rows for name in row.answers[0].images))
    picture_ids = {name: number for number, name in enumerate(names)}
    most = _most_chars(rows)
    data = {
        "benchmarks": benchmarks,
        "categories": [(benchmarks.index(benchmark), name, label) for benchmark, name, label in labels],
        "titles": list(titles),
        "pictures": names,
        "rows": [
            _row(row, benchmarks.index(row.answers[0].benchmark), category_ids, picture_ids, most) for row in rows
        ],
    }
    return {
        **viewer_parts("rows.js"),
        "rows_data": block(data),
        "pictures_data": block([album.uris.get(name, "") for name in names]),
        "row_benchmarks": benchmarks,
        "category_ids": category_ids,
        "num_shown": len(rows),
        "most_chars": most,
        "is_cut": any(len(text) > most for row in rows for text in _texts(row)),
        "num_pictures": len(names),
        "album": album,
    }


def viewer_parts(script_name: str) -> dict[str, Any]:
    """Return the style, the script and the script's hash for the page's policy: `viewer.js`, and the page's own script.

    The keys are those that the templates use: `rows_style`, `script` and `script_hash`.
    """
    style, common, own = (
        (Path(__file__).parent / name).read_text(encoding="utf-8")
        for name in ("evaluation.css", "viewer.js", script_name)
    )
    return {
        "rows_style": safe(style),
        "script": safe(common + own),
        "script_hash": base64.b64encode(hashlib.sha256((common + own).encode()).digest()).decode(),
    }


def block(value: Any) -> Any:
    """Return the value as JSON for a `<script type="application/json">`: no character in it can end the block."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    return safe(text.replace("&", "\\u0026").replace("<", "\\u003c").replace(">", "\\u003e"))


def album_of(folder: Path, rows: Iterable[AnsweredRow], most_chars: int = PICTURE_CHARS) -> Album:
    """Return the pictures of the rows as data URIs, each once, `most_chars` characters of them at most.

    Benchmarks take turns. Within a benchmark the pictures of wrong and unsettled rows come before those of right ones.
    """
    uris: dict[str, str] = {}
    num_chars = num_left_out = num_missing = 0
    for name in _by_turns(rows):
        path = _picture_file(folder, name)
        if path and num_chars + path.stat().st_size * 4 // 3 > most_chars:
            num_left_out += 1
        elif uri := path and _uri(path):
            uris[name] = uri
            num_chars += len(uri)
        else:
            num_missing += 1
    return Album(uris, num_left_out, num_missing)


def cut(text: str, most: int) -> str:
    """Return the text, with its middle left out if it has more than `most` characters; the answer is near the end."""
    if len(text) <= most:
        return text
    head = most // 2
    return f"{text[:head]}\n[… {len(text) - most} characters left out …]\n{text[len(text) - (most - head) :]}"


def _row(
    row: ShownRow,
    benchmark: int,
    category_ids: dict[tuple[str, str, str], int],
    picture_ids: dict[str, int],
    most: int,
) -> dict[str, Any]:
    first = row.answers[0]
    return {
        "benchmark": benchmark,
        "index": first.index,
        "sample": first.sample,
        "question": cut(first.question, most),
        "gold": cut(first.gold, most),
        "categories": [category_ids[first.benchmark, name, label] for name, label in first.categories],
        "pictures": [picture_ids[name] for name in first.images],
        "change": row.change,
        "answers": [_answer(answer, most) for answer in row.answers],
    }


def _answer(answer: AnsweredRow, most: int) -> dict[str, Any]:
    thought, rest = split_thoughts(answer.prediction)
    return {
        "thought": cut(thought, most),
        "rest": cut(rest, most),
        "extracted": cut(answer.extracted, most),
        "verdict": answer.verdict,
        "value": answer.value,
        "settled": answer.settled_by,
        "reason": cut(answer.reason, most),
        "tokens": answer.num_tokens,
        "ended": answer.finish_reason,
    }


def _texts(row: ShownRow) -> Iterable[str]:
    first = row.answers[0]
    yield from (first.question, first.gold)
    for answer in row.answers:
        yield from (answer.prediction, answer.extracted, answer.reason)


def _most_chars(rows: Sequence[ShownRow]) -> int:
    """Return the number of characters that a text may have, so that all texts together fit into a page."""
    lengths = [len(text) for row in rows for text in _texts(row)]
    most = _MOST_CHARS
    while most > _LEAST_CHARS and sum(min(length, most) for length in lengths) > TEXT_CHARS:
        most //= 2
    return most


def _by_turns(rows: Iterable[AnsweredRow]) -> list[str]:
    """Return the names of the pictures, each once, in the order in which they get room in a page."""
    queues: dict[str, list[AnsweredRow]] = {}
    for row in rows:
        queues.setdefault(row.benchmark, []).append(row)
    for queue in queues.values():
        queue.sort(key=lambda row: row.verdict == "right")
    turns = chain.from_iterable(zip_longest(*queues.values()))
    return list(dict.fromkeys(name for row in turns if row is not None for name in row.images))


def _picture_file(folder: Path, name: str) -> Path | None:
    """Return the file of a picture; None if it does not exist, or if the name leads out of the folder."""
    path = (folder / name).resolve() if "\0" not in name else folder
    return path if path.is_relative_to(folder.resolve()) and path.is_file() else None


def _uri(path: Path) -> str:
    """Return the picture as a data URI, or "" if the file can't be read or holds no picture."""
    try:
        data = path.read_bytes()
    except OSError:
        return ""
    kind = next((kind for start, kind in _STARTS if data.startswith(start)), "")
    return f"data:image/{kind};base64,{base64.b64encode(data).decode()}" if kind else ""
