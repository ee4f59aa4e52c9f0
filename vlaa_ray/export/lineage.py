"""The base model of a run, its licence, and the runs between the two."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vlaa_ray.config import parse_yaml
from vlaa_ray.storage.layout import CONFIG, MANIFEST
from vlaa_ray.storage.mapping_file import as_mapping, read_mapping

UNKNOWN = "unknown"
_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[\w.-]+")
_LICENCE = re.compile(r"[a-z0-9][a-z0-9.+-]{1,40}")
_MAX_RUNS = 8
_MAX_README_CHARS = 200_000


@dataclass(frozen=True, kw_only=True)
class Origin:
    """The model that the first run began with."""

    name: str
    """The hub id or `builtin:NAME`; for a folder its last part, so that a card names no path of a machine."""
    hub_id: str | None
    licence: str
    """The identifier of the hub, such as apache-2.0, or `unknown`."""
    stages: tuple[str, ...]
    """The runs from the base to the exported checkpoint, the first one first, as `sft cold-start, step 100`."""


def base_model(checkpoint: Path) -> Origin:
    """Return the base model of a checkpoint; the checkpoints of earlier runs are followed back where they are there."""
    stages: list[str] = []
    path = str(checkpoint)
    for _ in range(_MAX_RUNS):
        config = read_mapping(Path(path) / CONFIG, parse_yaml)[0]
        run, model = as_mapping(config.get("run")), as_mapping(config.get("model"))
        step = Path(path).name.removeprefix("step_").lstrip("0")
        stages.insert(0, f"{kind_of(config)} run {run.get('name', UNKNOWN)}, step {step}")
        began = str(model.get("path", UNKNOWN))
        above = Path(began).parent
        if Path(began).name != "hf" or not (above / MANIFEST).is_file():
            break
        path = str(above)
    return _described(began, tuple(stages))


def kind_of(config: dict[str, Any]) -> str:
    """Return the kind of run of a resolved config in words."""
    if "grpo" in config:
        return "GRPO"
    return "SFT" if "sft" in config else "training"


def _described(began: str, stages: tuple[str, ...]) -> Origin:
    if began.startswith("builtin:"):
        return Origin(name=began, hub_id=None, licence="apache-2.0", stages=stages)  # this package's own
    folder = Path(began)
    if folder.is_dir() or not _HUB_ID.fullmatch(began):
        return Origin(name=folder.name, hub_id=_hub_id_of(folder), licence=licence_of(folder), stages=stages)
    return Origin(name=began, hub_id=began, licence=_licence_in_cache(began), stages=stages)


def licence_of(folder: Path) -> str:
    """Return the licence that a model's folder names in its README's header or its config; `unknown` without one."""
    for value in (_header(folder / "README.md").get("license"), _json(folder / "config.json").get("license")):
        if isinstance(value, str) and _LICENCE.fullmatch(value.lower()):
            return value.lower()
    return UNKNOWN


def _hub_id_of(folder: Path) -> str | None:
    """Return the hub id that a downloaded folder's config names."""
    name = _json(folder / "config.json").get("_name_or_path")
    return name if isinstance(name, str) and _HUB_ID.fullmatch(name) else None


def _licence_in_cache(hub_id: str) -> str:
    """Return the licence of a model of the hub, from its README if that has been downloaded; the hub is not asked."""
    from huggingface_hub import try_to_load_from_cache

    for name in ("README.md", "config.json"):
        found = try_to_load_from_cache(hub_id, name)
        if isinstance(found, str) and (licence := licence_of(Path(found).parent)) != UNKNOWN:
            return licence
    return UNKNOWN


def _header(path: Path) -> dict[str, Any]:
    """Return the YAML header of a model card; {} without one."""

    def parse(text: str) -> Any:
        _, _, rest = text[:_MAX_README_CHARS].partition("---\n")
        return parse_yaml(rest.partition("\n---")[0]) if text.startswith("---\n") else {}

    return read_mapping(path, parse)[0]


def _json(path: Path) -> dict[str, Any]:
    return read_mapping(path, json.loads)[0]
