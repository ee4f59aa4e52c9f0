"""The sizes of all measurements: those of the 3B model for a GPU, and small ones for a CPU."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from vlaa_ray.models.dimensions import KNOWN_MODELS

GIB = 1 << 30


@dataclass(frozen=True, kw_only=True)
class Groups:
    """Equal groups: prompts with one image, whose tokens are part of the prompt, and their completions."""

    count: int
    prompt_tokens: int
    completion_tokens: int
    group_size: int
    grid: tuple[int, int]
    """The patches (height, width) of the image; four patches are one token."""

    @property
    def tokens(self) -> int:
        """The input tokens of one group; the last token of a completion is only a target."""
        return self.prompt_tokens + self.group_size * (self.completion_tokens - 1)


@dataclass(frozen=True, kw_only=True)
class Sizes:
    """The sizes of one run of all measurements."""

    model: dict[str, Any]
    """The dimensions of the model, as in a config.json of the hub."""
    mrope_section: tuple[int, int, int]
    gemm: int
    copy_bytes: int
    sync_bytes: int
    masks: tuple[tuple[int, int, int, int], ...]
    """Padded batches: (rows, prompt tokens, completions, tokens of each completion)."""
    scored_tokens: int
    groups: Groups
    half: Groups
    """About half of the groups, for a pass without gradient checkpointing."""
    images: Groups
    """Groups whose tokens are nearly all of images."""
    picture_px: tuple[int, int]
    """The width and height of the pictures that are decoded and collated."""
    num_pictures: int
    num_repeats: int
    compile_backend: str


FULL = Sizes(
    model=KNOWN_MODELS["Qwen/Qwen2.5-VL-3B-Instruct"],
    mrope_section=(16, 24, 24),
    gemm=8192,
    copy_bytes=2 * GIB,
    sync_bytes=GIB,
    masks=((9, 800, 4, 249), (4, 1096, 4, 750), (1, 1000, 4, 1998), (1, 1000, 7, 1999)),
    scored_tokens=4096,
    groups=Groups(count=9, prompt_tokens=800, completion_tokens=250, group_size=4, grid=(42, 58)),
    half=Groups(count=4, prompt_tokens=800, completion_tokens=250, group_size=4, grid=(42, 58)),
    images=Groups(count=10, prompt_tokens=1300, completion_tokens=85, group_size=4, grid=(64, 80)),
    picture_px=(812, 588),
    num_pictures=64,
    num_repeats=3,
    compile_backend="inductor",
)
SMALL = Sizes(
    model={
        "model_type": "qwen2_5_vl",
        "hidden_size": 64,
        "intermediate_size": 128,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "vocab_size": 512,
        "tie_word_embeddings": True,
        "vision_config": {
            "depth": 2,
            "hidden_size": 64,
            "intermediate_size": 128,
            "num_heads": 4,
            "out_hidden_size": 64,
        },
    },
    mrope_section=(2, 3, 3),
    gemm=128,
    copy_bytes=1 << 20,
    sync_bytes=1 << 20,
    masks=((3, 20, 2, 9), (1, 40, 3, 11), (2, 16, 4, 5), (1, 8, 7, 8)),
    scored_tokens=64,
    groups=Groups(count=3, prompt_tokens=24, completion_tokens=6, group_size=4, grid=(8, 8)),
    half=Groups(count=2, prompt_tokens=24, completion_tokens=6, group_size=4, grid=(8, 8)),
    images=Groups(count=3, prompt_tokens=40, completion_tokens=3, group_size=4, grid=(12, 12)),
    picture_px=(56, 56),
    num_pictures=8,
    num_repeats=1,
    compile_backend="eager",
)
SIZES = {"full": FULL, "small": SMALL}
