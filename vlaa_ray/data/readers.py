"""Readers of record files into prompts. Here: VLAA-Thinking's GRPO and SFT files, a JSON array or JSON Lines."""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

from vlaa_ray.data.images import reference
from vlaa_ray.errors import DataError
from vlaa_ray.records import VERIFIER_TYPES, Preference, Prompt

_ANSWER = re.compile(r"<answer>(.*?)</answer>", re.DOTALL)
_TYPE_OF_SOURCE: dict[str, str] = {
    "clevr_math": "digit",
    "geoqa170k": "mcq",
    "arxivqa": "mcq",
    "synthesis": "math",
    "docvqa": "open_ended",
    "vizwiz": "open_ended",
    "allava_laion": "open_ended",
    "coco": "iou",
    "vg": "iou",
}
"""The paper's reward of each source (figure 4), for files without `verifier_type`; a folder names the source."""


def read_vlaa_thinking(
    file: str | Path, image_root: str | Path | None, verifier_types: Collection[str] = VERIFIER_TYPES
) -> list[Prompt]:
    """The file's records; golds keep their type. DataError names file and row.

    Images are looked up below `image_root` (default: `images` in the file's folder); none outside is read.
    """
    file = Path(file)
    root = Path(image_root) if image_root else file.parent / "images"
    rows = enumerate(json_rows(file), start=1)
    return [_prompt(row, number, file, root.resolve(), verifier_types) for number, row in rows]


def read_preferences(file: str | Path, image_root: str | Path | None) -> list[Preference]:
    """The pairs of a file with `image`, `question`, `chosen` and `rejected`; DataError names file and row."""
    file = Path(file)
    root = (Path(image_root) if image_root else file.parent / "images").resolve()
    pairs = []
    for number, row in enumerate(json_rows(file), start=1):
        chosen, rejected = row.get("chosen"), row.get("rejected")
        if not (isinstance(chosen, str) and isinstance(rejected, str)):
            raise DataError("a pair needs two texts", file=str(file), row=number, expected="chosen, rejected")
        prompt = _prompt({"verifier_type": "open_ended", **row, "gt": chosen}, number, file, root)
        pairs.append(Preference(prompt=prompt, answers=(chosen, rejected), worths=(1.0, 0.0)))
    return pairs


def json_rows(file: Path) -> Iterator[dict[str, Any]]:
    """The objects of a JSON array or of JSON Lines, in their order; DataError names file and row."""
    try:
        text = file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"can't read the data: {error}", file=str(file)) from error
    # not splitlines(): JSON strings may hold U+2028 and other line ends of Unicode
    lines = [text] if text.lstrip().startswith("[") else [line for line in text.split("\n") if line.strip()]
    values = [_parsed(line, file, number) for number, line in enumerate(lines, start=1)]
    rows = values[0] if len(values) == 1 and isinstance(values[0], list) else values
    for number, row in enumerate(rows, start=1):
        if not isinstance(row, dict):
            raise DataError("a record must be a JSON object", file=str(file), row=number, got=type(row).__name__)
        yield row


def _parsed(line: str, file: Path, number: int) -> Any:
    try:
        return json.loads(line)
    except (ValueError, RecursionError) as error:
        raise DataError(f"neither a JSON array nor JSON Lines: {error}", file=str(file), row=number) from error


def _prompt(
    row: dict[str, Any], number: int, file: Path, root: Path, verifier_types: Collection[str] = VERIFIER_TYPES
) -> Prompt:
    missing = [key for key in ("image", "question") if key not in row]
    if missing or ("gt" not in row and "answer" not in row):
        raise DataError(
            "a record lacks a field",
            file=str(file),
            row=number,
            expected="image, question, gt or answer",
            got=sorted(row),
        )
    name = str(row["image"]).lstrip("/").removeprefix("images/")
    source = next((part for part in name.split("/") if part in _TYPE_OF_SOURCE), name.split("/")[0])
    name = name.removeprefix(f"{root.name}/")
    path = root / name
    if "\0" in name or not path.resolve().is_relative_to(root):
        raise DataError("the image lies outside the image root", file=str(file), row=number, got=row["image"])
    kind = row.get("verifier_type") or _TYPE_OF_SOURCE.get(source)
    if kind not in verifier_types:
        facts = {"file": str(file), "row": number, "got": kind or source}
        raise DataError("no verifier for this record", **facts, expected=list(verifier_types))
    solution = next(
        (value for key in ("answer", "ds_answer") if isinstance(value := row.get(key), str) and "<answer>" in value),
        None,
    )
    return Prompt(
        prompt_id=str(row.get("id", f"{file.name}:{number}")),
        question=str(row["question"]),
        gold=_gold(row),
        verifier_type=kind,
        source=source,
        images=(reference(path, name),),
        verifier_params=_verifier_params(row, kind),
        solution=solution,
    )


def _verifier_params(row: dict[str, Any], kind: str) -> dict[str, Any]:
    """The record's own `verifier_params`; without them, the paper's boxes are in the unit frame."""
    params = row.get("verifier_params")
    return dict(params) if isinstance(params, dict) else {"frame": "unit"} if kind == "iou" else {}


def _gold(row: dict[str, Any]) -> Any:
    """`gt` as it is; without one, what `answer` holds between its last answer tags, or all of it."""
    if "gt" in row:
        return row["gt"]
    answer = row["answer"]
    tagged = _ANSWER.findall(answer) if isinstance(answer, str) else []
    return tagged[-1].strip() if tagged else answer
