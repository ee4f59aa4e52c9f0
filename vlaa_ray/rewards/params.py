"""The parameters with which a prompt's answers are judged."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any

from vlaa_ray.config import VerifierSection
from vlaa_ray.errors import DataError
from vlaa_ray.records import GROUNDING_TYPES, ImageRef, Prompt

InputSize = Callable[[ImageRef], tuple[int, int]]
"""A function that gives (width, height) in pixels of an image as the model sees it.

It raises DataError if the model takes no image of this shape.
"""
_ALONE = VerifierSection()


class VerifierParams:
    """The parameters of a run's verifiers: the config's, and those of the record, which have priority.

    Sizes that frames in pixels need are filled in: `image_size` from the image that the gold belongs to, and
    `input_size` by `input_size`, where it is given.
    """

    def __init__(self, verifiers: Mapping[str, VerifierSection], input_size: InputSize | None = None) -> None:
        self._verifiers, self._input_size = verifiers, input_size

    def of(self, prompt: Prompt) -> dict[str, Any]:
        """Return the parameters of the prompt's own verifier."""
        params = self.of_type(prompt.verifier_type) | prompt.verifier_params
        if prompt.verifier_type in GROUNDING_TYPES and (image := prompt.gold_image):
            frames = (params.get("frame"), params.get("gold_frame"))
            if "original_px" in frames:
                params.setdefault("image_size", [image.width_px, image.height_px])
            if "resized_px" in frames and "input_size" not in params and self._input_size:
                with suppress(DataError):  # the verifier says that the size is missing
                    params["input_size"] = list(self._input_size(image))
        return params

    def of_type(self, verifier_type: str) -> dict[str, Any]:
        """Return what the config says for every record of a verifier type."""
        return dict(self._verifiers.get(verifier_type, _ALONE).params)
