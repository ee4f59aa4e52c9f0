"""YAML read strictly: what YAML allows but nobody means is an error that names the line."""

from __future__ import annotations

import re
from typing import Any

import yaml

_MOST_VALUES = 100_000
_OLD_NUMBER = re.compile(r"[-+]?0[0-7_]*[0-7]")
"""A number with a leading zero. YAML 1.1 reads it to base 8, so that 010 is 8."""
_CLOCK = re.compile(r"[-+]?[0-9][0-9_]*(:[0-5]?[0-9])+(\.[0-9_]*)?")
"""A number with colons. YAML 1.1 reads it to base 60, so that 1:30 is 90."""
_NUMBERS = ("tag:yaml.org,2002:int", "tag:yaml.org,2002:float")


def parse_yaml(text: str) -> Any:
    """Return the value of a YAML text, None for an empty one.

    Raises ValueError, with the lines, if it is not YAML, names a key twice in one mapping, holds a number to base 8 or
    60, or has values inside themselves (an alias in its own anchor) or more than 100,000 of them.
    """
    try:
        loader = yaml.SafeLoader(text)
        try:
            root = loader.get_single_node()
            if root is None:
                return None
            _Checked().look_at(root, ())
            return loader.construct_document(root)
        finally:
            loader.dispose()
    except yaml.YAMLError as error:
        raise ValueError(str(error)) from error
    except RecursionError:
        raise ValueError("it has too many brackets inside one another") from None


class _Checked:
    """The check of one document: every value is looked at wherever it stands, so that aliases count each time."""

    def __init__(self) -> None:
        self._count = 0

    def look_at(self, node: yaml.Node, parents: tuple[int, ...]) -> None:
        """Check a value and all values in it.

        Raises:
            ValueError: one of them is refused.

        """
        self._count += 1
        if id(node) in parents:
            raise ValueError(f"line {_line(node)}: a value holds itself")
        if self._count > _MOST_VALUES:
            raise ValueError(f"it has more than {_MOST_VALUES:,} values")
        inside = (*parents, id(node))
        if isinstance(node, yaml.MappingNode):
            _refuse_repeated(node)
            for key, value in node.value:
                self.look_at(key, inside)
                self.look_at(value, inside)
        elif isinstance(node, yaml.SequenceNode):
            for value in node.value:
                self.look_at(value, inside)
        elif node.tag in _NUMBERS:
            _refuse_old_number(node)


def _refuse_repeated(node: yaml.MappingNode) -> None:
    lines: dict[str, int] = {}
    for key, _ in node.value:
        name = str(key.value)
        if name in lines and isinstance(key, yaml.ScalarNode):
            raise ValueError(f"the key {name!r} stands twice in one section, in lines {lines[name]} and {_line(key)}")
        lines[name] = _line(key)


def _refuse_old_number(node: yaml.Node) -> None:
    text = str(node.value)
    if _OLD_NUMBER.fullmatch(text):
        raise ValueError(f"line {_line(node)}: {text} would be read to base 8; write it without the leading zero")
    if _CLOCK.fullmatch(text):
        raise ValueError(f"line {_line(node)}: {text} would be read to base 60; quote it if it is text")


def _line(node: yaml.Node) -> int:
    return int(node.start_mark.line) + 1
