"""Step 1 makes a sample of each record, and puts its picture into the run's folder `images/`, each picture once.

The samples are written to `samples.jsonl` and read back in blocks, so only hashes of pictures and names stay in memory.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import os
import re
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from vlaa_ray.config import CurationConfig, CurationSourceSection, FetchSection
from vlaa_ray.config.base_folder import BUILTIN
from vlaa_ray.config.curation import SCRIPTED
from vlaa_ray.curation.answers import clean_gold
from vlaa_ray.curation.refusals import Refusals
from vlaa_ray.curation.sample import Sample
from vlaa_ray.data.files.sources import record_files
from vlaa_ray.data.prompt_checks import faults_of
from vlaa_ray.data.readers import iterate_prompts, row_id
from vlaa_ray.errors import ConfigError, DataError
from vlaa_ray.images.decode import load, mime_type
from vlaa_ray.images.near_duplicates import NEAR_PX
from vlaa_ray.records import VERIFIER_TYPES, ImageRef, Prompt

BLOCK = 32
"""The number of samples that go through the steps together, as one item of the data stream."""
_NAME_CHARS = 60  # at most 240 bytes in UTF-8; the name of a folder may have 255
_UNSAFE = re.compile(r"[^\w.-]+")
_SUFFIX = re.compile(r"\.[a-z0-9]{1,5}")


@dataclass(frozen=True)
class Collected:
    """The file of all samples, the byte offset of each block in it, the number of samples, and what was refused."""

    file: Path
    offsets: tuple[int, ...]
    num_samples: int
    refusals: Refusals


def collect(config: CurationConfig, folder: Path) -> Collected:
    """Write `samples.jsonl` and the pictures into the folder.

    Raises DataError if a source can't be read, holds no record or none that can be used, and ConfigError if a picture
    can't be written.
    """
    file, offsets, count, refusals = folder / "samples.jsonl", [], 0, Refusals()
    with file.open("wb") as out:
        for sample in refusals.watched(iterate_samples(config, folder / "images")):
            if count % BLOCK == 0:
                offsets.append(out.tell())
            out.write(_line(sample).encode() + b"\n")
            count += 1
    if not count:
        raise DataError("the sources hold no record", fix="check `sources` in the config, and the files that it names")
    refusals.raise_if_all()
    return Collected(file, tuple(offsets), count, refusals)


def iterate_samples(config: CurationConfig, images: Path | None) -> Iterator[Sample]:
    """Yield a sample for each record. Pictures are put below `images`; with None they are put nowhere.

    If a record can't be used, or an earlier sample has the same picture, its sample is dropped at the step `metadata`.
    The sample's id is the record's id, with `#INDEX` behind it if an earlier record has the same id.
    """
    taken, index, names = _Images(images, config.unique_images), itertools.count(), set()
    for section in config.sources:
        only_builtin = _shown_to_scripted(section, config)
        for record in islice(_records(section, config.fetch), section.max_samples):
            sample = _sample(record, next(index), section, taken, only_builtin)
            if _short_hash(sample.sample_id) in names:
                sample = sample.with_(sample_id=f"{sample.sample_id}#{sample.index}")
            names.add(_short_hash(sample.sample_id))
            yield sample


def _shown_to_scripted(section: CurationSourceSection, config: CurationConfig) -> bool:
    """Return whether the scripted teacher describes pictures of a source that may be others than the built-in ones."""
    url = config.teachers[config.steps.caption.teacher].url
    return section.use == "distill" and url == SCRIPTED and not section.path.startswith(BUILTIN)


def _line(sample: Sample) -> str:
    try:
        return sample.to_json()
    except RecursionError:
        return sample.with_(gold=None).drop("metadata", "the gold is nested too deeply").to_json()


def read_block(file: Path, offset: int) -> list[Sample]:
    """Return the block of samples that begins at this byte offset of the file."""
    with file.open("rb") as opened:
        opened.seek(offset)
        return [Sample.from_json(line.decode()) for line in islice(opened, BLOCK)]


def with_sound_picture(sample: Sample, images: Path) -> Sample:
    """Return the sample, dropped at `metadata` if its picture below `images` can't be decoded.

    So no teacher is paid for a sample with a damaged picture.
    """
    if sample.dropped_at:
        return sample
    try:
        load(ImageRef(sha256=sample.image_sha256, width_px=0, height_px=0, path=str(images / sample.image)), NEAR_PX)
    except DataError as error:
        return sample.drop("metadata", "the picture is damaged", error.one_line())
    return sample


def _records(section: CurationSourceSection, fetch: FetchSection) -> Iterator[tuple[str, Prompt | DataError]]:
    """Yield (`FILE:ROW`, prompt) for each record, with a DataError in place of the prompt if it can't be read."""
    keep = (*section.side_information, *filter(None, [section.caption_field]))
    for file in record_files(section.path):
        how = (section.image_root, VERIFIER_TYPES, section.verifier_type, keep, fetch)
        for row, read in iterate_prompts(file, *how):
            yield row_id(file, row), read


