"""How many samples went into each step, came out of it, and were dropped why; and what became of each source.

Table 1 of the paper (arXiv 2504.11468) has the same columns: original, pipeline, SFT, RL.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from vlaa_ray.curation.sample import STEPS, Sample

if TYPE_CHECKING:
    from rich.table import Table

METADATA, SPLIT = "metadata", "split"
Set = Literal["sft", "rl"]


@dataclass
class Flow:
    """Samples through one step."""

    entered: int = 0
    dropped: Counter[str] = field(default_factory=Counter)

    @property
    def left(self) -> int:
        """Those that went on."""
        return self.entered - self.dropped.total()


@dataclass
class SourceCounts:
    """What became of a source: `original` have a picture of their own, `pipeline` passed every step."""

    original: int = 0
    pipeline: int = 0
    sft: int = 0
    rl: int = 0


@dataclass
class Counts:
    """Filled by `passed`, `count_selected` and `count_capped`."""

    steps: dict[str, Flow] = field(default_factory=lambda: {name: Flow() for name in (METADATA, *STEPS, SPLIT)})
    sources: dict[str, SourceCounts] = field(default_factory=dict)
    done: int = 0

    def passed(self, sample: Sample) -> None:
        """A sample that is through with steps 1 to 5, or was dropped at one of them."""
        self.done += 1
        for name in (METADATA, *(STEPS if sample.use == "distill" else ())):
            self.steps[name].entered += 1
            if sample.dropped_at == name:
                self.steps[name].dropped[sample.reason] += 1
                break
        if sample.dropped_at != METADATA:
            self._of(sample).original += 1
        if not sample.dropped_at:
            self.steps[SPLIT].entered += 1
            self._of(sample).pipeline += 1

    def count_selected(self, sample: Sample, to: Set) -> None:
        """A sample that is in one of the sets."""
        counts_of_source = self._of(sample)
        if to == "sft":
            counts_of_source.sft += 1
        else:
            counts_of_source.rl += 1

    def count_capped(self, sample: Sample) -> None:
        """A sample that its source has too many of."""
        self.steps[SPLIT].dropped[sample.reason] += 1

    def _of(self, sample: Sample) -> SourceCounts:
        return self.sources.setdefault(sample.source, SourceCounts())


def sources_table(counts: Counts) -> Table:
    """The paper's Table 1 for this run."""
    from rich.markup import escape
    from rich.table import Table

    table = Table(title="Samples", title_justify="left", show_footer=True)
    rows = sorted(counts.sources.items())
    table.add_column("source", footer="total")
    for name in ("original", "pipeline", "sft", "rl"):
        total = sum(getattr(counts_of_source, name) for _, counts_of_source in rows)
        title = name.upper() if name in ("sft", "rl") else name
        table.add_column(title, justify="right", footer=f"{total:,}")
    for source, counts_of_source in rows:
        numbers = (counts_of_source.original, counts_of_source.pipeline, counts_of_source.sft, counts_of_source.rl)
        table.add_row(escape(source), *(f"{number:,}" for number in numbers))
    return table


def reasons_table(counts: Counts, most: int | None = None) -> Table:
    """Why samples were dropped, by step, the commonest reasons first; `most` of all of them."""
    from rich.markup import escape
    from rich.table import Table

    table = Table(title="Dropped", title_justify="left")
    for name in ("step", "reason"):
        table.add_column(name)
    table.add_column("samples", justify="right")
    rows = [(step, *one) for step, flow in counts.steps.items() for one in flow.dropped.most_common()]
    shown = sorted(rows, key=lambda row: -row[2])[:most]
    for step, reason, count in (row for row in rows if row in shown):
        table.add_row(step, escape(reason), f"{count:,}")
    return table
