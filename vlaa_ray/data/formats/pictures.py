"""Finds the pictures of a record under the names that publishers give them, and their places in the question.

    images_of(with_pictures(TrackedRow({"image_path": "a.png"})))  -> ("a.png",)
    placed("Is <image 2> larger than <image 1>?", ("a.png", "b.png"))
    -> ("Is <image> larger than <image>?", ("b.png", "a.png"))

Videos and sounds are refused, whatever the name of their column. A picture that no reader looks at is named.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from vlaa_ray.data.formats.fields import Row, literal
from vlaa_ray.data.formats.tracked_row import TrackedRow, is_missing
from vlaa_ray.text.placeholders import IMAGE

_ALIASES = (
    *("image_path", "image_paths", "img_path", "img_paths", "image_file", "image_files", "image_filename"),
    *("image_url", "image_urls", "img_url", "img_urls", "image_base64", "image_bytes", "image_name", "image_names"),
    *("img", "imgs", "file_name", "file_names", "pictures", "picture", "picture_path", "image_list", "images_path"),
)
"""Columns that hold the pictures where `images` and `image` hold none, by the order in which they are tried."""
_MAYBE = (
    *("path", "file", "filename", "photo", "photos", "pic", "pics", "screenshot", "figure", "diagram", "media"),
    *("jpg", "jpeg", "png", "webp"),
)
"""Columns that hold a picture only if their value looks like one."""
_SPEAKS = re.compile(r"image|img|picture|photo|screenshot", re.IGNORECASE)
_OF_THE_ANSWER = re.compile(r"answer|solution|mask|output|target|gold|thumb|chosen|rejected", re.IGNORECASE)
_NUMBERED = re.compile(r"(?:image|img|picture|pic)[_ -]?(\d{1,2})(?:_path)?", re.IGNORECASE)
_TEXTS = {
    *("id", "question", "problem", "answer", "gt", "gt_json", "solution", "ground_truth", "caption", "conversations"),
    *("messages", "prompt", "query", "response", "instruction", "input", "output", "options", "choices", "hint"),
    *("chosen", "rejected", "ds_answer", "message", "texts", "system", "system_prompt", "system_message", "history"),
}
"""Columns of text, which are never taken for pictures or videos."""
PICTURE_SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".gif", ".bmp", ".tif", ".tiff")
_PICTURE_STARTS = ("data:image/", "iVBORw0KGgo", "/9j/", "R0lGOD", "UklGR")
_PICTURE_BYTES = (b"\x89PNG", b"\xff\xd8\xff", b"GIF8", b"RIFF", b"BM")
_MOST_PATH_CHARS = 1024
_MEDIA = {
    "videos": {"video", "videos", *(f"video_{what}" for what in ("path", "paths", "file", "files", "url", "urls"))},
    "sounds": {
        *("audio", "audios", "sound", "sounds", "speech", "voice", "waveform"),
        *(f"audio_{what}" for what in ("path", "paths", "file", "files", "url", "urls")),
    },
}
_MEDIA_ENDS = {
    "videos": (".mp4", ".avi", ".mov", ".mkv", ".webm", ".mpg", ".mpeg", ".m4v", ".flv", ".wmv", ".3gp", ".ogv"),
    "sounds": (".wav", ".mp3", ".flac", ".ogg", ".m4a", ".aac", ".opus", ".wma"),
}
_MEDIA_KINDS = ("type", "data_type", "modality", "media_type", "input_type")
_KINDS = {"video": "videos", "audio": "sounds"}
_MEDIA_PLACES = {"videos": ("<video>", "<|video_pad|>"), "sounds": ("<audio>", "<sound>", "<|audio|>", "<speech>")}
_NUMBERED_PLACE = re.compile(
    r"<\|?(?:image|img|IMAGE|Image|IMG)[ _-]?(\d{1,2})\|?>|\[(?:IMAGE|Image|image|IMG)[ _-]?(\d{1,2})\]"
)
_PLAIN_PLACE = re.compile(
    r"(?:<\|vision_start\|>)?<\|?(?!image>)(?i:(?:start_of_)?(?:image|img|picture|pic)"
    r"(?:[_ ]?(?:token|soft_token|placeholder|pad|here))?)\|?>"
    r"(?:<\|vision_end\|>)?|\[(?:IMAGE|Image|IMG)\]"
)
_SMALL_PLACE = re.compile(r"\[(?:image|img)\]|\{image\}")
"""A place only where the record has as many pictures: elsewhere it may be text."""
_NAMED_PLACE = re.compile(r"<img>([^<>\n]{1,1024})</img>|!\[[^\[\]\n]{0,200}\]\(([^()\s]{1,1024})\)")
"""The path of a picture within the text, as Qwen-VL and Markdown write it."""


def refuse_media(row: TrackedRow) -> None:
    """Raise ValueError if the record has a video or a sound: in a column of that name, or by the ending of a path."""
    for name in _MEDIA_KINDS:
        if name in row and (media := _KINDS.get(str(row.peek(name)).strip().lower())):
            raise ValueError(_unsupported(media, name))
    for name, media in _media_columns(tuple(row)):
        if not is_missing(row[name]) and row[name] is not False:
            raise ValueError(_unsupported(media, name))
    for name, value in row.items():
        if name not in _TEXTS and (media := _media_of(value)):
            raise ValueError(_unsupported(media, name))


def _unsupported(media: str, column: str = "") -> str:
    return f"{media} are not supported" + (f" (column `{column}`)" if column else "")


@lru_cache(maxsize=256)
def _media_columns(names: tuple[str, ...]) -> tuple[tuple[str, str], ...]:
    return tuple((name, media) for name in names for media, known in _MEDIA.items() if name.lower() in known)


def _media_of(value: Any) -> str:
    """Return "videos" or "sounds" if a value, or one in a list, is the path of such a file; else an empty text."""
    if isinstance(value, list | tuple):
        return next((media for one in value[:64] if isinstance(one, str | dict) and (media := _media_of(one))), "")
    if isinstance(value, dict):
        if not is_missing(value.get("sampling_rate")):
            return "sounds"
        value = value.get("bytes") or value.get("path") or value.get("url")
    if isinstance(value, bytes):
        return _media_of_bytes(value[:16])
    if not isinstance(value, str) or not 4 < len(value) < _MOST_PATH_CHARS or value[-1] not in "4ivmgpc3asIVMGPCAS":
        return ""
    ending = value[-6:].lower()
    return next((media for media, ends in _MEDIA_ENDS.items() if ending.endswith(ends)), "")


def _media_of_bytes(start: bytes) -> str:
    if start[4:8] == b"ftyp" or start.startswith(b"\x1aE\xdf\xa3") or start[8:11] == b"AVI":
        return "videos"
    return "sounds" if start[8:12] == b"WAVE" or start.startswith((b"ID3", b"fLaC", b"OggS")) else ""


def with_pictures(row: TrackedRow) -> TrackedRow:
    """Return the row with `images`, where its pictures stand in columns of other names."""
    if not _has_none(row, "images") or not _has_none(row, "image"):
        decoded = row.get("decoded_image") if "decoded_image" in row else None
        return row.with_values(images=[decoded]) if isinstance(decoded, Mapping) and decoded.get("bytes") else row
    named, numbered = _picture_columns(tuple(row))
    pictures = [row[name] for name in numbered if not is_missing(row[name])]
    if pictures:
        return row.with_values(images=pictures)
    for name in named:
        value = row[name]
        if not is_missing(value) and (name.lower() not in _MAYBE or looks_like_picture(value)):
            return row.with_values(images=_as_list(value))
        row.looked_at.discard(name)
    held = [name for name in _named_like_pictures(tuple(row)) if looks_like_picture(row.peek(name))]
    return row.with_values(images=_as_list(row[held[0]])) if len(held) == 1 else row


def _as_list(value: Any) -> list[Any]:
    value = literal(value)
    return list(value) if isinstance(value, list | tuple) else [value]


def _has_none(row: TrackedRow, name: str) -> bool:
    return name not in row or _says_nothing(row[name])


def _says_nothing(value: Any) -> bool:
    return is_missing(value) or (isinstance(value, list | tuple) and all(one == "" for one in value))


@lru_cache(maxsize=256)
def _named_like_pictures(names: tuple[str, ...]) -> tuple[str, ...]:
    """Return the columns whose names speak of a picture, but not of one that belongs to the answer."""
    return tuple(name for name in names if _SPEAKS.search(name) and not _OF_THE_ANSWER.search(name))


@lru_cache(maxsize=256)
def _picture_columns(names: tuple[str, ...]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return (columns that may hold the pictures, columns of one picture each by their numbers)."""
    order = {name: place for place, name in enumerate(("decoded_image", *_ALIASES, *_MAYBE))}
    lower = {"image", "images"}  # written with capitals
    named = sorted(
        (name for name in names if name.lower() in order or (name.lower() in lower and name not in lower)),
        key=lambda name: order.get(name.lower(), -1),
    )
    numbers = {name: int(match[1]) for name in names if (match := _NUMBERED.fullmatch(name))}
    return tuple(named), tuple(sorted(numbers, key=lambda name: numbers[name]))


