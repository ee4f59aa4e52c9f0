"""Small pictures for pages, with boxes and points to draw on them.

A picture is decoded and encoded again, so that only its pixels get into a page.
"""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from vlaa_ray.errors import DataError
from vlaa_ray.images.decode import load
from vlaa_ray.records import ImageRef

if TYPE_CHECKING:
    from PIL.Image import Image

_SMALL_PX = 200


class BoxOnPicture(NamedTuple):
    """A box in the unit frame (0 to 1 of the picture's width and height); `owner` is `gold` or `predicted`."""

    owner: str
    x: float
    y: float
    width: float
    height: float


class PointOnPicture(NamedTuple):
    """A point in the unit frame; `owner` is `gold` or `predicted`."""

    owner: str
    x: float
    y: float


Mark = BoxOnPicture | PointOnPicture


def mark_on_picture(owner: str, shares: Sequence[float]) -> Mark:
    """Return a box (x1, y1, x2, y2) or a point (x, y), in the unit frame, as it is drawn."""
    x, y, *end = shares
    return BoxOnPicture(owner, x, y, end[0] - x, end[1] - y) if end else PointOnPicture(owner, x, y)


@dataclass(frozen=True)
class Picture:
    """A picture as a data URI, with the boxes and points to draw on it.

    Without a picture, `uri` is "" and `missing` says why. `pixelated` asks the page to enlarge it without smoothing.
    """

    uri: str = ""
    boxes: tuple[BoxOnPicture, ...] = ()
    points: tuple[PointOnPicture, ...] = ()
    pixelated: bool = False
    missing: str = ""


@dataclass(frozen=True)
class MostOfPicture:
    """The largest side of a shown picture in pixels, and the largest PNG in bytes: a picture that needs more is a JPEG.

    A large PNG is most likely a photograph.
    """

    side_px: int = 448
    png_bytes: int = 100_000
    jpeg_quality: int = 85


REPORT_PICTURE = MostOfPicture()
"""The pictures of pages that show a few of them."""


def thumbnail(image: ImageRef, marks: tuple[Mark, ...] = (), most: MostOfPicture = REPORT_PICTURE) -> Picture:
    """Return the picture scaled down to `most.side_px`; a picture that can't be decoded is `missing`."""
    try:
        small = load(image, near_px=2 * most.side_px)
    except DataError as error:
        return Picture(missing=error.one_line())
    small.thumbnail((most.side_px, most.side_px))
    boxes = tuple(mark for mark in marks if isinstance(mark, BoxOnPicture))
    points = tuple(mark for mark in marks if isinstance(mark, PointOnPicture))
    return Picture(_uri(small, most), boxes, points, pixelated=image.width_px < _SMALL_PX)


def _uri(picture: Image, most: MostOfPicture) -> str:
    """Return the picture as a data URI: PNG up to `most.png_bytes`, else JPEG."""
    for encoding, options in (("png", {"optimize": True}), ("jpeg", {"quality": most.jpeg_quality})):
        file = io.BytesIO()
        picture.save(file, encoding, **options)
        if file.tell() <= most.png_bytes:
            break
    return f"data:image/{encoding};base64," + base64.b64encode(file.getvalue()).decode()
