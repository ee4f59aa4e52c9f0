"""Every name that the config takes is in its registry, and every preset is a config of its own."""

from typing import get_args

import pytest

from vlaa_ray.algorithms.advantages import ADVANTAGES
from vlaa_ray.algorithms.losses import AGGREGATIONS, LOSSES
from vlaa_ray.config import GRPO_PRESETS, GrpoSection
from vlaa_ray.config.grpo import AdvantageName, AggregationName, LossName


@pytest.mark.parametrize(
    ("names", "registry"),
    [(AdvantageName, ADVANTAGES), (LossName, LOSSES), (AggregationName, AGGREGATIONS)],
)
def test_config_and_registry_have_the_same_names(names, registry) -> None:
    assert set(get_args(names)) == set(registry)


def test_every_preset_can_be_named() -> None:
    allowed = GrpoSection.model_json_schema()["properties"]["preset"]["anyOf"][0]["enum"]
    assert set(allowed) == set(GRPO_PRESETS)
    for preset, values in GRPO_PRESETS.items():
        section = GrpoSection(preset=preset)
        for key, value in values.items():
            found = getattr(section, key)
            assert (found.model_dump(include=set(value)) if isinstance(value, dict) else found) == value


@pytest.mark.parametrize("name", [*ADVANTAGES, *LOSSES])
def test_every_method_says_its_formula_and_its_source(name) -> None:
    method = ADVANTAGES[name].__class__ if name in ADVANTAGES else LOSSES[name]
    assert "Source: " in method.__doc__ and "arXiv" in method.__doc__
