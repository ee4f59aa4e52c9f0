"""The commands as a page, made from the commands themselves: python -m vlaa_ray.cli.reference > docs/commands.md."""

from __future__ import annotations

import types
import typing
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import typer.main
from typer.core import TyperArgument, TyperCommand, TyperGroup, TyperOption

from vlaa_ray.cli import EXIT_CODES, app

Parameter = TyperArgument | TyperOption
_TYPES = {str: "text", int: "whole number", float: "number", Path: "path", bool: "switch"}
_HEAD = """\
# Commands

Every command of `vlaa-ray`, which can also be called as `python -m vlaa_ray`.
`--help` after a command prints the same on the terminal. [config.md](config.md) lists the keys of a config file.
This page is generated: `python -m vlaa_ray.cli.reference > docs/commands.md`.
"""


class Entry(NamedTuple):
    """A command that can be run; a group such as `vlaa-ray data` is no entry, but its commands are."""

    name: str
    """The words before its arguments, such as "vlaa-ray data check"."""
    command: TyperCommand


def entries() -> list[Entry]:
    """Return all commands, in the order in which `--help` lists them."""
    return list(_below("vlaa-ray", typer.main.get_command(app)))


def markdown() -> str:
    """Return the reference of all commands as a page: usage, meaning, arguments and options of each."""
    lines = [_HEAD, "| command | what it does |", "|---|---|"]
    lines += [f"| [{name}](#{name.replace(' ', '-')}) | {_first_sentence(command)} |" for name, command in entries()]
    for entry in entries():
        lines += ["", *_section(entry)]
    lines += ["", "## Exit codes", "", "| code | meaning |", "|---|---|"]
    lines += [f"| {code} | {meaning} |" for code, meaning in EXIT_CODES.items()]
    return "\n".join(lines) + "\n"


def _below(name: str, command: Any) -> Iterator[Entry]:
    if not isinstance(command, TyperGroup):
        yield Entry(name, command)
        return
    for word, part in command.commands.items():
        yield from _below(f"{name} {word}", part)


def _section(entry: Entry) -> Iterator[str]:
    name, command = entry
    known = [parameter for parameter in command.params if isinstance(parameter, Parameter)]
    parameters = [parameter for parameter in known if not parameter.hidden]
    parameters.sort(key=lambda parameter: (isinstance(parameter, TyperOption), not parameter.required))
    yield from (f"## {name}", "", *(f"{paragraph}\n" for paragraph in _paragraphs(command)))
    yield from ("```text", " ".join([name, *_usage(parameters)]), "```")
    if not parameters:
        return
    yield from ("", "| argument or option | type | default | meaning |", "|---|---|---|---|")
    hints = typing.get_type_hints(command.callback, include_extras=True)
    for parameter in parameters:
        kind = _type(parameter, hints[str(parameter.name)])
        cells = (_label(parameter), kind, _default(parameter), parameter.help or "")
        yield "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def _paragraphs(command: TyperCommand) -> list[str]:
    return [" ".join(paragraph.split()) for paragraph in (command.help or "").split("\n\n")]


def _first_sentence(command: TyperCommand) -> str:
    return _paragraphs(command)[0].split(". ")[0].rstrip(".")


def _usage(parameters: list[Parameter]) -> Iterator[str]:
    """Yield the words after the command: required options, `[OPTIONS]` for the others, then the arguments."""
    options = [parameter for parameter in parameters if isinstance(parameter, TyperOption)]
    yield from (f"{option.opts[0]} {option.metavar}" for option in options if option.required)
    if not all(option.required for option in options):
        yield "[OPTIONS]"
    for argument in parameters:
        if isinstance(argument, TyperArgument):
            name = f"{argument.metavar}{'...' if argument.nargs != 1 else ''}"
            yield name if argument.required else f"[{name}]"


def _label(parameter: Parameter) -> str:
    if isinstance(parameter, TyperArgument):
        return f"`{parameter.metavar}`"
    names = [f"{name} {parameter.metavar}" if parameter.metavar else name for name in parameter.opts]
    return ", ".join(f"`{name}`" for name in (*names, *parameter.secondary_opts))


def _type(parameter: Parameter, hint: Any) -> str:
    """Return the type, the least and the largest value in words, from the annotation of the command's function."""
    annotation, *extras = typing.get_args(hint)
    if isinstance(annotation, types.UnionType):
        annotation = next(part for part in typing.get_args(annotation) if part is not types.NoneType)
    inner = typing.get_args(annotation)  # of a list
    words = _TYPES[inner[0] if inner else annotation]
    least = next((extra.min for extra in extras if getattr(extra, "min", None) is not None), None)
    most = next((extra.max for extra in extras if getattr(extra, "max", None) is not None), None)
    limits = (("at least", least), ("at most", most))
    bounds = [f"{word} {limit}" for word, limit in limits if limit is not None]
    if inner:
        bounds.append("one or more" if parameter.required else "any number of them")
    return ", ".join([words, *bounds])


def _default(parameter: Parameter) -> str:
    if parameter.required:
        return "required"
    variables = [parameter.envvar] if isinstance(parameter.envvar, str) else parameter.envvar or []
    value = parameter.default
    last = "none" if value is None else f"`{value}`"
    if isinstance(value, bool):
        last = "on" if value else "off"
    return ", else ".join([*(f"the environment variable `{name}`" for name in variables), last])


if __name__ == "__main__":
    import sys

    sys.stdout.write(markdown())
