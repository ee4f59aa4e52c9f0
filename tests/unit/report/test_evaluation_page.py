"""The pages of one evaluation and of two: every number with its conditions, rows as data, pictures within a limit."""

import hashlib
import json
import random
import re
from base64 import b64encode
from itertools import pairwise
from pathlib import Path

import pytest
from evaluations import CONDITIONS, make_evaluation, paired_result, row, write_rows
from pages import NASTY, Page

from vlaa_ray import report
from vlaa_ray.errors import DataError
from vlaa_ray.report.comparison_page import changed, p_value, write_comparison_page
from vlaa_ray.report.evaluation_folder import read_rows
from vlaa_ray.report.evaluation_page import write_evaluation_page
from vlaa_ray.report.rows_viewer import album_of, cut

RNG = random.Random(0)
SCRIPT = "".join((Path(report.__file__).parent / name).read_text(encoding="utf-8") for name in ("viewer.js", "rows.js"))


def page_of(folder, **options):
    return write_evaluation_page(folder, **options).read_text(encoding="utf-8")


def data_of(html, name="rows-data"):
    return json.loads(re.search(rf'<script type="application/json" id="{name}">(.*?)</script>', html, re.DOTALL)[1])


def assert_only_the_viewer_runs(html):
    """The page runs the viewer's script alone, and its policy forbids everything else."""
    page = Page(html)
    assert not {"iframe", "object", "embed", "form", "link", "base"} & set(page.tags)
    for _, name, value in page.attributes:
        assert not name.startswith("on")
        assert name not in ("src", "href", "xlink:href") or value.startswith("#"), value
    assert re.findall(r"<script>(.*?)</script>", html, re.DOTALL) == [SCRIPT] and page.tags.count("script") == 3
    policy = next(value for _, name, value in page.attributes if name == "content" and "default-src" in value)
    allowed = b64encode(hashlib.sha256(SCRIPT.encode()).digest()).decode()
    assert "default-src 'none'" in policy and f"script-src 'sha256-{allowed}';" in policy and "connect" not in policy


def test_every_number_stands_with_its_interval_and_its_conditions(tmp_path):
    scores = {
        "worst_case": {"value": 34.726, "low": 30.04, "high": 39.15},
        "average": {"value": 63.33, "low": None, "high": None},
    }
    benchmark = {
        "num_rows": 5010,
        "num_samples": 4,
        "headline": "worst_case",
        "settled": {"rule": 4000, "judge": 900, "unsettled": 107, "unanswered": 3},
        "scores": scores,
        "categories": {"subject": {"solid geometry": {"value": 41.25, "num_rows": 150}}},
        "pass_at_k": {"1": 63.33, "4": 80.5},
        "majority": 66.6,
    }
    make_evaluation(tmp_path, benchmarks=(), rows=[{"benchmark": "x", "index": "1"}])
    result = json.loads((tmp_path / "result.json").read_text()) | {"benchmarks": {"DynaMath": benchmark}}
    (tmp_path / "result.json").write_text(json.dumps(result))
    page = Page(page_of(tmp_path))
    for text in (
        "DynaMath worst case 5,010 34.7 (30.0 to 39.1)",
        "DynaMath average 5,010 63.3",
        "DynaMath majority of 4 answers 5,010 66.6",
        "DynaMath pass@4 5,010 80.5",
        "DynaMath worst case 34.7 (30.0 to 39.1) 5,010 4 4,000 900 107 3",
        "All 5 scores",
        "solid geometry 150 41.2",
        "Pixels of a picture, at most 262,144",
        "Tokens of an answer, at most 800",
        "judge-mini at http://127.0.0.1:9000/v1",
        CONDITIONS["system_prompt"],
        "checkpoint runs/tiny weight version 49 evaluated 2026-11-30T15:00:00+00:00",
    ):
        assert text in page.words, text
    assert page.words.count("mean of six") == 0
    labels = [value for tag, name, value in page.attributes if (tag, name) == ("svg", "aria-label")]
    assert labels == ["DynaMath: 34.7 (30.0 to 39.1)"]


def test_the_mean_of_six_is_the_results_own(tmp_path):
    make_evaluation(tmp_path, num_rows=1, mean_of_six=35.4)
    assert "mean of six 35.4" in Page(page_of(tmp_path)).words
    make_evaluation(tmp_path, num_rows=1, conditions=CONDITIONS | {"judge": None, "min_pixels": None, "extra": [1]})
    words = Page(page_of(tmp_path)).words
    assert "Judge none; what rules can't settle stays unsettled" in words
    assert "Pixels of a picture, at least not set" in words and "extra [1]" in words


