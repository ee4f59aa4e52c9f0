"""Takes sympy's habit of running strings as Python away, in the process that calls `forbid_evaluation`.

`sympy.sympify("…")` and `sympy.Number("…")` hand strings to `parse_expr`, which executes them; Math-Verify's
grammar calls them with the digits of a number. Here digits become a number, a name becomes a symbol, and
everything else is refused, so that no text of a model or a data set can ever be executed. (It is quicker, too.)
"""

from __future__ import annotations

import re
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
