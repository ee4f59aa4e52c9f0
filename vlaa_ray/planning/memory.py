"""The memory of every process of a run, item by item, from the model's dimensions alone.

    memory_estimate(config, model_dimensions("Qwen/Qwen2.5-VL-3B-Instruct"))  # bytes of every process, item by item

Weights, gradients and optimizer states are exact. Activations are an upper bound for the largest micro-batch. The
memory of a process without a model was measured.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from vlaa_ray.config import TrainingConfig
from vlaa_ray.models.dimensions import count_parameters, dimensions_family
from vlaa_ray.models.dtypes import config_item_bytes
from vlaa_ray.models.families import text_dimensions

GIB = 1 << 30
_SCORE_TOKENS = 4096  # models.policy scores at most this number of tokens at a time
_SCORE_COPIES = 3  # logits, their log-softmax and its gradient, in fp32
_CPU_BASE = {"learner": 0.7 * GIB, "rollout": 1.6 * GIB, "reward": 0.4 * GIB}  # RSS after the imports; vLLM has a child
_GPU_BASE = 1.5 * GIB  # CUDA context, NCCL buffers, fragmentation


@dataclass(frozen=True)
class MemoryRow:
    """The `num_bytes` that `item` takes in every process of `role`: on its GPU, or in RAM if the role has no GPU."""

    role: str
    item: str
    num_bytes: int
    note: str = ""


def memory_estimate(config: TrainingConfig, model_config: dict[str, Any]) -> list[MemoryRow]:
    """Return the bytes of every item in one process of each role; the sum of a role's rows is its peak.

    An engine on a GPU always takes `rollout.gpu_memory_share` of it; `kv_bytes_per_token` says how many tokens fit.
    """
    rows = _learner_rows(config, model_config)
    if config.engines is None:
        return rows
    weights = count_parameters(model_config).total * config_item_bytes(config.model.dtype)
    rollout, gpus = config.engines, config.engines.gpus_per_actor
    split = rollout.tensor_parallel_size
    rows += [
        MemoryRow("rollout", "weights", weights // split, f"split over {split} GPUs" if split > 1 else ""),
        MemoryRow("rollout", "weight sync", _bucket_bytes(config, model_config), "one bucket"),
        MemoryRow("rollout", "process", int(_GPU_BASE if gpus else _CPU_BASE["rollout"])),
    ]
    if not gpus:
        rows.append(MemoryRow("rollout", "KV cache", rollout.kv_cache_bytes, "rollout.kv_cache_bytes"))
    return [*rows, MemoryRow("reward", "process", int(_CPU_BASE["reward"]), "and up to rewards.memory_limit_bytes")]


def kv_bytes_per_token(model_config: dict[str, Any], dtype: str) -> int:
    """Return the bytes of the keys and values of one token in all layers."""
    text = text_dimensions(model_config)
    head = text["hidden_size"] // text["num_attention_heads"]
    return int(2 * text["num_hidden_layers"] * text["num_key_value_heads"] * head * config_item_bytes(dtype))


def optimizer_item_bytes(dtype: str) -> int:
    """Return the bytes of optimizer state for one parameter: Adam's two moments, and an fp32 master under bf16."""
    return 8 if dtype == "fp32" else 12


def _learner_rows(config: TrainingConfig, model_config: dict[str, Any]) -> list[MemoryRow]:
    """Return the learner's rows. ZeRO 1 splits optimizer states over the ranks, 2 also gradients, 3 also weights."""
    learner, size = config.learner, config_item_bytes(config.model.dtype)
    count, stage = count_parameters(model_config), learner.zero_stage
    trained = count.total - (count.vision if config.model.freeze_vision_tower else 0)
    shards = learner.num_ranks

    def shared(num_bytes: int, from_stage: int) -> tuple[int, str]:
        if stage < from_stage or shards == 1:
            return num_bytes, "whole"
        return num_bytes // shards, f"1/{shards} by ZeRO-{stage}"

    rows = [
        MemoryRow("learner", "weights", *shared(count.total * size, 3)),
        MemoryRow("learner", "gradients", *shared(trained * size, 2)),
        MemoryRow("learner", "optimizer states", *shared(trained * optimizer_item_bytes(config.model.dtype), 1)),
        MemoryRow("learner", "activations", _activation_bytes(config, model_config), "upper bound, one micro-batch"),
        MemoryRow("learner", "process", int(_GPU_BASE if learner.gpus_per_rank else _CPU_BASE["learner"])),
    ]
    if config.bucket_bytes:
        rows.append(MemoryRow("learner", "weight sync", _bucket_bytes(config, model_config), "one bucket"))
    if config.keeps_reference:
        rows.append(MemoryRow("learner", "reference policy", count.total * size, "whole, in every rank"))
    return rows


def _activation_bytes(config: TrainingConfig, model_config: dict[str, Any]) -> int:
    """Return the bytes of the largest micro-batch in the backward pass: activations, mask, one chunk of logits."""
    text, family = text_dimensions(model_config), dimensions_family(model_config)
    depth, width, inner = family.vision_dimensions(model_config)
    size, tokens = config_item_bytes(config.model.dtype), config.learner.micro_batch_tokens
    limits = config.limits
    row = min(tokens, limits.max_prompt_tokens + config.completions_per_row * limits.max_completion_tokens)
    image = min(config.model.max_pixels // family.pixels_per_token, limits.max_prompt_tokens)
    patches = 4 * image * max(1, tokens // row)
    head = text["hidden_size"] // text["num_attention_heads"]
    text_width = 6 * text["hidden_size"] + 2 * text["num_key_value_heads"] * head + 4 * text["intermediate_size"]
    vision_width = 8 * width + 4 * inner
    kept = config.learner.gradient_checkpointing
    language = tokens * _per_position(text["num_hidden_layers"], text["hidden_size"], text_width, kept)
    seeing = patches * _per_position(depth, width, vision_width, kept)
    if config.model.freeze_vision_tower:
        seeing = 0
    mask = tokens * row  # every position of a row against every other
    logits = min(_SCORE_TOKENS, tokens) * text["vocab_size"]
    return int(size * (language + seeing + mask) + 4 * _SCORE_COPIES * logits)


def _per_position(num_layers: int, hidden: int, layer_width: int, checkpointing: bool) -> int:
    """Return the numbers kept for a position: all inner values, or all layers' inputs and one layer's inner values."""
    return num_layers * hidden + layer_width if checkpointing else num_layers * layer_width


def _bucket_bytes(config: TrainingConfig, model_config: dict[str, Any]) -> int:
    count, size = count_parameters(model_config), config_item_bytes(config.model.dtype)
    return min(count.total * size, max(config.bucket_bytes, count.largest * size))
