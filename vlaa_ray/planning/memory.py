"""The memory of every process of a run, item by item, from the model's dimensions alone.

    memory_estimate(config, model_dimensions("Qwen/Qwen2.5-VL-3B-Instruct"))  # bytes of every process, item by item

The plan is an upper bound. A process holds some items all the time, and others only at one moment of a step. Its peak
is the sum of what it always holds and of the moment that takes most. Sizes are counted as DeepSpeed 0.19.8 allocates
them. `planning.micro_batch` counts a pass over a micro-batch. The memory of a process without a model was measured on
CPUs; that of a CUDA context, and the margin, are estimates.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum
from typing import Any

from vlaa_ray.config import TrainingConfig
from vlaa_ray.models.dimensions import count_parameters
from vlaa_ray.models.dtypes import config_item_bytes
from vlaa_ray.models.families import text_dimensions
from vlaa_ray.models.families.base import is_tied
from vlaa_ray.planning.micro_batch import micro_batch_bytes

GIB = 1 << 30
MARGIN_SHARE = 0.05
"""The share of a GPU process's tensors that is added for fragmentation and for small tensors."""
_CPU_BASE = {"learner": 0.7 * GIB, "rollout": 1.6 * GIB, "reward": 0.4 * GIB}  # RSS after the imports; vLLM has a child
_GPU_BASE = 1.5 * GIB  # CUDA context, libraries' workspaces, NCCL's buffers
_FP32 = 4
_BUCKET_NUMBERS = 500_000_000  # DeepSpeed's reduce_bucket_size: gradients that ranks add up in one call
_LIVE_NUMBERS = 1_000_000_000  # DeepSpeed's stage3_max_live_parameters
_SUB_GROUP_NUMBERS = 1_000_000_000  # DeepSpeed's sub_group_size: weights that a ZeRO-3 step updates at once
_GATHERED_BYTES = 256 << 20  # learner.deepspeed gathers this number of bytes of weights at once
_ENGINE_BATCH_TOKENS = 2048  # vLLM's default for the tokens of one pass


class Moment(Enum):
    """The time at which an item exists: always, in a forward and backward pass, an optimizer step, or a weight sync."""

    ALWAYS = "always"
    PASS = "pass"
    STEP = "step"
    SYNC = "sync"


@dataclass(frozen=True)
class MemoryRow:
    """The `num_bytes` that `item` takes in every process of `role`: on its GPU, or in RAM if the role has no GPU."""

    role: str
    item: str
    num_bytes: int
    note: str = ""
    moment: Moment = Moment.ALWAYS


def memory_estimate(config: TrainingConfig, model_config: dict[str, Any]) -> list[MemoryRow]:
    """Return the bytes of every item in one process of each role; `peak_bytes` adds a role's rows up.

    An engine on a GPU always takes `rollout.gpu_memory_share` of it; `kv_bytes_per_token` says how many tokens fit.
    Ranks on GPUs with `learner.optimizer_in_ram` keep gradients and optimizer states in RAM (`optimizer_ram_bytes`).
    """
    rows = _learner_rows(config, model_config)
    if config.engines is not None:
        rows += _engine_rows(config, model_config)
        rows.append(MemoryRow("reward", "process", int(_CPU_BASE["reward"]), "and up to rewards.memory_limit_bytes"))
    return rows


def held_bytes(rows: Iterable[MemoryRow], moment: Moment = Moment.ALWAYS) -> int:
    """Return the sum of the rows of a moment, by default of what is held all the time."""
    return sum(row.num_bytes for row in rows if row.moment is moment)


def peak_bytes(rows: Iterable[MemoryRow]) -> int:
    """Return the peak of one process from its rows: what it always holds, and the moment that takes most."""
    rows = list(rows)
    return held_bytes(rows) + max(held_bytes(rows, moment) for moment in Moment if moment is not Moment.ALWAYS)


def kv_bytes_per_token(model_config: dict[str, Any], dtype: str) -> int:
    """Return the bytes of the keys and values of one token in all layers."""
    text = text_dimensions(model_config)
    head = text["hidden_size"] // text["num_attention_heads"]
    return int(2 * text["num_hidden_layers"] * text["num_key_value_heads"] * head * config_item_bytes(dtype))


def optimizer_item_bytes(dtype: str, zero_stage: int) -> int:
    """Return the bytes of optimizer state for one parameter: Adam's two moments, and an fp32 master.

    Only stage 0 in fp32 has no master: ZeRO copies even weights that are in fp32.
    """
    return 8 if dtype == "fp32" and zero_stage == 0 else 12


