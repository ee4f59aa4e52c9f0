"""What the README and the pages in docs/ show is so: commands, options, links, code paths and examples."""

import doctest
import os
import re
import shlex
import subprocess
import sys
import typing
from pathlib import Path
from typing import NamedTuple

import pytest
import typer.main
from typer.testing import CliRunner

from vlaa_ray.cli import app
from vlaa_ray.config import (
    CurationConfig,
    EvalConfig,
    ExperimentConfig,
    GrpoConfig,
    RewardModelConfig,
    ServeConfig,
    SftConfig,
)
from vlaa_ray.models.families import FAMILIES

ROOT = Path(__file__).parents[2]
FILES = [
    ROOT / "README.md",
    ROOT / "CONTRIBUTING.md",
    ROOT / "SECURITY.md",
    ROOT / "cluster/README.md",
    *sorted((ROOT / "docs").glob("*.md")),
]
PAGES = {path.relative_to(ROOT).as_posix(): path.read_text(encoding="utf-8") for path in FILES}
README = PAGES["README.md"]
TASKS = ("train", "rewards", "data", "curation", "evaluate", "compare", "checkpoints_and_resume", "cluster", "serve")
KINDS = (GrpoConfig, SftConfig, RewardModelConfig, CurationConfig, EvalConfig, ServeConfig, ExperimentConfig)
SECTIONS = {name for kind in KINDS for name in kind.model_fields}
PYTHON = [(page, example) for page, text in PAGES.items() for example in re.findall(r"```pycon\n(.*?)```", text, re.S)]


class Command(NamedTuple):
    """One `$ …` line of a console block, the output below it, and what `cat` has shown of files before it."""

    page: str
    words: list[str]
    output: list[str]
    files: dict[str, str]


def _commands():
    found = []
    for page, text in PAGES.items():
        files = {}
        for block in re.findall(r"```console\n(.*?)```", text, re.S):
            for part in re.split(r"^\$ ", block, flags=re.M)[1:]:
                line, *output = part.rstrip("\n").split("\n")
                words = shlex.split(line, comments=True)
                if words[0] == "cat":
                    files[words[1]] = "\n".join(output) + "\n"
                elif words[0] == "vlaa-ray":
                    found.append(Command(page, words[1:], output, dict(files)))
    return found


COMMANDS = _commands()


def _is_quick(command):
    words = command.words
    checks_pairs = words[:2] == ["data", "check"] and "--config" in words  # without defects, so it exits with 0
    return "--dry-run" in words or words[0] in ("config", "score") or words[:2] == ["data", "show"] or checks_pairs


def _title(command):
    return f"{command.page}:{' '.join(command.words)}"


def _inline(text):
    """The pieces of code inside sentences and tables."""
    return re.findall(r"`([^`\n]+)`", re.sub(r"^```.*?^```", "", text, flags=re.S | re.M))


def _plain(line):
    return " ".join(line.split())


@pytest.mark.parametrize(("page", "example"), PYTHON)
def test_python_examples_say_what_the_page_says(page, example):
    test = doctest.DocTestParser().get_doctest(example, {}, page, page, 0)
    output: list[str] = []
    assert doctest.DocTestRunner().run(test, out=output.append).failed == 0, "".join(output)


@pytest.mark.parametrize("command", COMMANDS, ids=_title)
def test_commands_parse(command):
    current, words = typer.main.get_command(app), command.words
    while words and hasattr(current, "commands"):
        assert words[0] in current.commands, words
        current, words = current.commands[words[0]], words[1:]
    current.make_context(command.words[0], list(words))
    for word in command.words:
        if word.startswith("configs/"):
            assert (ROOT / word).is_file(), word


