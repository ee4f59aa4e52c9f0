"""The config of an experiment: arms of ordinary runs that `vlaa-ray compare` trains, evaluates and compares."""

from __future__ import annotations

import re
from typing import Any, ClassVar, Literal

from pydantic import Field, field_validator, model_validator

from vlaa_ray.config.base import AnyConfig, Bundle
from vlaa_ray.config.base_folder import CheckpointPath, InputPath, OutputPath
from vlaa_ray.config.sections import MAX_PROCESSES, Section
from vlaa_ray.config.values import MAX_SEED

Varied = Literal["data", "order", "budget"]
"""What GRPO may have differently in an arm: the prompts, their order, or the numbers of samples and tokens."""
_NAME = r"^[A-Za-z0-9][A-Za-z0-9._-]*$"


class StageSection(Section):
    """An ordinary run: a config file of another command, and the keys that differ from it."""

    config: InputPath
    """Config file of `train`, `sft` or `data curate`; for `evaluation` that of `eval`."""
    set: dict[str, Any] = Field(default_factory=dict)
    """Keys that take the place of the file's, such as {run.num_steps: 49}; a mapping changes only the keys that it has.
    A text may hold {NAME}, which stands for the folder of the run NAME of `prepare`."""


class ArmStageSection(Section):
    """A stage with keys that differ in this arm."""

    stage: str
    """Name under `stages`."""
    set: dict[str, Any] = Field(default_factory=dict)
    """Keys that take the place of the stage's."""


class ArmSection(Section):
    """One way to train: stages one after another, each from the model of the one before."""

    stages: tuple[str | ArmStageSection, ...] = ()
    """Names of stages, or {stage, set} where keys differ; empty evaluates the start model itself. Arms that begin with
    the same stages share their runs."""
    start: CheckpointPath | None = None
    """Model that the first stage starts from; null for `start_model`."""
    varies: tuple[Varied, ...] = ()
    """What GRPO has differently in this arm on purpose: data (the prompts), order, budget (samples and tokens). All
    else must be as in the first arm with GRPO."""
    about: str = ""
    """One sentence about the arm, for the page."""
    paper: str | None = None
    """Name of the paper's row with the same model and data, such as `table4/VLAA-Thinker-Qwen2.5-3B`; its published
    numbers then stand beside the arm's."""


class RoomSection(Section):
    """What runs may use at the same time."""

    cpus: float | None = Field(None, gt=0)
    """CPUs that all runs together may ask for; null for those of this machine or of the cluster."""
    gpus: int | None = Field(None, ge=0)
    """GPUs that all runs together may ask for; null for those of this machine or of the cluster."""
    runs: int = Field(64, ge=1, le=MAX_PROCESSES)
    """Runs at the same time at most."""


class ExperimentConfig(AnyConfig):
    """An experiment: `vlaa-ray compare --config FILE`. Its runs use the Ray cluster of `ray.address`."""

    command: ClassVar[str] = "compare"
    start_model: CheckpointPath
    """Model that arms start from: a folder, a hub id, or `builtin:tiny-base`."""
    seeds: tuple[int, ...] = Field((0,), min_length=1)
    """Seeds that every arm is trained with, one run each; intervals are over them, paired by seed."""
    prepare: dict[str, StageSection] = Field(default_factory=dict)
    """Runs of `data curate` before all arms, by a name that paths use as {NAME}."""
    stages: dict[str, StageSection] = Field(default_factory=dict)
    """Runs that arms are made of, by name."""
    arms: dict[str, ArmSection] = Field(min_length=1)
    """Ways to train, by name, in the order of the tables."""
    base_arm: str | None = None
    """Arm that relative changes refer to; null for the first arm without stages that has the same start model."""
    shared_runs: OutputPath | None = None
    """Folder of the runs. Experiments that name the same one share equal runs, such as GRPO alone in several tables of
    the paper; null for the experiment's own folder."""
    evaluation: StageSection
    """How each arm is evaluated: a config of `eval` with its benchmarks. It is the same for all arms."""
    room: RoomSection = RoomSection()
    """What runs may use at the same time."""

    def bundles(self) -> dict[str, list[Bundle]]:
        """Return no bundle: the runs of the arms have their own."""
        return {}

    def base_of(self, name: str) -> str | None:
        """Return the arm that the relative changes of an arm refer to; None without any.

        It is `base_arm`, else the first arm without stages that has the same start model.
        """
        start = self.arms[name].start or self.start_model
        same = (
            other for other, arm in self.arms.items() if not arm.stages and (arm.start or self.start_model) == start
        )
        return self.base_arm or next(same, None)

    @field_validator("seeds")
    @classmethod
    def _own_seeds(cls, seeds: tuple[int, ...]) -> tuple[int, ...]:
        if len(set(seeds)) < len(seeds):
            raise ValueError("each seed must be there once")
        if not all(0 <= seed <= MAX_SEED for seed in seeds):
            raise ValueError(f"a seed must be from 0 to {MAX_SEED}")
        return seeds

    @model_validator(mode="after")
    def _names(self) -> ExperimentConfig:
        names = [*self.prepare, *self.stages, *self.arms]
        if wrong := [name for name in names if not re.fullmatch(_NAME, name)]:
            raise ValueError(f"names are of letters, digits, '.', '_' and '-': {', '.join(map(repr, wrong))}")
        if self.base_arm is not None and self.base_arm not in self.arms:
            raise ValueError(f"base_arm: no arm {self.base_arm!r}; known: {', '.join(self.arms)}")
        return self
