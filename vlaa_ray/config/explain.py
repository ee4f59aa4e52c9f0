"""The config explained: every key with its meaning, type, default and allowed values, from the code itself.

For example:

    explain("grpo.kl.target")   # one key or section, in words
    tree()                      # all keys of all kinds of runs
    markdown()                  # the same as a page: python -m vlaa_ray.config.explain > docs/config.md
"""

from __future__ import annotations

import difflib
import types
import typing
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, Literal

from annotated_types import Ge, Gt, Le, Lt, MinLen
from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from vlaa_ray.config.base import AnyConfig
from vlaa_ray.config.curation import CurationConfig
from vlaa_ray.config.evaluation import EvalConfig
from vlaa_ray.config.experiment import ExperimentConfig
from vlaa_ray.config.runs import GrpoConfig, RewardModelConfig, SftConfig
from vlaa_ray.config.serving import ServeConfig
from vlaa_ray.errors import ConfigError

KINDS: tuple[type[AnyConfig], ...] = (
    GrpoConfig,
    SftConfig,
    RewardModelConfig,
    CurationConfig,
    EvalConfig,
    ExperimentConfig,
)
_WORDS = {
    int: "whole number",
    float: "number",
    str: "text",
    bool: "true or false",
    type(None): "null",
    Any: "any value",
}
_BOUNDS = {Ge: ("at least", "ge"), Gt: ("above", "gt"), Le: ("at most", "le"), Lt: ("below", "lt")}


@dataclass(frozen=True)
class Key:
    """One key of the config. Below a mapping the path has NAME, below a list []."""

    path: str
    meaning: str
    type: str
    """The type and the allowed values, in words; "section" for a section."""
    default: str
    """The default as YAML would have it; "" for a section, "required" for a key without a default."""
    commands: tuple[str, ...]
    """The `vlaa-ray` commands whose configs have the key."""

    @property
    def is_section(self) -> bool:
        """True if the key holds other keys."""
        return self.type == "section"


def keys() -> dict[str, Key]:
    """Return all keys of all kinds of runs, and of a server, by their paths, a section before its keys."""
    found: dict[str, list[Key]] = {}
    kinds: tuple[type[AnyConfig] | type[ServeConfig], ...] = (*KINDS, ServeConfig)
    for kind in kinds:
        for key in _keys_of(kind, "", kind.command):
            found.setdefault(key.path, []).append(key)
    order = {path: number for number, path in enumerate(found)}
    by_path = {path: _merged(same) for path, same in found.items()}
    return dict(sorted(by_path.items(), key=lambda item: [order.get(part, -1) for part in _parents(item[0])]))


def _merged(same: list[Key]) -> Key:
    """Return one key for a path in several kinds of runs; a default that differs names the commands that have it."""
    defaults: dict[str, list[str]] = {}
    for key in same:
        defaults.setdefault(key.default, []).extend(key.commands)
    first, *others = defaults
    default = "; ".join([first, *(f"{', '.join(defaults[other])}: {other}" for other in others)])
    return replace(same[0], default=default, commands=tuple(command for key in same for command in key.commands))


def explain(path: str) -> str:
    """Return the meaning, type, default and commands of a key, or the keys of a section, as text.

    Raises:
        ConfigError: there is no such key; the message names the nearest one.

    """
    all_keys = keys()
    if path not in all_keys:
        near = difflib.get_close_matches(path, all_keys, n=1, cutoff=0.5)
        fix = f"did you mean {near[0]!r}?" if near else "vlaa-ray config --explain shows all keys"
        raise ConfigError("unknown config key", key=path, fix=fix)
    key = all_keys[path]
    lines = [path, f"  {key.meaning}"]
    if key.is_section:
        lines += [f"  {_line(other)}" for other in all_keys.values() if other.path.startswith(f"{path}.")]
    else:
        lines += [f"  type:     {key.type}", f"  default:  {key.default}"]
    return "\n".join([*lines, f"  used by:  {', '.join(f'vlaa-ray {command}' for command in key.commands)}"])


def tree() -> str:
    """Return all keys, one line each, with type, default and the first sentence of the meaning."""
    return "\n".join(_line(key) for key in keys().values())


