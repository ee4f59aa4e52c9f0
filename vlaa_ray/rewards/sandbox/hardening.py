"""What a worker of the sandbox may not do: run text as code, start a process, reach the network, write a file.

`forbid_evaluation` takes sympy's habit of running strings as Python away, in the process that calls it.

`sympy.sympify("…")` and `sympy.Number("…")` hand strings to `parse_expr`, which executes them; Math-Verify's
grammar calls them with the digits of a number. Here digits become a number, a name becomes a symbol, and
everything else is refused, so that no text of a model or a data set can ever be executed. (It is quicker, too.)

`confine` is for what a user's function might do with such a text all the same.
"""

from __future__ import annotations

import os
import re
import resource
import signal
import sys
from typing import Any

import sympy
from sympy.parsing import sympy_parser

_INTEGER = re.compile(r"[+-]?\d{1,1000}")
_DECIMAL = re.compile(r"[+-]?(?:\d{1,1000}\.\d{0,1000}|\.\d{1,1000})")
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,40}")


def forbid_evaluation() -> None:
    """Replaces sympy's reader of strings by `read_atom`, for good."""
    import math_verify.parser
    import sympy.parsing
    import sympy.physics.units  # reads the names of units when it is loaded

    for module in (sympy_parser, sympy.parsing, math_verify.parser):
        module.parse_expr = read_atom


def read_atom(text: str, *args: Any, **kwargs: Any) -> sympy.Basic:
    """The number or the symbol that the text spells; SympifyError for anything else. Sympy's options are ignored."""
    text = text.strip()
    if _INTEGER.fullmatch(text):
        return sympy.Integer(int(text))
    if _DECIMAL.fullmatch(text):
        return sympy.Float(text)
    if _NAME.fullmatch(text):
        return sympy.Symbol(text)
    raise sympy.SympifyError(text)


_FORBIDDEN = (
    "socket.",
    "subprocess.",
    "os.exec",
    "os.fork",
    "os.posix_spawn",
    "os.spawn",
    "os.system",
    "pty.",
    "ctypes.",
)


def confine() -> None:
    """From now on this process can't start others, use the network or write files: PermissionError says what it tried.

    For good: an audit hook can't be removed. It holds against Python code, which is all that a text could become here.
    """
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))  # whatever opens a file for writing by other means
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)

    def refuse(event: str, arguments: tuple[Any, ...]) -> None:
        writes = event == "open" and _writes(arguments[1], arguments[2])
        if writes or event.startswith(_FORBIDDEN) or event in _FILE_CHANGES:
            raise PermissionError(f"not in a verifier: {event}")

    sys.addaudithook(refuse)


_FILE_CHANGES = {"os.chmod", "os.link", "os.mkdir", "os.remove", "os.rename", "os.rmdir", "os.symlink", "os.truncate"}


def _writes(mode: Any, flags: Any) -> bool:
    if isinstance(mode, str):
        return any(letter in mode for letter in "wax+")
    return isinstance(flags, int) and bool(flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC))
