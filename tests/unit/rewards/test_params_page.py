"""The table of parameters in docs/rewards.md is that of the verifiers' signatures."""

import inspect
import re
from pathlib import Path

from vlaa_ray.records import VERIFIER_TYPES
from vlaa_ray.rewards.dispatch import VERIFIERS

PAGE = (Path(__file__).parents[3] / "docs" / "rewards.md").read_text(encoding="utf-8")
SECTION = PAGE.split("## Parameters", 1)[1].split("\n## ", 1)[0]
ROWS = {
    cells[0].strip("`"): (set(re.findall(r"`(\w+)`", cells[1])), cells[2])
    for line in re.findall(r"^\| `.*$", SECTION, re.M)
    if (cells := [cell.strip() for cell in line.strip("|").split(" | ")])
}


def _parameters():
    """{(parameter, verifier type): default} of every built-in verifier."""
    return {
        (parameter.name, verifier_type): parameter.default
        for verifier_type, verifier in VERIFIERS.items()
        for parameter in inspect.signature(verifier).parameters.values()
        if parameter.kind is inspect.Parameter.KEYWORD_ONLY
    }


def test_the_table_has_each_parameter_of_each_verifier() -> None:
    named = {(name, verifier_type) for name, (types, _) in ROWS.items() for verifier_type in types}
    assert named == set(_parameters())
    assert "extraction" in ROWS


def test_the_table_has_the_defaults() -> None:
    for (name, _), default in _parameters().items():
        if default is not None:  # for None the table says what takes its place
            assert ROWS[name][1] == str(default), name


def test_the_types_without_parameters_are_named() -> None:
    sentence = re.search(r"[^.]*have none but `extraction`", SECTION)
    without = set(VERIFIER_TYPES) - {verifier_type for _, verifier_type in _parameters()}
    assert sentence and set(re.findall(r"`(\w+)`", sentence[0])) - {"extraction"} == without
