"""The frozen reference policy that the KL term is measured against."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from vlaa_ray.config import ModelSection
from vlaa_ray.models.loading import load_model
from vlaa_ray.models.logprobs import Policy


def load_reference(
    model: ModelSection, path: Path | None, *, temperature: float, banned_token_ids: list[int], device: torch.device
) -> Any:
    """The run's first policy with all weights frozen, whole on each rank's device."""
    reference = Policy(load_model(model, path), temperature=temperature, banned_token_ids=banned_token_ids)
    reference.requires_grad_(False)
    reference.eval()
    return reference.to(device)
