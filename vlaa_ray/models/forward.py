"""The one forward pass that policies and reward models share: rows in, hidden states at the completions out.

Legend: B rows, S row length, N completion tokens, D hidden.
"""

from typing import Any

import torch

from vlaa_ray.models.batches import Batch


def completion_hidden_states(model: Any, batch: Batch) -> torch.Tensor:
    """[N, D]: of each completion token, the last hidden state of the token before it. `model` is a Qwen2.5-VL."""
    base = model.model
    embeddings = base.get_input_embeddings()(batch.input_ids)
    features = torch.cat(base.get_image_features(batch.pixel_values, batch.image_grid_thw).pooler_output)
    is_image = (batch.input_ids == model.config.image_token_id)[..., None]
    embeddings = embeddings.masked_scatter(is_image, features.to(embeddings.dtype))
    mask = torch.zeros_like(batch.attention_mask, dtype=embeddings.dtype)
    mask.masked_fill_(~batch.attention_mask, torch.finfo(mask.dtype).min)
    hidden = base.language_model(
        inputs_embeds=embeddings, attention_mask=mask, position_ids=batch.position_ids, use_cache=False
    ).last_hidden_state
    scored: torch.Tensor = hidden.flatten(0, 1)[batch.score_index]
    return scored
