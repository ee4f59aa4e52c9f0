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
"""Stands for an image where a batch has none, so that every rank runs the vision tower."""


@dataclass(frozen=True)
class ParameterCount:
    """The number of a model's parameters by part; tied embeddings count once."""

    vision: int
    merger: int
    """The projection from vision to text."""
    text: int
    largest: int
    """Parameters of the largest tensor."""

    @property
    def total(self) -> int:
        """Parameters of the whole model."""
        return self.vision + self.merger + self.text


class Family(ABC):
    """A family's facts and arithmetic.

    `model_config` is a Hugging Face config, `dimensions` the content of a config.json.
    """

    model_type: ClassVar[str]
    """`model_type` in config.json."""
    vision_tower: ClassVar[str]
    """Prefix of the names of the vision parameters."""
    merger: ClassVar[str]
    """Prefix of the names of the projection from vision to text."""
    embeddings: ClassVar[str]
    """Name of the token embeddings, which a tied head shares."""
    image_token: ClassVar[str]
    """The token that stands for an image in a prompt."""
    vision_tokens: ClassVar[tuple[str, ...]]
    """Control tokens that the policy must never sample: each would announce an image that isn't there."""
    pixels_per_token: ClassVar[int]
    """Pixels of an image that become one token."""
    published: ClassVar[Mapping[str, dict[str, Any]]]
    """Hub id to the dimensions in its config.json, so that a plan needs no download."""

    def tied_names(self, model_config: Any) -> list[str]:
        """Names of the parameters that share the tensor of the token embeddings."""
        return ["lm_head.weight"] if model_config.tie_word_embeddings else []

    @abstractmethod
    def input_size(self, model_config: Any, processor: Any, image: ImageRef) -> tuple[int, int]:
        """(width, height) in pixels of the image as the model sees it; DataError if it takes none of this shape."""

    @abstractmethod
    def num_image_tokens(self, model_config: Any, processor: Any, image: ImageRef) -> int:
        """Tokens that the image takes in a prompt, from its size alone."""

    @abstractmethod
    def dummy_prompt(self, model_config: Any, image_token_id: int) -> np.ndarray:
        """[T] int32: the shortest prompt with one image, `DUMMY_IMAGE`."""

    @abstractmethod
    def pixels(
        self, model_config: Any, processor: Any, images: Sequence[ImageRef]
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """(pixel_values [P, patch], image_grid_thw [images, 3]); `DUMMY_IMAGE` is black and of the least size."""

    @abstractmethod
    def num_features(self, model_config: Any, grid: torch.Tensor) -> int:
        """Image tokens that images of a grid [images, 3] take together."""

    @abstractmethod
    def positions(self, model: Any, prompt_ids: torch.Tensor, grid: torch.Tensor) -> torch.Tensor:
        """The positions [3, T] (time, height, width) of a prompt's tokens [T]; `grid` is [images, 3]."""

    @abstractmethod
    def completion_hidden_states(self, model: Any, batch: Batch) -> torch.Tensor:
        """[N, D]: of each completion token, the last hidden state of the token before it."""

    @abstractmethod
    def engine_arguments(self, model: ModelSection, max_images: int) -> dict[str, Any]:
        """The arguments of vLLM's engine that depend on the family; a prompt has at most `max_images`."""

    @abstractmethod
    def count_parameters(self, dimensions: dict[str, Any]) -> ParameterCount:
        """Parameters from the dimensions, in the hub's flat layout or with a text_config."""

    @abstractmethod
    def vision_dimensions(self, dimensions: dict[str, Any]) -> tuple[int, int, int]:
        """(layers, width, inner width of a layer) of the vision tower."""


def text_dimensions(dimensions: dict[str, Any]) -> dict[str, Any]:
    """The dimensions of the language model: of `text_config`, or of the config itself in the hub's flat layout."""
    return dict(dimensions.get("text_config") or dimensions)


def is_tied(dimensions: dict[str, Any]) -> bool:
    """True if the head shares the tensor of the token embeddings."""
    return bool(dimensions.get("tie_word_embeddings") or text_dimensions(dimensions).get("tie_word_embeddings"))
