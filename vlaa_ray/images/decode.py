"""References to pixels, and what the model makes of their size. Pixels are made where they are used, never sent.

PNG, JPEG, WebP, GIF and BMP are read; of an animation the first picture. What lies behind transparent pixels is white,
as for vLLM and qwen-vl-utils (transformers' own processors would show the colour that nobody was meant to see). 16 bits
a channel keep their upper 8, and CMYK in a JPEG is taken as inverted, as Adobe writes it and browsers read it.
"""

from __future__ import annotations

import hashlib
import io
import stat
import struct
import zlib
from pathlib import Path

import numpy as np
from PIL import Image, PngImagePlugin, UnidentifiedImageError
from PIL.Image import Transpose

from vlaa_ray.errors import DataError
from vlaa_ray.records import ImageRef

MAX_IMAGE_PIXELS = 64_000_000
MAX_IMAGE_BYTES = 20_000_000
PngImagePlugin.MAX_TEXT_MEMORY = 4 << 20  # of texts beside the picture, unpacked as soon as it is opened
_FORMATS = ("PNG", "JPEG", "WEBP", "GIF", "BMP")
_MIME_TYPES = {"MPO": "image/jpeg"}  # a JPEG with more pictures behind the first
_WHITE = (255, 255, 255)
_STARTS = {b"II*\0": "TIFF", b"MM\0*": "TIFF", b"%PDF": "PDF"}
_EXIF_IN_PNG = (b"eXIf", b"Raw profile type exif", b"XML:com.adobe.xmp")
_TURNS = {
    2: Transpose.FLIP_LEFT_RIGHT,
    3: Transpose.ROTATE_180,
    4: Transpose.FLIP_TOP_BOTTOM,
    5: Transpose.TRANSPOSE,
    6: Transpose.ROTATE_270,
    7: Transpose.TRANSVERSE,
    8: Transpose.ROTATE_90,
}
"""What makes a picture upright, by its EXIF orientation; from 5 on width and height change places."""
_DAMAGE = (
    *(OSError, SyntaxError, ValueError, TypeError, LookupError, EOFError, OverflowError, Warning),
    *(struct.error, zlib.error),
)
"""What Pillow raises on bad bytes."""


def reference(path: Path, name: str | None = None) -> ImageRef:
    """The reference of an image file: its size from the header, its sha256 from the bytes; DataError names the file."""
    name = name or str(path)
    data = _read(path, name)
    width, height = _upright_size(data, name)
    return ImageRef(sha256=hashlib.sha256(data).hexdigest(), width_px=width, height_px=height, path=str(path))


def reference_of(data: bytes) -> ImageRef:
    """The reference of encoded bytes, which it holds; DataError if they are no image that we read."""
    width, height = _upright_size(data, None)
    return ImageRef.from_bytes(data, width_px=width, height_px=height)


def load(ref: ImageRef, near_px: int | None = None) -> Image.Image:
    """The picture in RGB, upright; DataError if the bytes are not those that the reference names.

    With `near_px` it may be smaller, where that is quicker: its shorter side has at least so many pixels.
    """
    data = encoded(ref)
    if hashlib.sha256(data).hexdigest() != ref.sha256:
        raise DataError("the image has changed since the data was read", file=ref.path, expected=ref.sha256)
    with _open(data, ref.path) as image:
        try:
            if near_px:
                image.draft(None, (near_px, near_px))
            image.load()
            turn = _TURNS.get(_orientation(image, data))
            return _rgb(image if turn is None else image.transpose(turn))
        except _DAMAGE as error:
            raise DataError(f"the image is damaged: {error}", file=ref.path, sha256=ref.sha256) from error


def encoded(ref: ImageRef) -> bytes:
    """The encoded bytes of an image."""
    return ref.data if ref.data is not None else _read(Path(str(ref.path)), ref.path)


def mime_type(data: bytes) -> str:
    """Of encoded bytes: image/png, image/jpeg …; DataError if they are no image that we read."""
    with _open(data, None) as image:
        kind = str(image.format)
        return _MIME_TYPES.get(kind) or Image.MIME[kind]


def _read(path: Path, name: str | None) -> bytes:
    """The bytes of a file, unless there are too many, or it is one that never ends."""
    try:
        found = path.stat()
        if not stat.S_ISREG(found.st_mode):
            raise DataError("can't read the image: it is not a file", file=name)
        _refuse_large(found.st_size, name)
        return path.read_bytes()
    except OSError as error:
        raise DataError(f"can't read the image: {error.strerror}", file=name) from error


def _refuse_large(num_bytes: int, name: str | None) -> None:
    if num_bytes > MAX_IMAGE_BYTES:
        raise DataError("the image file is too large", file=name, got=num_bytes, limit_bytes=MAX_IMAGE_BYTES)


def _open(data: bytes, name: str | None) -> Image.Image:
    _refuse_large(len(data), name)
    try:
        image = Image.open(io.BytesIO(data), formats=_FORMATS)
    except UnidentifiedImageError as error:  # its own text is an object's address
        raise DataError(f"not an image of a known format{_guess(data)}", file=name, formats=_FORMATS) from error
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise DataError("the image has too many pixels", file=name, limit_px=MAX_IMAGE_PIXELS) from error
    except _DAMAGE as error:
        raise DataError(f"the image is damaged: {error}", file=name) from error
    if image.width * image.height > MAX_IMAGE_PIXELS:
        raise DataError("the image has too many pixels", file=name, got=image.size, limit_px=MAX_IMAGE_PIXELS)
    return image


def _guess(data: bytes) -> str:
    """What the bytes are, where that is easily seen."""
    if not data:
        return ": the file is empty"
    kind = "SVG" if b"<svg" in data[:1000] else next((name for start, name in _STARTS.items() if data[:4] == start), "")
    return kind and f": it is {kind}"


def _upright_size(data: bytes, name: str | None) -> tuple[int, int]:
    """(width, height) of the picture that `load` gives."""
    with _open(data, name) as image:
        try:
            width, height = image.size
            return (height, width) if _orientation(image, data) >= 5 else (width, height)
        except _DAMAGE as error:
            raise DataError(f"the image is damaged: {error}", file=name) from error


def _orientation(image: Image.Image, data: bytes) -> int:
    """The EXIF orientation, 1 to 8; 1 where there is none that means anything."""
    # Pillow decodes a PNG to its end in search of EXIF; few have any, and these names are never compressed
    if image.format == "PNG" and not any(name in data for name in _EXIF_IN_PNG):
        return 1
    value = image.getexif().get(274)
    return value if isinstance(value, int) and value in _TURNS else 1


def _rgb(image: Image.Image) -> Image.Image:
    if image.mode.startswith("I"):  # 16 bits of grey, which Pillow would cut off at 255 instead of scaling
        return Image.fromarray((np.asarray(image).clip(0, 65535) // 256).astype(np.uint8)).convert("RGB")
    if image.mode in ("RGBA", "LA", "PA") or "transparency" in image.info:
        picture = image.convert("RGBA")
        background = Image.new("RGB", picture.size, _WHITE)
        background.paste(picture, mask=picture.getchannel("A"))
        return background
    return image.convert("RGB")