def gradient_item_bytes(dtype: str, zero_stage: int) -> int:
    """Return the bytes of the gradient of one parameter.

    Gradients are added up in fp32 under ZeRO. Stage 0 keeps them in the weights' format. Stage 1 keeps those of one
    backward pass in the weights' format beside the sum.
    """
    size = config_item_bytes(dtype)
    return size if zero_stage == 0 else _FP32 + (size if zero_stage == 1 and dtype != "fp32" else 0)


def _learner_rows(config: TrainingConfig, model_config: dict[str, Any]) -> list[MemoryRow]:
    """Return the learner's rows. ZeRO 1 splits optimizer states over the ranks, 2 also gradients, 3 also weights."""
    learner, dtype = config.learner, config.model.dtype
    size, stage = config_item_bytes(dtype), learner.zero_stage
    count, trained = count_parameters(model_config), _trained(config, model_config)
    shards = learner.num_ranks

    def shared(num_bytes: int, from_stage: int) -> tuple[int, str]:
        if stage < from_stage or shards == 1:
            return num_bytes, "whole"
        return num_bytes // shards, f"1/{shards} by ZeRO-{stage}"

    states = optimizer_item_bytes(dtype, stage)
    each = gradient_item_bytes(dtype, stage)
    weights, share = shared(count.total * size, 3)
    rows = [MemoryRow("learner", "weights", weights, f"{share}, {count.total:,} x {size} bytes")]
    if _steps_in_ram(config):
        on_the_way = min(count.largest, trained) * size
        rows.append(MemoryRow("learner", "gradient on its way to RAM", on_the_way, "the largest tensor", Moment.PASS))
    else:
        num_bytes, share = shared(trained * each, 2)
        rows.append(MemoryRow("learner", "gradients", num_bytes, f"{share}, {trained:,} x {each} bytes"))
        num_bytes, share = shared(trained * states, 1)
        rows.append(MemoryRow("learner", "optimizer states", num_bytes, f"{share}, {trained:,} x {states} bytes"))
    if config.keeps_reference:
        rows.append(MemoryRow("learner", "reference policy", count.total * size, "whole, in every rank"))
    rows += _pass_rows(config, model_config)
    rows += _step_rows(config, model_config)
    if config.bucket_bytes:
        gathered = min(count.total * size, _GATHERED_BYTES + count.largest * size) if stage == 3 else 0
        note = "one bucket" + (", and the weights gathered for it" if gathered else "")
        bucket = _bucket_bytes(config, model_config) + gathered
        rows.append(MemoryRow("learner", "weight sync", bucket, note, Moment.SYNC))
    if learner.gpus_per_rank:
        rows.append(_margin(rows))
    rows.append(_process("learner", bool(learner.gpus_per_rank)))
    return rows


def optimizer_ram_bytes(config: TrainingConfig, model_config: dict[str, Any]) -> int:
    """Return the RAM that one rank on a GPU takes for its optimizer; 0 unless `learner.optimizer_in_ram`.

    It holds the states, fp32 gradients, and new weights before they are copied.
    """
    if not _steps_in_ram(config):
        return 0
    numbers = _trained(config, model_config) // config.learner.num_ranks
    states = optimizer_item_bytes(config.model.dtype, config.learner.zero_stage)
    return numbers * (states + _FP32 + config_item_bytes(config.model.dtype))


def _steps_in_ram(config: TrainingConfig) -> bool:
    """Return True if the optimizer of ranks on GPUs is in RAM; on the CPU it is there in any case."""
    return config.learner.optimizer_in_ram and config.learner.gpus_per_rank > 0


def _margin(tensors: list[MemoryRow]) -> MemoryRow:
    note = f"{MARGIN_SHARE:.0%} of the peak: fragmentation, small tensors"
    return MemoryRow("learner", "margin", int(MARGIN_SHARE * peak_bytes(tensors)), note)


