"""The images that records name: paths below a root, encoded bytes, base64, or URLs of listed hosts; nothing else."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from vlaa_ray.data.fetch import Fetcher
from vlaa_ray.data.images import reference, reference_of
from vlaa_ray.data.tables import hub_name, is_on_hub
from vlaa_ray.errors import DataError
from vlaa_ray.records import ImageRef

_KEYS = ("bytes", "path", "image", "url")


def root_of(file: Path, image_root: str | Path | None) -> Path:
    """The folder that a file's image paths are relative to."""
    if image_root is None and is_on_hub(file):  # the folder itself, or where datasets puts what it has fetched
        from datasets.config import HF_CACHE_HOME

        folder = Path(hub_name(file)[0])
        return (folder if folder.is_dir() else Path(HF_CACHE_HOME)).resolve()
    beside = file.parent / "images"
    return Path(image_root or (beside if beside.is_dir() else file.parent)).resolve()


def image_of(image: Any, root: Path, fetcher: Fetcher, file: Path, number: int) -> ImageRef:
    """The reference of whatever a record has for an image: a path, bytes, base64, a URL, or a mapping with one of them.

    DataError names the data's file and row.
    """
    if isinstance(image, Mapping):
        image = next(filter(None, map(image.get, _KEYS)), None)
    try:
        if isinstance(image, bytes):
            return reference_of(image)
        if isinstance(image, str) and image.startswith("data:"):
            return reference_of(base64.b64decode(image.partition(",")[2], validate=True))
        if isinstance(image, str) and image.startswith(("http://", "https://")):
            return reference(fetcher.file(image), image)
        if isinstance(image, str) and "://" not in image.removeprefix("file://"):
            return _file_below(image.removeprefix("file://"), root)
        raise DataError("not an image that is read from here", expected="a path, bytes, base64 or a URL")
    except binascii.Error as error:
        raise DataError(f"an image is not base64: {error}", file=str(file), row=number) from error
    except DataError as error:
        facts = {"got": str(image)[:200], "file": str(file), **error.facts, "data": str(file), "row": number}
        raise DataError(error.message, fix=error.fix, **facts) from error


def _file_below(name: str, root: Path) -> ImageRef:
    relative = name.lstrip("/").removeprefix(f"{root.name}/")
    if Path(name).is_relative_to(root):
        relative = str(Path(name).relative_to(root))
    path = root / relative
    if "\0" in relative or not path.resolve().is_relative_to(root):
        raise DataError("the image lies outside the image root")
    return reference(path, relative)
