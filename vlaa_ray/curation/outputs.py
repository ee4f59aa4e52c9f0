"""The files that a curation writes into the run's folder: the SFT set, the RL set, and the dropped records.

    sft.json  sft.parquet    the data of `vlaa-ray sft`: `answer` is <think>…</think><answer>…</answer>
    rl.json   rl.parquet     the data of `vlaa-ray train`
    dropped.jsonl            every other record, with the step, the reason and the detail

The JSON files have the keys of the published VLAA-Thinking data. Paths of pictures are relative to the folder `images/`
beside the sets, where the readers look for them.
"""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from vlaa_ray.config import CurationConfig
from vlaa_ray.curation.counts import SPLIT, Counts, Set
from vlaa_ray.curation.sample import Sample
from vlaa_ray.curation.split import Capped, destination
from vlaa_ray.data.reservoir import Reservoir
from vlaa_ray.storage.layout import DROPPED

SETS: tuple[Set, Set] = ("sft", "rl")
_KEPT = "kept.jsonl"
_ROWS = 1024
_SHOWN = 6


class Outputs:
    """The collector of finished samples: `take` adds them, and `write` writes the sets.

    Memory grows with the limits on each source, not with the number of samples.
    """

    def __init__(self, config: CurationConfig, folder: Path) -> None:
        self.counts = Counts()
        self.calls: dict[str, Any] = {"spent": {}, "recalled": {}, "in_flight": 0}
        self.subsets: list[Path] = []
        self.examples: dict[str, Reservoir[Sample]] = {}
        """A few samples of each set and of each reason for dropping, to be shown on the page."""
        self._split = config.split
        self._folder = folder
        self._rng = random.Random(config.run.seed)
        self._capped = Capped(config.split, config.run.seed)
        self._kept = (folder / _KEPT).open("w", encoding="ascii")
        self._dropped = _partial(folder / DROPPED).open("w", encoding="utf-8", errors="backslashreplace")

    def take(self, sample: Sample) -> None:
        """Add a sample that passed steps 1 to 5, or was dropped."""
        self.counts.passed(sample)
        if sample.dropped_at:
            self._drop(sample)
            return
        self._kept.write(sample.to_json() + "\n")
        self._capped.offer(sample, destination(sample, self._split))

    def write(self) -> None:
        """Write the sets, in the order of the records in the sources, and finish `dropped.jsonl`."""
        self._kept.close()
        with ExitStack() as stack:
            writers = {name: stack.enter_context(SetWriter(self._folder / name)) for name in SETS}
            for sample in kept_samples(self._folder):
                to = destination(sample, self._split)
                if self._capped.keeps(sample, to):
                    writers[to].add(sample)
                    self.counts.count_selected(sample, to)
                    self._show(to.upper(), sample)
                else:
                    spare = sample.drop(SPLIT, f"over the limit of its source for {to.upper()}")
                    self.counts.count_capped(spare)
                    self._drop(spare)
        self._dropped.close()
        _partial(self._folder / DROPPED).replace(self._folder / DROPPED)
        (self._folder / _KEPT).unlink()

    def _show(self, title: str, sample: Sample) -> None:
        self.examples.setdefault(title, Reservoir(_SHOWN, self._rng)).offer(sample)

    def _drop(self, sample: Sample) -> None:
        self._show(f"{sample.dropped_at}: {sample.reason}", sample)
        row = {
            "id": sample.sample_id,
            "source": sample.source,
            "step": sample.dropped_at,
            "reason": sample.reason,
            "detail": sample.detail,
            "image": sample.image,
            "question": sample.question,
            "gt": sample.gold,
            "caption": sample.caption,
            "ds_answer": sample.rewritten or sample.distilled,
        }
        self._dropped.write(json.dumps(row, ensure_ascii=False) + "\n")


def kept_samples(folder: Path) -> Iterator[Sample]:
    """Yield the samples that passed steps 1 to 5, read from the folder's temporary file."""
    with (folder / _KEPT).open(encoding="ascii") as lines:
        for line in lines:
            yield Sample.from_json(line)


def record_of(sample: Sample) -> dict[str, Any]:
    """Return a sample's record with the keys of the published data; `gt` keeps its type, `answer` is the solution."""
    return {
        "id": sample.sample_id,
        "image": sample.image,
        "question": sample.question,
        "gt": sample.gold,
        "verifier_type": sample.verifier_type,
        "verifier_params": sample.verifier_params,
        "answer": sample.solution,
        "ds_answer": sample.rewritten or sample.solution,
        "caption": sample.caption,
        "meta": {"source": sample.source, "side_information": sample.side_information},
    }


class SetWriter:
    """A context that writes `NAME.json` (an array) and `NAME.parquet`.

    Both are written to temporary files beside them, which are renamed at the end if no error occurred.
    """

    def __init__(self, path: Path) -> None:
        self._json = path.with_suffix(".json")
        self._parquet = path.with_suffix(".parquet")
        self._rows: list[dict[str, Any]] = []
        self._first = True

    def __enter__(self) -> SetWriter:
        from pyarrow import parquet

        self._text = _partial(self._json).open("w", encoding="utf-8", errors="backslashreplace")
        self._table = parquet.ParquetWriter(_partial(self._parquet), _schema())
        self._text.write("[")
        return self

    def add(self, sample: Sample) -> None:
        """Append the record of a sample."""
        record = record_of(sample)
        self._text.write(("\n" if self._first else ",\n") + json.dumps(record, ensure_ascii=False))
        self._first = False
        self._rows.append(record)
        if len(self._rows) == _ROWS:
            self._flush()

    def __exit__(self, kind: Any, error: Any, at: Any) -> None:
        self._text.write("\n]\n")
        self._text.close()
        self._flush()
        self._table.close()
        if error is None:
            for path in (self._json, self._parquet):
                _partial(path).replace(path)

    def _flush(self) -> None:
        import pyarrow

        rows = [row | {"gt_json": json.dumps(row["gt"])} for row in self._rows]
        rows = [{name: _as_text(value) for name, value in row.items()} for row in rows]
        self._table.write_table(pyarrow.Table.from_pylist(rows, schema=_schema()))
        self._rows = []


def _schema() -> Any:
    """Return the schema: all columns are text, because golds have several types; `gt_json` is the gold as JSON."""
    import pyarrow

    names = (
        "id",
        "image",
        "question",
        "gt",
        "gt_json",
        "verifier_type",
        "verifier_params",
        "answer",
        "ds_answer",
        "caption",
        "meta",
    )
    return pyarrow.schema([(name, pyarrow.string()) for name in names])


def _as_text(value: Any) -> str:
    """Return the value as text that UTF-8 can encode: lone surrogates are escaped; anything but text becomes JSON."""
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return text.encode("utf-8", "backslashreplace").decode()


def _partial(path: Path) -> Path:
    return path.with_name(f".{path.name}.partial")
