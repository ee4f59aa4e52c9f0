"""Small pictures for pages, with boxes and points to draw on them.

A picture is decoded and encoded anew, so nothing but pixels gets into a page.
"""

from __future__ import annotations

import base64
import io
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from vlaa_ray.errors import DataError
from vlaa_ray.images.decode import load
from vlaa_ray.records import ImageRef

if TYPE_CHECKING:
    from PIL.Image import Image

_SHOWN_PX = 448
_SMALL_PX = 200
_LARGE_PNG_BYTES = 100_000


class BoxOnPicture(NamedTuple):
    """A box in the unit frame (0 to 1 of the picture's width and height), and whose it is: `gold` or `predicted`."""

    owner: str
    x: float
    y: float
    width: float
    height: float


class PointOnPicture(NamedTuple):
    """A point in the unit frame, and whose it is."""

    owner: str
    x: float
    y: float


@dataclass(frozen=True)
class Picture:
    """A picture as a data URI with what to draw on it; without one, `missing` says why."""

    uri: str = ""
    boxes: tuple[BoxOnPicture, ...] = ()
    points: tuple[PointOnPicture, ...] = ()
    pixelated: bool = False
    missing: str = ""


def thumbnail(
    image: ImageRef, boxes: tuple[BoxOnPicture, ...] = (), points: tuple[PointOnPicture, ...] = ()
) -> Picture:
    """The picture with at most 448 px a side."""
    try:
        small = load(image, near_px=2 * _SHOWN_PX)
    except DataError as error:
        return Picture(missing=error.one_line())
    small.thumbnail((_SHOWN_PX, _SHOWN_PX))
    return Picture(_uri(small), boxes, points, pixelated=image.width_px < _SMALL_PX)


def _uri(picture: Image) -> str:
    """As PNG, or where that is large, a photograph, as JPEG."""
    for kind, options in (("png", {"optimize": True}), ("jpeg", {"quality": 85})):
        file = io.BytesIO()
        picture.save(file, kind, **options)
        if file.tell() <= _LARGE_PNG_BYTES:
            break
    return f"data:image/{kind};base64," + base64.b64encode(file.getvalue()).decode()
