"""Step 6 puts samples whose reasoning shows doubt into the RL set, the others into the SFT set, within source limits.

    has_cue("Hmm, let me check again.", PAPER_CUES, "substring") is True

A cue is a word of doubt such as "again" or "check". The paper looks for it anywhere in the lower-cased text (arXiv
2504.11468, appendix A.2), so "against" and "checkered" count, too. With the match `word`, only whole words count.
"""

from __future__ import annotations

import hashlib
import heapq
import re
from collections import defaultdict
from collections.abc import Sequence
from typing import Literal

from vlaa_ray.config import SplitSection
from vlaa_ray.curation.sample import Sample

CueMatch = Literal["substring", "word"]


def has_cue(text: str, cues: Sequence[str], match: CueMatch) -> bool:
    """Return True if the text contains one of the cues; upper and lower case are equal."""
    lowered = text.lower()
    if match == "substring":
        return any(cue.lower() in lowered for cue in cues)
    return any(re.search(rf"(?<!\w){re.escape(cue.lower())}(?!\w)", lowered) for cue in cues)


def destination(sample: Sample, split: SplitSection) -> Literal["sft", "rl"]:
    """Return the set of a verified sample, before any limit by source."""
    if sample.use == "rl_only" or has_cue(f"{sample.rewritten}\n{sample.solution}", split.cues, split.match):
        return "rl"
    return "sft"


class Capped:
    """A random choice of samples, up to the limit of each source and set.

    First `offer` is called with all samples; then `keeps` says which of them are chosen. The choice depends on the seed
    and the samples, not on the order of the calls. Memory grows with the limits, not with the number of samples.
    """

    def __init__(self, split: SplitSection, seed: int) -> None:
        self._split = split
        self._seed = seed
        self._kept: dict[tuple[str, str], list[tuple[int, int]]] = defaultdict(list)

    def offer(self, sample: Sample, to: Literal["sft", "rl"]) -> None:
        """Add a sample; if its source is over the limit of the set, drop the sample with the lowest draw."""
        limit = self._split.limit(to, sample.source)
        if limit is None:
            return
        kept = self._kept[to, sample.source]
        heapq.heappush(kept, (self._draw(sample), sample.index))
        if len(kept) > limit:
            heapq.heappop(kept)

    def keeps(self, sample: Sample, to: Literal["sft", "rl"]) -> bool:
        """Return True if an offered sample is chosen; call it after all samples were offered."""
        if self._split.limit(to, sample.source) is None:
            return True
        kept = self._kept[to, sample.source]
        return bool(kept) and (self._draw(sample), sample.index) >= kept[0]

    def _draw(self, sample: Sample) -> int:
        digest = hashlib.sha256(f"{self._seed}\0{sample.sample_id}\0{sample.index}".encode()).digest()
        return int.from_bytes(digest[:8], "big")
