"""Qwen2-VL (arXiv 2409.12191). Only its vision tower differs from Qwen2.5-VL's: full attention and other sizes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from vlaa_ray.models.families.qwen2_5_vl import Qwen25VL

_VISION = {"depth": 32, "embed_dim": 1280, "mlp_ratio": 4, "num_heads": 16}


class Qwen2VL(Qwen25VL):
    """A family with full attention, LayerNorm and a plain MLP in the vision tower.

    The `hidden_size` of its vision_config is the width of the tower's output.
    """

    model_type = "qwen2_vl"
    published: ClassVar[Mapping[str, dict[str, Any]]] = {
        "Qwen/Qwen2-VL-2B-Instruct": {
            "model_type": "qwen2_vl",
            "hidden_size": 1536,
            "intermediate_size": 8960,
            "num_hidden_layers": 28,
            "num_attention_heads": 12,
            "num_key_value_heads": 2,
            "vocab_size": 151936,
            "tie_word_embeddings": True,
            "vision_config": {**_VISION, "hidden_size": 1536},
        },
        "Qwen/Qwen2-VL-7B-Instruct": {
            "model_type": "qwen2_vl",
            "hidden_size": 3584,
            "intermediate_size": 18944,
            "num_hidden_layers": 28,
            "num_attention_heads": 28,
            "num_key_value_heads": 4,
            "vocab_size": 152064,
            "tie_word_embeddings": False,
            "vision_config": {**_VISION, "hidden_size": 3584},
        },
    }

    def vision_dimensions(self, dimensions: dict[str, Any]) -> tuple[int, int, int]:
        """See `Family`."""
        vision = dimensions["vision_config"]
        return vision["depth"], vision["embed_dim"], int(vision["embed_dim"] * vision.get("mlp_ratio", 4))

    def vision_mlp_parameters(self, dimensions: dict[str, Any]) -> int:
        """Return the number of parameters of a vision layer's MLP: two layers with biases."""
        _, width, inner = self.vision_dimensions(dimensions)
        return 2 * width * inner + inner + width

    def vision_norm_parameters(self, width: int) -> int:
        """Return the number of parameters of one norm of the vision tower: LayerNorm has a scale and a shift."""
        return 2 * width

    def merger_width(self, dimensions: dict[str, Any]) -> int:
        """See `Qwen25VL`."""
        return int(dimensions["vision_config"]["hidden_size"])
