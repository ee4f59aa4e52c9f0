"""The map of the folders is true, and the code keeps the house rules that a machine can check."""

import ast
import io
import re
import tokenize
from collections import Counter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs/architecture.md").read_text(encoding="utf-8")
FILES = sorted(path for package in ("vlaa_ray", "actors") for path in (ROOT / package).rglob("*.py"))
TREES = {path.relative_to(ROOT).as_posix(): ast.parse(path.read_text(encoding="utf-8")) for path in FILES}
FAMILY_FILES = ("vlaa_ray/models/families/", "vlaa_ray/models/tiny.py")


def _folders():
    packages = {path.parent.relative_to(ROOT).as_posix() for path in FILES if path.name == "__init__.py"}
    return packages - {"vlaa_ray", "actors"}


def _top_modules():
    return {path.name for path in (ROOT / "vlaa_ray").glob("*.py")} - {"__init__.py", "__main__.py"}


def _definitions(kind):
    return [(path, node) for path, tree in TREES.items() for node in ast.walk(tree) if isinstance(node, kind)]


def _code_words(text):
    """The tokens that are neither comments nor docstrings: (line, token)."""
    docstrings = set()
    for node in ast.walk(ast.parse(text)):
        for statement in getattr(node, "body", None) if isinstance(getattr(node, "body", None), list) else []:
            if isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant):
                docstrings.update(range(statement.lineno, statement.end_lineno + 1))  # of modules, functions, fields
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        is_docstring = token.type == tokenize.STRING and token.start[0] in docstrings
        if token.type != tokenize.COMMENT and not is_docstring:
            yield token.start[0], token.string


def test_the_map_names_each_folder_once_and_nothing_else():
    section = PAGE.split("## The folders", 1)[1].split("\n## ", 1)[0]
    rows = re.findall(r"^\| `((?:vlaa_ray|actors)/[\w./]+)` \|", section, re.MULTILINE)
    named = Counter(row.rstrip("/") for row in rows)
    expected = _folders() | {f"vlaa_ray/{name}" for name in _top_modules()}
    assert named == Counter(expected)


@pytest.mark.parametrize("step", re.findall(r"`((?:vlaa_ray|actors)/[\w/]+\.py): ([\w.]+)`", PAGE), ids=":".join)
def test_each_step_of_a_walk_exists(step):
    path, name = step
    scope = TREES[path].body
    for part in name.split("."):
        found = [node for node in scope if _name_of(node) == part]
        assert found, f"{path} has no {name}"
        scope = getattr(found[0], "body", [])


def _name_of(node):
    if isinstance(node, ast.Assign):
        return getattr(node.targets[0], "id", "")
    if isinstance(node, ast.AnnAssign):
        return getattr(node.target, "id", "")
    return getattr(node, "name", "")


def test_there_are_walks_with_steps():
    walks = re.findall(r"^## The way of .*?(?=^## |\Z)", PAGE, re.MULTILINE | re.DOTALL)
    assert len(walks) == 5
    assert all(len(re.findall(r"^\d+\. `", walk, re.MULTILINE)) >= 4 for walk in walks)


def test_few_modules_stand_directly_in_the_library():
    assert len(_top_modules()) <= 8, _top_modules()


def test_files_are_short():
    lengths = {path: len((ROOT / path).read_text(encoding="utf-8").splitlines()) for path in TREES}
    assert not {path: length for path, length in lengths.items() if length > 400}


def test_functions_are_short():
    functions = _definitions((ast.FunctionDef, ast.AsyncFunctionDef))
    lengths = {f"{path}:{node.name}": node.end_lineno - node.lineno + 1 for path, node in functions}
    assert not {name: length for name, length in lengths.items() if length > 60}


def test_each_class_has_a_name_of_its_own():
    places = [(node.name, f"{path}:{node.lineno}") for path, node in _definitions(ast.ClassDef)]
    count = Counter(name for name, _ in places)
    assert not [place for place in places if count[place[0]] > 1]


def test_nothing_asks_of_which_kind_a_config_is():
    calls = [(path, node) for path, node in _definitions(ast.Call) if getattr(node.func, "id", "") == "isinstance"]
    assert not [f"{path}:{node.lineno}" for path, node in calls if getattr(node.args[0], "id", "") == "config"]


def test_a_model_family_is_named_in_its_own_files_only():
    found = []
    for path in TREES:
        if not path.startswith(FAMILY_FILES):
            text = (ROOT / path).read_text(encoding="utf-8")
            found += [f"{path}:{line}: {word}" for line, word in _code_words(text) if "qwen" in word.lower()]
    assert not found


def test_the_check_for_family_names_sees_code_and_passes_over_docstrings():
    text = '"""Qwen as an example."""\nx = 1  # qwen\n"""Qwen."""\nname = "Qwen2"\n'
    assert list(word for _, word in _code_words(text) if "qwen" in word.lower()) == ['"Qwen2"']
