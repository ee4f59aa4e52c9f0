"""A file of responses, scored without a run."""

import json

import pytest
from rich.console import Console

from vlaa_ray.checks.responses import score_file, score_table
from vlaa_ray.cli import main
from vlaa_ray.config import RewardsSection
from vlaa_ray.errors import DataError
from vlaa_ray.records import OTHER_TYPES, PAPER_TYPES
from vlaa_ray.rewards.manager import RewardManager

ROWS = [
    {"response": "<answer>3</answer>", "gold": 3, "verifier_type": "digit", "source": "clevr"},
    {"response": "<answer>4</answer>", "gold": 3, "verifier_type": "digit", "source": "clevr"},
    {"response": "<answer>5</answer>", "gold": 3, "verifier_type": "digit", "source": "clevr"},
    {"response": "3", "gold": 3, "verifier_type": "digit", "source": "clevr"},
    {"completion": r"<answer>\frac{1}{2}</answer>", "gold": "0.5", "verifier_type": "math"},
    {"response": "<answer>1</answer>", "gold": " ", "verifier_type": "math"},
    {
        "response": "<answer>[0, 0, 1, 1]</answer>",
        "gold": [0, 0, 1, 0.5],
        "verifier_type": "iou",
        "verifier_params": {"frame": "unit"},
    },
]


@pytest.fixture(scope="module")
def rewards():
    with RewardManager(RewardsSection()) as rewards:
        yield rewards


def written(folder, *rows):
    file = folder / "responses.jsonl"
    file.write_text("".join(row if isinstance(row, str) else json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return file


def test_every_row_gets_its_verdict(tmp_path, rewards):
    rows = score_file(written(tmp_path, *ROWS), rewards)
    assert [row["reward"] for row in rows] == [1.0, 0.0, 0.0, 0.0, 1.0, None, 0.5]
    assert [row["valid"] for row in rows] == [True] * 5 + [False, True]
    assert rows[0]["gold"] == 3 and rows[3]["extracted"] is None


def test_the_table_counts_and_names_the_reasons(tmp_path, rewards):
    console = Console(width=200, record=True)
    console.print(score_table(score_file(written(tmp_path, *ROWS), rewards)))
    lines = {" ".join(line.split()) for line in console.export_text().replace("│", " ").splitlines()}
    # of four counts one is right: mean 1/4, deviation sqrt(3)/4
    assert "digit clevr 4 0.250 0.433 0.0% 25.0% 2 × … is not …; 1 × no <answer>…</answer>" in lines
    assert "iou 1 0.500 0.000 0.0% 0.0%" in lines
    assert any(line.startswith("math 2 1.000 0.000 50.0% 0.0% 1 × gold is neither") for line in lines), lines


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("{not json}\n", "a line is not JSON"),
        ("[1]\n", "must be a JSON object"),
        ({"response": "3", "verifier_type": "digit"}, "lacks a field"),
        *(
            ({"response": value, "gold": 3, "verifier_type": "digit"}, "the field 'response' of the row must be text")
            for value in (None, 3, True, ["3"], {"text": "3"})
        ),
        ({"completion": 3, "gold": 3, "verifier_type": "digit"}, "the field 'completion' of the row must be text"),
        ({"response": "3", "gold": 3, "verifier_type": 1}, "the field 'verifier_type' of the row must be text"),
        ({"response": "3", "gold": 3, "verifier_type": "digit", "images": 3}, "must be a list"),
        ({"response": "3", "gold": 3, "verifier_type": "digit", "images": [3]}, "an image of the row must be a path"),
        ({"response": "3", "gold": 3, "verifier_type": "digit", "images": ["no.png"]}, "can't read the image"),
        ({"response": "3", "gold": 3, "verifier_type": "digit", "verifier_params": [1]}, "must be a JSON object"),
        ({"response": "3", "gold": 3, "verifier_type": "cubes"}, "unknown verifier type"),
        ({"response": "3", "gold": 3, "verifier_type": "iou", "verifier_params": {"box": 1}}, "unknown verifier param"),
    ],
)
def test_a_bad_row_is_named(tmp_path, rewards, row, message):
    with pytest.raises(DataError, match=message) as caught:
        score_file(written(tmp_path, ROWS[0], row), rewards)
    assert str(tmp_path.parent) in caught.value.facts["file"] and "2" in str(caught.value.facts)


@pytest.mark.parametrize("text", ["", "[]", "\n\n"])
def test_a_file_without_a_row_is_an_error(tmp_path, rewards, text):
    with pytest.raises(DataError, match="the file holds no record"):
        score_file(written(tmp_path, text), rewards)


def test_the_command_prints_the_table_and_writes_the_rows(tmp_path, capsys):
    out = tmp_path / "scored.jsonl"
    assert main(["score", str(written(tmp_path, *ROWS)), "--out", str(out)]) == 0
    assert "digit" in capsys.readouterr().out
    assert [json.loads(line)["reward"] for line in out.read_text().splitlines()] == [1.0, 0.0, 0.0, 0.0, 1.0, None, 0.5]
    assert main(["score", str(tmp_path / "none.jsonl")]) == 1
    assert "none.jsonl" in capsys.readouterr().err


def test_no_text_breaks_the_table_or_the_rows(tmp_path, capsys):
    half, deep = "\ud83d", json.loads("[" * 500 + "]" * 500)
    texts = [(half, half), ("(" * 3000, "x"), ("3", "[" * 3000), ("9" * 5000, "9" * 5000), ("3", deep)]
    texts.append(("3", {half: half}))
    rows = [
        {"response": f"<answer>{answer}</answer>", "gold": gold, "verifier_type": kind, "source": half}
        for kind in (*OTHER_TYPES, *PAPER_TYPES)
        for answer, gold in texts
    ]
    out = tmp_path / "scored.jsonl"
    assert main(["score", str(written(tmp_path, *rows)), "--out", str(out)]) == 0
    printed = capsys.readouterr().out
    assert r"\ud83d" in printed
    scored = [json.loads(line) for line in out.read_text(encoding="utf-8").splitlines()]
    assert len(scored) == len(rows) and scored[0]["source"] == half
    assert [row["reward"] for row in scored if row["verifier_type"] == "text"] == [1.0, 0.0, 0.0, 1.0, None, None]
