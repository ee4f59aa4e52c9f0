"""EvalScope's part of `kit_verdicts.py`, run by the Python of EvalScope's own environment; nothing of ours is imported.

    python kit_side.py score ROWS.jsonl VERDICTS.jsonl       its verdicts on given answers
    python kit_side.py ask ROWS.jsonl VERDICTS.jsonl URL MODEL   it asks a served model, and gives its verdicts

A line of ROWS has `dataset` (EvalScope's name), `record` (in that data set's form), `picture` (base64) and, for
`score`, `prediction`. Line N of VERDICTS has `correct` (null if EvalScope refuses the row), `extracted` and
`prediction` of line N of ROWS.
"""

from __future__ import annotations

import base64
import json
import os
import sys
import tempfile
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

from datasets import Dataset
from evalscope import TaskConfig, run_task
from evalscope.api.evaluator import TaskState
from evalscope.api.model import ModelOutput
from evalscope.api.registry import get_benchmark

Row = dict[str, Any]
Convert = Callable[[Any, Row], Any]
SPLITS = {"math_vista": "testmini", "math_vision": "test", "math_verse": "testmini", "logic_vista": "test"}
"""The split of each data set with a picture as bytes; `general_vmcq` has it as a URL in a file of its own form."""
PICTURES = {"math_vista": "decoded_image", "math_vision": "decoded_image"}
PLACE = "place"
"""The key of `metadata` that names a row's line."""
PROMPTS = {"general_vmcq": {"prompt_template": "{question}"}, "logic_vista": {"prompt_template": "{question}"}}
"""The question as the row has it, without EvalScope's words around it, which the small model has not learned."""
RULES = {"judge": {"strategy": "rule"}}


def main() -> None:
    how, rows_path, verdicts_path, *endpoint = sys.argv[1:]
    rows = [json.loads(line) for line in Path(rows_path).read_text(encoding="utf-8").splitlines()]
    verdicts = scored(rows) if how == "score" else asked(rows, *endpoint)
    lines = "".join(json.dumps(verdict) + "\n" for verdict in verdicts)
    Path(verdicts_path).write_text(lines, encoding="utf-8")


def scored(rows: list[Row]) -> list[Row]:
    """EvalScope's verdicts on the rows' predictions."""
    names = {row["dataset"] for row in rows}
    config = TaskConfig(model="none", datasets=sorted(names), **RULES)
    adapters = {name: get_benchmark(name, config) for name in names}
    verdicts = []
    for row in rows:
        adapter = adapters[row["dataset"]]
        sample = adapter.record_to_sample(with_picture(row))
        if isinstance(sample, list):  # EvalScope leaves the row out
            verdicts.append({"correct": None, "extracted": None, "prediction": row["prediction"]})
            continue
        output = ModelOutput.from_content("none", row["prediction"])
        state = TaskState(model="none", sample=sample, output=output, completed=True)
        verdicts.append(verdict(adapter.calculate_metrics(state).score.model_dump()))
    return verdicts


def asked(rows: list[Row], url: str, model: str) -> list[Row]:
    """EvalScope's verdicts on what the served model answers; the key is in the environment."""
    verdicts: list[Row] = [{} for _ in rows]
    for name in dict.fromkeys(row["group"] for row in rows):
        places = [place for place, row in enumerate(rows) if row["group"] == name]
        for place, found in zip(places, run([rows[place] for place in places], url, model), strict=True):
            verdicts[place] = found
    return verdicts


def run(rows: list[Row], url: str, model: str) -> list[Row]:
    """The verdicts of one run of EvalScope over rows of one data set, in their order."""
    name = rows[0]["dataset"]
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "out"
        run_task(
            TaskConfig(
                model=model,
                api_url=url,
                api_key=os.environ["VLAA_RAY_API_KEY"],
                eval_type="openai_api",
                eval_batch_size=16,
                datasets=[name],
                dataset_args={name: {"local_path": str(written(rows, Path(folder) / "data")), **reading(name)}},
                generation_config={"temperature": 0.0, "max_tokens": 48},
                work_dir=str(out),
                no_timestamp=True,
                **RULES,
            )
        )
        reviews = [json.loads(line) for path in out.glob("reviews/*/*.jsonl") for line in path.open(encoding="utf-8")]
    assert len(reviews) == len(rows), f"{name}: {len(reviews)} reviews of {len(rows)} rows"
    found: list[Row] = [{} for _ in rows]
    for review in reviews:
        metadata = review["sample_score"]["sample_metadata"] or {}
        found[place_of(metadata, review["index"])] = verdict(review["sample_score"]["score"])
    assert all(found), f"{name}: a row has two reviews"
    return found


def place_of(metadata: Row, index: int) -> int:
    """The place of a reviewed row in its data set; EvalScope keeps other columns of each data set in `metadata`."""
    named = next((metadata[key] for key in (PLACE, "id", "sample_index") if metadata.get(key) is not None), index)
    return int(named)


def reading(name: str) -> Row:
    """The arguments by which EvalScope reads a folder of its own form from the disk, and asks the bare questions."""
    if name in SPLITS and name != "logic_vista":
        module = import_module(f"evalscope.benchmarks.{name}.{name}_adapter")
        module.OPEN_PROMPT = module.MULT_CHOICE_PROMPT = "{question}"
        adapter = type(get_benchmark(name))
        adapter.record_to_sample = picture_first(adapter.record_to_sample)
    return PROMPTS.get(name, {}) | ({"default_subset": "default"} if name in SPLITS else {})


def picture_first(convert: Convert) -> Convert:
    """The conversion of a record, with the picture before the text, as the small model has learned it."""

    def converted(self: Any, record: Row) -> Any:
        sample = convert(self, record)
        sample.input[0].content.sort(key=lambda part: part.type != "image")
        return sample

    return converted


def written(rows: list[Row], folder: Path) -> Path:
    """The folder with the rows as EvalScope reads them from the disk."""
    name, records = rows[0]["dataset"], [with_picture(row) for row in numbered(rows)]
    if name in SPLITS:
        (folder / "data").mkdir(parents=True)
        Dataset.from_list(records).to_parquet(folder / f"data/{SPLITS[name]}-00000-of-00001.parquet")
    else:
        folder.mkdir(parents=True)
        (folder / "default_val.jsonl").write_text("".join(json.dumps(record) + "\n" for record in records))
    return folder


def numbered(rows: list[Row]) -> list[Row]:
    """The rows with their places where EvalScope keeps them: in a column of its data set, or in `metadata`."""
    column = {"math_vision": "id", "math_verse": "sample_index", "logic_vista": "id"}.get(rows[0]["dataset"])
    if rows[0]["dataset"] == "general_vmcq":
        return rows
    return [
        {**row, "record": row["record"] | ({column: str(place)} if column else {"metadata": {PLACE: place}})}
        for place, row in enumerate(rows)
    ]


def with_picture(row: Row) -> Row:
    """The record with its picture in the form of its data set."""
    if row["dataset"] == "general_vmcq":
        return row["record"] | {"image_1": f"data:image/png;base64,{row['picture']}"}
    picture = {"bytes": base64.b64decode(row["picture"]), "path": None}
    return row["record"] | {PICTURES.get(row["dataset"], "image"): picture}


def verdict(score: Row) -> Row:
    """What we compare of a score: whether it is right, what was read in the answer, and the answer itself."""
    values = score["value"]
    known = next((values[name] for name in ("acc", "accuracy") if name in values), None)
    correct = None if known is None else known == 1.0
    return {"correct": correct, "extracted": score["extracted_prediction"], "prediction": score["prediction"]}


if __name__ == "__main__":
    main()
