"""`data.html`: sample records of data files, on one page that needs no network."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from vlaa_ray.config import DataSection, FetchSection, SourceSection, TrainingConfig
from vlaa_ray.config.base_folder import BUILTIN
from vlaa_ray.data.files.sources import record_files
from vlaa_ray.data.readers import defect_of, iterate_for
from vlaa_ray.errors import DataError
from vlaa_ray.models.chat import chat_format_of
from vlaa_ray.records import Defect, Prompt, in_order, prompt_of
from vlaa_ray.report.data_samples import DataSample, Draw, data_sample
from vlaa_ray.report.html import write_page
from vlaa_ray.rewards.params import VerifierParams

_MOST_STRATA = 50


def write_data_page(
    out: Path, sources: Sequence[str], data: DataSection, config: TrainingConfig | None, limit: int, seed: int
) -> Path:
    """Write the page to `out` and return its path.

    `sources` are names as in a config, `builtin:SPLIT` included. The page shows `limit` records at most, drawn by
    chance; the same seed draws the same ones. With a config it also shows token counts.

    Raises:
        DataError: a source is a folder without records, or no source holds a record.

    """
    draw = Draw(limit, random.Random(seed))
    for source in sources:
        for file in map(str, record_files(source)):
            draw.take_in(_short(file), _rows(file, data.source_at(source), data.fetch, config))
    content = _content(draw, sources, config, seed)
    if not content["num_records"]:
        raise DataError("no record to show", sources=list(sources), fix="check how the files were made")
    return write_page(out, "data.html.jinja", content)


def _rows(
    file: str, source: SourceSection, fetch: FetchSection, config: TrainingConfig | None
) -> Iterator[tuple[int, Prompt | Defect]]:
    row = 0
    try:
        for row, read in iterate_for(file, source, fetch, config):
            if isinstance(read, DataError):
                yield row, defect_of(read, Path(file), row)
            else:
                yield row, prompt_of(read)
    except DataError as error:  # the rest of the file is lost, but not the other files
        yield row + 1, defect_of(error, Path(file), row + 1)


def _content(draw: Draw, sources: Sequence[str], config: TrainingConfig | None, seed: int) -> dict[str, Any]:
    chat = chat_format_of(config.model) if config else None
    judges = config.judges_with if config else None
    params = VerifierParams(judges.verifiers if judges else {}, chat.input_size if chat else None)
    chosen = draw.chosen()
    verifier_types = in_order(stratum.verifier_type for stratum, _ in chosen)
    samples: dict[str, list[DataSample]] = {verifier_type: [] for verifier_type in verifier_types}
    for stratum, record in sorted(chosen, key=lambda pair: (pair[0], pair[1].row)):
        samples[stratum.verifier_type].append(data_sample(stratum.file, record, params, chat))
    counted = sorted(((stratum, drawn.count) for stratum, drawn in draw.drawn.items()), key=lambda pair: -pair[1])
    num_shown = Counter(stratum for stratum, _ in chosen)
    strata = [
        stratum._asdict() | {"count": count, "num_shown": num_shown[stratum]}
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
        "bad": sorted(draw.bad.items, key=lambda defect: (defect.file, defect.row)),
    }


def _short(source: str) -> str:
    return source if source.startswith(BUILTIN) else Path(source).name
