"""The images of a request: their bytes from base64 or from a listed host, checked, as the model's training saw them."""

from __future__ import annotations

import base64
import binascii
import io
from collections.abc import Callable
from pathlib import Path

from PIL import Image

from vlaa_ray.config.serving import LimitsSection
from vlaa_ray.errors import DataError, DeadlineExceeded
from vlaa_ray.images.decode import chat_part, load, reference_of
from vlaa_ray.records import ImageRef
from vlaa_ray.serving.refusals import RequestRefused

_PLAIN = ("PNG", "JPEG")
_ORIENTATION = 274  # the EXIF tag


class Pictures:
    """Reads the images of requests; `fetch` returns the file of a URL, `input_size` raises for shapes without use."""

    def __init__(
        self, limits: LimitsSection, fetch: Callable[[str], Path], input_size: Callable[[ImageRef], tuple[int, int]]
    ) -> None:
        self._limits, self._fetch, self._input_size = limits, fetch, input_size

    def url_for_engine(self, url: str, param: str) -> str:
        """Return the image as a `data:` URL that vLLM decodes to the pixels that training would see.

        A plain PNG or JPEG stays as it is. Any other image is turned upright, put on white and encoded again, since
        vLLM reads rotated, transparent and 16-bit images in another way than this project.

        Raises:
            RequestRefused: the image is too large, damaged, of an unknown format, or at a URL that is not fetched.

        """
        data = self._bytes(url, param)
        try:
            image = reference_of(data)
            self._refuse_large(image, param)
            self._input_size(image)
            pixels = load(image)
        except DataError as error:
            raise _refused(error, param) from error
        return str(chat_part(data if _is_plain(data) else _png(pixels))["image_url"]["url"])

    def _bytes(self, url: str, param: str) -> bytes:
        if url.startswith(("http://", "https://")):
            return self._fetched(url, param)
        head, comma, text = url.partition(",")
        if not head.startswith("data:image/") or not head.endswith(";base64") or not comma:
            message = "an image must be a data: URL with base64 (data:image/png;base64,…) or an http(s) URL"
            raise RequestRefused(f"{message}, got {url[:40]!r}", code="invalid_image", param=param)
        limit = self._limits.max_image_bytes
        if len(text) * 3 // 4 > limit + 3:
            raise _too_large(len(text) * 3 // 4, limit, param)
        try:
            data = base64.b64decode(text, validate=True)
        except (binascii.Error, ValueError) as error:
            message = f"the base64 of the image can't be decoded: {error}"
            raise RequestRefused(message, code="invalid_image", param=param) from error
        if len(data) > limit:
            raise _too_large(len(data), limit, param)
        return data

    def _fetched(self, url: str, param: str) -> bytes:
        try:
            data = self._fetch(url).read_bytes()
        except DataError as error:
            raise _refused(error, param, code="image_url_refused") from error
        except DeadlineExceeded as error:
            raise _refused(error, param, code="image_url_unreachable") from error
        if len(data) > self._limits.max_image_bytes:
            raise _too_large(len(data), self._limits.max_image_bytes, param)
        return data

    def _refuse_large(self, image: ImageRef, param: str) -> None:
        pixels, limit = image.width_px * image.height_px, self._limits.max_image_pixels
        if pixels > limit:
            message = f"the image has {image.width_px} x {image.height_px} = {pixels:,} pixels; at most {limit:,}"
            raise RequestRefused(f"{message} are taken", code="image_too_large", param=param, fix="send it smaller")


def _refused(error: DataError | DeadlineExceeded, param: str, code: str = "invalid_image") -> RequestRefused:
    """Return the refusal for an error of this project's own reading of images."""
    too_many = "too many pixels" in error.message or "too large" in error.message
    return RequestRefused(error.message, code="image_too_large" if too_many else code, param=param)


def _too_large(size: int, limit: int, param: str) -> RequestRefused:
    message = f"the image file has {size:,} bytes; at most {limit:,} are taken"
    return RequestRefused(message, code="image_too_large", param=param, fix="send it smaller")


def _is_plain(data: bytes) -> bool:
    """Return True for an upright PNG or JPEG in RGB with 8 bits a channel, which every reader decodes alike."""
    with Image.open(io.BytesIO(data), formats=(*_PLAIN, "WEBP", "GIF", "BMP")) as image:
        plain = image.format in _PLAIN and image.mode == "RGB" and "transparency" not in image.info
        return plain and image.getexif().get(_ORIENTATION, 1) == 1


def _png(picture: Image.Image) -> bytes:
    out = io.BytesIO()
    picture.save(out, "PNG", compress_level=1)
    return out.getvalue()
