"""Options and helpers that several commands share."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

import vlaa_ray
from vlaa_ray.errors import ConfigError

if TYPE_CHECKING:
    from vlaa_ray.config import TrainingConfig

ConfigFile = Annotated[Path, typer.Option("--config", metavar="FILE", help="Config of the run, a YAML file.")]
Overrides = Annotated[
    list[str] | None,
    typer.Argument(metavar="KEY=VALUE", help="Keys of the config to change, for example run.num_steps=3."),
]
Resume = Annotated[
    str,
    typer.Option(
        metavar="auto|never|DIR",
        help="auto: continue the run if it has a checkpoint. never: start a new run, and refuse a folder that holds "
        "one. DIR: continue from this checkpoint, or from the newest one of this run folder.",
    ),
]


def print_report(run_dir: Path) -> None:
    """Write the report of a run, and print its table and the report's path."""
    from rich.console import Console

    from vlaa_ray.report import final_table, write_report

    path = write_report(run_dir)
    console = Console()
    console.print(final_table(run_dir))
    console.print(f"Report: {path}", soft_wrap=True, highlight=False)


def training_config(file: Path | None) -> TrainingConfig | None:
    """Return the config of a training run of any kind; None without a file."""
    from vlaa_ray.config import TrainingConfig, load_config

    return load_config(file, kind=TrainingConfig) if file else None


def print_to_stderr(text: str) -> None:
    """Print a line to stderr: it tells the user about progress and is not part of the result."""
    from rich.console import Console

    Console(stderr=True, soft_wrap=True, highlight=False).print(text, markup=False)


def require_own_actors() -> None:
    """Check that Python would import the package `actors` that belongs to this `vlaa_ray`.

    Raises:
        ConfigError: another package of this name comes first.

    """
    spec = importlib.util.find_spec("actors")
    actual = Path(spec.origin).resolve() if spec and spec.origin else None
    expected = Path(vlaa_ray.__file__).resolve().parents[1] / "actors" / "__init__.py"
    if actual != expected:
        fix = "pip uninstall actors, then reinstall vlaa-ray; or run from the project's folder"
        raise ConfigError(
            "another package called 'actors' would be imported", got=str(actual), expected=str(expected), fix=fix
        )
