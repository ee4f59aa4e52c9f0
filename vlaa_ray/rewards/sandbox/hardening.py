"""What a worker of the sandbox may not do: run text as code, start a process, reach the network, write a file.

`forbid_evaluation` stops sympy from running strings as Python, in the process that calls it. sympy.sympify("…") and
sympy.Number("…") pass strings to `parse_expr`, which executes them, and Math-Verify's grammar calls both with the
digits of a number. After `forbid_evaluation`, digits become a number, a name becomes a symbol, and everything else is
refused. So no text of a model or a data set is ever executed. (This is quicker, too.)

`confine` limits what a user's function can do, in case that function runs such a text after all.
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
    """Replace sympy's reader of strings with `read_atom`, in this process and for good."""
    import math_verify.parser
    import sympy.parsing
    import sympy.physics.units  # as it is loaded, it reads names of units with sympy's own reader

    for module in (sympy_parser, sympy.parsing, math_verify.parser):
        module.parse_expr = read_atom


def read_atom(text: str, *args: Any, **kwargs: Any) -> sympy.Basic:
    """Return the number or the symbol that the text spells. Raises SympifyError for any other text.

    The other arguments are sympy's options and are ignored.
    """
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
    """Forbid this process, for good, to start other processes, to use the network or to write files.

    An attempt raises PermissionError, which names it. The ban is an audit hook, which can't be removed. It stops Python
    code, and a text of a model or a data set could only run as Python code here.
    """
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))  # the hook doesn't see files that C code opens for writing
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)

    def refuse(event: str, arguments: tuple[Any, ...]) -> None:
        writes = event == "open" and _writes(arguments[1], arguments[2])
        if writes or event.startswith(_FORBIDDEN) or event in _FILE_CHANGES:
            raise PermissionError(f"a verifier may not do this: {event}")

    sys.addaudithook(refuse)


_FILE_CHANGES = {"os.chmod", "os.link", "os.mkdir", "os.remove", "os.rename", "os.rmdir", "os.symlink", "os.truncate"}


def _writes(mode: Any, flags: Any) -> bool:
    if isinstance(mode, str):
        return any(letter in mode for letter in "wax+")
    return isinstance(flags, int) and bool(flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC))
