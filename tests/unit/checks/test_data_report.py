"""Remarks are grouped by their reason, and each group is told once."""

import io

from rich.console import Console

from vlaa_ray.checks.data_report import Remarks, Report, place_of, report_parts
from vlaa_ray.records import Defect

STATISTICS = {"records": 50_000, "records_with_defects": 46_741, "image_pairs": [], "shared_images": 0}


def shown(report: Report, width: int = 100) -> str:
    out = io.StringIO()
    console = Console(file=out, width=width)
    for part in report_parts(report):
        console.print(part, highlight=False)
    return " ".join(out.getvalue().replace("│", " ").split())


def test_defects_of_one_kind_are_one_row_with_a_count_and_the_first_rows():
    reasons = [f"gold is not one number: 'many {row}' (of {row} words)" for row in range(1, 46_741)]
    defects = [Defect(f"d.jsonl:{row}", "a/d.jsonl", row, reason, fix="x") for row, reason in enumerate(reasons, 1)]
    defects.append(Defect("mine", "a/d.jsonl", 50_000, "the question is empty"))
    text = shown(Report(defects=defects, statistics=STATISTICS))
    assert "46,740 records gold is not one number: 'many 1' (of 1 words)" in text
    assert "at d.jsonl:1, d.jsonl:2, d.jsonl:3, d.jsonl:4, d.jsonl:5 and 46,735 more" in text
    assert "1 record the question is empty at d.jsonl:50000 (mine)" in text
    assert text.endswith("46,741 of 50,000 records have defects.") and len(text) < 1000


def test_what_was_expected_and_what_to_do_is_shown():
    defect = Defect("7", "d.jsonl", 7, "no verifier for this record", "digit, mcq", "--verifier-type TYPE")
    text = shown(Report(defects=[defect], statistics=STATISTICS))
    assert "expected: digit, mcq" in text and "fix: --verifier-type TYPE" in text


def test_a_whole_file_is_counted_as_a_file():
    defect = Defect("d.json", "a/d.json", 0, "the file holds no record")
    text = shown(Report(defects=[defect], statistics=STATISTICS | {"records_with_defects": 0}))
    assert "1 file the file holds no record at d.json" in text and text.endswith("1 file can't be used.")


def test_reasons_that_differ_in_words_stay_apart():
    remarks = Remarks()
    for number in range(7):
        remarks.add(f"row {number} lacks 'x'", f"f:{number}")
        remarks.add(f"row {number} lacks a gold", f"f:{number}", count=3)
    first, second = remarks.sorted()
    assert (first.reason, first.count, len(first.places)) == ("row 0 lacks a gold", 21, 5)
    assert (second.reason, second.count) == ("row 0 lacks 'x'", 7)


def test_places_are_short():
    assert (place_of("/data/a.jsonl", 3), place_of("/data/a.jsonl", 0)) == ("a.jsonl:3", "a.jsonl")
