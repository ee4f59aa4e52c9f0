"""Makes references from the images in records.

An image may be given as a path below the image root, as encoded bytes, as base64, or as a URL of a listed host.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from vlaa_ray.errors import DataError
from vlaa_ray.images.decode import reference, reference_in_bucket, reference_of
from vlaa_ray.images.fetch import Fetcher
from vlaa_ray.records import ImageRef
from vlaa_ray.storage.places import BucketPath

_KEYS = ("bytes", "path", "image", "url")
_HEADS = "|".join(("iVBORw0KGgo", "/9j/", "R0lGOD", "UklGR"))  # PNG, JPEG, GIF and WebP in base64
_BASE64 = re.compile(rf"(?:[A-Za-z0-9+/\s]{{128,}}|(?:{_HEADS})[A-Za-z0-9+/\s]*)={{0,2}}\s*")  # a path would have a dot


def images_of(
    images: Sequence[Any], root: Path | BucketPath, fetcher: Fetcher, file: Path, number: int
) -> tuple[ImageRef, ...]:
    """Return the references of a record's images, in their order, as `image_of` makes them.

    Raises DataError for the first image that can't be used; of several images, it says which one.
    """
    read = []
    for place, image in enumerate(images, start=1):
        try:
            read.append(image_of(image, root, fetcher, file, number))
        except DataError as error:
            if len(images) == 1:
                raise
            message = f"image {place} of {len(images)}: {error.message}"
            raise DataError(message, fix=error.fix, **error.facts) from error
    return tuple(read)


def image_of(image: Any, root: Path | BucketPath, fetcher: Fetcher, file: Path, number: int) -> ImageRef:
    """Return the reference of a record's image: a path, bytes, base64, a URL, or a mapping that holds one of these.

    `root` is the folder that paths are relative to; nothing outside it is read. `file` and `number` are the data file
    and the row of the record.

    Raises DataError, with file and row, if the image can't be found, fetched or read.
    """
    try:
        if isinstance(image, Mapping):
            held = image.get("bytes")
            image = _from_base64(held) if isinstance(held, str) else next(filter(None, map(image.get, _KEYS)), None)
        if isinstance(image, bytes):
            return reference_of(image)
        if isinstance(image, str) and image.startswith(("http://", "https://")):
            return reference(fetcher.file(image), image)
        if isinstance(image, str) and _is_base64(image):
            return reference_of(_from_base64(image))
        if isinstance(image, str) and ("://" not in image.removeprefix("file://") or image.startswith(f"{root}/")):
            name = image.removeprefix("file://")
            return _file_below(name, root) if isinstance(root, Path) else _object_below(name, root)
        raise DataError("the image has a form that can't be read", expected="a path, bytes, base64 or an http(s) URL")
    except binascii.Error as error:
        raise DataError(f"the image is not base64: {error}", file=str(file), row=number) from error
    except DataError as error:
        facts = {"got": _shown(image), "file": str(file), **error.facts, "data": str(file), "row": number}
        raise DataError(error.message, fix=error.fix, **facts) from error


def _shown(image: Any) -> str:
    """Return how a message names an image: its path or address, or the size of what it is encoded in."""
    if isinstance(image, bytes):
        return f"an image of {len(image):,} bytes"
    if not isinstance(image, str):
        return repr(image)[:200]
    return f"an image of {len(image):,} characters of base64" if _is_base64(image) else image[:200]


def _is_base64(text: str) -> bool:
    return text.startswith("data:") or bool(_BASE64.fullmatch(text))


def _from_base64(text: str) -> bytes:
    """Return the decoded bytes of base64, with or without line breaks and `data:` prefix. May raise binascii.Error."""
    held = text.partition(",")[2] if text.startswith("data:") else text
    return base64.b64decode("".join(held.split()), validate=True)


def _object_below(name: str, root: BucketPath) -> ImageRef:
    """Return the reference of an object below a folder in a bucket; its path is the object's address."""
    relative = name.removeprefix(f"{root}/").lstrip("/").removeprefix("./")
    if ".." in relative.split("/") or "?" in relative:
        raise DataError("the image lies outside the image root")
    shorter = relative.removeprefix("images/")
    inside = (spelling.removeprefix(f"{root.name}/") for spelling in (relative, shorter))
    for candidate in dict.fromkeys((*inside, relative, shorter, f"images/{relative}")):
        try:
            return reference_in_bucket(str(root / candidate), candidate)
        except FileNotFoundError:
            continue
    raise DataError("there is no such image", fix=f"name the folder of the images (image_root); searched: {root}")


def _file_below(name: str, root: Path) -> ImageRef:
    """Return the reference of a file below the root.

    Some publishers begin the path with the name of the root folder or with `images/`, some don't. Both are tried.
    """
    relative = str(Path(name).relative_to(root)) if Path(name).is_relative_to(root) else name.lstrip("/")
    relative = relative.removeprefix("./")
    shorter = relative.removeprefix("images/")
    inside = (spelling.removeprefix(f"{root.name}/") for spelling in (relative, shorter))
    for candidate in dict.fromkeys((*inside, relative, shorter, f"images/{relative}")):
        try:
            path = root / candidate
            if "\0" in candidate or not path.resolve().is_relative_to(root):
                raise DataError("the image lies outside the image root")
            if path.exists():
                return reference(path, candidate)
        # Causes are half of a surrogate pair, a name that is too long, or a link to itself.
        except (ValueError, OSError, RuntimeError) as error:
            raise DataError(f"the image's path is not a valid file name: {error}") from error
    try:
        return reference(root / relative, relative)
    except DataError as error:
        error.fix = error.fix or f"if it is a path, name the folder of the images (image_root); searched: {root}"
        raise