def _pass_rows(config: TrainingConfig, model_config: dict[str, Any]) -> list[MemoryRow]:
    """Return what a forward and backward pass takes: activations, and the buffers in which ranks add up gradients."""
    learner, size = config.learner, config_item_bytes(config.model.dtype)
    count, trained = count_parameters(model_config), _trained(config, model_config)
    stage, text = learner.zero_stage, text_dimensions(model_config)
    batch = micro_batch_bytes(config, model_config)
    head = size * text["vocab_size"] * text["hidden_size"]
    bucket = min(_BUCKET_NUMBERS, trained)
    reduced = max(bucket, min(count.largest, trained))
    format_size = gradient_item_bytes(config.model.dtype, stage) if stage == 1 else size
    buffers = {
        0: (reduced * size, "a copy of the gradients that are added up in one call"),
        1: ((bucket + reduced) * format_size, "DeepSpeed's bucket and its copy"),
        2: ((bucket + reduced) * size, "DeepSpeed's bucket and its copy"),
        3: (
            (bucket + reduced) * size + _FP32 * reduced // learner.num_ranks,
            "DeepSpeed's bucket, its copy, and a rank's part in fp32",
        ),
    }[stage]
    parts = [
        ("pixels and embeddings", batch.inputs, "nearly every token may be one of an image"),
        ("saved for the backward pass", batch.saved, batch.saved_note),
        ("working values", batch.working, batch.working_note),
        ("gradient of the head", head if is_tied(model_config) else 0, "waits for that of the embeddings"),
        ("gradient reduction", *buffers),
    ]
    if stage == 3:
        live = min(count.total, _LIVE_NUMBERS) + 2 * min(count.largest, count.total)
        parts.append(("gathered weights", live * size, "at most 1e9 numbers, and the largest tensor twice"))
    return [MemoryRow("learner", item, num_bytes, note, Moment.PASS) for item, num_bytes, note in parts if num_bytes]


def _step_rows(config: TrainingConfig, model_config: dict[str, Any]) -> list[MemoryRow]:
    """Return what an optimizer step takes beside weights, gradients and states."""
    learner, dtype = config.learner, config.model.dtype
    trained, stage = _trained(config, model_config), learner.zero_stage
    largest = min(count_parameters(model_config).largest, trained)
    mine = trained // (learner.num_ranks if stage else 1)
    parts = [("norm of the gradient", 8 * min(largest, mine), "the largest tensor in fp64")]
    if stage == 0 and dtype != "fp32":
        parts.append(("gradients in fp32", _FP32 * trained, "a copy of all"))
    if stage == 3:
        parts.append(("gradient of a sub-group", _FP32 * min(_SUB_GROUP_NUMBERS, mine), "a copy, in one piece"))
    if not learner.gpus_per_rank:  # on GPUs AdamW is one fused kernel
        note = "denominator and update of the largest tensor"
        parts.append(("AdamW", 2 * _FP32 * (mine if stage else largest), note))
    return [MemoryRow("learner", item, num_bytes, note, Moment.STEP) for item, num_bytes, note in parts]


def _engine_rows(config: TrainingConfig, model_config: dict[str, Any]) -> list[MemoryRow]:
    """Return the rows of one engine, on each of its GPUs."""
    rollout = config.engines
    assert rollout is not None
    size, split, gpus = config_item_bytes(config.model.dtype), rollout.tensor_parallel_size, rollout.gpus_per_actor
    weights, text = count_parameters(model_config).total * size, text_dimensions(model_config)
    rows = [MemoryRow("rollout", "weights", weights // split, f"split over {split} GPUs" if split > 1 else "")]
    if gpus:
        hidden, inner, vocabulary = text["hidden_size"], text["intermediate_size"], text["vocab_size"]
        tokens = max(rollout.max_num_batched_tokens or _ENGINE_BATCH_TOKENS, rollout.max_num_seqs)
        layer = size * tokens * (4 * hidden + 3 * inner // split)
        logits = 3 * _FP32 * rollout.max_num_seqs * vocabulary
        note = f"a pass of {tokens:,} tokens; logits of {rollout.max_num_seqs:,} sequences, three times"
        rows.append(MemoryRow("rollout", "activations", layer + logits, note))
    else:
        rows.append(MemoryRow("rollout", "KV cache", rollout.kv_cache_bytes, "rollout.kv_cache_bytes"))
    rows.append(MemoryRow("rollout", "weight sync", _bucket_bytes(config, model_config), "one bucket"))
    return [*rows, _process("rollout", bool(gpus))]


def _process(role: str, on_gpu: bool) -> MemoryRow:
    if on_gpu:
        return MemoryRow(role, "process", int(_GPU_BASE), "CUDA context, libraries, NCCL")
    return MemoryRow(role, "process", int(_CPU_BASE[role]), "Python and its libraries")


def _trained(config: TrainingConfig, model_config: dict[str, Any]) -> int:
    """Return the number of parameters that have a gradient."""
    count = count_parameters(model_config)
    return count.total - (count.vision if config.model.freeze_vision_tower else 0)


def _bucket_bytes(config: TrainingConfig, model_config: dict[str, Any]) -> int:
    count, size = count_parameters(model_config), config_item_bytes(config.model.dtype)
    return min(count.total * size, max(config.bucket_bytes, count.largest * size))