def images_of(row: Row) -> tuple[Any, ...]:
    """Return the row's `images`, or else its `image`, as they are; an empty tuple if both hold none.

    A blank text is no picture.
    """
    for name in ("images", "image"):
        value = row.get(name)
        if _says_nothing(value):
            continue
        value = literal(value)  # CSV holds a list as text
        return tuple(value) if isinstance(value, list | tuple) else (value,)
    return ()


def looks_like_picture(value: Any) -> bool:
    """Return whether a value, or the first of a list, is an encoded picture or the name of a picture's file."""
    if isinstance(value, list | tuple):
        return bool(value) and looks_like_picture(value[0])
    if isinstance(value, Mapping):
        return looks_like_picture(value.get("bytes")) or looks_like_picture(value.get("path"))
    if isinstance(value, bytes):
        return value.startswith(_PICTURE_BYTES)
    if not isinstance(value, str):
        return False
    if len(value) < _MOST_PATH_CHARS and value.partition("?")[0].lower().endswith(PICTURE_SUFFIXES):
        return True
    return len(value) >= 128 and value.startswith(_PICTURE_STARTS)


def refuse_unread_picture(row: TrackedRow) -> None:
    """Raise ValueError if a column that no reader looked at holds a picture; for records without a picture."""
    for name in row.unread():
        if name not in _TEXTS and looks_like_picture(row.peek(name)):
            raise ValueError(f"it has a picture that no reader looks at, in the column `{name}`: name it `image`")


