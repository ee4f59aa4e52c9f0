"""Where the roles of a run go and what they need there, without asking a cluster.

    plan(config).bundles["learner"] -> [{"CPU": 1, "GPU": 1}, ...]         # one bundle an actor
    memory_estimate(config, model_dimensions("Qwen/Qwen2.5-VL-3B-Instruct"))  # bytes of every process, item by item

Estimates are arithmetic on the model's dimensions: weights, gradients and optimizer states are exact,
activations are an upper bound for the largest micro-batch, process bases were measured.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vlaa_ray.config import RewardModelConfig, RunConfig, TrainingConfig
from vlaa_ray.errors import ModelError
from vlaa_ray.models.paths import local_path

DRIVER_CPUS = 0.0
"""The driver mostly waits: it takes no bundle, and runs in the gaps of the roles."""

GIB = 1 << 30
_BYTES = {"fp32": 4, "bf16": 2}
_SCORE_TOKENS = 4096  # models.logprobs scores so many tokens at a time
_SCORE_COPIES = 3  # logits, their log-softmax and its gradient, in fp32
_CPU_BASE = {"learner": 0.7 * GIB, "rollout": 1.6 * GIB, "reward": 0.4 * GIB}  # RSS after the imports; vLLM has a child
_GPU_BASE = 1.5 * GIB  # CUDA context, NCCL buffers, fragmentation

_VISION = {"depth": 32, "hidden_size": 1280, "intermediate_size": 3420, "num_heads": 16}
KNOWN_MODELS: dict[str, dict[str, Any]] = {
    "Qwen/Qwen2.5-VL-3B-Instruct": {
        "hidden_size": 2048,
        "intermediate_size": 11008,
        "num_hidden_layers": 36,
        "num_attention_heads": 16,
        "num_key_value_heads": 2,
        "vocab_size": 151936,
        "tie_word_embeddings": True,
        "vision_config": {**_VISION, "out_hidden_size": 2048},
    },
    "Qwen/Qwen2.5-VL-7B-Instruct": {
        "hidden_size": 3584,
        "intermediate_size": 18944,
        "num_hidden_layers": 28,
        "num_attention_heads": 28,
        "num_key_value_heads": 4,
        "vocab_size": 152064,
        "tie_word_embeddings": False,
        "vision_config": {**_VISION, "out_hidden_size": 3584},
    },
}
"""What the config.json of these models says, so that a plan needs no download."""


@dataclass(frozen=True)
class Placement:
    """role -> one bundle of Ray resources an actor; a bundle never spans nodes."""

    bundles: dict[str, list[dict[str, float]]]
    driver_cpus: float = DRIVER_CPUS

    @property
    def total_cpus(self) -> float:
        """CPUs of all bundles and the driver."""
        return self.driver_cpus + self._total("CPU")

    @property
    def total_gpus(self) -> int:
        return math.ceil(round(self._total("GPU"), 6))  # shares of one add up with an error

    def _total(self, resource: str) -> float:
        return sum(bundle.get(resource, 0.0) for bundles in self.bundles.values() for bundle in bundles)


@dataclass(frozen=True)
class MemoryRow:
    """`num_bytes` of `item` in every process of `role`; on its GPU, or in RAM where the role has none."""

    role: str
    item: str
    num_bytes: int
    note: str = ""


@dataclass(frozen=True)
class ParameterCount:
    """Parameters of a Qwen2.5-VL; tied embeddings count once, `merger` is the projection from vision to text."""

    vision: int
    merger: int
    text: int
    largest: int

    @property
    def total(self) -> int:
        return self.vision + self.merger + self.text


def plan(config: TrainingConfig) -> Placement:
    """The bundles of every role of the run."""
    learner = config.learner
    bundles = {"learner": [_bundle(learner.cpus_per_rank, learner.gpus_per_rank)] * learner.num_ranks}
    if isinstance(config, RunConfig):
        rollout, rewards = config.rollout, config.rewards
        bundles["rollout"] = [_bundle(rollout.cpus_per_actor, rollout.gpus_per_actor)] * rollout.num_actors
        bundles["reward"] = [_bundle(rewards.cpus_per_actor, rewards.gpus_per_actor)] * rewards.num_actors
    return Placement(bundles)


def model_dimensions(path: str) -> dict[str, Any]:
    """The config.json of a checkpoint folder or a built-in model, or of a hub id in KNOWN_MODELS; else ModelError."""
    file = Path(local_path(path)) / "config.json"
    if file.is_file():
        try:
            return dict(json.loads(file.read_text(encoding="utf-8")))
        except ValueError as error:
            raise ModelError(f"not JSON: {error}", file=str(file)) from error
    if path in KNOWN_MODELS:
        return KNOWN_MODELS[path]
    fix = "download it and give its folder as model.path"
    raise ModelError("the model's dimensions are not known", model=path, known=sorted(KNOWN_MODELS), fix=fix)


def count_parameters(model_config: dict[str, Any]) -> ParameterCount:
    """Parameters from the dimensions in a Qwen2.5-VL config.json, in the hub's flat layout or with a text_config."""
    text, vision = _text(model_config), model_config["vision_config"]
    hidden, inner = text["hidden_size"], text["intermediate_size"]
    head = hidden // text["num_attention_heads"]
    key_value = text["num_key_value_heads"] * head
    attention = (hidden + 1) * (hidden + 2 * key_value) + hidden * hidden  # q, k and v have biases, o has none
    layer = attention + 3 * hidden * inner + 2 * hidden
    embedding = text["vocab_size"] * hidden
    tables = 1 if _tied(model_config) else 2
    width, depth = vision["hidden_size"], vision["depth"]
    merged = width * vision.get("spatial_merge_size", 2) ** 2
    patch = 3 * vision.get("temporal_patch_size", 2) * vision.get("patch_size", 14) ** 2
    block = 4 * width * (width + 1) + 3 * width * vision["intermediate_size"] + 2 * vision["intermediate_size"] + width
    return ParameterCount(
        vision=patch * width + depth * (block + 2 * width),
        merger=width + merged * (merged + 1) + (merged + 1) * vision["out_hidden_size"],
        text=text["num_hidden_layers"] * layer + hidden + tables * embedding,
        largest=max(embedding, hidden * inner, merged * merged),
    )


