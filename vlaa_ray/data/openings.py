"""Reads the openings of SFT traces, to which a run compares those of its completions."""

from __future__ import annotations

from collections.abc import Collection

from vlaa_ray.config import DataSection
from vlaa_ray.data.dataset import open_dataset
from vlaa_ray.records import Defect
from vlaa_ray.text.openings import Openings


def read_openings(data: DataSection, source: str, num_words: int, verifier_types: Collection[str]) -> Openings:
    """Return the first words of the worked answers of a source; records without one are passed over.

    Raises:
        DataError: the source can't be read, or no record has a worked answer.

    """
    everything = data.model_copy(update={"verifier_types": None})
    bad: list[Defect] = []
    prompts = open_dataset(source, everything, None, verifier_types, bad, solved=True)
    return Openings((prompts[number].solution or "" for number in range(len(prompts))), num_words)