def placed(question: str, images: tuple[Any, ...]) -> tuple[str, tuple[Any, ...]]:
    """Return the question with `<image>` in place of other placeholders, and its images in the order of their places.

    Numbered placeholders (`<image 1>`, `<image_1>`, `<|image_1|>`, `[IMAGE 1]`) are the places of the pictures with
    these numbers; a later one of the same number becomes "image 1". Beside `<image>` they are only mentions. Others
    (`<img>`, `[IMAGE]`, `<|image|>`, `<ImageHere>`) stand for one picture after another. `<img>PATH</img>` holds the
    picture itself.

    Raises ValueError if the places and the pictures don't fit together, or if a place is one of a video or a sound.
    """
    if "<" not in question and "[" not in question and "{" not in question:
        return question, images
    _refuse_media_places(question)
    if not images and (paths := _NAMED_PLACE.findall(question)):
        return _NAMED_PLACE.sub(IMAGE, question), tuple((first or second).strip() for first, second in paths)
    if numbers := [int(match[1] or match[2]) for match in _NUMBERED_PLACE.finditer(question)]:
        return _numbered(question, images, numbers)
    return (question, images) if IMAGE in question else _in_turn(question, images)


def _refuse_media_places(question: str) -> None:
    for media, places in _MEDIA_PLACES.items():
        if any(place in question for place in places):
            raise ValueError(_unsupported(media))


def _in_turn(question: str, images: tuple[Any, ...]) -> tuple[str, tuple[Any, ...]]:
    for pattern in (_PLAIN_PLACE, _SMALL_PLACE):
        places = pattern.findall(question)
        if places and len(places) == len(images):
            return pattern.sub(IMAGE, question), images
        if places and pattern is _PLAIN_PLACE:
            counts = f"is {len(places)}, but the number of images is {len(images)}"
            raise ValueError(f"the number of {places[0]} in the question {counts}")
    return question, images


def _numbered(question: str, images: tuple[Any, ...], numbers: list[int]) -> tuple[str, tuple[Any, ...]]:
    if IMAGE in question:  # the pictures have their places, and the numbers only mention them
        return _NUMBERED_PLACE.sub(lambda match: f"image {match[1] or match[2]}", question), images
    base = 0 if min(numbers) == 0 else 1
    if max(numbers) - base >= len(images):
        match = _NUMBERED_PLACE.search(question)
        found = match[0] if match else ""
        message = (
            f"the question has a place for picture {max(numbers)} ({found}), but the number of images is {len(images)}"
        )
        raise ValueError(message)
    order: list[int] = []

    def place(match: re.Match[str]) -> str:
        number = int(match[1] or match[2])
        if number in order:
            return f"image {number}"
        order.append(number)
        return IMAGE

    text = _NUMBERED_PLACE.sub(place, question)
    if len(order) < len(images):
        raise ValueError(
            f"the question has places for {len(order)} pictures, but the number of images is {len(images)}"
        )
    return text, tuple(images[number - base] for number in order)
