"""The check of data before a run: one pass that finds every defect with its file and row, and counts what is there.

For example:

    report = check_data([Path("train.jsonl")], config.data, rewards, config)
    report.defects[0]  -> Defect(id="7", file="train.jsonl", row=7, reason="the image is damaged: …")
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from vlaa_ray.checks.data_report import Remarks, Report, place_of
from vlaa_ray.checks.fitness import Fitness, Misfit
from vlaa_ray.checks.golds import GoldWatch
from vlaa_ray.config import DataSection, TrainingConfig
from vlaa_ray.data.files.sources import found_files
from vlaa_ray.data.prompt_checks import faults_of
from vlaa_ray.data.readers import defect_of, iterate_for, row_id
from vlaa_ray.data.reading_notes import ReadingNotes
from vlaa_ray.errors import DataError
from vlaa_ray.images.decode import load
from vlaa_ray.images.near_duplicates import NEAR_PX, LookAlikes, Pair, Place
from vlaa_ray.records import Defect, ImageRef, Preference, Prompt, prompt_of
from vlaa_ray.rewards.gold_checks import gold_faults
from vlaa_ray.rewards.manager import RewardManager
from vlaa_ray.text.conversation import context_key
from vlaa_ray.text.placeholders import without_images

_BATCH = 256
_MOST_PAIRS = 1000
_NO_JSON = "a line is not JSON"
_GOLD_CHARS = 60
_OF_GOLD = "the gold "


def check_data(
    paths: Sequence[str | Path], data: DataSection, rewards: RewardManager | None, config: TrainingConfig | None
) -> Report:
    """Return all defects of the data at these paths, in the order of paths and rows, with statistics.

    A path may be anything that `data.train` accepts; `data` says how its files are read. With `rewards`, every gold is
    tested with its verifier. With a config, images and texts must suit its model, and lengths its limits. Without one,
    the built-in model is used in its place, and the only limit on lengths is 32,000 characters for a question.

    A path or a file that can't be read at all is a defect in row 0; the others are checked.
    """
    checker = _Checker(data, rewards, config)
    for path in paths:
        checker.check_source(str(path))
    return checker.report()


class _Asked(NamedTuple):
    """The place where a question was asked first, and its gold there."""

    place: Place
    gold: str


class _Checker:
    """The state of one check: everything that later records are compared with."""

    def __init__(self, data: DataSection, rewards: RewardManager | None, config: TrainingConfig | None) -> None:
        self._data, self._rewards, self._config = data, rewards, config
        self._chooses = config is not None and config.learns_from != "preferences"
        self._fitness = Fitness(config)
        self._golds = GoldWatch()
        self._report = Report()
        self._warnings, self._unused = Remarks(), Remarks()
        self._ids: dict[str, Place] = {}
        self._asked: dict[bytes, _Asked] = {}
        self._pictures = LookAlikes()
        self._damaged: dict[str, str] = {}
        self._counts: dict[str, Counter[str]] = {
            name: Counter() for name in ("format", "source", "verifier_type", "gold_type")
        }
        self._left_out: Counter[str] = Counter()
        self._before: Counter[str] = Counter()
        self._sizes: list[tuple[int, int]] = []
        self._num_rows = 0

    def check_source(self, source: str) -> None:
        """Check all files of a path as `data.train` names it."""
        try:
            found = found_files(source)
        except DataError as error:
            self._add_file_fault(Path(source), error)
            return
        for skipped in found.skipped:
            self._unused.add(f"a file of the folder is left out: {skipped.reason}", place_of(skipped.path, 0))
        num_read, num_left_out = self._counts["verifier_type"].total(), self._left_out.total()
        num_rows = {file: self._check_file(source, file) for file in found.files}
        self._name_empty(num_rows)
        num_read, num_left_out = (
            self._counts["verifier_type"].total() - num_read,
            self._left_out.total() - num_left_out,
        )
        if num_read and num_left_out == num_read:
            types = ", ".join(dict.fromkeys(self._data.verifier_types or ()))
            fix = "name the types of the records in data.verifier_types, or set `verifier_type` in the records"
            self._add_file_fault(Path(source), DataError(f"no record is of data.verifier_types ({types})", fix=fix))

    def report(self) -> Report:
        """Return the report on all files so far, its defects sorted by file and row."""
        files = dict.fromkeys(defect.file for defect in self._report.defects)
        order = {file: place for place, file in enumerate(files)}
        self._report.defects.sort(key=lambda defect: (order[defect.file], defect.row))
        for oddity, count in self._golds.lopsided():
            self._warnings.add(oddity.reason, "", count=count, fix=oddity.fix)
        for kind, count in self._left_out.items():
            self._unused.add(f"left out: data.verifier_types does not name {kind}", "", count=count)
        pairs, fitness = self._pictures.pairs, self._fitness
        self._report.warnings, self._report.unused = self._warnings.sorted(), self._unused.sorted()
        self._report.statistics = {
            "records": self._num_rows,
            "records_with_defects": len({(one.file, one.row) for one in self._report.defects if one.row}),
            **{name: dict(counts.most_common()) for name, counts in self._counts.items()},
            **{f"records_with_{what}": self._before[what] for what in ("system_text", "earlier_turns")},
            "commonest_gold": {
                kind: f"{top.gold!r} {top.share:.0%} of {top.total:,}"
                for kind, top in self._golds.commonest().items()
                if top.num_records > 1
            },
            "gold_shares": [{kind: shares} for kind, shares in self._golds.shares().items()],
            "left_out_by_verifier_types": dict(self._left_out.most_common()),
            "image_width_px": _spread([width for width, _ in self._sizes]),
            "image_height_px": _spread([height for _, height in self._sizes]),
            "image_px": _spread([width * height for width, height in self._sizes]),
            "prompt_tokens": _spread(fitness.prompt_tokens),
            "answer_tokens": _spread(fitness.answer_tokens),
            "look_alike_images": self._pictures.num_alike,
            "shared_images": len(pairs),
            "image_pairs": [_pair_as_json(pair) for pair in pairs[:_MOST_PAIRS]],
        }
        return self._report

    def _check_file(self, source: str, file: Path) -> int | None:
        """Check a file and return the number of its rows, or None if it can't be read to its end.

        What was read before the fault is checked all the same.
        """
        notes = ReadingNotes(str(file))
        pending: list[tuple[int, Prompt]] = []
        no_json: list[Defect] = []
        number, is_whole = 0, True
        try:
            rows = iterate_for(file, self._data.source_at(source), self._data.fetch, self._config, notes)
            for number, read in rows:
                self._num_rows += 1
                if isinstance(read, DataError):
                    defect = defect_of(read, file, number)
                    (no_json if read.message.startswith(_NO_JSON) else self._report.defects).append(defect)
                elif self._check_record(read, Place(source, str(file), number)):
                    pending.append((number, prompt_of(read)))
                if len(pending) == _BATCH:
                    self._judge(pending, file)
                    pending = []
        except DataError as error:
            is_whole = False
            self._add_file_fault(file, error)
        self._judge(pending, file)
        self._add_no_json(file, no_json, number)
        self._add_notes(notes, file)
        return number if is_whole else None

    def _check_record(self, read: Prompt | Preference, place: Place) -> bool:
        """Check a record; its gold is not judged yet. Return whether the gold can be judged."""
        prompt = prompt_of(read)
        self._count(prompt)
        misfits = (
            *self._repeats(prompt, read, place),
            *(Misfit(fault) for fault in faults_of(prompt)),
            *(Misfit(fault) for fault in self._damaged_images(prompt, place)),
            *self._fitness.misfits(prompt, read),
        )
        for misfit in dict.fromkeys(misfits):
            self._report.defects.append(Defect(prompt.prompt_id, place.file, place.row, misfit.reason, fix=misfit.fix))
        for oddity in () if isinstance(read, Preference) else self._golds.oddities(prompt):
            self._warnings.add(oddity.reason, place_of(place.file, place.row), fix=oddity.fix)
        return not any(misfit.reason.startswith(_OF_GOLD) for misfit in misfits)

    def _add_file_fault(self, file: Path, error: DataError) -> None:
        """Add a defect of a whole file, in row 0."""
        defect = defect_of(error, file, 0)
        row = error.facts.get("row")
        reason = f"{defect.reason}; the file can't be read from row {row} on" if row else defect.reason
        self._report.defects.append(replace(defect, id=file.name or str(file), reason=reason))

    def _name_empty(self, num_rows: Mapping[Path, int | None]) -> None:
        """Name the files without a record: a defect if no file of the source has one, else something to look at."""
        for file in (file for file, number in num_rows.items() if number == 0):
            if any(number != 0 for number in num_rows.values()):
                self._warnings.add("a file of the folder holds no record", place_of(file, 0))
            else:
                fix = "check how the file was made; a run ends if its data holds no record"
                self._add_file_fault(file, DataError("the file holds no record", fix=fix))

    def _add_no_json(self, file: Path, defects: list[Defect], num_rows: int) -> None:
        """Add the lines that are not JSON. If all lines are such, the file is of another kind: that is one defect."""
        if len(defects) > 1 and len(defects) == num_rows:
            self._num_rows -= num_rows
            message = f"the file is not JSON Lines: none of its {num_rows:,} lines is JSON"
            detail = defects[0].reason.removeprefix(_NO_JSON).lstrip(": ")
            fix = "give the file the suffix of its format, or convert it to JSON Lines: one object a line"
            self._add_file_fault(file, DataError(f"{message} (row 1: {detail})", fix=fix))
        else:
            self._report.defects += defects

    def _add_notes(self, notes: ReadingNotes, file: Path) -> None:
        """Add what the readers of a file left unread, and the records without a picture."""
        for name, count in notes.unread_columns.items():
            place = place_of(file, notes.first_rows[name])
            self._unused.add(f"no reader looks at the column `{name}`", place, count=count)
        for name, count in notes.unseen.items():
            place = place_of(file, notes.first_rows[name])
            self._unused.add(f"the model will not see the {name} of the record", place, count=count)
        if notes.without_picture:
            place = place_of(file, notes.first_rows["without picture"])
            self._unused.add("the record has no picture", place, count=notes.without_picture)

    def _repeats(self, prompt: Prompt, read: Prompt | Preference, place: Place) -> Iterator[Misfit]:
        """Yield why the record repeats an earlier one: the same id in this source, or question and images anywhere.

        Records of preferences are compared with their answers, as one prompt may have many pairs of answers.
        """
        answers = read.answers if isinstance(read, Preference) else ()
        if not answers and prompt.prompt_id != row_id(Path(place.file), place.row):
            first = self._ids.setdefault(f"{place.source}\0{prompt.prompt_id}", place)
            if first != place:
                yield Misfit(f"the same id as {first}")
        question = without_images(prompt.question)
        asked = "\0".join([*(image.sha256 for image in prompt.images), *context_key(prompt), question, *answers])
        key = hashlib.sha256(asked.encode("utf-8", "surrogatepass")).digest()
        gold = " ".join(prompt.gold_text[:_GOLD_CHARS].split())
        earlier = self._asked.setdefault(key, _Asked(place, gold))
        if earlier.place == place:
            return
        if answers:
            yield Misfit(f"the same question, images and answers as {earlier.place}")
        elif earlier.gold == gold:
            yield Misfit(f"the same question and images as {earlier.place}")
        else:
            reason = f"the same question and images as {earlier.place}, but another gold: {gold!r} here"
            yield Misfit(f"{reason}, {earlier.gold!r} there", "leave out the record with the wrong gold")

    def _count(self, prompt: Prompt) -> None:
        self._counts["format"][prompt.record_format or "built-in"] += 1
        self._counts["source"][prompt.source] += 1
        self._counts["verifier_type"][prompt.verifier_type] += 1
        self._counts["gold_type"][type(prompt.gold).__name__] += 1
        self._before["system_text"] += prompt.system is not None
        self._before["earlier_turns"] += bool(prompt.history)
        chosen = self._data.verifier_types
        if self._chooses and chosen is not None and prompt.verifier_type not in chosen:
            self._left_out[prompt.verifier_type] += 1

    def _damaged_images(self, prompt: Prompt, place: Place) -> Iterator[str]:
        """Yield what is wrong with each damaged image, and keep the sizes of the others."""
        for number, image in enumerate(prompt.images, start=1):
            if fault := self._fault(image, place):
                which = f"image {number} of {len(prompt.images)}: " if len(prompt.images) > 1 else ""
                name = f" ({Path(image.path).name})" if image.path else ""
                yield f"{which}{fault}{name}"
            else:
                self._sizes.append((image.width_px, image.height_px))

    def _fault(self, image: ImageRef, place: Place) -> str:
        """Return why the image can't be decoded, or an empty text. Each image is decoded once, even if it repeats."""
        if image.sha256 not in self._damaged and not self._pictures.knows(image, place):
            try:
                self._pictures.add(image, load(image, NEAR_PX), place)
            except DataError as error:
                self._damaged[image.sha256] = error.one_line()
        return self._damaged.get(image.sha256, "")

    def _judge(self, pending: Sequence[tuple[int, Prompt]], file: Path) -> None:
        """Add a defect for each prompt whose gold can't judge any answer."""
        if self._rewards is None:
            return
        faults = gold_faults(self._rewards, [prompt for _, prompt in pending])
        for (number, prompt), fault in zip(pending, faults, strict=True):
            if fault:
                fix = f"correct the gold, or name another verifier type than {prompt.verifier_type!r}"
                self._report.defects.append(Defect(prompt.prompt_id, str(file), number, fault, fix=fix))


def _pair_as_json(pair: Pair) -> dict[str, Any]:
    first, second = ({"file": place.file, "row": place.row} for place in (pair.first, pair.second))
    return {"how": pair.how, "first": first, "second": second}


def _spread(values: Sequence[int]) -> dict[str, float]:
    """Return the least, the median and the largest value; nothing for no values."""
    if not values:
        return {}
    return {"least": min(values), "median": float(np.median(values)), "most": max(values)}
