"""The command line, `vlaa-ray` or `python -m vlaa_ray`: it parses the arguments and calls the module of the command.

`vlaa_ray/cli/reference.py` makes docs/commands.md from the commands and their help.
Heavy modules are imported inside the commands that need them, so that every `--help` is quick.
"""

from __future__ import annotations

import contextlib
import errno
import io
import logging
import os
import sys

import typer

import vlaa_ray
from vlaa_ray.cli import (
    ask,
    cluster,
    compare,
    data,
    evaluation,
    export,
    inspect,
    leaderboard,
    serving,
    training,
)
from vlaa_ray.errors import VlaaRayError
from vlaa_ray.services.secret import take_secrets

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
app.add_typer(compare.app)
app.add_typer(data.app, name="data")
app.add_typer(evaluation.app)
app.add_typer(inspect.app)
app.add_typer(leaderboard.app)
app.add_typer(serving.app)
app.add_typer(cluster.app)
app.add_typer(ask.app)
app.add_typer(export.app)
log = logging.getLogger(__name__)
_OUTPUT_FAULTS = (errno.ENOSPC, errno.EIO, errno.EFBIG, errno.EDQUOT)


def main(args: list[str] | None = None) -> int:
    """Run the command with these arguments (None: those of the process), and return the exit code.

    Errors are printed to stderr and never raised.
    """
    sys.stdout = sys.stdout or open(os.devnull, "w", encoding="utf-8")  # closed by the caller: nobody reads it
    sys.stderr = sys.stderr or open(os.devnull, "w", encoding="utf-8")
    if isinstance(sys.stdout, io.TextIOWrapper):  # a text of the data may hold what the terminal can't encode
        sys.stdout.reconfigure(errors="backslashreplace")
    try:
        try:
            take_secrets()
            app(args, prog_name="vlaa-ray")
        except SystemExit as done:
            sys.stdout.flush()
            return done.code if isinstance(done.code, int) else 1
        sys.stdout.flush()
    except VlaaRayError as error:
        log.debug("the run ended", exc_info=error)
        _print_error(error)
        return error.exit_code
    except OSError as error:
        log.debug("the command ended", exc_info=error)
        return _end_without(error)
    except Exception as error:
        log.exception("unexpected error")
        _complain(type(error).__name__, str(error), "This is a bug: please report it, with the traceback above.")
        return 1
    return 0


def _end_without(error: OSError) -> int:
    """Print an error about a file that can't be used, or about the output itself; return the exit code."""
    if error.filename is not None:
        fix = "check that it is there, that you may use it, and that the disk has room"
        _print_error(VlaaRayError(f"can't use a file: {error.strerror}", path=str(error.filename), fix=fix))
    elif error.errno == errno.EPIPE:  # the reader of a pipe, such as `head`, has seen enough
        _drop_output()
    elif error.errno in _OUTPUT_FAULTS:
        _drop_output()
        _print_error(VlaaRayError(f"can't write the output: {error.strerror}", fix="send it elsewhere, or free space"))
    else:
        log.error("unexpected error", exc_info=error)
        _print_error(VlaaRayError(f"the system refused an operation: {error}", fix="see the traceback above"))
    return 1


def _drop_output() -> None:
    """Let what is left for stdout go nowhere, so that Python does not fail to write it when it ends."""
    with contextlib.suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


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
