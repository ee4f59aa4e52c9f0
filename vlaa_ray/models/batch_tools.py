"""The facts about a model that packing needs: pixels, positions and a dummy row."""

from __future__ import annotations

from functools import partial
from typing import Any

from vlaa_ray.models.batches import PackingTools, Row
from vlaa_ray.models.chat import ChatFormat
from vlaa_ray.models.families import DUMMY_IMAGE, family_of


def packing_tools(model: Any, chat: ChatFormat) -> PackingTools:
    """Return the tools for the model's family, with the pixel limits of the chat format's processor."""
    family, config = family_of(model.config), model.config
    return PackingTools(
        image_token_id=chat.image_token_id,
        pixels=partial(family.pixels, config, chat.processor),
        positions=partial(family.positions, model),
        num_features=partial(family.num_features, config),
        dummy=Row(
            prompt_token_ids=family.dummy_prompt(config, chat.image_token_id),
            images=(DUMMY_IMAGE,),
            completions=(),
            sequence_ids=(),
        ),
    )
