"""The memory of one forward and backward pass of the learner, from the model's dimensions alone.

    micro_batch_bytes(config, dimensions).saved      # held from the forward to the backward pass

The formulas follow transformers' layers and `models.attention`, `models.scoring`, tensor by tensor, and are upper
bounds: `tests/unit/planning/test_micro_batch.py` compares them with what torch's MemTracker counts. Images are counted
for the worst mix: where answers are short, prompts fill a micro-batch, and nearly every token is one of an image.

Legend: T tokens of a micro-batch, P patches of its images, D and I width and inner width of a language layer, V
vocabulary, C tokens that are scored at once, s bytes of a number.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from vlaa_ray.config import TrainingConfig
from vlaa_ray.models.dimensions import dimensions_family
from vlaa_ray.models.dtypes import config_item_bytes
from vlaa_ray.models.families import text_dimensions

_SCORED_TOKENS = 2048  # models.scoring: the largest number of tokens whose logits exist at once
_PATCHES_PER_TOKEN = 4  # the vision tower's merger makes one token of 2 x 2 patches
_FP32 = 4


@dataclass(frozen=True)
class MicroBatchBytes:
    """The bytes of the largest micro-batch, by what holds them and when."""

    inputs: int
    """Pixels and token embeddings."""
    saved: int
    """Values of all layers that the backward pass reads."""
    saved_note: str
    """The sum behind `saved`, in words."""
    scoring: int
    """Logits of a part of the tokens, the gradient of the head's weight, and the merger's values."""
    language_layer: int
    """Inner values of one language layer and their gradients, in its backward pass; and the merger's values."""
    vision_layer: int
    """Inner values of one vision layer and their gradients, in its backward pass."""

    @property
    def working(self) -> int:
        """The most that works at one time: the head, a language layer and a vision layer come one after another."""
        return max(self.scoring, self.language_layer, self.vision_layer)

    @property
    def working_note(self) -> str:
        """The three that take turns, in GiB."""
        gib = 1 << 30
        return (
            f"the largest of scoring {self.scoring / gib:.2f}, a language layer {self.language_layer / gib:.2f}, "
            f"a vision layer {self.vision_layer / gib:.2f}"
        )


def micro_batch_bytes(config: TrainingConfig, model_config: dict[str, Any]) -> MicroBatchBytes:
    """Return an upper bound for the bytes of a micro-batch of `learner.micro_batch_tokens` tokens."""
    text, size = text_dimensions(model_config), config_item_bytes(config.model.dtype)
    depth, width, inner = dimensions_family(model_config).vision_dimensions(model_config)
    learner, layers, hidden = config.learner, text["num_hidden_layers"], text["hidden_size"]
    tokens = learner.micro_batch_tokens
    patches = _PATCHES_PER_TOKEN * tokens
    language = _language_bytes(text, size, copies=1 + config.completions_per_row, on_cpu=not learner.gpus_per_rank)
    vision = _vision_bytes(width, inner, size)
    kept = learner.gradient_checkpointing
    of_token, of_patch = (hidden * size, width * size) if kept else (language, vision)
    saved = tokens * layers * of_token
    note = f"{layers} layers x {tokens:,} tokens x {of_token:,} bytes"
    if not config.model.freeze_vision_tower:
        saved += patches * depth * of_patch
        note += f" + {depth} x {patches:,} patches x {of_patch:,} bytes"
    mask = 0 if learner.gpus_per_rank else _FP32 * tokens * _longest_segment(config)
    # between the towers: the merger's norm, its two layers and what it gives; and the norm before the head
    merger = patches * width * (_FP32 + 6 * size) + tokens * hidden * (_FP32 + 4 * size)
    wide = text["intermediate_size"]
    return MicroBatchBytes(
        inputs=tokens * hidden * 2 * size + patches * _pixel_bytes(model_config, size) + mask,
        saved=saved,
        saved_note=note,
        scoring=_scoring_bytes(min(tokens, _SCORED_TOKENS), text["vocab_size"], hidden, size) + merger,
        language_layer=tokens * (language * kept + _gradient_bytes(hidden, wide, size)) + merger,
        vision_layer=patches * (vision * kept + _gradient_bytes(width, inner, size)),
    )


def _language_bytes(text: dict[str, Any], size: int, *, copies: int, on_cpu: bool) -> int:
    """Return the bytes that one language layer saves for a token; keys and values are copied for every completion."""
    hidden, inner = text["hidden_size"], text["intermediate_size"]
    keys = text["num_key_value_heads"] * hidden // text["num_attention_heads"]
    norms = 2 * hidden * (_FP32 + 2 * size)  # the input in fp32, the normalised input, the output
    attention = size * (2 * hidden + 2 * keys * copies)  # queries, output, copied keys and values
    padded = size * 3 * hidden if on_cpu else 0  # queries and results of padded calls
    return int(norms + attention + padded + 4 * inner * size)  # gate, its activation, up, and their product


def _vision_bytes(width: int, inner: int, size: int) -> int:
    """Return the bytes that one vision layer saves for a patch."""
    norms = 2 * width * (_FP32 + 2 * size)
    attention = 6 * width * size  # queries, keys and values as one, turned queries and keys, output
    return norms + attention + 4 * inner * size


def _gradient_bytes(width: int, inner: int, size: int) -> int:
    """Return the bytes of a layer's gradients that exist at one time, for a token or a patch."""
    return 2 * inner * size + width * (2 * _FP32 + 4 * size)


def _pixel_bytes(model_config: dict[str, Any], size: int) -> int:
    """Return the bytes of a patch's pixels: in fp32, and again in the model's format if that is another."""
    vision = model_config["vision_config"]
    pixels = 3 * vision.get("temporal_patch_size", 2) * vision.get("patch_size", 14) ** 2
    return int(pixels * (_FP32 + (0 if size == _FP32 else size)))


def _scoring_bytes(scored: int, vocabulary: int, hidden: int, size: int) -> int:
    """Return the peak of `models.scoring`: a part's values are freed only when the next part's are computed."""
    logits, weight = scored * vocabulary, vocabulary * hidden
    forward = (3 * _FP32 + size) * logits  # logits and powers of the last part, new logits in both formats
    gradient = 2 * (_FP32 + size) * logits + _FP32 * weight  # the same in the backward pass, and the sum of gradients
    product = (_FP32 + size) * logits + (2 * _FP32 + size) * weight  # a part's gradient in both formats, and the sum
    return max(forward, gradient, product)


def _longest_segment(config: TrainingConfig) -> int:
    return config.limits.max_prompt_tokens + config.limits.max_completion_tokens
