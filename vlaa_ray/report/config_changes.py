"""The config of a run against the defaults, and the configs of several runs against each other."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from typing import Any

from pydantic import BaseModel
from pydantic_core import PydanticUndefined, to_jsonable_python

from vlaa_ray.config import GrpoConfig, RewardModelConfig, SftConfig
from vlaa_ray.monitoring.names import Kind
from vlaa_ray.storage.mapping_file import flat

_CLASSES: dict[Kind, type[BaseModel]] = {"grpo": GrpoConfig, "sft": SftConfig, "reward-model": RewardModelConfig}
REQUIRED = "(no default)"


def changes_of(config: dict[str, Any], kind: Kind) -> list[tuple[str, Any, Any]]:
    """Return (key, value, default) of each key whose value is not the default, in the order of the config."""
    defaults = flat(_defaults(_CLASSES[kind]))
    known = ((key, value, defaults.get(key, REQUIRED)) for key, value in flat(config).items())
    return [(key, value, default) for key, value, default in known if value != default]


def differences(configs: Sequence[dict[str, Any]]) -> list[tuple[str, list[Any]]]:
    """Return (key, its value in each config) of each key that has not the same value in all; "" where it is missing."""
    flats = [flat(config) for config in configs]
    keys = dict.fromkeys(key for config in flats for key in config)
    rows = [(key, [config.get(key, "") for config in flats]) for key in keys]
    return [(key, values) for key, values in rows if any(value != values[0] for value in values)]


def _defaults(section: type[BaseModel]) -> dict[str, Any]:
    """Return the defaults of a section as nested values of JSON, without keys that have none."""
    values: dict[str, Any] = {}
    for name, field in section.model_fields.items():
        default, kind = field.get_default(call_default_factory=True), field.annotation
        if default is not PydanticUndefined:
            values[name] = to_jsonable_python(default)
        elif inspect.isclass(kind) and issubclass(kind, BaseModel):
            values[name] = _defaults(kind)
    return values
