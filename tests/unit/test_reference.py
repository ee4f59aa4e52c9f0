"""The page of all commands, which is made from them, and what their help says."""

import signal
from pathlib import Path

import pytest
import typer.main

from vlaa_ray.cli import EXIT_CODES, app, main
from vlaa_ray.cli.reference import entries, markdown
from vlaa_ray.errors import ConfigError, RunInterrupted, VlaaRayError

PAGE = (Path(__file__).parents[2] / "docs" / "commands.md").read_text(encoding="utf-8")
ENTRIES = entries()


def section(name: str) -> str:
    return PAGE.split(f"## {name}\n", 1)[1].split("\n## ", 1)[0]


def test_the_page_is_made_from_the_commands() -> None:
    assert markdown() == PAGE


def test_it_has_every_command_of_every_group() -> None:
    tree = typer.main.get_command(app).commands
    words = [name for name, command in tree.items() if not hasattr(command, "commands")]
    words += [f"{name} {part}" for name, group in tree.items() for part in getattr(group, "commands", ())]
    assert {entry.name for entry in ENTRIES} == {f"vlaa-ray {word}" for word in words}
    assert "vlaa-ray data check" in {entry.name for entry in ENTRIES}


@pytest.mark.parametrize("entry", ENTRIES, ids=[entry.name for entry in ENTRIES])
def test_each_command_and_each_of_its_options_says_what_it_is_for(entry) -> None:
    assert len(entry.command.help.split()) >= 5 and entry.command.help.rstrip().endswith(".")
    for parameter in entry.command.params:
        assert len(parameter.help.split()) >= 3 and parameter.help.endswith("."), parameter.name
        assert all(
            f"`{name}" in section(entry.name) for name in (*parameter.opts, *parameter.secondary_opts) if "-" in name
        )


def test_usage_type_default_and_bounds_are_those_of_the_code() -> None:
    train, show, submit = section("vlaa-ray train"), section("vlaa-ray data show"), section("vlaa-ray submit")
    assert "\nvlaa-ray train --config FILE [OPTIONS] [KEY=VALUE...]\n" in train
    assert "| `--config FILE` | path | required | " in train
    assert "| `--resume auto\\|never\\|DIR` | text | `auto` | " in train
    assert "| `--dry-run` | switch | off | " in train
    assert "| `--limit N` | whole number, at least 1, at most 1000000000 | `40` | " in show
    assert "| `--seed N` | whole number, at least 0 | `0` | " in show
    assert "| `--image-host HOST` | text, any number of them | none | " in show
    assert "\nvlaa-ray submit [OPTIONS] -- COMMAND...\n" in submit
    assert "| `--wait`, `--no-wait` | switch | on | " in submit
    assert "| `--gpus N` | number, at least 0 | `0` | " in section("vlaa-ray reward-server")


def test_exit_codes_are_those_of_the_errors_and_are_in_the_help(capsys) -> None:
    errors = (VlaaRayError("x"), ConfigError("x"), RunInterrupted("x", signal=int(signal.SIGTERM)))
    assert {0, 130, *(error.exit_code for error in errors)} == set(EXIT_CODES)
    assert main(["--help"]) == 0
    shown = " ".join(capsys.readouterr().out.split())
    assert all(f"{code} {meaning}" in shown for code, meaning in EXIT_CODES.items())
