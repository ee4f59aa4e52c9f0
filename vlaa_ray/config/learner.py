"""The part of a run's config that is about learning: ranks, memory and optimizer."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from vlaa_ray.config.pools import Market
from vlaa_ray.config.sections import MAX_PROCESSES, Section

Decay = Annotated[float, Field(ge=0, lt=1)]


class OptimSection(Section):
    """Learning rate, decay and clipping of the optimizer."""

    learning_rate: float = Field(1e-6, gt=0)
    """Highest learning rate, reached at the end of the warm-up."""
    min_learning_rate: float = Field(0.0, ge=0)
    """Learning rate where the cosine ends (the paper's best: 5e-7)."""
    warmup_share: float = Field(0.03, ge=0, lt=1)
    """Share of all steps in which the learning rate rises to its peak."""
    weight_decay: float = Field(0.0, ge=0)
    """Weight decay of the AdamW optimizer."""
    betas: tuple[Decay, Decay] = (0.9, 0.95)
    """Decay rates of AdamW's averages of the gradient and of its square."""
    max_grad_norm: float = Field(1.0, gt=0)
    """Largest norm of the gradient; a larger gradient is scaled down to it."""

    @model_validator(mode="after")
    def _order(self) -> OptimSection:
        if self.min_learning_rate > self.learning_rate:
            raise ValueError(
                f"min_learning_rate ({self.min_learning_rate}) is above learning_rate ({self.learning_rate})"
            )
        return self


class LearnerSection(Section):
    """Ranks, memory and optimizer of the learner."""

    num_ranks: int = Field(1, ge=1, le=MAX_PROCESSES)
    """Number of learner ranks, one process each, that share an update."""
    min_ranks: int | None = Field(None, ge=1, le=MAX_PROCESSES)
    """Smallest number of ranks that a GRPO run goes on with after the loss of one, as long as the cluster has no room
    for `num_ranks`; null for `num_ranks`. Fewer ranks need `zero_stage` 0."""
    max_restarts: int = Field(3, ge=0)
    """Times within `restart_window_s` that a GRPO run starts all ranks again from the newest checkpoint, after the loss
    of one. The loss of a node that was announced does not count."""
    restart_window_s: float = Field(3600, gt=0)
    """Seconds after which a lost rank no longer counts."""
    nodes: Market | None = None
    """The kind of nodes that the ranks run on, by Ray's label `ray.io/market-type`; null takes any node."""
    cpus_per_rank: float = Field(1, gt=0)
    """CPUs that Ray reserves for each learner rank."""
    num_threads: int | None = Field(None, ge=1)
    """Threads of torch in a CPU rank; null for `cpus_per_rank`. More threads help if the roles take turns."""
    gpus_per_rank: int = Field(0, ge=0, le=1)
    """GPUs of each learner rank; 0 trains on the CPU."""
    zero_stage: Literal[0, 1, 2, 3] = 0
    """ZeRO stage of DeepSpeed: 0 splits nothing over ranks, 1 the optimizer state, 2 gradients too, 3 weights too."""
    optimizer_in_ram: bool = False
    """Keep optimizer state and gradients in RAM and do the optimizer step on the CPU, which is slower; for stages 2
    and 3. A 3B model then learns on a GPU of 24 GB."""
    micro_batch_tokens: int = Field(16_384, ge=1)
    """Tokens of one forward pass; a longer group is split into rows of fewer completions."""
    updates_per_step: int = Field(1, ge=1)
    """Optimizer steps in a training step; the step's groups are divided among them."""
    gradient_checkpointing: bool = False
    """Compute activations again in the backward pass, which saves memory and costs time."""
    optim: OptimSection = OptimSection()
    """Learning rate, decay and clipping of the optimizer."""

    @property
    def fewest_ranks(self) -> int:
        """The smallest number of ranks that a run goes on with."""
        return self.num_ranks if self.min_ranks is None else self.min_ranks

    @model_validator(mode="after")
    def _fewer_ranks(self) -> LearnerSection:
        if self.fewest_ranks > self.num_ranks:
            raise ValueError(f"min_ranks ({self.min_ranks}) is above num_ranks ({self.num_ranks})")
        if self.fewest_ranks < self.num_ranks and self.zero_stage:
            raise ValueError(
                f"min_ranks ({self.min_ranks}) below num_ranks needs zero_stage 0, not {self.zero_stage}: the other "
                "stages split the optimizer's state over the ranks"
            )
        return self

    @model_validator(mode="after")
    def _stage_of_optimizer_in_ram(self) -> LearnerSection:
        if self.optimizer_in_ram and self.zero_stage < 2:
            raise ValueError(f"optimizer_in_ram needs zero_stage 2 or 3, not {self.zero_stage}")
        return self
