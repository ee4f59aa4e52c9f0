"""An estimate of what a run costs on GPUs before it is done. All constants are ours, good within a factor of two."""

from __future__ import annotations

from vlaa_ray.config import AnyConfig, TrainingConfig
from vlaa_ray.errors import ModelError
from vlaa_ray.models.dimensions import count_parameters, model_dimensions
from vlaa_ray.planning.placement import plan

PEAK_FLOPS = 989e12
"""Peak of an H100 or H200 in bf16, without sparsity, in operations a second."""
LEARNING_SHARE, SAMPLING_SHARE = 0.35, 0.10
"""The shares of the peak that learning and sampling are assumed to reach."""
USED_SHARE = 0.5
"""The share of the token limits that prompts and completions are assumed to use."""
OTHER_S = 300.0
"""The seconds that a run is assumed to take for its start, its evaluations and its checkpoints."""


def gpu_hours(config: AnyConfig, training: TrainingConfig | None, start: str) -> float | None:
    """Return an estimate of a run's GPU hours; 0 for a run without GPUs, None for an unknown model.

    `training` is the config again if the run trains, and `start` a model of the same size. Learning takes 8 operations
    for each parameter and token (activations are computed twice), a pass without gradient 2, sampling 2. Learner and
    engines wait for each other.
    """
    gpus = plan(config).total_gpus
    if not gpus:
        return 0.0
    if training is None:
        return OTHER_S * gpus / 3600
    try:
        parameters = count_parameters(model_dimensions(start)).total
    except (ModelError, OSError):
        return None
    num_prompts = training.num_samples // training.completions_per_row
    tokens = USED_SHARE * (training.max_tokens + num_prompts * training.limits.max_prompt_tokens)
    engines = training.engines
    passes = 8 + (0 if engines is None else 2) + (2 if training.keeps_reference else 0)
    seconds = passes * parameters * tokens / (LEARNING_SHARE * PEAK_FLOPS * training.learner.num_ranks)
    if engines is not None:
        num_gpus = max(1.0, engines.first * engines.gpus_per_actor)
        seconds += 2 * parameters * tokens / (SAMPLING_SHARE * PEAK_FLOPS * num_gpus)
    return (seconds + OTHER_S) * gpus / 3600
