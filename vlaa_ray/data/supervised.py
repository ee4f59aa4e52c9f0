"""What runs on written answers read: prompts with solutions (SFT), or compared answers (reward models)."""

from __future__ import annotations

from collections.abc import Sequence

from vlaa_ray.config import SupervisedConfig
from vlaa_ray.data.dataset import open_dataset
from vlaa_ray.data.preferences import open_preferences
from vlaa_ray.records import Defect, Preference, Prompt

Written = Sequence[Prompt] | Sequence[Preference]


def open_supervised(config: SupervisedConfig, quarantine: list[Defect]) -> tuple[Written, Written]:
    """What to train on, and what is held out; what is left out is added to `quarantine`. Errors of `open_dataset`."""
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