def memory_estimate(config: TrainingConfig, model_config: dict[str, Any]) -> list[MemoryRow]:
    """Bytes of every item in one process of each role; sum the rows of a role for its peak.

    GPU engines take `rollout.gpu_memory_share` of their GPU whatever the model: `kv_bytes_per_token` tells what
    that holds.
    """
    rows = _learner_rows(config, model_config)
    if not isinstance(config, RunConfig):
        return rows
    weights = count_parameters(model_config).total * _BYTES[config.model.dtype]
    rollout, gpus = config.rollout, config.rollout.gpus_per_actor
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
    """Bytes of the keys and values of one token in all layers."""
    text = _text(model_config)
    head = text["hidden_size"] // text["num_attention_heads"]
    return int(2 * text["num_hidden_layers"] * text["num_key_value_heads"] * head * _BYTES[dtype])


def _learner_rows(config: TrainingConfig, model_config: dict[str, Any]) -> list[MemoryRow]:
    """ZeRO 1 shares out the optimizer states over the ranks, 2 the gradients too, 3 also the weights."""
    learner, size = config.learner, _BYTES[config.model.dtype]
    count, stage = count_parameters(model_config), learner.zero_stage
    trained = count.total - (count.vision if config.model.freeze_vision_tower else 0)
    states = 8 + (0 if size == 4 else 4)  # Adam's two moments, and fp32 masters under bf16
    shards = learner.num_ranks

    def shared(num_bytes: int, from_stage: int) -> tuple[int, str]:
        if stage < from_stage or shards == 1:
            return num_bytes, "whole"
        return num_bytes // shards, f"1/{shards} by ZeRO-{stage}"

    rows = [
        MemoryRow("learner", "weights", *shared(count.total * size, 3)),
        MemoryRow("learner", "gradients", *shared(trained * size, 2)),
        MemoryRow("learner", "optimizer states", *shared(trained * states, 1)),
        MemoryRow("learner", "activations", _activation_bytes(config, model_config), "upper bound, one micro-batch"),
        MemoryRow("learner", "process", int(_GPU_BASE if learner.gpus_per_rank else _CPU_BASE["learner"])),
    ]
    if isinstance(config, RunConfig):
        rows.append(MemoryRow("learner", "weight sync", _bucket_bytes(config, model_config), "one bucket"))
        if config.grpo.kl.coefficient > 0:
            rows.append(MemoryRow("learner", "reference policy", count.total * size, "whole, in every rank"))
    return rows


def _activation_bytes(config: TrainingConfig, model_config: dict[str, Any]) -> int:
    """What backward needs of the largest micro-batch: tokens, image patches, the mask and one chunk of logits."""
    text, vision = _text(model_config), model_config["vision_config"]
    size, tokens = _BYTES[config.model.dtype], config.learner.micro_batch_tokens
    limits = config.rollout if isinstance(config, RunConfig) else config.limits
    side_by_side = 2 if isinstance(config, RewardModelConfig) else 1
    samples = config.rollout.group_size if isinstance(config, RunConfig) else side_by_side
    row = min(tokens, limits.max_prompt_tokens + samples * limits.max_completion_tokens)
    image = min(config.model.max_pixels // 784, limits.max_prompt_tokens)
    patches = 4 * image * max(1, tokens // row)
    head = text["hidden_size"] // text["num_attention_heads"]
    text_width = 6 * text["hidden_size"] + 2 * text["num_key_value_heads"] * head + 4 * text["intermediate_size"]
    vision_width = 8 * vision["hidden_size"] + 4 * vision["intermediate_size"]
    kept = config.learner.gradient_checkpointing
    language = tokens * _per_position(text["num_hidden_layers"], text["hidden_size"], text_width, kept)
    seeing = patches * _per_position(vision["depth"], vision["hidden_size"], vision_width, kept)
    if config.model.freeze_vision_tower:
        seeing = 0
    mask = tokens * row  # every position of a row against every other
    logits = min(_SCORE_TOKENS, tokens) * text["vocab_size"]
    return int(size * (language + seeing + mask) + 4 * _SCORE_COPIES * logits)


def _per_position(num_layers: int, hidden: int, layer_width: int, checkpointing: bool) -> int:
    """Numbers kept a position: all layers' inner values, or their inputs and one layer's inner values."""
    return num_layers * hidden + layer_width if checkpointing else num_layers * layer_width


def _bucket_bytes(config: RunConfig, model_config: dict[str, Any]) -> int:
    count, size = count_parameters(model_config), _BYTES[config.model.dtype]
    return min(count.total * size, max(config.weight_sync.bucket_bytes, count.largest * size))


def _bundle(cpus: float, gpus: float) -> dict[str, float]:
    return {"CPU": cpus, "GPU": gpus} if gpus else {"CPU": cpus}


def _text(model_config: dict[str, Any]) -> dict[str, Any]:
    return dict(model_config.get("text_config") or model_config)


def _tied(model_config: dict[str, Any]) -> bool:
    return bool(model_config.get("tie_word_embeddings") or _text(model_config).get("tie_word_embeddings"))
