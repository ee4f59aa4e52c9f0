"""The interface of a family of vision-language models: everything that differs between families.

Legend: B rows, S row length, T prompt tokens, N completion tokens, P image patches, D hidden.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from vlaa_ray.records import ImageRef

if TYPE_CHECKING:
    import torch

    from vlaa_ray.config import ModelSection
    from vlaa_ray.models.batches import Batch


DUMMY_IMAGE = ImageRef(sha256="", width_px=0, height_px=0)
"""The image of a batch without images: with it every rank runs the vision tower."""


@dataclass(frozen=True)
class ParameterCount:
    """The number of a model's parameters by part; tied embeddings count once."""

    vision: int
    merger: int
    """The projection from vision to text."""
    text: int
    largest: int
    """The number of parameters of the largest tensor."""

    @property
    def total(self) -> int:
        """The number of parameters of the whole model."""
        return self.vision + self.merger + self.text


class Family(ABC):
    """The facts and the arithmetic of a family.

    `model_config` is a Hugging Face config, `dimensions` the content of a config.json.
    """

    model_type: ClassVar[str]
    """The `model_type` in config.json."""
    vision_tower: ClassVar[str]
    """The prefix of the names of the vision parameters."""
    merger: ClassVar[str]
    """The prefix of the names of the parameters of the projection from vision to text."""
    embeddings: ClassVar[str]
    """The name of the token embeddings, which a tied head shares."""
    image_token: ClassVar[str]
    """The token that stands for an image in a prompt."""
    vision_tokens: ClassVar[tuple[str, ...]]
    """The control tokens that the policy must never sample: each would announce an image that does not exist."""
    pixels_per_token: ClassVar[int]
    """The number of pixels of an image that become one token."""
    published: ClassVar[Mapping[str, dict[str, Any]]]
    """The dimensions in the config.json of published models by hub id, so that a plan needs no download."""

    def tied_names(self, model_config: Any) -> list[str]:
        """Return the names of the parameters that share the tensor of the token embeddings."""
        return ["lm_head.weight"] if model_config.tie_word_embeddings else []

    @abstractmethod
    def input_size(self, model_config: Any, processor: Any, image: ImageRef) -> tuple[int, int]:
        """Return (width, height) in pixels of the image as the model sees it.

        Raises:
            DataError: the model takes no image of this shape.

        """

    @abstractmethod
    def num_image_tokens(self, model_config: Any, processor: Any, image: ImageRef) -> int:
        """Return the number of tokens that the image takes in a prompt, from its size alone."""

    @abstractmethod
    def dummy_prompt(self, model_config: Any, image_token_id: int) -> np.ndarray:
        """Return the ids [T] int32 of the shortest prompt with one image, `DUMMY_IMAGE`."""

    @abstractmethod
    def pixels(
        self, model_config: Any, processor: Any, images: Sequence[ImageRef]
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Return (pixel_values [P, patch], image_grid_thw [images, 3]) of the images.

        `DUMMY_IMAGE` is zeros of the smallest size.
        """

    @abstractmethod
    def num_features(self, model_config: Any, grid: torch.Tensor) -> int:
        """Return the number of image tokens of all images of a grid [images, 3] together."""

    @abstractmethod
    def positions(self, model: Any, prompt_ids: torch.Tensor, grid: torch.Tensor) -> torch.Tensor:
        """Return the positions [3, T] (time, height, width) of a prompt's tokens [T]; `grid` is [images, 3]."""

    @abstractmethod
    def completion_hidden_states(self, model: Any, batch: Batch) -> torch.Tensor:
        """Return, for each completion token, the last hidden state of the token before it: [N, D]."""

    @abstractmethod
    def engine_arguments(self, model: ModelSection, max_images: int) -> dict[str, Any]:
        """Return the arguments of vLLM's engine that depend on the family; a prompt has at most `max_images` images."""

    @abstractmethod
    def count_parameters(self, dimensions: dict[str, Any]) -> ParameterCount:
        """Return the number of parameters by part; `dimensions` has the hub's flat layout or a text_config."""

    @abstractmethod
    def vision_dimensions(self, dimensions: dict[str, Any]) -> tuple[int, int, int]:
        """Return (layers, width, inner width of a layer) of the vision tower."""


def text_dimensions(dimensions: dict[str, Any]) -> dict[str, Any]:
    """Return the dimensions of the language model: `text_config`, or the config itself in the hub's flat layout."""
    return dict(dimensions.get("text_config") or dimensions)


def is_tied(dimensions: dict[str, Any]) -> bool:
    """Return True if the head shares the tensor of the token embeddings."""
    return bool(dimensions.get("tie_word_embeddings") or text_dimensions(dimensions).get("tie_word_embeddings"))
