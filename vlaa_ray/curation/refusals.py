"""The records that a curation can't use, known before a teacher is asked.

For example:

    refusals = Refusals()
    for sample in refusals.watched(iterate_samples(config, None)): ...
    refusals.lines()  -> ["3 of 10 records are left out: not exactly one picture: 2 pictures (first: data.jsonl:2)"]
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator

from vlaa_ray.curation.counts import METADATA
from vlaa_ray.curation.sample import Sample
from vlaa_ray.errors import DataError


class Refusals:
    """The number of records that step 1 refuses, by reason, each reason with the first record that has it."""

    def __init__(self) -> None:
        self._counts: Counter[str] = Counter()
        self._firsts: dict[str, Sample] = {}
        self._num_samples = 0

    def watched(self, samples: Iterable[Sample]) -> Iterator[Sample]:
        """Yield the samples unchanged, and count those that step 1 has dropped."""
        for sample in samples:
            self._num_samples += 1
            if sample.dropped_at == METADATA:
                self._counts[sample.reason] += 1
                self._firsts.setdefault(sample.reason, sample)
            yield sample

    def lines(self) -> list[str]:
        """Return one line for each reason, the most frequent first: the count, the reason and the first record."""
        return [
            f"{count:,} of {self._num_samples:,} records are left out: {self._told(reason)}"
            for reason, count in self._counts.most_common()
        ]

    def raise_if_all(self) -> None:
        """Raise DataError if there are records, and all of them are refused."""
        if not self._num_samples or self._counts.total() < self._num_samples:
            return
        told = "; ".join(f"{count:,} × {self._told(reason)}" for reason, count in self._counts.most_common())
        fix = "correct the records, or set verifier_type or image_root of the source in the config's `sources`"
        raise DataError(f"no record can be used: {told}", fix=fix, records=self._num_samples)

    def _told(self, reason: str) -> str:
        first = self._firsts[reason]
        return f"{reason}{f': {first.detail}' if first.detail else ''} (first: {first.sample_id})"