def _sample(
    record: tuple[str, Prompt | DataError],
    index: int,
    section: CurationSourceSection,
    images: _Images,
    only_builtin: bool,
) -> Sample:
    name, prompt = record
    if isinstance(prompt, DataError):
        blank = _blank(name, index, section).with_(source=section.name or name.rpartition(":")[0])
        return blank.drop("metadata", "the record can't be read", prompt.one_line())
    source = section.name or prompt.source
    gold = clean_gold(prompt.gold, prompt.verifier_type)
    sample = _blank(prompt.prompt_id, index, section).with_(
        source=source,
        question=prompt.question,
        gold=gold,
        verifier_type=prompt.verifier_type,
        verifier_params=prompt.verifier_params,
        side_information=_joined_texts(prompt.meta, section.side_information),
        caption=_joined_texts(prompt.meta, filter(None, [section.caption_field])),
        solution=(prompt.solution or "") if section.use == "as_is" else "",
    )
    if fault := next(faults_of(prompt), ""):
        return sample.drop("metadata", "the question can't be used in a prompt", fault)
    if prompt.history:
        return sample.drop("metadata", "the record has earlier turns, which the teachers are not shown")
    if len(prompt.images) != 1:
        return sample.drop("metadata", "not exactly one picture", f"{len(prompt.images)} pictures")
    if section.use == "as_is" and not sample.solution:
        return sample.drop("metadata", "the record has no worked answer")
    (image,) = prompt.images
    if only_builtin and not sample.caption and (fault := _not_builtin(image)):
        return sample.drop("metadata", "the scripted teacher knows only the built-in pictures", fault)
    sample = sample.with_(image_sha256=image.sha256)
    place = images.take(image, source)
    return sample.with_(image=place) if place else sample.drop("metadata", "an earlier sample has the same picture")


def _not_builtin(image: ImageRef) -> str:
    """Return why the scripted teacher can't describe the picture, or an empty text."""
    from vlaa_ray.curation.scripted_answers import caption_of

    try:
        caption_of(load(image), seed=1)
    except (DataError, ValueError) as error:
        return f"{error}; name a real teacher for steps.caption"
    return ""


def _blank(identity: str, index: int, section: CurationSourceSection) -> Sample:
    return Sample(
        index=index, sample_id=identity, source=section.name or "", use=section.use, image="", image_sha256="",
        question="", gold=None, verifier_type="",
    )  # fmt: skip


def _joined_texts(meta: dict[str, Any], fields: Any) -> str:
    values = [meta[name] for name in fields if name in meta]
    texts = [
        value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str) for value in values
    ]
    return "\n".join(text.strip() for text in texts if text.strip())


def _short_hash(name: str) -> bytes:
    return hashlib.sha256(name.encode("utf-8", "surrogatepass")).digest()[:16]


class _Images:
    """The pictures of the samples so far, as files that are named by the hash of their content."""

    def __init__(self, folder: Path | None, unique: bool) -> None:
        self._folder = folder
        self._unique = unique
        self._taken: set[bytes] = set()

    def take(self, image: ImageRef, source: str) -> str | None:
        """Return the picture's path below the folder; None if it was taken before and pictures must be unique.

        The file is a hard link to the original if possible, otherwise a copy.
        """
        digest = bytes.fromhex(image.sha256)[:16]
        if self._unique and digest in self._taken:
            return None
        self._taken.add(digest)
        name = f"{_folder_of(source)}/{image.sha256[:32]}{_suffix(image)}"
        if self._folder and not (target := self._folder / name).exists():
            try:
                target.parent.mkdir(parents=True, exist_ok=True)
                _place(image, target)
            except OSError as error:
                fix = "free space, or set run.dir"
                raise ConfigError(f"can't put a picture into the run folder: {error}", fix=fix) from error
        return name


def _folder_of(source: str) -> str:
    """Return the folder name for a source; never `images`, because readers remove a leading `images/` from a path."""
    name = _UNSAFE.sub("_", source)[:_NAME_CHARS].strip(".") or "unnamed"
    return "images_" if name == "images" else name


def _place(image: ImageRef, target: Path) -> None:
    partial = target.with_name(f".{target.name}")
    partial.unlink(missing_ok=True)
    if image.data is not None:
        partial.write_bytes(image.data)
    else:
        original = Path(str(image.path)).resolve()
        try:
            os.link(original, partial)
        except OSError:  # on another disk
            shutil.copyfile(original, partial)
    partial.replace(target)


def _suffix(image: ImageRef) -> str:
    if image.data is not None:
        return "." + mime_type(image.data).removeprefix("image/")
    suffix = Path(str(image.path)).suffix.lower()
    return suffix if _SUFFIX.fullmatch(suffix) else ""
