"""The sections of training on written answers alone: its length, its early end, and its samples."""

from __future__ import annotations

from pydantic import Field, model_validator

from vlaa_ray.config.sections import EvalSection, NamedSection, SamplesSection, Section


class SupervisedRunSection(NamedSection):
    """Name, seed, folder and length of the run."""

    num_steps: int | None = Field(None, ge=1)
    """Training steps of the whole run, those before a resume included."""
    num_epochs: float | None = Field(None, gt=0)
    """Passes over the training data, in place of `num_steps`; the last step is filled from the next pass."""

    @model_validator(mode="after")
    def _one_length(self) -> SupervisedRunSection:
        if (self.num_steps is None) == (self.num_epochs is None):
            raise ValueError("give either num_steps or num_epochs")
        return self


class EarlyStoppingSection(Section):
    """The end of a run whose held-out loss no longer falls; its checkpoint is the newest one, as at any other end."""

    patience: int = Field(3, ge=1)
    """Evaluations in a row without a lower held-out loss after which the run ends."""
    min_delta: float = Field(0.0, ge=0)
    """Nats for each token by which `eval/loss` must be below the lowest one so far to count as lower."""


class SftEvalSection(EvalSection):
    """When and how the held-out records are evaluated."""

    rewards: bool = False
    """Also sample answers to the held-out prompts, from step 0 on, and score them by their verifiers, as GRPO does;
    the engines and reward actors of `rollout` and `rewards` need their CPUs or GPUs beside the learner's."""


class SftSection(SamplesSection):
    """Size, limits and early end of the supervised samples."""

    early_stopping: EarlyStoppingSection | None = None
    """When a run whose held-out loss no longer falls ends before its last step; null for never."""