def markdown() -> str:
    """Return the reference of all keys as a page: one table for each section."""
    lines = [
        "# Config reference",
        "",
        "This page lists every key of a config file. `vlaa-ray config --explain KEY` prints the entry of one key.",
    ]
    lines += ["This page is generated: `python -m vlaa_ray.config.explain > docs/config.md`.", ""]
    lines += ["In a key, NAME stands for a name of your choice in a mapping, and [] for an item of a list.", ""]
    lines += [
        "Numbers are finite and at most 10^12; at most 2^50 in keys that end with `_bytes`, and 10^9 in those that end "
        "with `_s` (seconds).",
        "A leading `~` in a path is the home folder. A key may stand only once in its section.",
    ]
    for key in keys().values():
        if key.is_section:
            used = ", ".join(f"`{command}`" for command in key.commands)
            lines += ["", f"## {key.path}", "", f"{key.meaning} Used by {used}.", ""]
            lines += ["| key | type | default | meaning |", "|---|---|---|---|"]
            for other in keys().values():
                if other.path.rpartition(".")[0] == key.path and not other.is_section:
                    lines.append(_row(other))
    alone = [key for key in keys().values() if "." not in key.path and not key.is_section]
    lines += ["", "## Keys outside sections", "", "| key | type | default | meaning |", "|---|---|---|---|"]
    return "\n".join([*lines, *map(_row, alone)]) + "\n"


def _row(key: Key) -> str:
    cells = (f"`{key.path}`", key.type, f"`{key.default}`", key.meaning)
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def _line(key: Key) -> str:
    indent = "  " * key.path.count(".")
    first = key.meaning.split(". ")[0].rstrip(".")
    if key.is_section:
        return f"{indent}{key.path}: {first}"
    return f"{indent}{key.path} ({key.type}; {key.default}): {first}"


def _parents(path: str) -> list[str]:
    parts = path.split(".")
    return [".".join(parts[:end]) for end in range(1, len(parts) + 1)]


def _keys_of(model: type[BaseModel], prefix: str, command: str) -> Iterator[Key]:
    for name, field in model.model_fields.items():
        path = f"{prefix}{name}"
        meaning = " ".join((field.description or "").split())
        section, suffix = _section_of(field.annotation)
        if section is None:
            yield Key(path, meaning, _type(field), _default(field), (command,))
            continue
        if suffix:  # first the mapping or list itself, then the keys of one of its members
            yield Key(path, meaning, _type(field), _default(field), (command,))
        about = " ".join((section.__doc__ or "").split()) if suffix else meaning
        yield Key(path + suffix, about, "section", "", (command,))
        yield from _keys_of(section, f"{path}{suffix}.", command)


def _section_of(annotation: Any) -> tuple[type[BaseModel] | None, str]:
    """Return the section that a key holds, and the path to its keys.

    The path is "" for a section itself, ".NAME" for a mapping of sections, and "[]" for a list of sections.
    """
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation, ""
    suffix = {dict: ".NAME", tuple: "[]"}.get(typing.get_origin(annotation), "")
    for part in typing.get_args(annotation):
        section, below = _section_of(part)
        if section is not None:
            return section, suffix + below
    return None, ""


def _type(field: FieldInfo) -> str:
    bounds = [
        f"{words} {_number(getattr(limit, attribute))}"
        for limit in field.metadata
        for kind, (words, attribute) in _BOUNDS.items()
        if isinstance(limit, kind)
    ]
    bounds += [f"at least {limit.min_length} of them" for limit in field.metadata if isinstance(limit, MinLen)]
    patterns = [limit.pattern for limit in field.metadata if getattr(limit, "pattern", None)]
    bounds += [f"matching {pattern}" for pattern in patterns]
    return ", ".join([_in_words(field.annotation), *bounds])


def _in_words(annotation: Any) -> str:
    origin, parts = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is Literal:
        return " or ".join(map(str, parts))
    if origin in (typing.Union, types.UnionType):
        return ", or ".join(dict.fromkeys(_in_words(part) for part in parts))
    if origin is typing.Annotated:
        return _in_words(parts[0])
    if origin is tuple:
        return "list of " + " and ".join(dict.fromkeys(_in_words(part) for part in parts if part is not Ellipsis))
    if origin is dict:
        return f"mapping of names to: {_in_words(parts[1])}"
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return "section"
    return _WORDS.get(annotation, str(getattr(annotation, "__name__", annotation)))


def _number(value: float) -> str:
    return f"{value:,}".replace(",", "_") if isinstance(value, int) else f"{value:g}"


def _default(field: FieldInfo) -> str:
    value = field.get_default(call_default_factory=True) if not field.is_required() else PydanticUndefined
    if value is PydanticUndefined:
        return "required"
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, tuple):
        return "[" + ", ".join(map(str, value)) + "]"
    text = _number(value) if isinstance(value, int | float) else str(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


if __name__ == "__main__":
    import sys

    sys.stdout.write(markdown())
