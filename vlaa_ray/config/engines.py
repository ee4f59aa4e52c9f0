"""The part of a config that is about the engines that sample."""

from __future__ import annotations

from pydantic import Field, model_validator

from vlaa_ray.config.pools import PoolSection


class SamplerSection(PoolSection):
    """Engines that sample completions, and their limits."""

    cpus_per_actor: float = Field(1, gt=0)
    """CPUs that Ray reserves for each rollout actor."""
    gpus_per_actor: float = Field(0, ge=0)
    """GPUs of each rollout actor; 0 runs vLLM on the CPU. More than one GPU is used by tensor parallelism. A share such
    as 0.7 leaves the rest of the GPU to a reward actor (`rewards.gpus_per_actor`); `gpu_memory_share` must leave it
    memory, too."""
    max_prompt_tokens: int = Field(1024, ge=1)
    """Tokens of a prompt at most, image tokens included. Longer prompts are refused, never cut."""
    max_completion_tokens: int = Field(256, ge=1)
    """Tokens of a completion at most; sampling stops there."""
    max_num_seqs: int = Field(256, ge=1)
    """Sequences that an engine decodes at once."""
    max_num_batched_tokens: int | None = Field(None, ge=1)
    """Tokens of one forward pass of an engine, at least `max_num_seqs`; null for vLLM's own 2,048."""
    kv_cache_bytes: int = Field(1 << 30, ge=1 << 24)
    """Memory for keys and values of an engine on the CPU; a GPU engine takes `gpu_memory_share` instead."""
    gpu_memory_share: float = Field(0.85, gt=0, lt=1)
    """Share of a GPU's memory that an engine takes for weights, keys and values."""
    engine_metrics: bool = False
    """Give Prometheus vLLM's own metrics of each engine (`ray_vllm_…`).

    They are about 280 series an engine, and take about 2% of a step on a CPU.
    """

    @property
    def tensor_parallel_size(self) -> int:
        """The number of GPUs that one engine splits its weights over; 1 without GPUs."""
        return max(1, int(self.gpus_per_actor))

    @model_validator(mode="after")
    def _whole_gpus(self) -> SamplerSection:
        if self.gpus_per_actor > 1 and self.gpus_per_actor % 1:
            raise ValueError(f"gpus_per_actor ({self.gpus_per_actor:g}) must be a whole number or below 1")
        return self


class RolloutSection(SamplerSection):
    """Engines that sample completions, and how many they sample."""

    prompts_per_step: int = Field(64, ge=1)
    """Prompts of a training step, each sampled `group_size` times."""
    group_size: int = Field(8, ge=2, le=65_536)
    """Completions sampled for each prompt (the paper's G is 4)."""
    temperature: float = Field(1.0, gt=0, le=2)
    """Sampling temperature, applied both in the engine and in the learner's softmax."""
