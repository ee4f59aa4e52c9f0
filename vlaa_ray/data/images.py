"""References to pixels, and what the model makes of their size. Pixels are made where they are used, never sent."""

from __future__ import annotations

import hashlib
import io
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from vlaa_ray.errors import DataError
from vlaa_ray.records import ImageRef

MAX_IMAGE_PIXELS = 64_000_000
MAX_IMAGE_BYTES = 20_000_000
_FORMATS = ("PNG", "JPEG", "WEBP", "GIF")
_DAMAGE = (OSError, SyntaxError, ValueError, Image.DecompressionBombError)  # what Pillow raises on bad bytes


def reference(path: Path, name: str | None = None) -> ImageRef:
    """The reference of an image file: its size from the header, its sha256 from the bytes; DataError names the file."""
    name = name or str(path)
    try:
        data = path.read_bytes()
    except OSError as error:
        raise DataError(f"can't read the image: {error.strerror}", file=name) from error
    with _open(data, name) as image:
        try:
            width, height = image.size[::-1] if _lies_on_its_side(image, data) else image.size
        except _DAMAGE as error:
            raise DataError(f"the image is damaged: {error}", file=name) from error
    return ImageRef(sha256=hashlib.sha256(data).hexdigest(), width_px=width, height_px=height, path=str(path))


def reference_of(data: bytes) -> ImageRef:
    """The reference of encoded bytes, which it holds; DataError if they are no image that we read."""
    with _open(data, None) as image:
        width, height = image.size[::-1] if _lies_on_its_side(image, data) else image.size
    return ImageRef.from_bytes(data, width_px=width, height_px=height)


def load(ref: ImageRef) -> Image.Image:
    """The picture in RGB, upright; DataError if the bytes are not those that the reference names."""
    data = encoded(ref)
    if hashlib.sha256(data).hexdigest() != ref.sha256:
        raise DataError("the image has changed since the data was read", file=ref.path, expected=ref.sha256)
    with _open(data, ref.path) as image:
        try:
            return _rgb(ImageOps.exif_transpose(image))
        except _DAMAGE as error:
            raise DataError(f"the image is damaged: {error}", file=ref.path, sha256=ref.sha256) from error


def encoded(ref: ImageRef) -> bytes:
    """The encoded bytes of an image."""
    if ref.data is not None:
        return ref.data
    try:
        return Path(str(ref.path)).read_bytes()
    except OSError as error:
        raise DataError(f"can't read the image: {error.strerror}", file=ref.path) from error


def mime_type(data: bytes) -> str:
    """Of encoded bytes: image/png, image/jpeg …; DataError if they are no image that we read."""
    with _open(data, None) as image:
        return str(Image.MIME[str(image.format)])


def _open(data: bytes, name: str | None) -> Image.Image:
    if len(data) > MAX_IMAGE_BYTES:
        raise DataError("the image file is too large", file=name, got=len(data), limit_bytes=MAX_IMAGE_BYTES)
    try:
        image = Image.open(io.BytesIO(data), formats=_FORMATS)
    except _DAMAGE as error:
        why = "" if isinstance(error, UnidentifiedImageError) else f": {error}"  # whose text is an object's address
        raise DataError(f"not an image of a known format{why}", file=name, formats=_FORMATS) from error
    if image.width * image.height > MAX_IMAGE_PIXELS:
        raise DataError("the image has too many pixels", file=name, got=image.size, limit_px=MAX_IMAGE_PIXELS)
    return image


def _lies_on_its_side(image: Image.Image, data: bytes) -> bool:
    """Whether `load` turns the image by a quarter: its EXIF orientation is 5, 6, 7 or 8."""
    # Pillow decodes a PNG to its end in search of EXIF; few have any, and these names are never compressed
    if image.format == "PNG" and not any(name in data for name in (b"eXIf", b"exif", b"xmp")):
        return False
    return image.getexif().get(274, 1) in (5, 6, 7, 8)


def _rgb(image: Image.Image) -> Image.Image:
    if image.mode.startswith("I"):  # 16 bits of grey, which Pillow would cut off at 255 instead of scaling
        image = Image.fromarray((np.asarray(image).clip(0, 65535) // 256).astype(np.uint8))
    return image.convert("RGB")
