"""Options and helpers that several commands share."""

from __future__ import annotations

import importlib.util
import logging
import os
import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

import vlaa_ray
from vlaa_ray.errors import ConfigError, VlaaRayError

if TYPE_CHECKING:
    from vlaa_ray.config import TrainingConfig
    from vlaa_ray.report.study import Sought

_LIBRARIES = ("PIL", "datasets", "transformers", "huggingface_hub", "fsspec", "math_verify", "latex2sympy2_extended")
_VERBOSITIES = ("DATASETS_VERBOSITY", "TRANSFORMERS_VERBOSITY", "HF_HUB_VERBOSITY")
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
RunsFolder = Annotated[Path, typer.Option("--runs", metavar="DIR", help="Folder in which runs are looked for by name.")]
DEFAULT_RUNS = Path("runs")


def print_report(run_dir: Path, sought: Sought | None = None, address: str | None = None) -> None:
    """Write the report of a run, and print its table and the report's path; see `Sought` for what it may look for.

    `address` is the run's folder in a bucket, which gets the report and the page of rollouts, too.
    """
    from rich.console import Console

    from vlaa_ray.report import final_table, write_report
    from vlaa_ray.report.rollouts_page import ROLLOUTS_PAGE
    from vlaa_ray.run.remote_sources import publish

    path = write_report(run_dir, sought)
    console = Console(emoji=False)
    console.print(final_table(run_dir))
    console.print(f"Report: {path}", soft_wrap=True, highlight=False)
    if address:
        rollouts = path.with_name(ROLLOUTS_PAGE)
        if rollouts.is_file():
            publish(address, rollouts)
        console.print(f"Report in the bucket: {publish(address, path)}", soft_wrap=True, highlight=False)


def training_config(file: Path | None) -> TrainingConfig | None:
    """Return the config of a training run of any kind, with the folder of the model; None without a file."""
    from vlaa_ray.config import TrainingConfig, load_config
    from vlaa_ray.run.start_model import planned

    return planned(load_config(file, kind=TrainingConfig)) if file else None


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


def ready_to_write(file: Path, option: str, others: Iterable[str | Path | None] = ()) -> Path:
    """Return the output file's path, with `~` expanded, and make its folder, so that the work before it is not lost.

    `others` are the command's other files, which it must not overwrite.

    Raises:
        typer.BadParameter: the file can't be written, or it is one of `others`; the message names the option.

    """
    from vlaa_ray.config.base_folder import expand_home

    file = Path(expand_home(str(file)))
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise typer.BadParameter(f"can't make the folder {file.parent}: {error.strerror}", param_hint=option) from error
    if file.is_dir():
        raise typer.BadParameter(f"{file} is a folder; name a file", param_hint=option)
    if not os.access(file if file.exists() else file.parent, os.W_OK):
        raise typer.BadParameter(f"{file} can't be written", param_hint=option)
    if any(other is not None and os.path.realpath(other) == os.path.realpath(file) for other in others):
        raise typer.BadParameter(f"{file} is another file of this command, too", param_hint=option)
    return file


@contextmanager
def writing(file: Path) -> Iterator[None]:
    """Name the output file in the error, inside a `with` block that writes it.

    Raises:
        VlaaRayError: the file can't be written, for instance because the disk is full.

    """
    try:
        yield
    except OSError as error:
        if error.filename not in (None, str(file)):
            raise  # it is about another file
        fix = "free space, or name a file elsewhere"
        raise VlaaRayError(f"can't write the file: {error.strerror}", file=str(file), fix=fix) from error


@contextmanager
def without_library_warnings() -> Iterator[None]:
    """Keep what libraries (not this project) report off the terminal, inside a `with` block.

    The project's own messages say what is wrong with a picture or a file, and where it is.
    """
    for name in _VERBOSITIES:  # a library that is imported later reads it then
        os.environ.setdefault(name, "critical")
    loggers = [logging.getLogger(name) for name in _LIBRARIES]
    levels = [logger.level for logger in loggers]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for logger in loggers:
            logger.setLevel(logging.CRITICAL)
        try:
            yield
        finally:
            for logger, level in zip(loggers, levels, strict=True):
                logger.setLevel(level)
