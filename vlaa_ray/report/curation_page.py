"""`curation.html`: the number of samples that passed each step, and examples with their texts and verdicts."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vlaa_ray.curation.counts import Counts
from vlaa_ray.curation.outputs import Outputs
from vlaa_ray.curation.sample import Sample
from vlaa_ray.errors import DataError
from vlaa_ray.images.decode import reference
from vlaa_ray.report.html import write_page
from vlaa_ray.report.samples import pieces, shown_text
from vlaa_ray.report.thumbnails import Picture, thumbnail

_SETS = ("SFT", "RL")


@dataclass(frozen=True)
class Shown:
    """The texts and the picture that the page shows of one sample.

    `distilled` and `rewritten` hold its reasoning in pieces; they are empty where no step made it.
    """

    source: str
    where: str
    picture: Picture
    question: str
    gold: str
    caption: str
    distilled: tuple[tuple[str, str], ...]
    rewritten: tuple[tuple[str, str], ...]
    verdict: str
    detail: str


def write_curation_page(folder: Path, outputs: Outputs) -> Path:
    """Write the page into the run's folder and return its path."""
    counts = outputs.counts
    titles = [title for title in _SETS if title in outputs.examples]
    titles += sorted(outputs.examples.keys() - {*_SETS})
    content = {
        "title": folder.name,
        "num_samples": counts.done,
        "num_dropped": sum(flow.dropped.total() for flow in counts.steps.values()),
        "steps": [_step_row(name, counts, outputs.calls) for name in counts.steps],
        "sources": sorted(counts.sources.items()),
        "examples": [
            (
                title,
                outputs.examples[title].count,
                [_shown(sample, folder) for sample in _ordered(outputs.examples[title].items)],
            )
            for title in titles
        ],
    }
    return write_page(folder / "curation.html", "curation.html.jinja", content)


def _step_row(name: str, counts: Counts, calls: dict[str, Any]) -> dict[str, Any]:
    flow, spent = counts.steps[name], calls["spent"].get(name, {})
    return {
        "name": name,
        "entered": flow.entered,
        "left": flow.left,
        "dropped": flow.dropped.most_common(),
        "calls": spent.get("calls"),
        "tokens": spent.get("input_tokens", 0) + spent.get("output_tokens", 0),
        "cost": spent.get("cost", 0.0),
    }


def _ordered(samples: list[Sample]) -> list[Sample]:
    return sorted(samples, key=lambda sample: sample.index)


def _shown(sample: Sample, folder: Path) -> Shown:
    rewritten = sample.rewritten or sample.solution
    return Shown(
        source=sample.source,
        where=sample.sample_id,
        picture=_picture(sample, folder),
        question=shown_text(sample.question),
        gold=shown_text(sample.gold),
        caption=shown_text(sample.caption),
        distilled=pieces(shown_text(sample.distilled)) if sample.distilled != rewritten else (),
        rewritten=pieces(shown_text(rewritten)),
        verdict=sample.verdict,
        detail=shown_text(sample.detail),
    )


def _picture(sample: Sample, folder: Path) -> Picture:
    if not sample.image:
        return Picture(missing="no picture was kept")
    try:
        return thumbnail(reference(folder / "images" / sample.image))
    except DataError as error:
        return Picture(missing=error.one_line())