@pytest.mark.parametrize("command", [command for command in COMMANDS if _is_quick(command)], ids=_title)
def test_quick_commands_print_what_the_page_shows(command, tmp_path):
    (tmp_path / "configs").symlink_to(ROOT / "configs")
    for name, text in command.files.items():
        (tmp_path / name).write_text(text, encoding="utf-8")
    environment = os.environ | {"PYTHONPATH": str(ROOT), "COLUMNS": "100"}
    done = subprocess.run(
        [sys.executable, "-m", "vlaa_ray", *command.words],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    printed = {_plain(line) for line in done.stdout.splitlines()}
    assert not [line for line in command.output if line and line != "…" and _plain(line) not in printed], done.stdout


@pytest.mark.parametrize("task", TASKS)
def test_each_task_has_a_page_with_an_example_that_runs(task):
    page = f"docs/{task}.md"
    assert [command for command in COMMANDS if command.page == page and _is_quick(command)]
    assert page in re.findall(r"\]\((docs/\w+\.md)", README)


def test_every_command_is_in_the_readme_and_exists():
    code = "\n".join(_inline(README)) + "\n".join(re.findall(r"```console\n(.*?)```", README, re.S))
    shown = set(re.findall(r"vlaa-ray ([a-z]+(?:-[a-z]+)*)", code))
    commands = set(typer.main.get_command(app).commands)
    assert shown == commands
    for command in sorted(commands):
        assert CliRunner().invoke(app, [command, "--help"]).exit_code == 0


@pytest.mark.parametrize("page", PAGES)
def test_commands_inside_sentences_exist_with_their_options(page):
    for code in _inline(PAGES[page]):
        if not code.startswith("vlaa-ray "):
            continue
        current, words = typer.main.get_command(app), code.split()[1:]
        while words and hasattr(current, "commands"):
            assert words[0] in current.commands, code
            current, words = current.commands[words[0]], words[1:]
        known = {option for parameter in current.params for option in (*parameter.opts, *parameter.secondary_opts)}
        own = words[: words.index("--")] if "--" in words else words
        assert {word for word in own if word.startswith("--")} <= known, code


@pytest.mark.parametrize("page", PAGES)
def test_links_lead_somewhere(page):
    text = PAGES[page]
    for target, anchor in re.findall(r"\]\((?!https?:)([^)#\s]*)(?:#([^)\s]+))?\)", text):
        file = ((ROOT / page).parent / target).resolve() if target else ROOT / page
        assert file.exists(), target
        if anchor:
            assert anchor in _anchors(file.read_text(encoding="utf-8")), f"{target}#{anchor}"


def _anchors(text):
    """The names that GitHub gives to the headings of a page."""
    headings = re.findall(r"^#+ (.+)$", re.sub(r"^```.*?^```", "", text, flags=re.S | re.M), re.M)
    return {re.sub(r"[^\w\- ]", "", heading).strip().lower().replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES)
def test_files_named_in_the_text_exist(page):
    for path in re.findall(r"`((?:vlaa_ray|actors|configs|tests|docs)/[\w./-]*)", PAGES[page]):
        assert (ROOT / path).exists(), path


@pytest.mark.parametrize("page", [page for page in PAGES if page != "docs/config.md"])
def test_config_keys_named_in_the_text_exist(page):
    for code in _inline(PAGES[page]):
        key = re.fullmatch(r"([a-z_]+(?:\.[a-z_]+)+)(?:[:=].*)?", code)
        is_file = key and key[1].endswith((".json", ".jsonl", ".html", ".yaml", ".parquet", ".sqlite"))
        if key and not is_file and key[1].split(".")[0] in SECTIONS:
            assert any(_has_key(kind, key[1].split(".")) for kind in KINDS), code


def _has_key(kind, path):
    if not path:
        return True
    parts = (kind, *typing.get_args(kind))  # an optional section is a union with None
    fields = [part.model_fields[path[0]] for part in parts if path[0] in getattr(part, "model_fields", {})]
    return any(_has_key(field.annotation, path[1:]) for field in fields)


def test_the_readme_is_short():
    assert len(README.splitlines()) <= 120


def test_the_page_on_training_lists_the_model_families():
    section = PAGES["docs/train.md"].split("## Models", 1)[1].split("\n## ", 1)[0]
    rows = re.findall(r"^\| (\S+) \| `(\w+)` \|$", section, re.M)
    assert {model_type for _, model_type in rows} == set(FAMILIES)
    assert all(name in README for name, _ in rows)
