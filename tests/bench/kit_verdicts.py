"""Our verdicts beside those of EvalScope, an independent evaluation kit: on written answers, and on a served model's.

    python tests/bench/kit_verdicts.py [--only written|served] [--environment FOLDER] [--out DIFFERENCES.jsonl]

The answers are the same for both, so that only the rules differ. Ends with 1 if they differ on a row of no known kind.
EvalScope has an environment of its own, which is made in FOLDER if it isn't there.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import secrets
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

from common import ROOT, show

sys.path.insert(0, str(ROOT / "tests/support"))

from benchmark_files import write_benchmark_tsv
from kit_kinds import KINDS, kind_of
from known_benchmarks import write_known_tsv
from other_kit import other_rows, read_tsv
from served import served
from written_answers import Written, written_choices, written_values, written_words

from vlaa_ray.evaluation.benchmarks import BENCHMARKS, benchmark

KIT = "evalscope==1.14.1"
SIDE = Path(__file__).with_name("kit_side.py")
NUM_ROWS = 300
ANSWERS_A_ROW = 6
MODEL = "tiny-base"
SHOWN = 10
Row = dict[str, Any]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", choices=("written", "served"))
    parser.add_argument("--environment", type=Path, default=ROOT / ".venv-evalscope")
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    python = environment(options.environment)
    compared: list[Row] = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        if options.only != "served":
            rows = [row for known in BENCHMARKS for row in drawn_rows(known, folder)]
            compared += report("Written answers", both(written(rows), folder, python))
        if options.only != "written":
            rows = [row for known in BENCHMARKS for row in known_rows(known, folder)]
            compared += report(f"Answers of the served {MODEL}", asked(rows, folder, python))
    if options.out:
        options.out.write_text("".join(json.dumps(row) + "\n" for row in compared))
    return int(any(row["kind"] is None for row in compared))


def environment(folder: Path) -> Path:
    """The Python of EvalScope's own environment."""
    python = folder / "bin/python"
    if not python.exists():
        subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
        subprocess.run([str(python), "-m", "pip", "install", "--quiet", KIT], check=True)
    return python


def drawn_rows(name: str, folder: Path) -> list[Row]:
    """The rows of a benchmark's file with shared pictures, lists of pictures and odd answers."""
    return tsv_rows(name, write_benchmark_tsv(name, folder / f"{name}.tsv", NUM_ROWS, 0))


def known_rows(name: str, folder: Path) -> list[Row]:
    """The rows of a benchmark's file whose questions the small model has learned."""
    return tsv_rows(name, write_known_tsv(name, folder / f"{name}.tsv", NUM_ROWS))


def tsv_rows(name: str, path: Path) -> list[Row]:
    """The rows of a benchmark's file, as we read them (`fields`) and in EvalScope's form."""
    pairs = zip(benchmark(name).read(path), other_rows(name, read_tsv(path)), strict=True)
    return [other | {"benchmark": name, "fields": row.fields} for row, other in pairs]


def written(rows: list[Row]) -> list[Row]:
    """Each row with some written answers, so that all forms come in turn."""
    found, turn, draw = [], Counter[tuple[str, int]](), random.Random(1)
    for row in rows:
        answers = forms(row, draw)
        for _ in range(ANSWERS_A_ROW):
            place = turn[row["benchmark"], len(answers)]
            turn[row["benchmark"], len(answers)] += 1
            answer = answers[place % len(answers)]
            found.append(row | {"form": answer.form, "prediction": answer.text, "meant": answer.right})
    return found


def forms(row: Row, draw: random.Random) -> list[Written]:
    """Answers to a row in all forms."""
    suite, fields = benchmark(row["benchmark"]), row["fields"]
    gold = str(fields["answer"])
    if suite.is_choice(fields):
        letters = suite.right_option(fields)
        options = suite.options(fields) or {letter: f"line {letter}" for letter in "ABCD"}
        other = draw.choice([letter for letter in options if letter not in letters])
        text = options.get(letters, " and ".join(f"line {letter}" for letter in letters))
        return [*written_choices(", ".join(letters), text, other, options[other])]
    if gold.replace(".", "", 1).isdigit():
        other = f"{float(gold) + 2:g}" if "." in gold else str(int(gold) + draw.randint(1, 3))
        return [*written_values(gold, other)]
    return [*written_words(gold, "12" if any(map(str.isdigit, gold)) else "white")]


