"""What commands share: their options, the report of a run, and the right package of actors."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Annotated

import typer

import vlaa_ray
from vlaa_ray.errors import ConfigError

ConfigFile = Annotated[Path, typer.Option("--config", metavar="FILE", help="YAML file of the run.")]
Overrides = Annotated[list[str] | None, typer.Argument(metavar="KEY=VALUE", help="For example run.num_steps=3.")]
Resume = Annotated[
    str,
    typer.Option(metavar="auto|never|DIR", help="Continue the run of this name, start only, or continue from DIR."),
]


def print_report(run_dir: Path) -> None:
    """Write the report of a run, and print its table."""
    from rich.console import Console

    from vlaa_ray.report import final_table, write_report

    path = write_report(run_dir)
    console = Console()
    console.print(final_table(run_dir))
    console.print(f"Report: {path}", soft_wrap=True, highlight=False)


def say_beside(text: str) -> None:
    """A line for people that is no result: on stderr."""
    from rich.console import Console

    Console(stderr=True, soft_wrap=True, highlight=False).print(text, markup=False)


def require_own_actors() -> None:
    """ConfigError unless the package `actors` that Python would import is the one beside `vlaa_ray`."""
    spec = importlib.util.find_spec("actors")
    found = Path(spec.origin).resolve() if spec and spec.origin else None
    expected = Path(vlaa_ray.__file__).resolve().parents[1] / "actors" / "__init__.py"
    if found != expected:
        fix = "pip uninstall actors, then reinstall vlaa-ray; or run from the project's folder"
        raise ConfigError(
            "another package called 'actors' is in the way", got=str(found), expected=str(expected), fix=fix
        )
