"""The folder of a result, the files of the kit, and the comparison of two folders."""

import csv
import json
from dataclasses import replace

import openpyxl
import pytest
from evaluating import TEXTS, answered, letters, score
from PIL import Image
from rich.console import Console

from vlaa_ray.config import EvalConfig
from vlaa_ray.errors import DataError
from vlaa_ray.evaluation.comparison import compare, comparison_table
from vlaa_ray.evaluation.kit_files import write_kit_files
from vlaa_ray.evaluation.progress import result_table
from vlaa_ray.evaluation.results import Scored, write_result
from vlaa_ray.images.decode import reference
from vlaa_ray.report.comparison_page import write_comparison_page
from vlaa_ray.report.evaluation_page import write_evaluation_page

MODEL = {"name": "tiny", "path": "builtin:tiny-base", "kind": "builtin"}
CONFIG = EvalConfig.model_validate(
    {"benchmarks": [{"name": "Letters", "data": "x"}], "conditions": {"name": "kit"}, "model": {"path": "x"}}
)


def written(folder, texts=TEXTS, picture=None):
    folder.mkdir()
    answers = answered(folder, texts)
    if picture is not None:
        rows = answers.questions.rows
        answers.questions.rows = [replace(row, images=(picture,)) for row in rows]
    result = write_result(folder, [Scored(answers=answers, verdicts=score(answers))], MODEL, CONFIG)
    return folder, result, answers


def rows_of(folder):
    return [json.loads(line) for line in (folder / "rows.jsonl").read_text().splitlines()]


def test_a_result_holds_model_conditions_and_each_row(tmp_path):
    folder, result, _ = written(tmp_path / "a")
    assert json.loads((folder / "result.json").read_text()) == result
    assert result["model"] == MODEL and result["conditions"]["judge"] is None
    assert result["conditions"]["max_pixels"] == 16_384 * 28 * 28
    assert result["mean_of_six"] is None
    rows = rows_of(folder)
    assert [row["index"] for row in rows] == [str(number) for number in range(8)]
    assert rows[5] == {
        "benchmark": "Letters",
        "index": "5",
        "sample": 0,
        "question": "Which letter has row 5?",
        "gold": "B",
        "cluster": "2",
        "categories": {"parity": ["odd"], "all": ["one", "two"]},
        "images": [],
        "prediction": "A",
        "finish_reason": "stop",
        "num_tokens": 4,
        "extracted": "A",
        "correct": False,
        "value": 0.0,
        "settled_by": "rule",
        "reason": "another letter",
    }
    assert all(row["reason"] for row in rows if row["correct"] is not True)


def test_a_picture_is_written_once_and_small(tmp_path):
    Image.new("RGB", (1200, 600), "red").save(tmp_path / "large.png")
    folder, _, _ = written(tmp_path / "a", picture=reference(tmp_path / "large.png"))
    (file,) = (folder / "images").iterdir()
    assert Image.open(file).size == (512, 256)
    assert {tuple(row["images"]) for row in rows_of(folder)} == {(f"images/{file.name}",)}
    write_evaluation_page(folder)


def test_the_final_table_has_the_score_its_interval_and_its_conditions(tmp_path):
    console = Console(width=100, record=True)
    console.print(result_table(written(tmp_path / "a")[1]))
    text = " ".join(console.export_text().split())
    assert "Letters │ overall │ 50.0 │ 0.0 to 100.0 │ 8 │ 5/0/3" in text
    assert "conditions kit" in text and "no judge" in text


def test_the_kits_files_have_its_columns_and_no_formulas(tmp_path):
    folder, result, answers = written(tmp_path / "a", ["=1+1", *TEXTS[1:]])
    path = write_kit_files(folder, "tiny", letters(), answers, result["benchmarks"]["Letters"]["scores"])
    assert path == folder / "kit/tiny/tiny_LETTERS_MINI.xlsx"
    header, first, *others = openpyxl.load_workbook(path).active.iter_rows()
    assert [cell.value for cell in header] == ["index", "answer", "=x", "prediction"]
    assert [(cell.value, cell.data_type) for cell in first] == [("0", "s"), ("A", "s"), ("y", "s"), ("=1+1", "s")]
    assert len(others) == 7
    scores = list(csv.reader((path.parent / "tiny_LETTERS_MINI_score.csv").open()))
    assert scores == [["overall", "worst_case", "odd"], ["37.5000", "25.0000", "8.0000"]]


def test_without_openpyxl_the_table_is_text(tmp_path, monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    folder, result, answers = written(tmp_path / "a")
    path = write_kit_files(folder, "tiny", letters(), answers, result["benchmarks"]["Letters"]["scores"])
    assert path.suffix == ".tsv" and len(list(csv.reader(path.open(), delimiter="\t"))) == 9


def test_two_evaluations_are_compared_row_by_row(tmp_path):
    first, _, _ = written(tmp_path / "a")
    second, _, _ = written(tmp_path / "b", ["A", "A", "A", "B", "A", "B", "A", "A"])
    comparison = compare(first, second)
    entry = comparison["benchmarks"]["Letters"]
    # right: a has rows 0 1 6 7, b has 0 2 3 4 5 6
    assert (entry["a"], entry["b"], entry["only_a"], entry["only_b"]) == (50.0, 75.0, 2, 4)
    assert [row["index"] for row in entry["changed"]] == ["1", "2", "3", "4", "5", "7"]
    assert entry["mcnemar_p"] == pytest.approx(2 * (1 + 6 + 15) / 64)  # by hand: at most 2 of 6 throws, both tails
    assert entry["difference"]["value"] == pytest.approx(25.0)
    assert entry["difference"]["low"] < 25 < entry["difference"]["high"]
    assert comparison["differing_conditions"] == {}
    page = write_comparison_page(comparison["benchmarks"], first, second, tmp_path / "page.html")
    assert "Letters" in page.read_text()
    console = Console(width=100, record=True)
    console.print(comparison_table(comparison))
    assert "Letters │ overall │ 50.0 │ 75.0 │ +25.0 │" in " ".join(console.export_text().split())


def test_folders_that_can_not_be_compared_say_why(tmp_path):
    first, _, _ = written(tmp_path / "a")
    with pytest.raises(DataError, match="not the result of an evaluation"):
        compare(first, tmp_path)
    second, result, _ = written(tmp_path / "b")
    (second / "result.json").write_text(json.dumps({**result, "benchmarks": {"Other": {}}}))
    with pytest.raises(DataError, match="no benchmark in common"):
        compare(first, second)
    third, _, _ = written(tmp_path / "c")
    (third / "rows.jsonl").write_text("[1]\n")
    with pytest.raises(DataError, match="can't be used"):
        compare(first, third)


def test_answers_to_rows_that_are_not_asked_change_nothing(tmp_path):
    folder, result, _ = written(tmp_path / "a")
    line = json.loads((folder / "answers.jsonl").read_text().splitlines()[0])
    with (folder / "answers.jsonl").open("a") as file:
        file.write(json.dumps({**line, "index": "99"}) + "\n" + json.dumps({**line, "sample": 7}) + "\n")
    again = answered(folder)
    assert len(again.stored) == 10
    assert (
        write_result(folder, [Scored(answers=again, verdicts=score(again))], MODEL, CONFIG)["benchmarks"]
        == (result["benchmarks"])
    )
