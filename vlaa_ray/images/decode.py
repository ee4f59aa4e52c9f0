"""Images: makes a reference from a file or from encoded bytes, and pixels from a reference.

    image = reference(Path("images/a.png"))  -> ImageRef(sha256="…", width_px=640, height_px=480, path="images/a.png")
    load(image)                              -> the picture in RGB, as a PIL image

A reference travels between processes. The process that needs the pixels makes them itself.

- The formats are PNG, JPEG, WebP, GIF and BMP. An animation gives its first picture.
- Transparent pixels show a white background, as in vLLM. (The processors of transformers would show the hidden colour
  instead.)
- A channel of 16 bits is reduced to its upper 8 bits.
- CMYK in a JPEG counts as inverted, as Adobe writes it and browsers read it.
"""

from __future__ import annotations

import base64
import hashlib
import io
import stat
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, PngImagePlugin, UnidentifiedImageError
from PIL.Image import Transpose

from vlaa_ray.config.base_folder import is_remote
from vlaa_ray.errors import DataError
from vlaa_ray.records import ImageRef
from vlaa_ray.storage.local_copies import local_object

MAX_IMAGE_PIXELS = 64_000_000
"""The most pixels (width · height) of an image that is read."""
MAX_IMAGE_BYTES = 20_000_000
"""The most bytes of an encoded image that is read."""
PngImagePlugin.MAX_TEXT_MEMORY = 4 << 20  # for texts beside the picture, which Pillow unpacks as soon as it opens it
_FORMATS = ("PNG", "JPEG", "WEBP", "GIF", "BMP")
_MIME_TYPES = {"MPO": "image/jpeg"}  # MPO is a JPEG with more pictures after the first
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
"""The turn that makes a picture upright, by its EXIF orientation. From 5 on, width and height swap."""
_DAMAGE = (
    *(OSError, SyntaxError, ValueError, TypeError, LookupError, EOFError, OverflowError, Warning),
    *(struct.error, zlib.error),
)
"""The exceptions that Pillow raises on bad bytes."""


def reference(path: Path, name: str | None = None) -> ImageRef:
    """Return the reference of an image file: the upright size in pixels from its header, the sha256 of its bytes.

    Errors call the file `name`, by default its path. Raises DataError if the file can't be read or is not an image.
    """
    name = name or str(path)
    data = _read(path, name)
    width, height = _upright_size(data, name)
    return ImageRef(sha256=hashlib.sha256(data).hexdigest(), width_px=width, height_px=height, path=str(path))


def reference_in_bucket(url: str, name: str) -> ImageRef:
    """Return the reference of an image in a bucket, of which this node keeps a copy; `path` is its address.

    Raises:
        FileNotFoundError: there is no such object.
        DataError: it is not an image.
        StorageError: the bucket can't be used.

    """
    file = local_object(url)
    if file is None:
        raise FileNotFoundError(url)
    made = reference(file, name)
    return ImageRef(sha256=made.sha256, width_px=made.width_px, height_px=made.height_px, path=url)


def reference_of(data: bytes) -> ImageRef:
    """Return a reference that holds these encoded bytes itself.

    Raises DataError if they are not an image in a known format.
    """
    width, height = _upright_size(data, None)
    return ImageRef.from_bytes(data, width_px=width, height_px=height)


def load(ref: ImageRef, near_px: int | None = None) -> Image.Image:
    """Return the picture in RGB, turned upright.

    With `near_px`, the picture may come scaled down where that is quicker. Its shorter side then has at least
    `near_px` pixels.

    Raises DataError if the bytes are damaged, or are not the bytes that the reference was made from.
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
    """Return the encoded bytes of an image. Raises DataError if its file can't be read."""
    if ref.data is not None:
        return ref.data
    path = str(ref.path)
    file = local_object(path) if is_remote(path) else Path(path)
    if file is None:
        raise DataError("the image is not in the bucket any more", file=path)
    return _read(file, path)


def mime_type(data: bytes) -> str:
    """Return the media type of encoded bytes, such as `image/png`.

    Raises DataError if they are not an image in a known format.
    """
    with _open(data, None) as image:
        image_format = str(image.format)
        return _MIME_TYPES.get(image_format) or Image.MIME[image_format]


def chat_part(data: bytes) -> dict[str, Any]:
    """Return encoded bytes as the image part of a chat message, in the form of OpenAI's API: a `data:` URL.

    Raises DataError if they are not an image in a known format.
    """
    url = f"data:{mime_type(data)};base64,{base64.b64encode(data).decode()}"
    return {"type": "image_url", "image_url": {"url": url}}


def _read(path: Path, name: str | None) -> bytes:
    """Return the bytes of a file. Refuses one that is too large or is not a regular file, as a pipe may never end."""
    try:
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):
            raise DataError("can't read the image: it is not a file", file=name)
        _refuse_large(status.st_size, name)
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
    except UnidentifiedImageError as error:  # the error's own text only shows the address of an object
        raise DataError(f"not an image of a known format{_guess(data)}", file=name, formats=_FORMATS) from error
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise DataError("the image has too many pixels", file=name, limit_px=MAX_IMAGE_PIXELS) from error
    except _DAMAGE as error:
        raise DataError(f"the image is damaged: {error}", file=name) from error
    if image.width * image.height > MAX_IMAGE_PIXELS:
        raise DataError("the image has too many pixels", file=name, got=image.size, limit_px=MAX_IMAGE_PIXELS)
    return image


def _guess(data: bytes) -> str:
    """Return what the bytes seem to be, as the end of a sentence, or an empty text."""
    if not data:
        return ": the file is empty"
    by_start = next((name for start, name in _STARTS.items() if data[:4] == start), "")
    file_format = "SVG" if b"<svg" in data[:1000] else by_start
    return file_format and f": it is {file_format}"


def _upright_size(data: bytes, name: str | None) -> tuple[int, int]:
    """Return (width, height) in pixels of the picture that `load` gives."""
    with _open(data, name) as image:
        try:
            width, height = image.size
            return (height, width) if _orientation(image, data) >= 5 else (width, height)
        except _DAMAGE as error:
            raise DataError(f"the image is damaged: {error}", file=name) from error


def _orientation(image: Image.Image, data: bytes) -> int:
    """Return the EXIF orientation, 1 to 8. It is 1 (upright) where the file has no valid one."""
    # Pillow decodes a whole PNG to look for EXIF. Few files have any, and these names are never compressed.
    if image.format == "PNG" and not any(name in data for name in _EXIF_IN_PNG):
        return 1
    value = image.getexif().get(274)
    return value if isinstance(value, int) and value in _TURNS else 1


def _rgb(image: Image.Image) -> Image.Image:
    """Return the picture in RGB, on white where it is transparent."""
    if image.mode.startswith("I"):  # grey of 16 bits: Pillow would cut it off at 255 instead of scaling it
        return Image.fromarray((np.asarray(image).clip(0, 65535) // 256).astype(np.uint8)).convert("RGB")
    if image.mode in ("RGBA", "LA", "PA") or "transparency" in image.info:
        picture = image.convert("RGBA")
        background = Image.new("RGB", picture.size, _WHITE)
        background.paste(picture, mask=picture.getchannel("A"))
        return background
    return image.convert("RGB")
