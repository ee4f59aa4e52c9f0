"""The command line, `vlaa-ray` or `python -m vlaa_ray`: parses, asks the right module, and ends with the right code.

Exit codes: 0 done, 1 failed, 2 wrong config or command line, 130 and 143 stopped by SIGINT and SIGTERM. Heavy
modules are imported by the commands that need them, so that every `--help` answers at once.
"""

from __future__ import annotations

import logging

import typer

import vlaa_ray
from vlaa_ray.cli import cluster, data, inspect, training
from vlaa_ray.errors import VlaaRayError

app = typer.Typer(
    name="vlaa-ray",
    help=vlaa_ray.__doc__,
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,  # plain help: rich would double the time it takes
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.add_typer(training.app)
app.add_typer(data.app, name="data")
app.add_typer(inspect.app)
app.add_typer(cluster.app)
log = logging.getLogger(__name__)


def main(args: list[str] | None = None) -> int:
    """Run the command line; the exit code."""
    try:
        app(args, prog_name="vlaa-ray")
    except SystemExit as done:
        return done.code if isinstance(done.code, int) else 1
    except VlaaRayError as error:
        log.debug("the run ended", exc_info=error)
        _print_error(error)
        return error.exit_code
    except Exception as error:
        log.exception("unexpected error")
        _complain(type(error).__name__, str(error), "This is a bug: please report it, with the traceback above.")
        return 1
    return 0


def _print_error(error: VlaaRayError) -> None:
    where = ", ".join(f"{key}={value!r}" for key, value in error.facts.items())
    _complain(type(error).__name__, error.message.strip(), where, f"Fix: {error.fix}" if error.fix else "")


def _complain(kind: str, *lines: str) -> None:
    """Write an error to stderr: its kind, and the lines that say something."""
    from rich.console import Console
    from rich.text import Text

    message = Text(kind, style="bold red").append(
        ": " + "\n".join(line for line in lines if line), style="not bold default"
    )
    Console(stderr=True, soft_wrap=True).print(message)
