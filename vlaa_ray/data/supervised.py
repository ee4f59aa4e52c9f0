"""Opens the data of supervised runs: prompts with worked answers for SFT, compared answers for reward models."""

from __future__ import annotations

from collections.abc import Sequence

from vlaa_ray.config import SupervisedConfig
from vlaa_ray.data.dataset import open_dataset
from vlaa_ray.data.preferences import open_preferences
from vlaa_ray.records import Defect, Preference, Prompt

Written = Sequence[Prompt] | Sequence[Preference]


def open_supervised(config: SupervisedConfig, quarantine: list[Defect]) -> tuple[Written, Written]:
    """Return (training data, held-out data) of the sources that the config names.

    Bad records are added to `quarantine`. Raises DataError as `open_dataset` and `open_preferences` do.
    """
    data = config.data
    if config.learns_from == "preferences":
        return (
            open_preferences(data.train, data, data.num_train, quarantine),
            open_preferences(data.heldout, data, data.num_heldout, quarantine),
        )
    return (
        open_dataset(data.train, data, data.num_train, quarantine=quarantine, solved=True),
        open_dataset(data.heldout, data, data.num_heldout, quarantine=quarantine, solved=True),
    )
