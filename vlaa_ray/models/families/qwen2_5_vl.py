"""Qwen2.5-VL (arXiv 2502.13923), as transformers and vLLM implement it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from vlaa_ray.errors import DataError
from vlaa_ray.models.families.base import DUMMY_IMAGE, Family, ParameterCount, is_tied, text_dimensions
from vlaa_ray.records import ImageRef

if TYPE_CHECKING:
    import torch

    from vlaa_ray.config import ModelSection
    from vlaa_ray.models.batches import Batch

_VISION = {"depth": 32, "hidden_size": 1280, "intermediate_size": 3420, "num_heads": 16}


class Qwen25VL(Family):
    """A family with windowed attention in the vision tower, a merger of 2 x 2 patches, and Qwen2.5 with 3-D RoPE."""

    model_type = "qwen2_5_vl"
    vision_tower = "model.visual."
    merger = "model.visual.merger."
    embeddings = "model.language_model.embed_tokens.weight"
    image_token = "<|image_pad|>"
    vision_tokens = ("<|vision_start|>", "<|vision_end|>", "<|vision_pad|>", "<|image_pad|>", "<|video_pad|>")
    pixels_per_token = 28 * 28
    published: ClassVar[Mapping[str, dict[str, Any]]] = {
        "Qwen/Qwen2.5-VL-3B-Instruct": {
            "model_type": "qwen2_5_vl",
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
            "model_type": "qwen2_5_vl",
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

    def input_size(self, model_config: Any, processor: Any, image: ImageRef) -> tuple[int, int]:
        """See `Family`. Both sides are multiples of 28 pixels, within the processor's limits of pixels."""
        from transformers.models.qwen2_vl.image_processing_qwen2_vl import smart_resize

        size, factor = processor.image_processor.size, _factor(model_config)
        try:
            height, width = smart_resize(
                image.height_px, image.width_px, factor, size["shortest_edge"], size["longest_edge"]
            )
        except ValueError as error:
            raise DataError(f"the model takes no image of this shape: {error}", sha256=image.sha256) from error
        return width, height

    def num_image_tokens(self, model_config: Any, processor: Any, image: ImageRef) -> int:
        """See `Family`. There is one token for every 28 x 28 pixels."""
        width, height = self.input_size(model_config, processor, image)
        factor = _factor(model_config)
        return (height // factor) * (width // factor)

    def dummy_prompt(self, model_config: Any, image_token_id: int) -> np.ndarray:
        """See `Family`."""
        ids = [model_config.vision_start_token_id, image_token_id, model_config.vision_end_token_id]
        return np.asarray(ids, dtype=np.int32)

    def pixels(
        self, model_config: Any, processor: Any, images: Sequence[ImageRef]
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """See `Family`."""
        import torch

        from vlaa_ray.images.decode import load

        vision = model_config.vision_config
        merge, patch = vision.spatial_merge_size, 3 * vision.temporal_patch_size * vision.patch_size**2
        values, grids = [], []
        for image in images:
            if image is DUMMY_IMAGE:
                values.append(torch.zeros(merge**2, patch))
                grids.append(torch.tensor([[1, merge, merge]]))
                continue
            features = processor.image_processor([load(image)], return_tensors="pt")
            values.append(features["pixel_values"])
            grids.append(features["image_grid_thw"])
        return torch.cat(values), torch.cat(grids)

    def num_features(self, model_config: Any, grid: torch.Tensor) -> int:
        """See `Family`."""
        return int(grid.prod(-1).sum()) // int(model_config.vision_config.spatial_merge_size) ** 2

    def positions(self, model: Any, prompt_ids: torch.Tensor, grid: torch.Tensor) -> torch.Tensor:
        """See `Family`."""
        kinds = (prompt_ids == model.config.image_token_id).int()[None]
        result: torch.Tensor = model.model.get_rope_index(prompt_ids[None], kinds, grid if len(grid) else None)[0][:, 0]
        return result

    def completion_hidden_states(self, model: Any, batch: Batch) -> torch.Tensor:
        """See `Family`."""
        import torch

        base = model.model
        embeddings = base.get_input_embeddings()(batch.input_ids)
        features = torch.cat(base.get_image_features(batch.pixel_values, batch.image_grid_thw).pooler_output)
        is_image = (batch.input_ids == model.config.image_token_id)[..., None]
        embeddings = embeddings.masked_scatter(is_image, features.to(embeddings.dtype))
        no_masks = dict.fromkeys(model.config.text_config.layer_types)
        hidden = base.language_model(
            inputs_embeds=embeddings,
            attention_mask=no_masks,
            position_ids=batch.position_ids,
            use_cache=False,
            segments=batch.segments,
        ).last_hidden_state
        predicting: torch.Tensor = hidden[0].index_select(0, batch.logprob_index)
        return predicting

    def engine_arguments(self, model: ModelSection, max_images: int) -> dict[str, Any]:
        """See `Family`."""
        return {
            "limit_mm_per_prompt": {"image": max_images, "video": 0},
            "mm_processor_kwargs": {"size": {"shortest_edge": model.min_pixels, "longest_edge": model.max_pixels}},
        }

    def count_parameters(self, dimensions: dict[str, Any]) -> ParameterCount:
        """See `Family`."""
        text, vision = text_dimensions(dimensions), dimensions["vision_config"]
        hidden, inner = text["hidden_size"], text["intermediate_size"]
        head = hidden // text["num_attention_heads"]
        key_value = text["num_key_value_heads"] * head
        attention = (hidden + 1) * (hidden + 2 * key_value) + hidden * hidden  # q, k and v have biases, o has none
        layer = attention + 3 * hidden * inner + 2 * hidden
        embedding = text["vocab_size"] * hidden
        tables = 1 if is_tied(dimensions) else 2
        depth, width, _ = self.vision_dimensions(dimensions)
        merged = width * vision.get("spatial_merge_size", 2) ** 2
        patch = 3 * vision.get("temporal_patch_size", 2) * vision.get("patch_size", 14) ** 2
        norm = self.vision_norm_parameters(width)
        block = 4 * width * (width + 1) + self.vision_mlp_parameters(dimensions) + 2 * norm
        return ParameterCount(
            vision=patch * width + depth * block,
            merger=norm + merged * (merged + 1) + (merged + 1) * self.merger_width(dimensions),
            text=text["num_hidden_layers"] * layer + hidden + tables * embedding,
            largest=max(embedding, hidden * inner, merged * merged),
        )

    def vision_dimensions(self, dimensions: dict[str, Any]) -> tuple[int, int, int]:
        """See `Family`."""
        vision = dimensions["vision_config"]
        return vision["depth"], vision["hidden_size"], vision["intermediate_size"]

    def vision_mlp_parameters(self, dimensions: dict[str, Any]) -> int:
        """Return the number of parameters of a vision layer's MLP: gate, up and down, each with a bias."""
        _, width, inner = self.vision_dimensions(dimensions)
        return 3 * width * inner + 2 * inner + width

    def vision_norm_parameters(self, width: int) -> int:
        """Return the number of parameters of one norm of the vision tower: RMSNorm has only a scale."""
        return width

    def merger_width(self, dimensions: dict[str, Any]) -> int:
        """Return the width of the merger's output, which is that of the language model."""
        return int(dimensions["vision_config"]["out_hidden_size"])


def _factor(model_config: Any) -> int:
    """Return the side, in pixels, of the square that becomes one image token."""
    vision = model_config.vision_config
    return int(vision.patch_size) * int(vision.spatial_merge_size)
