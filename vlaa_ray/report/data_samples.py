"""Sample records for the data page: drawn by chance from every file, verifier type and source."""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from vlaa_ray.data.reservoir import Reservoir
from vlaa_ray.errors import DataError
from vlaa_ray.models.chat import ChatFormat
from vlaa_ray.records import GROUNDING_TYPES, Defect, Prompt
from vlaa_ray.report.samples import pieces, shown_text
from vlaa_ray.report.thumbnails import Mark, Picture, mark_on_picture, thumbnail
from vlaa_ray.rewards.marks import marks_in
from vlaa_ray.rewards.params import VerifierParams
from vlaa_ray.rewards.verifiers.frames import frame_size
from vlaa_ray.text.conversation import as_one_text


class Stratum(NamedTuple):
    """The key of a class of similar records: same file, verifier type and source."""

    file: str
    verifier_type: str
    source: str


class DrawnRecord(NamedTuple):
    """A record and its row in the file."""

    row: int
    prompt: Prompt


@dataclass
class Draw:
    """A random draw of up to `limit` records of every stratum, and of up to `limit` bad records.

    Within a stratum every record has the same chance.
    """

    limit: int
    rng: random.Random
    drawn: dict[Stratum, Reservoir[DrawnRecord]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.bad: Reservoir[Defect] = Reservoir(self.limit, self.rng)

    def take_in(self, file: str, rows: Iterable[tuple[int, Prompt | Defect]]) -> None:
        """Offer all rows of a file, as (row number, record or defect), to the draw."""
        for row, read in rows:
            if isinstance(read, Defect):
                self.bad.offer(read)
                continue
            stratum = Stratum(file, read.verifier_type, read.source)
            self.drawn.setdefault(stratum, Reservoir(self.limit, self.rng)).offer(DrawnRecord(row, read))

    def chosen(self) -> list[tuple[Stratum, DrawnRecord]]:
        """Return the records to show, at most `limit`; the strata take turns."""
        turns = [[(stratum, record) for record in drawn.items] for stratum, drawn in self.drawn.items()]
        rounds = (turn[number] for number in range(self.limit) for turn in turns if number < len(turn))
        return list(itertools.islice(rounds, self.limit))


@dataclass(frozen=True)
class DataSample:
    """The texts and pictures that the page shows of one record.

    `solution` is cut into pieces as a completion is, or None for a record without one. `not_drawn` says why some
    of the gold is not drawn on the picture, or is "".
    """

    source: str
    where: str
    question: str
    gold: str
    gold_type: str
    solution: tuple[tuple[str, str], ...] | None
    facts: tuple[tuple[str, str], ...]
    pictures: tuple[Picture, ...]
    not_drawn: str

    @property
    def has_marks(self) -> bool:
        """True if a box or a point is drawn on one of the pictures."""
        return any(picture.boxes or picture.points for picture in self.pictures)


def data_sample(file: str, record: DrawnRecord, params: VerifierParams, chat: ChatFormat | None) -> DataSample:
    """Return what the page shows of a record; with a model's chat format also its image and prompt tokens."""
    prompt = record.prompt
    marks, not_drawn = _marks(prompt, params.of(prompt))
    return DataSample(
        source=prompt.source,
        where=f"row {record.row} of {file}",
        question=shown_text(as_one_text(prompt)),
        gold=shown_text(prompt.gold_text),
        gold_type=type(prompt.gold).__name__,
        solution=None if prompt.solution is None else pieces(shown_text(prompt.solution)),
        facts=tuple((title, text) for title, text in _facts(prompt, chat) if text),
        pictures=tuple(
            thumbnail(image, marks if place == prompt.gold_image_index else ())
            for place, image in enumerate(prompt.images)
        ),
        not_drawn=not_drawn,
    )


def _facts(prompt: Prompt, chat: ChatFormat | None) -> Iterator[tuple[str, str]]:
    yield "id", shown_text(prompt.prompt_id)
    yield "format", prompt.record_format
    yield "verifier", f"{prompt.verifier_type} {shown_text(prompt.verifier_params) if prompt.verifier_params else ''}"
    yield "images", ", ".join(f"{image.width_px} x {image.height_px} px" for image in prompt.images)
    if chat is None:
        return
    try:
        yield "image tokens", ", ".join(str(chat.num_image_tokens(image)) for image in prompt.images)
        yield "prompt tokens", str(len(chat.expanded_token_ids(prompt)))
    except DataError as error:
        yield "can't be used as a prompt", error.one_line()


def _marks(prompt: Prompt, params: dict[str, Any]) -> tuple[tuple[Mark, ...], str]:
    """Return the gold's boxes or points, and why some or all of them can't be drawn, or ""."""
    if prompt.verifier_type not in GROUNDING_TYPES or not prompt.images:
        return (), ""
    frame = params.get("gold_frame") or params.get("frame")
    if frame is None:
        return (), "the record does not say in which frame its coordinates are"
    size = frame_size(frame, params.get("image_size"), params.get("input_size"))
    if isinstance(size, str):
        return (), f"{size}; give a config to know it" if frame == "resized_px" else size
    shares, missing = marks_in(prompt.gold, prompt.verifier_type, size)
    return tuple(mark_on_picture("gold", one) for one in shares), missing
