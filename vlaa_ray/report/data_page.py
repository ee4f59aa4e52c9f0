"""`data.html`: samples of data files to look at, on one page that needs no network."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from vlaa_ray.config import DataSection, FetchSection, SourceSection, TrainingConfig
from vlaa_ray.data.builtin import BUILTIN
from vlaa_ray.data.files.sources import record_files
from vlaa_ray.data.readers import defect_of, iterate_for
from vlaa_ray.errors import DataError
from vlaa_ray.models.chat import chat_format_of
from vlaa_ray.records import Defect, Prompt, in_order, prompt_of
from vlaa_ray.report.data_samples import DataSample, Draw, data_sample
from vlaa_ray.report.html import write_page

_MOST_STRATA = 50


def write_data_page(
    out: Path, sources: Sequence[str], data: DataSection, config: TrainingConfig | None, limit: int, seed: int
) -> Path:
    """Writes the page and gives its path back; sources are what a config may name, `builtin:SPLIT` included.

    Of all records `limit` are drawn, the same for the same seed. DataError where a source can't be read.
    """
    draw = Draw(limit, random.Random(seed))
    for source in sources:
        for file in map(str, record_files(source)):
            draw.take_in(_short(file), _rows(file, data.source_at(source), data.fetch, config))
    return write_page(out, "data.html.jinja", _content(draw, sources, config, seed))


def _rows(
    file: str, source: SourceSection, fetch: FetchSection, config: TrainingConfig | None
) -> Iterator[tuple[int, Prompt | Defect]]:
    for row, read in iterate_for(file, source, fetch, config):
        if isinstance(read, DataError):
            yield row, defect_of(read, Path(file), row)
        else:
            yield row, prompt_of(read)


def _content(draw: Draw, sources: Sequence[str], config: TrainingConfig | None, seed: int) -> dict[str, Any]:
    chat = chat_format_of(config.model) if config else None
    chosen = draw.chosen()
    samples: dict[str, list[DataSample]] = {kind: [] for kind in in_order(one.verifier_type for one, _ in chosen)}
    for stratum, found in sorted(chosen, key=lambda one: (one[0], one[1].row)):
        samples[stratum.verifier_type].append(data_sample(stratum.file, found, chat))
    counted = sorted(((stratum, drawn.count) for stratum, drawn in draw.drawn.items()), key=lambda one: -one[1])
    strata = [
        stratum._asdict() | {"count": count, "num_shown": sum(stratum == one for one, _ in chosen)}
        for stratum, count in counted[:_MOST_STRATA]
    ]
    return {
        "title": ", ".join(map(_short, sources)),
        "seed": seed,
        "num_records": sum(count for _, count in counted) + draw.bad.count,
        "num_shown": len(chosen),
        "num_bad": draw.bad.count,
        "several_files": len({stratum.file for stratum in draw.drawn}) > 1,
        "strata": strata,
        "strata_left_out": len(counted) - len(strata),
        "samples": samples,
        "bad": sorted(draw.bad.items, key=lambda one: (one.file, one.row)),
    }


def _short(source: str) -> str:
    return source if source.startswith(BUILTIN) else Path(source).name