def test_rows_are_data_of_the_page(tmp_path):
    (tmp_path / "images").mkdir()
    verdict = {"extracted": "1", "correct": True, "value": 0.5, "settled_by": "judge", "reason": ""}
    said = {"prediction": "<think>I see.</think><answer>1</answer>", "finish_reason": "stop"}
    made = row(tmp_path, RNG, "MathVista", 1, **verdict, **said)
    make_evaluation(tmp_path, rows=[made], benchmarks=("MathVista",))
    data = data_of(page_of(tmp_path))
    assert data["benchmarks"] == ["MathVista"]
    assert data["categories"] == [[0, "skill", "figure question answering"], [0, "grade", "level 2"]]
    (shown,) = data["rows"]
    answer = {"thought": "I see.", "rest": "<answer>1</answer>", "extracted": "1", "verdict": "right", "value": 0.5}
    answer |= {"settled": "judge", "reason": "", "tokens": 41, "ended": "stop"}
    assert shown["answers"] == [answer] and shown["pictures"] == [0] and shown["categories"] == [0, 1]
    (uri,) = data_of(page_of(tmp_path), "pictures-data")
    jpeg = b64encode((tmp_path / made["images"][0]).read_bytes()).decode()
    assert uri == f"data:image/jpeg;base64,{jpeg}"


def test_the_middle_of_a_long_text_is_left_out(tmp_path):
    assert cut("abcdefghij", 10) == "abcdefghij"
    assert cut("abcdefghij", 4) == "ab\n[… 6 characters left out …]\nij"
    rows = [{"benchmark": "MathVista", "index": "1", "prediction": "p" * 9000}]
    make_evaluation(tmp_path, rows=[one | {"correct": None, "settled_by": "", "categories": {}} for one in rows])
    html = page_of(tmp_path)
    assert "[… 1000 characters left out …]" in data_of(html)["rows"][0]["answers"][0]["rest"]
    assert "Texts of more than 8,000 characters have their middle left out" in html


def test_pictures_have_a_limit_and_those_of_wrong_rows_come_first(tmp_path):
    (tmp_path / "images").mkdir()
    made = [row(tmp_path, RNG, name, number, correct=True) for name in ("A", "B") for number in (0, 10, 20, 30)]
    for one, correct in zip(made, [True, False, True, None] * 2, strict=True):
        one["correct"] = correct
        one["images"] = [one["images"][0].replace(".jpg", f"-{one['benchmark']}.jpg")]
        (tmp_path / one["images"][0]).write_bytes(b"\xff\xd8\xff" + b"x" * 2997)
    write_rows(tmp_path, made)
    rows, _ = read_rows(tmp_path)
    album = album_of(tmp_path, rows, most_chars=4 * 4100)
    assert list(album.uris) == [made[number]["images"][0] for number in (1, 5, 3, 7)]
    assert (album.num_left_out, album.num_missing) == (4, 0)
    html = page_of(make_evaluation(tmp_path, rows=made, benchmarks=("A", "B")), picture_chars=4 * 4100)
    assert "4 of 8 pictures are left out" in html
    assert [bool(uri) for uri in data_of(html, "pictures-data")] == [False, True, False, True] * 2


def test_a_picture_is_embedded_once_and_only_from_the_folder(tmp_path):
    folder = tmp_path / "evaluation"
    (folder / "images").mkdir(parents=True)
    shared = row(folder, RNG, "MathVista", 1)
    (tmp_path / "secret.jpg").write_bytes(b"\xff\xd8\xff")
    (folder / "images/text.jpg").write_text("<svg onload=alert(1)>")
    (folder / "images/link.jpg").symlink_to(tmp_path / "secret.jpg")
    names = ["../secret.jpg", str(tmp_path / "secret.jpg"), "images/text.jpg", "images/none.jpg", "images", "", "\0"]
    rows = [shared, shared | {"index": "2"}, shared | {"index": "3", "images": [*names, "images/link.jpg", 7]}]
    make_evaluation(folder, rows=rows, benchmarks=("MathVista",))
    html = page_of(folder)
    assert [bool(uri) for uri in data_of(html, "pictures-data")] == [True] + [False] * 8
    assert "8 of 9 pictures can't be read from the folder" in html


def test_text_of_data_and_models_can_t_leave_its_block(tmp_path):
    odd = NASTY + "</script><!--<script>\ud800\0\u2028]]>"
    texts = dict.fromkeys(("benchmark", "index", "question", "gold", "prediction", "extracted", "reason"), odd)
    (tmp_path / "images").mkdir()
    rows = [row(tmp_path, RNG, "x", 1) | texts | {"categories": {odd: [odd]}, "images": [odd], "settled_by": odd}]
    conditions = {odd: odd, "judge": {"model": odd, "url": odd}}
    make_evaluation(tmp_path, rows=rows, benchmarks=(), model={"name": odd, "kind": odd}, conditions=conditions)
    result = json.loads((tmp_path / "result.json").read_text())
    result["benchmarks"] = {odd: paired_like(odd)}
    (tmp_path / "result.json").write_text(json.dumps(result))
    html = page_of(tmp_path)
    assert_only_the_viewer_runs(html)
    assert data_of(html)["rows"][0]["question"] == odd.replace("\ud800", "?")
    make_evaluation(tmp_path / "b", rows=[rows[0] | {"correct": rows[0]["correct"] is not True}], benchmarks=())
    comparison = {odd: paired_result(headline=odd)}
    both = write_comparison_page(comparison, tmp_path, tmp_path / "b", tmp_path / "both.html").read_text()
    assert_only_the_viewer_runs(both)
    assert len(data_of(both)["rows"]) == 1


