"""Step 6: samples whose reasoning doubts itself are for RL, the others for SFT; both capped by source.

has_cue("Hmm, let me check again.", PAPER_CUES, "substring") is True

The paper's rule is a plain substring of the lower-cased text (arXiv 2504.11468, appendix A.2), so "against" and
"checkered" count, too; `word` asks for whole words.
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
    """Whether the text holds one of the cues, in any case of letters."""
    lowered = text.lower()
    if match == "substring":
        return any(cue.lower() in lowered for cue in cues)
    return any(re.search(rf"(?<!\w){re.escape(cue.lower())}(?!\w)", lowered) for cue in cues)


def destination(sample: Sample, split: SplitSection) -> Literal["sft", "rl"]:
    """Where a verified sample belongs, before any cap."""
    if sample.use == "rl_only" or has_cue(f"{sample.rewritten}\n{sample.solution}", split.cues, split.match):
        return "rl"
    return "sft"


class Capped:
    """At most so many samples of each source and set, whichever come: a seeded choice that needs no second look.

    Memory grows with the caps, never with what passes by.
    """

    def __init__(self, split: SplitSection, seed: int) -> None:
        self._split = split
        self._seed = seed
        self._kept: dict[tuple[str, str], list[tuple[int, int]]] = defaultdict(list)

    def offer(self, sample: Sample, to: Literal["sft", "rl"]) -> None:
        """Take it in, and let go of the one with the lowest draw if its source has too many."""
        limit = self._split.limit(to, sample.source)
        if limit is None:
            return
        kept = self._kept[to, sample.source]
        heapq.heappush(kept, (self._draw(sample), sample.index))
        if len(kept) > limit:
            heapq.heappop(kept)

    def keeps(self, sample: Sample, to: Literal["sft", "rl"]) -> bool:
        """Whether a sample that was offered stays, now that all were."""
        if self._split.limit(to, sample.source) is None:
            return True
        kept = self._kept[to, sample.source]
        return bool(kept) and (self._draw(sample), sample.index) >= kept[0]

    def _draw(self, sample: Sample) -> int:
        digest = hashlib.sha256(f"{self._seed}\0{sample.sample_id}\0{sample.index}".encode()).digest()
        return int.from_bytes(digest[:8], "big")
