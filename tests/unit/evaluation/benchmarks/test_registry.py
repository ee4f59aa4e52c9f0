"""The benchmarks by name, and what importing them costs."""

import subprocess
import sys

import pytest

from vlaa_ray.errors import ConfigError
from vlaa_ray.evaluation.benchmarks import BENCHMARKS, benchmark


def test_the_six_benchmarks_stand_in_the_order_of_the_leaderboard():
    assert list(BENCHMARKS) == ["MathVista", "MathVision", "MathVerse", "DynaMath", "WeMath", "LogicVista"]
    assert {name: known.headline for name, known in BENCHMARKS.items() if known.headline != "overall"} == {
        "DynaMath": "worst_case",
        "WeMath": "score_strict",
    }


@pytest.mark.parametrize(
    ("asked", "name"),
    [
        ("MathVista", "MathVista"),
        ("mathvista_mini", "MathVista"),
        ("We-Math", "WeMath"),
        ("MathVerse_MINI_Vision_Only", "MathVerse"),
        ("dynamath", "DynaMath"),
    ],
)
def test_a_benchmark_is_found_by_any_of_its_names(asked, name):
    assert benchmark(asked).name == name


def test_an_unknown_name_is_an_error_that_lists_the_known_ones():
    with pytest.raises(ConfigError, match="unknown benchmark 'MMMU'") as caught:
        benchmark("MMMU")
    assert caught.value.facts["expected"] == list(BENCHMARKS)


def test_importing_the_scorers_loads_neither_torch_nor_ray():
    code = "import sys, vlaa_ray.evaluation; print([n for n in ('torch', 'ray', 'vllm', 'sympy') if n in sys.modules])"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert result.stdout.strip() == "[]"
