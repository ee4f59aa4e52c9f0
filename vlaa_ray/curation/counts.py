"""The counts of samples that enter, leave and are dropped at each step, and of the samples of each source in the sets.

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
    """The number of samples that entered one step, and the numbers that were dropped there, by reason."""

    entered: int = 0
    dropped: Counter[str] = field(default_factory=Counter)

    @property
    def left(self) -> int:
        """The number of samples that passed the step."""
        return self.entered - self.dropped.total()


@dataclass
class SourceCounts:
    """Numbers of samples of one source, with the columns of the paper's Table 1.

    `original` samples came in, `pipeline` samples passed every step, and `sft` and
    `rl` samples are in these sets.
    """

    original: int = 0
    pipeline: int = 0
    sft: int = 0
    rl: int = 0


@dataclass
class Counts:
    """The counts of a curation by step and by source; `done` samples have passed or left steps 1 to 5."""

    steps: dict[str, Flow] = field(default_factory=lambda: {name: Flow() for name in (METADATA, *STEPS, SPLIT)})
    sources: dict[str, SourceCounts] = field(default_factory=dict)
    done: int = 0

    def passed(self, sample: Sample) -> None:
        """Count a sample that passed steps 1 to 5, or was dropped at one of them."""
        self.done += 1
        for name in (METADATA, *(STEPS if sample.use == "distill" else ())):
            self.steps[name].entered += 1
            if sample.dropped_at == name:
                self.steps[name].dropped[sample.reason] += 1
                break
        self._of(sample).original += 1
        if not sample.dropped_at:
            self.steps[SPLIT].entered += 1
            self._of(sample).pipeline += 1

    def count_selected(self, sample: Sample, to: Set) -> None:
        """Count a sample that is in the set `to`."""
        counts_of_source = self._of(sample)
        if to == "sft":
            counts_of_source.sft += 1
        else:
            counts_of_source.rl += 1

    def count_capped(self, sample: Sample) -> None:
        """Count a sample that was dropped because its source is over the limit of the set."""
        self.steps[SPLIT].dropped[sample.reason] += 1

    def _of(self, sample: Sample) -> SourceCounts:
        return self.sources.setdefault(sample.source, SourceCounts())


def sources_table(counts: Counts) -> Table:
    """Return the table of samples by source, as Table 1 of the paper."""
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


def reasons_table(counts: Counts, max_rows: int | None = None) -> Table:
    """Return the table of reasons for dropped samples by step, the most frequent first; at most `max_rows` rows."""
    from rich.markup import escape
    from rich.table import Table

    table = Table(title="Dropped", title_justify="left")
    for name in ("step", "reason"):
        table.add_column(name)
    table.add_column("samples", justify="right")
    rows = [(step, *dropped) for step, flow in counts.steps.items() for dropped in flow.dropped.most_common()]
    shown = sorted(rows, key=lambda row: -row[2])[:max_rows]
    for step, reason, count in (row for row in rows if row in shown):
        table.add_row(step, escape(reason), f"{count:,}")
    return table
