"""Files with one mapping, such as run.json and config.yaml, that may be missing or damaged."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any


def read_mapping(path: Path, parse: Callable[[str], Any]) -> tuple[dict[str, Any], str]:
    """Return (the mapping in a file, ""), or ({}, a sentence that says what is wrong with the file).

    `parse` makes a value from the file's text. It must raise ValueError if it can't.
    """
    try:
        value = parse(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}, f"There is no {path.name} in this run folder."
    except (OSError, ValueError, RecursionError) as error:
        return {}, f"{path.name} can't be read: {error}"
    return (value, "") if isinstance(value, dict) else ({}, f"{path.name} doesn't hold a mapping.")


def as_mapping(value: Any) -> dict[str, Any]:
    """Return the value if it is a mapping, else {}: a part of a file may be missing or have another form."""
    return value if isinstance(value, dict) else {}


def flat(mapping: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return the values with their nested keys joined by dots: {"run": {"seed": 0}} becomes {"run.seed": 0}."""
    result: dict[str, Any] = {}
    for key, value in mapping.items():
        result |= flat(value, f"{prefix}{key}.") if isinstance(value, dict) and value else {f"{prefix}{key}": value}
    return result
