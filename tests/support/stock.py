"""Models as transformers has them, with its own attention and head: the witness of what the learner computes."""

from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForImageTextToText

from vlaa_ray.config import ModelSection
from vlaa_ray.models.dtypes import TORCH_NAMES, torch_dtype
from vlaa_ray.models.paths import local_path


def stock_model(section: ModelSection, folder: Path | None = None) -> Any:
    """The checkpoint in the section's dtype, ready to evaluate; `folder` is used in place of the section's path."""
    path = str(folder or local_path(section.path))
    return AutoModelForImageTextToText.from_pretrained(
        path, dtype=torch_dtype(TORCH_NAMES[section.dtype]), attn_implementation="sdpa"
    ).eval()


def stock_with_weights_of(model: Any, section: ModelSection) -> Any:
    """The stock model with the present weights of a model in training."""
    stock = stock_model(section)
    weights = dict(model.named_parameters())
    with torch.no_grad():
        for name, parameter in stock.named_parameters():
            parameter.copy_(weights[name])
    return stock