def paired_like(odd):
    """A benchmark whose names are all foreign text."""
    scores = {odd: {"value": 1.0, "low": 0.0, "high": 2.0}}
    return {"num_rows": 1, "headline": odd, "scores": scores, "categories": {odd: {odd: {"value": 1.0, "num_rows": 1}}}}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (None, "there is none"),
        ("[1]", "doesn't hold a mapping"),
        ("{", "can't be read"),
        ("{}", "model"),
        ('{"model": {"name": "x"}, "benchmarks": {"A": {"num_rows": 1, "headline": "o"}}}', "benchmarks.A.scores"),
        ('{"model": {"name": "x"}, "benchmarks": {}, "mean_of_six": NaN}', "finite"),
    ],
)
def test_a_folder_without_a_result_is_named(tmp_path, text, said):
    if text is not None:
        (tmp_path / "result.json").write_text(text)
    with pytest.raises(DataError, match=re.escape(said)) as raised:
        write_evaluation_page(tmp_path)
    assert raised.value.facts["file"] == str(tmp_path / "result.json") and raised.value.fix
    assert not (tmp_path / "page.html").exists()


def test_lines_that_can_t_be_read_are_counted(tmp_path):
    make_evaluation(tmp_path, num_rows=2, benchmarks=("MathVista",))
    with (tmp_path / "rows.jsonl").open("ab") as file:
        file.write(b'[]\n{"index": 1}\n' + b"[" * 100_000 + b'\n{"benchmark": "MathVista", "index": "9", "quest')
    html = page_of(tmp_path)
    assert "4 lines of rows.jsonl can't be read." in html and len(data_of(html)["rows"]) == 2
    (tmp_path / "rows.jsonl").unlink()
    assert "The folder has no rows.jsonl" in page_of(tmp_path)


def test_it_can_be_read_without_seeing_it(tmp_path):
    page = Page(page_of(make_evaluation(tmp_path, num_rows=2)))
    headings = [int(tag[1]) for tag in page.tags if tag in ("h1", "h2", "h3", "h4")]
    assert headings[0] == 1 and headings.count(1) == 1
    assert all(after <= before + 1 for before, after in pairwise(headings))
    assert page.tags.count("caption") == page.tags.count("table") == 2 + 12
    sections = {value for tag, name, value in page.attributes if (tag, name) == ("section", "id")}
    assert {value[1:] for tag, name, value in page.attributes if (tag, name) == ("a", "href")} == sections
    assert page.tags.count("label") == 5


def test_changed_rows_are_those_with_another_verdict(tmp_path):
    verdicts = {"a": [True, True, False, None, False, True], "b": [True, False, True, False, None]}
    for name, values in verdicts.items():
        (tmp_path / name).mkdir()
        rows = [{"benchmark": "A", "index": str(n), "sample": 1, "correct": one} for n, one in enumerate(values)]
        write_rows(tmp_path / name, rows)
    rows_a, rows_b = (read_rows(tmp_path / name)[0] for name in verdicts)
    found = [(one.answers[0].index, one.change) for one in changed(rows_a, rows_b)]
    assert found == [("1", "only_a"), ("2", "only_b"), ("3", "other"), ("4", "other")]


def test_a_comparison_has_paired_numbers_and_differing_conditions(tmp_path):
    make_evaluation(tmp_path / "a", num_rows=3, benchmarks=("MathVista",))
    make_evaluation(
        tmp_path / "b", num_rows=2, benchmarks=("MathVista",), conditions=CONDITIONS | {"max_pixels": 50176}
    )
    difference = {"value": 2.4, "low": 0.3, "high": 4.5}
    paired = paired_result(num_rows=1000, a=61.2, b=63.6, difference=difference, mcnemar_p=0.0004, only_a=10, only_b=34)
    worse = paired_result(difference={"value": -2.0, "low": -3.0, "high": -1.0})
    page = write_comparison_page(
        {"MathVista": paired, "DynaMath": worse}, tmp_path / "a", tmp_path / "b", tmp_path / "both.html"
    )
    page = Page(page.read_text())
    assert "MathVista overall 1,000 61.2 63.6 +2.4 (+0.3 to +4.5) 10 34 < 0.001" in page.words
    assert "Pixels of a picture, at most 262,144 50,176" in page.words and "Temperature" not in page.words
    assert "the other evaluation has no such row: 1 answers of A, 0 of B" in page.words
    looks = [
        value for tag, name, value in page.attributes if (tag, name) == ("td", "class") and value.startswith("num ")
    ]
    assert looks == ["num better", "num worse"]
    assert [p_value(value) for value in (None, 0.0005, 0.04567, 1.0)] == ["–", "< 0.001", "0.046", "1.000"]


def test_a_comparison_without_its_numbers_is_refused(tmp_path):
    make_evaluation(tmp_path, num_rows=1)
    with pytest.raises(DataError, match=r"lacks a number.*MathVista\.mcnemar_p"):
        write_comparison_page({"MathVista": paired_result(mcnemar_p="x")}, tmp_path, tmp_path, tmp_path / "both.html")