def asked(rows: list[Row], folder: Path, python: Path) -> list[Row]:
    """The rows with the answers that the served small model gave to EvalScope, and both verdicts on them."""
    key = secrets.token_hex(16)
    os.environ["VLAA_RAY_API_KEY"] = key
    with served(folder, key=key) as server:
        theirs = kit_verdicts("ask", rows, folder, python, server.url, MODEL)
    answers = [their["prediction"] for their in theirs]
    rows = [row | {"form": "", "prediction": text, "meant": None} for row, text in zip(rows, answers, strict=True)]
    return [compared(row, their) for row, their in zip(rows, theirs, strict=True)]


def both(rows: list[Row], folder: Path, python: Path) -> list[Row]:
    """The rows with both verdicts on their answers."""
    theirs = kit_verdicts("score", rows, folder, python)
    return [compared(row, their) for row, their in zip(rows, theirs, strict=True)]


def kit_verdicts(how: str, rows: list[Row], folder: Path, python: Path, *endpoint: str) -> list[Row]:
    """EvalScope's verdicts on rows, in their order."""
    given, found = folder / "rows.jsonl", folder / "verdicts.jsonl"
    names = ("dataset", "record", "picture", "group", "prediction")
    given.write_text("".join(json.dumps({name: row.get(name) for name in names}) + "\n" for row in rows))
    with (folder / "kit.log").open("w") as log:
        command = [str(python), str(SIDE), how, str(given), str(found), *endpoint]
        done = subprocess.run(command, stdout=log, stderr=log, timeout=3600, cwd=folder)
    assert done.returncode == 0, (folder / "kit.log").read_text()[-4000:]
    return [json.loads(line) for line in found.read_text().splitlines()]


def compared(row: Row, their: Row) -> Row:
    """Both verdicts on a row's answer and, where they differ, the kind of the difference."""
    suite, fields = benchmark(row["benchmark"]), row["fields"]
    score = suite.score(fields, row["prediction"])
    names = ("benchmark", "dataset", "form", "prediction", "meant")
    line = {name: row[name] for name in names} | {"gold": str(fields["answer"]), "choice": suite.is_choice(fields)}
    line |= {"ours": score.correct, "reason": score.reason, "kit": their["correct"], "extracted": their["extracted"]}
    line["agree"] = (score.correct is True) == (their["correct"] is True)
    kind = kind_of(line)
    return line | {"kind": "" if line["agree"] else kind and kind.name}


def report(title: str, rows: list[Row]) -> list[Row]:
    """Show the counts, the kinds and the rows without one; return the rows."""
    table = [counts(name, [row for row in rows if row["benchmark"] == name]) for name in BENCHMARKS]
    columns = ["", "rows", "agree", "ours right", "EvalScope right", "ours left to a judge", "without a kind"]
    show(title, columns, [*table, counts("all", rows)])
    kinds = Counter((row["kind"], "right" if row["ours"] else "not right") for row in rows if not row["agree"])
    show(
        f"{title}: where they differ", ["kind", "ours", "rows"], [[*map(str, key), str(n)] for key, n in kinds.items()]
    )
    for kind in KINDS:
        if any(kind.name == row["kind"] for row in rows):
            print(f"{kind.name}: {kind.why}")
    for row in [row for row in rows if row["kind"] is None][:SHOWN]:
        print(json.dumps(row))
    show_meant([row for row in rows if row["meant"] is not None])
    return rows


def show_meant(known: list[Row]) -> None:
    """Show how often each verdict is the one that a written answer was meant to get."""
    if known:
        figures = {
            name: sum((row[name] is True) == row["meant"] for row in known) / len(known) for name in ("ours", "kit")
        }
        print(f"As the answer was meant: ours {figures['ours']:.1%}, EvalScope {figures['kit']:.1%} of {len(known)}")
        for form, number in Counter(row["form"] for row in known if (row["ours"] is True) != row["meant"]).items():
            print(f"  ours differs from what was meant: {form}, {number} rows")


def counts(name: str, rows: list[Row]) -> list[str]:
    agree = sum(row["agree"] for row in rows)
    right = [sum(row[who] is True for row in rows) for who in ("ours", "kit")]
    unsettled = sum(row["ours"] is None for row in rows)
    unnamed = sum(row["kind"] is None for row in rows)
    return [name, *map(str, (len(rows), agree, *right, unsettled, unnamed))]


if __name__ == "__main__":
    sys.exit(main())
