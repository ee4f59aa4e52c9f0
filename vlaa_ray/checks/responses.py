"""Scores for a file of responses, without a run: each row's verdict and its reason, and a table of all.

    rows = score_file("rollouts/step_000016.jsonl", rewards)
    Console().print(score_table(rows))

A row is a JSON object with `response` (or `completion`, as in the rollouts of a run), `gold` and `verifier_type`. It
may also have `verifier_params`, `source`, and, for reward models and judges, `question`, `images`, `system` and
`history`.
"""

from __future__ import annotations

import re
import statistics
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from functools import lru_cache
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.markup import escape

from vlaa_ray.data.files.json_rows import json_rows
from vlaa_ray.errors import DataError, RewardError
from vlaa_ray.images.decode import reference
from vlaa_ray.records import ImageRef, Prompt
from vlaa_ray.rewards.manager import Response, RewardManager
from vlaa_ray.text.conversation import context_of

if TYPE_CHECKING:
    from rich.table import Table

_BATCH = 512
_NUMBERS = re.compile(r"\d+(?:\.\d+)?|'[^']*'|\"[^\"]*\"|\[[^\]]*\]")
_MAX_REASONS = 3
_OPTIONAL: dict[str, type] = {"images": list, "verifier_params": dict}
_KINDS: dict[type, str] = {str: "text", list: "a list", dict: "a JSON object"}


def score_file(file: str | Path, rewards: RewardManager) -> list[dict[str, Any]]:
    """Return the rows of a JSON or JSON Lines file, with `reward`, `valid`, `extracted`, `reason` and `parts` added.

    Raises DataError, which names the file and the rows, if a row can't be read, lacks a field, has a field of another
    type, or has an unknown verifier type or parameter, and if the file has no row.
    """
    file = Path(file)
    rows: list[dict[str, Any]] = []
    numbered = enumerate(_objects(file), start=1)
    while batch := list(islice(numbered, _BATCH)):
        responses = [_response(row, file, number) for number, row in batch]
        try:
            results = rewards.score(responses)
        except RewardError as error:
            last = batch[-1][0]
            raise DataError(
                error.message, file=str(file), rows=f"{batch[0][0]} to {last}", fix=error.fix, **error.facts
            ) from error
        for (_, row), result in zip(batch, results, strict=True):
            verdict = {"reward": result.value, "valid": result.valid, "extracted": result.extracted}
            rows.append(row | verdict | {"reason": result.reason, "parts": result.parts})
    if not rows:
        raise DataError("the file holds no record", file=str(file), fix="give a file with one JSON object a line")
    return rows


def score_table(rows: Sequence[dict[str, Any]]) -> Table:
    """Return a table of the rewards, with a row for each verifier type and source.

    Its columns are the number of responses, the mean and the standard deviation of the valid rewards, the share that
    can't be judged, the share without an answer, and the most frequent reasons for less than the full reward.
    """
    from rich.table import Table

    table = Table(title="Rewards", title_justify="left")
    for name in ("verifier type", "source"):
        table.add_column(name, no_wrap=True)
    for name in ("responses", "mean", "std", "invalid", "no answer"):
        table.add_column(name, justify="right")
    table.add_column("most frequent reasons")
    groups: dict[tuple[str, str], list[dict[str, Any]]] = defaultdict(list)
    for row in rows:
        groups[row["verifier_type"], str(row.get("source") or "")].append(row)
    for (verifier_type, source), group in sorted(groups.items()):
        values = [row["reward"] for row in group if row["valid"]]
        table.add_row(
            escape(verifier_type),
            escape(source),
            str(len(group)),
            f"{statistics.fmean(values):.3f}" if values else "–",
            f"{statistics.pstdev(values):.3f}" if values else "–",
            f"{1 - len(values) / len(group):.1%}",
            f"{sum(row['extracted'] is None for row in group) / len(group):.1%}",
            _reasons(group),
        )
    return table


def _reasons(rows: Sequence[dict[str, Any]]) -> str:
    """Return the three most frequent reasons with their counts. Numbers and quotations in them become "…"."""
    counts = Counter(_NUMBERS.sub("…", row["reason"]) for row in rows if row["reason"])
    return escape("; ".join(f"{count} × {reason}" for reason, count in counts.most_common(_MAX_REASONS)))


def _objects(file: Path) -> Iterator[dict[str, Any]]:
    """Yield the rows of the file. Raises DataError at the first that can't be read."""
    for row in json_rows(file):
        if isinstance(row, DataError):
            raise row
        yield row


def _response(row: dict[str, Any], file: Path, number: int) -> Response:
    """Return the row as a prompt and a response. Raises DataError if a field is missing or of another type."""
    name = "response" if "response" in row else "completion"
    if not {name, "gold", "verifier_type"} <= row.keys():
        expected = "response (or completion), gold and verifier_type"
        raise DataError("the row lacks a field", file=str(file), row=number, expected=expected, got=sorted(row))
    for field, kind in {name: str, "verifier_type": str, **_OPTIONAL}.items():
        value = row.get(field)
        if not isinstance(value, kind) and not (value is None and field in _OPTIONAL):
            message = f"the field {field!r} of the row must be {_KINDS[kind]}"
            raise DataError(message, file=str(file), row=number, got=f"{type(value).__name__}: {value!r:.80}")
    try:
        system, history = context_of(row)
    except ValueError as error:
        raise DataError(f"the row can't be read: {error}", file=str(file), row=number) from error
    response = row[name]
    prompt = Prompt(
        prompt_id=f"{row.get('prompt_id', '')}:{number}",
        question=str(row.get("question", "")),
        gold=row["gold"],
        verifier_type=row["verifier_type"],
        source=str(row.get("source") or ""),
        images=tuple(_image(file, image, number) for image in row.get("images") or ()),
        verifier_params=row.get("verifier_params") or {},
        system=system,
        history=history,
    )
    return prompt, response


def _image(file: Path, image: Any, number: int) -> ImageRef:
    """Return the reference of a row's image: a path, or {"path": …} as in the rollouts of a run.

    A path is relative to the folder of the file or, if nothing is there, to the folder above it (the run's).
    """
    name = image.get("path") if isinstance(image, dict) else image
    if not isinstance(name, str) or not name:
        message = "an image of the row must be a path, or an object with a path"
        raise DataError(message, file=str(file), row=number, got=f"{image!r:.80}")
    beside = file.parent / name
    try:
        return _reference(beside if beside.exists() else file.parent.parent / name)
    except DataError as error:
        error.add_facts(row=number)
        raise


@lru_cache(maxsize=1024)
def _reference(path: Path) -> ImageRef:
    return reference(path)
