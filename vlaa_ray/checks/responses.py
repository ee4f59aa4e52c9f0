"""Responses in a file, scored without a run: what each verifier says, and why, in a table.

    rows = score_file("rollouts/step_000016.jsonl", rewards)
    Console().print(score_table(rows))

A row is an object with `response` (or `completion`, as in a run's rollouts), `gold` and `verifier_type`, and, if
it has them, `verifier_params`, `source`, `question` and `images`, which reward models and judges look at.
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

if TYPE_CHECKING:
    from rich.table import Table

_BATCH = 512
_NUMBERS = re.compile(r"\d+(?:\.\d+)?|'[^']*'|\"[^\"]*\"|\[[^\]]*\]")
_MAX_REASONS = 3


def score_file(file: str | Path, rewards: RewardManager) -> list[dict[str, Any]]:
    """The rows of a JSON (Lines) file with `reward`, `valid`, `extracted`, `reason`; DataError names file and row."""
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
    return rows


def score_table(rows: Sequence[dict[str, Any]]) -> Table:
    """Mean, deviation, invalid and empty shares by verifier type and source, and the commonest reasons."""
    from rich.table import Table

    table = Table(title="Rewards", title_justify="left")
    for name in ("verifier type", "source"):
        table.add_column(name, no_wrap=True)
    for name in ("responses", "mean", "std", "invalid", "no answer"):
        table.add_column(name, justify="right")
    table.add_column("why less than 1")
    groups: dict[tuple[str, str], list[dict[str, Any]]] = defaultdict(list)
    for row in rows:
        groups[row["verifier_type"], str(row.get("source") or "")].append(row)
    for (kind, source), mine in sorted(groups.items()):
        values = [row["reward"] for row in mine if row["valid"]]
        table.add_row(
            escape(kind),
            escape(source),
            str(len(mine)),
            f"{statistics.fmean(values):.3f}" if values else "–",
            f"{statistics.pstdev(values):.3f}" if values else "–",
            f"{1 - len(values) / len(mine):.1%}",
            f"{sum(row['extracted'] is None for row in mine) / len(mine):.1%}",
            _reasons(mine),
        )
    return table


def _reasons(rows: Sequence[dict[str, Any]]) -> str:
    """The commonest ones, with what differs between rows left out."""
    found = Counter(_NUMBERS.sub("…", row["reason"]) for row in rows if row["reason"])
    return escape("; ".join(f"{count} × {reason}" for reason, count in found.most_common(_MAX_REASONS)))


def _objects(file: Path) -> Iterator[dict[str, Any]]:
    for row in json_rows(file):
        if isinstance(row, DataError):
            raise row
        yield row


def _response(row: dict[str, Any], file: Path, number: int) -> Response:
    response = row.get("response", row.get("completion"))
    if not isinstance(response, str) or "gold" not in row or not isinstance(row.get("verifier_type"), str):
        expected = "response (or completion), gold and verifier_type"
        raise DataError("a row lacks a field", file=str(file), row=number, expected=expected, got=sorted(row))
    prompt = Prompt(
        prompt_id=f"{row.get('prompt_id', '')}:{number}",
        question=str(row.get("question", "")),
        gold=row["gold"],
        verifier_type=row["verifier_type"],
        source=str(row.get("source") or ""),
        images=tuple(_image(file, one) for one in row.get("images") or ()),
        verifier_params=row.get("verifier_params") or {},
    )
    return prompt, response


def _image(file: Path, image: Any) -> ImageRef:
    """A path, or a rollout's {"path": …}: relative to the file's folder, or to the run folder that it lies in."""
    name = str(image["path"] if isinstance(image, dict) else image)
    beside = file.parent / name
    return _reference(beside if beside.exists() else file.parent.parent / name)


@lru_cache(maxsize=1024)
def _reference(path: Path) -> ImageRef:
    return reference(path)
