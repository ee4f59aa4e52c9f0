"""The command line, `vlaa-ray` or `python -m vlaa_ray`: it parses the arguments and calls the module of the command.

`vlaa_ray/cli/reference.py` makes docs/commands.md from the commands and their help.
Heavy modules are imported inside the commands that need them, so that every `--help` is quick.
"""

from __future__ import annotations

import io
import logging
import sys

import typer

import vlaa_ray
from vlaa_ray.cli import cluster, data, inspect, training
from vlaa_ray.errors import VlaaRayError

EXIT_CODES = {
    0: "success",
    1: "a failure, or something that data check or probe found",
    2: "a wrong config or command line, or something that doctor found",
    130: "interrupted (SIGINT, Ctrl-C)",
    143: "stopped (SIGTERM)",
}
"""What each exit code of the commands means; `submit` passes on the code of its job."""

app = typer.Typer(
    name="vlaa-ray",
    help=vlaa_ray.__doc__,
    epilog="Exit codes: " + "; ".join(f"{code} {meaning}" for code, meaning in EXIT_CODES.items()) + ".",
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
    """Run the command with these arguments (None: those of the process), and return the exit code.

    Errors are printed to stderr and never raised.
    """
    if isinstance(sys.stdout, io.TextIOWrapper):  # a text of the data may hold what the terminal can't encode
        sys.stdout.reconfigure(errors="backslashreplace")
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


def _complain(error_name: str, *lines: str) -> None:
    """Print an error to stderr: the name of its class, and the lines that aren't empty."""
    from rich.console import Console
    from rich.text import Text

    message = Text(error_name, style="bold red").append(
        ": " + "\n".join(line for line in lines if line), style="not bold default"
    )
    Console(stderr=True, soft_wrap=True).print(message)
