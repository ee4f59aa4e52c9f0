"""The loading of configs from files and overrides, with all problems in one error, and their writing as YAML."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from inspect import isabstract
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ValidationError

from vlaa_ray.config.base import AnyConfig
from vlaa_ray.config.base_folder import find_input
from vlaa_ray.config.curation import CurationConfig
from vlaa_ray.config.evaluation import EvalConfig
from vlaa_ray.config.experiment import ExperimentConfig
from vlaa_ray.config.runs import GrpoConfig, RewardModelConfig, SftConfig
from vlaa_ray.config.sections import Section
from vlaa_ray.config.yaml_text import parse_yaml
from vlaa_ray.errors import ConfigError

Config = TypeVar("Config", bound=Section)


def load_config(
    path: str | Path | None,
    overrides: Sequence[str] = (),
    kind: type[Config] = GrpoConfig,  # type: ignore[assignment]
) -> Config:
    """Return the config of a YAML file with `key.path=value` overrides (values in YAML).

    An abstract `kind`, such as TrainingConfig, takes the kind of run that the file describes. Without a file, the
    overrides and the defaults make up the config.

    Raises:
        ConfigError: the file can't be read, it describes another kind of run, or keys are wrong; the message lists all
            problems.

    """
    path, values = (_NO_FILE, {}) if path is None else read_values(path)
    apply_overrides(values, overrides)
    if isabstract(kind) or _is_of_another_kind(values, kind):
        kind = _concrete(kind, values, path)
    return validated(values, kind, file=str(path))


def read_values(path: str | Path) -> tuple[Path, dict[str, Any]]:
    """Return (path at which it was found, values) of a YAML file with a mapping.

    Raises:
        ConfigError: the file can't be read, or it holds something else.

    """
    path = Path(find_input(str(path)))
    try:
        values = parse_yaml(_text_of(path)) or {}
    except OSError as error:
        raise ConfigError(
            f"can't read the config: {error}", file=str(path), fix="give the path of a YAML file"
        ) from error
    except ValueError as error:
        raise ConfigError(f"the config file is not YAML that can be used: {error}", file=str(path)) from error
    if not isinstance(values, dict):
        raise ConfigError("the config must be a mapping of sections", file=str(path), got=type(values).__name__)
    return path, values


def apply_overrides(values: dict[str, Any], overrides: Sequence[str]) -> None:
    """Change `values` by the `key.path=value` overrides; raises ConfigError for one that has another form."""
    for override in overrides:
        _apply(values, override)


def validated(values: dict[str, Any], kind: type[Config], **facts: str) -> Config:
    """Return the config of a concrete kind from its values.

    Raises:
        ConfigError: keys are wrong; the message lists all problems, and `facts` are added to it.

    """
    try:
        return kind.model_validate(values)
    except ValidationError as error:
        problems = [f"  - {_describe(problem, kind)}" for problem in _meant(error.errors())]
        text = "\n".join(problems)
        raise ConfigError(f"{len(problems)} problem(s) in the config:\n{text}\n", **facts) from None


def _text_of(path: Path) -> str:
    """Return the text of a config file; ValueError for one without an end, such as a device, or of another kind."""
    with path.open(encoding="utf-8") as file:
        text = file.read(_MOST_CHARS + 1)
    if len(text) > _MOST_CHARS:
        raise ValueError(f"it has more than {_MOST_CHARS:,} characters")
    return text


_MOST_CHARS = 1 << 22
_NO_FILE = Path("the command line")
_KINDS: dict[str, type[AnyConfig]] = {
    "arms": ExperimentConfig,
    "steps": CurationConfig,
    "conditions": EvalConfig,
    "benchmarks": EvalConfig,
    "reward_model": RewardModelConfig,
    "sft": SftConfig,
}
"""The kinds of runs by the sections that only they have; a config without any of these sections is a GRPO run's."""
_OF_GRPO = {"grpo", "rollout", "weight_sync"}
_ALL_KINDS: tuple[type[AnyConfig], ...] = (GrpoConfig, *dict.fromkeys(_KINDS.values()))


def config_kind(values: dict[str, Any]) -> type[AnyConfig]:
    """Return the kind of run that the values of a config file describe."""
    return next((kind for section, kind in _KINDS.items() if section in values), GrpoConfig)


def _is_of_another_kind(values: dict[str, Any], kind: type[Any]) -> bool:
    """Return whether a section shows that the file describes another kind of run than the concrete `kind`."""
    actual = config_kind(values)
    return not issubclass(actual, kind) and (actual is not GrpoConfig or bool(_OF_GRPO & values.keys()))


def _concrete(kind: type[Config], values: dict[str, Any], path: Path) -> type[Config]:
    actual = config_kind(values)
    if not issubclass(actual, kind):
        wanted = " or ".join(f"`vlaa-ray {other.command}`" for other in _ALL_KINDS if issubclass(other, kind))
        message = f"the file is a config of `vlaa-ray {actual.command}`"
        raise ConfigError(
            message, file=str(path), expected=f"a config of {wanted}", fix="give another file, or run that command"
        )
    return actual


def dump_config(config: Section) -> str:
    """Return the resolved config as YAML; reloading it gives an equal config."""
    return yaml.dump(config.model_dump(mode="json"), Dumper=_Dumper, sort_keys=False, allow_unicode=True)


class _Dumper(yaml.SafeDumper):
    """A YAML writer that escapes the line end U+0085, which PyYAML would write as it is and read back as a space."""

    def represent_text(self, text: str) -> yaml.ScalarNode:
        return self.represent_scalar("tag:yaml.org,2002:str", text, style='"' if "\x85" in text else None)


_Dumper.add_representer(str, _Dumper.represent_text)


def _apply(values: dict[str, Any], override: str) -> None:
    key, separator, text = override.partition("=")
    if not separator or not key:
        raise ConfigError(f"an override must be key=value, got {override!r}", fix="for example run.num_steps=10")
    *parents, leaf = key.strip().split(".")
    for parent in parents:
        values = values.setdefault(parent, {})
        if not isinstance(values, dict):
            raise ConfigError(f"override {key!r}: {parent!r} is a value, not a section")
    try:
        values[leaf] = parse_yaml(text)
    except ValueError as error:
        raise ConfigError(f"override {key!r}: not a YAML value: {text!r} ({error})") from error


def _meant(problems: Sequence[Any]) -> list[Any]:
    """Return the problems without those of types that were not meant: text was possible where a list is given."""
    return [one for one in problems if not (one["loc"][-1:] == ("str",) and isinstance(one["input"], list))]


def _describe(problem: Any, kind: type[Section]) -> str:
    path = [str(part) for part in problem["loc"] if "[" not in str(part)]  # pydantic names a type there
    where = ".".join(path) or "config"
    if problem["type"] == "extra_forbidden":
        known = _fields_at(kind, path[:-1])
        near = difflib.get_close_matches(path[-1], known, n=1, cutoff=0.5)
        hint = f"did you mean {'.'.join([*path[:-1], near[0]])!r}?" if near else f"known keys: {', '.join(known)}"
        return f"{where}: unknown key; {hint}"
    message = problem["msg"].removeprefix("Value error, ")
    got = "" if isinstance(problem["input"], dict | BaseModel) else f", got {problem['input']!r}"
    return f"{where}: {message}{got}"


def _fields_at(kind: type[BaseModel], path: list[str]) -> list[str]:
    for name in path:
        annotation = kind.model_fields[name].annotation
        if not (isinstance(annotation, type) and issubclass(annotation, BaseModel)):
            return []
        kind = annotation
    return list(kind.model_fields)
