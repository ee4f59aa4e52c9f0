"""The images that records name: paths below a root, encoded bytes, base64, or URLs of listed hosts; nothing else."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from vlaa_ray.errors import DataError
from vlaa_ray.images.decode import reference, reference_of
from vlaa_ray.images.fetch import Fetcher
from vlaa_ray.records import ImageRef

_KEYS = ("bytes", "path", "image", "url")
_BASE64 = re.compile(r"[A-Za-z0-9+/\s]{128,}={0,2}\s*")  # no path: it has no dot


def image_of(image: Any, root: Path, fetcher: Fetcher, file: Path, number: int) -> ImageRef:
    """The reference of whatever a record has for an image: a path, bytes, base64, a URL, or a mapping with one of them.

    DataError names the data's file and row.
    """
    try:
        if isinstance(image, Mapping):
            held = image.get("bytes")
            image = _from_base64(held) if isinstance(held, str) else next(filter(None, map(image.get, _KEYS)), None)
        if isinstance(image, bytes):
            return reference_of(image)
        if isinstance(image, str) and image.startswith(("http://", "https://")):
            return reference(fetcher.file(image), image)
        if isinstance(image, str) and (image.startswith("data:") or _BASE64.fullmatch(image)):
            return reference_of(_from_base64(image))
        if isinstance(image, str) and "://" not in image.removeprefix("file://"):
            return _file_below(image.removeprefix("file://"), root)
        raise DataError("not an image that is read from here", expected="a path, bytes, base64 or a URL")
    except binascii.Error as error:
        raise DataError(f"an image is not base64: {error}", file=str(file), row=number) from error
    except DataError as error:
        facts = {"got": str(image)[:200], "file": str(file), **error.facts, "data": str(file), "row": number}
        raise DataError(error.message, fix=error.fix, **facts) from error


def _from_base64(text: str) -> bytes:
    """The bytes of base64, be it in lines, with or without a `data:` before it; binascii.Error if it is none."""
    held = text.partition(",")[2] if text.startswith("data:") else text
    return base64.b64decode("".join(held.split()), validate=True)


def _file_below(name: str, root: Path) -> ImageRef:
    """Of the file below the root; publishers differ in whether a path names the root's folder, or `images`."""
    relative = str(Path(name).relative_to(root)) if Path(name).is_relative_to(root) else name.lstrip("/")
    relative = relative.removeprefix("./")
    shorter = relative.removeprefix("images/")
    inside = (one.removeprefix(f"{root.name}/") for one in (relative, shorter))
    for one in dict.fromkeys((*inside, relative, shorter, f"images/{relative}")):
        try:
            path = root / one
            if "\0" in one or not path.resolve().is_relative_to(root):
                raise DataError("the image lies outside the image root")
            if path.exists():
                return reference(path, one)
        except (ValueError, OSError, RuntimeError) as error:  # half of a surrogate pair, too long, a link to itself
            raise DataError(f"not the name of a file: {error}") from error
    return reference(root / relative, relative)
