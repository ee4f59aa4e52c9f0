"""What the README shows is so."""

import doctest
import re
from pathlib import Path

import pytest
import typer.main
from typer.testing import CliRunner

from vlaa_ray.cli import app

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("example", re.findall(r"```pycon\n(.*?)```", README, re.DOTALL))
def test_its_python_examples_say_what_it_says(example):
    test = doctest.DocTestParser().get_doctest(example, {}, "README.md", "README.md", 0)
    output: list[str] = []
    assert doctest.DocTestRunner().run(test, out=output.append).failed == 0, "".join(output)


def test_every_command_is_in_it_and_exists():
    shown = set(re.findall(r"vlaa-ray ([a-z]+(?:-[a-z]+)*)", README))
    commands = set(typer.main.get_command(app).commands)
    assert shown == commands
    for command in sorted(commands):
        assert CliRunner().invoke(app, [command, "--help"]).exit_code == 0


def test_its_files_exist():
    for path in re.findall(r"`((?:vlaa_ray|configs|tests|docs)/[\w./-]+)`", README) + re.findall(
        r"\]\((docs/[^)]+)\)", README
    ):
        assert (ROOT / path).exists(), path
