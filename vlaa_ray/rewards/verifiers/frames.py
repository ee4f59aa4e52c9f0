"""Frames of coordinates in an image: their sizes, and the way from one to another by shares of the image.

    in_unit((500, 250), frame_size("rel1000", None, None)) == (0.5, 0.25)

A frame is `unit` (0–1), `rel1000` (0–1000), `resized_px` (pixels of the image that the model saw, of the size
`input_size`) or `original_px` (pixels of the file, of the size `image_size`). Sizes are (width, height); coordinates
are x, y, x, y, …
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Literal, get_args

Frame = Literal["unit", "rel1000", "resized_px", "original_px"]
FRAMES: tuple[Frame, ...] = get_args(Frame)
Size = Sequence[float]
ANY_SIZE: Size = (math.inf, math.inf)
"""The size where no frame is named: nothing is known to lie outside."""
MAX_COORDINATE = 1e9
_FIXED_SIZES: dict[str, Size] = {"unit": (1, 1), "rel1000": (1000, 1000)}


def known_frame(value: Any) -> Frame | None:
    """Return the value if it is the name of a frame, else None."""
    return next((frame for frame in FRAMES if frame == value), None)


def frame_sizes(
    frame: Frame | None, gold_frame: Frame | None, image_size: Size | None, input_size: Size | None
) -> tuple[Size, Size] | str:
    """Return (width, height) of the answer's frame and of the gold's, or a text that says what is missing.

    `gold_frame` defaults to `frame`.
    """
    size = frame_size(frame, image_size, input_size)
    gold_size = frame_size(gold_frame or frame, image_size, input_size)
    if isinstance(size, str) or isinstance(gold_size, str):
        return size if isinstance(size, str) else str(gold_size)
    return size, gold_size


def frame_size(frame: Frame | None, image_size: Size | None, input_size: Size | None) -> Size | str:
    """Return (width, height) of the frame, or a text that says that it is in pixels and has no usable size."""
    if frame is None:
        return ANY_SIZE
    if frame in _FIXED_SIZES:
        return _FIXED_SIZES[frame]
    size = {"resized_px": input_size, "original_px": image_size}.get(frame)
    if isinstance(size, list | tuple) and len(size) == 2 and all(map(_is_side, size)):
        return size
    return f"no size (width, height) for the frame {frame!r}"


def _is_side(value: Any) -> bool:
    return isinstance(value, int | float) and 0 < value < MAX_COORDINATE


def differ(frame: Frame | None, gold_frame: Frame | None) -> bool:
    """Return whether the answer's coordinates and the gold's can only be compared as shares of the image."""
    return frame is not None and gold_frame is not None and frame != gold_frame


def in_unit(coordinates: Sequence[float], size: Size) -> tuple[float, ...]:
    """Return the coordinates of a frame of this size as shares of its width and height."""
    return tuple(value / size[index % 2] for index, value in enumerate(coordinates))


def from_unit(shares: Sequence[float], size: Size) -> tuple[float, ...]:
    """Return shares of the width and height as coordinates of a frame of this size."""
    return tuple(share * size[index % 2] for index, share in enumerate(shares))
