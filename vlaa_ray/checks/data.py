"""The check of data before a run: one pass that finds every defect with its file and row, and counts what is there.

For example:

    report = check_data([Path("train.jsonl")], config.data, rewards, config)
    report.defects[0]  -> Defect(id="7", file="train.jsonl", row=7, reason="the image is damaged: …")
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from contextlib import nullcontext, suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from vlaa_ray.config import DataSection, ModelSection, TrainingConfig
from vlaa_ray.data.files.sources import record_files
from vlaa_ray.data.prompt_checks import faults_of
from vlaa_ray.data.readers import UNSOLVED, defect_of, iterate_for, row_id
from vlaa_ray.errors import DataError
from vlaa_ray.images.decode import load
from vlaa_ray.images.near_duplicates import NEAR_PX, LookAlikes, Pair, Place
from vlaa_ray.models.chat import ChatFormat, chat_format_of
from vlaa_ray.records import VERIFIER_TYPES, Defect, ImageRef, Preference, Prompt, prompt_of
from vlaa_ray.rewards.gold_checks import gold_faults
from vlaa_ray.rewards.manager import RewardManager
from vlaa_ray.text.placeholders import without_images

if TYPE_CHECKING:
    from rich.table import Table

_BATCH = 256
_SHOWN = 20
_MOST_PAIRS = 1000
_MOST_CHARS = 32_000


@dataclass
class Report:
    """The result of a check: the defects of the data and its statistics. A run on data without defects is safe.

    `statistics` holds counts by format, source, verifier type and type of gold, the spread (least, median, most) of
    image sizes in pixels and of lengths in tokens, and the pairs of similar images in different sources.
    """

    defects: list[Defect] = field(default_factory=list)
    statistics: dict[str, Any] = field(default_factory=dict)

    def as_json(self) -> str:
        """Return the report as `vlaa-ray data check --report` writes it."""
        defects = [asdict(defect) for defect in self.defects]
        return json.dumps({"defects": defects, "statistics": self.statistics}, indent=1)


def check_data(
    paths: Sequence[str | Path], data: DataSection, rewards: RewardManager | None, config: TrainingConfig | None
) -> Report:
    """Return all defects of the data at these paths, in the order of paths and rows, with statistics.

    A path may be anything that `data.train` accepts; `data` says how its files are read. With `rewards`, every gold is
    tested with its verifier. With a config, images and texts must suit its model, and lengths its limits. Without one,
    the built-in model is used in its place, and the only limit on lengths is 32,000 characters for a question.

    Raises DataError if a path or a file can't be read at all.
    """
    checker = _Checker(rewards, config)
    for path in paths:
        source = data.source_at(str(path))
        for file in record_files(path):
            checker.check(str(path), file, iterate_for(file, source, data.fetch, config))
    return checker.report()


class _Checker:
    """The state of one check: everything that later records are compared with."""

    def __init__(self, rewards: RewardManager | None, config: TrainingConfig | None) -> None:
        self._rewards = rewards
        self._solved = _solved(config)
        self._limits = _limits(config)
        self._counts_tokens = config is not None
        self._learns_answers = config is not None and config.learns_from != "rewards"
        self._chat = chat_format_of(config.model if config else ModelSection(path="builtin:tiny-base"))
        self._report = Report()
        self._first: dict[tuple[str, str | bytes], Place] = {}
        self._pictures = LookAlikes()
        self._damaged: dict[str, str] = {}
        self._counts: dict[str, Counter[str]] = {
            name: Counter() for name in ("format", "source", "verifier_type", "gold_type")
        }
        self._sizes: list[tuple[int, int]] = []
        self._prompt_tokens: list[int] = []
        self._answer_tokens: list[int] = []
        self._num_rows = 0

    def check(self, source: str, file: Path, rows: Iterator[tuple[int, Prompt | Preference | DataError]]) -> None:
        """Check the rows of one file, each a row number with its record or the error that it raised."""
        pending: list[tuple[int, Prompt]] = []
        for number, read in rows:
            self._num_rows += 1
            if isinstance(read, DataError):
                self._report.defects.append(defect_of(read, file, number))
                continue
            place = Place(source, str(file), number)
            prompt = prompt_of(read)
            self._count(prompt)
            reasons = (
                *self._repeats(prompt, read, place),
                *faults_of(prompt),
                *self._damaged_images(prompt, place),
                *self._unfit_for_the_model(prompt, read),
            )
            for reason in dict.fromkeys(reasons):
                self._add(prompt.prompt_id, file, number, reason)
            pending.append((number, prompt))
            if len(pending) == _BATCH:
                self._judge(pending, file)
                pending = []
        self._judge(pending, file)

    def report(self) -> Report:
        """Return the report on all files so far, its defects sorted by file and row."""
        files = dict.fromkeys(defect.file for defect in self._report.defects)
        order = {file: place for place, file in enumerate(files)}
        self._report.defects.sort(key=lambda defect: (order[defect.file], defect.row))
        pairs = self._pictures.pairs
        self._report.statistics = {
            "records": self._num_rows,
            "records_with_defects": len({(defect.file, defect.row) for defect in self._report.defects}),
            **{name: dict(counts.most_common()) for name, counts in self._counts.items()},
            "image_width_px": _spread([width for width, _ in self._sizes]),
            "image_height_px": _spread([height for _, height in self._sizes]),
            "image_px": _spread([width * height for width, height in self._sizes]),
            "prompt_tokens": _spread(self._prompt_tokens),
            "answer_tokens": _spread(self._answer_tokens),
            "look_alike_images": self._pictures.num_alike,
            "shared_images": len(pairs),
            "image_pairs": [_pair_as_json(pair) for pair in pairs[:_MOST_PAIRS]],
        }
        return self._report

    def _add(self, identity: str, file: Path, row: int, reason: str) -> None:
        self._report.defects.append(Defect(identity, str(file), row, reason))

    def _repeats(self, prompt: Prompt, read: Prompt | Preference, place: Place) -> Iterator[str]:
        """Yield why the record repeats an earlier one: the same id in this source, or question and images anywhere.

        Records of preferences are compared with their answers, as one prompt may have many pairs of answers.
        """
        answers = read.answers if isinstance(read, Preference) else ()
        question = without_images(prompt.question)
        asked = "\0".join([*(image.sha256 for image in prompt.images), question, *answers])
        key = hashlib.sha256(asked.encode("utf-8", "surrogatepass")).digest()
        same: list[tuple[str, str | bytes]] = [
            ("question, images and answers" if answers else "question and images", key)
        ]
        if not answers and prompt.prompt_id != row_id(Path(place.file), place.row):
            same.insert(0, ("id", f"{place.source}\0{prompt.prompt_id}"))
        for what, value in same:
            first = self._first.setdefault((what, value), place)
            if first != place:
                yield f"the same {what} as {first}"

    def _count(self, prompt: Prompt) -> None:
        self._counts["format"][prompt.record_format or "built-in"] += 1
        self._counts["source"][prompt.source] += 1
        self._counts["verifier_type"][prompt.verifier_type] += 1
        self._counts["gold_type"][type(prompt.gold).__name__] += 1

    def _damaged_images(self, prompt: Prompt, place: Place) -> Iterator[str]:
        """Yield what is wrong with each damaged image, and keep the sizes of the others."""
        for image in prompt.images:
            if fault := self._fault(image, place):
                yield fault
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

    def _unfit_for_the_model(self, prompt: Prompt, read: Prompt | Preference) -> Iterator[str]:
        """Yield why a run with this config can't use the record: a missing solution, its model, or its limits."""
        if prompt.verifier_type in self._solved and prompt.solution is None:
            yield UNSOLVED
        if not self._counts_tokens and (length := len(prompt.question)) > _MOST_CHARS:
            yield f"the question has {length} characters, more than {_MOST_CHARS}; with --config its tokens are counted"
            return
        answers: list[int] = []
        try:
            asked = len(self._chat.expanded_token_ids(prompt))
            if prompt.verifier_type == "open_ended" and not self._learns_answers:  # a reward model will read the gold
                self._chat.refuse_control_tokens(prompt.gold_text, "the gold")
            with nullcontext() if self._learns_answers else suppress(DataError):
                answers = list(_answer_tokens(read, self._chat))
        except DataError as error:
            yield error.one_line()
            return
        if not self._counts_tokens:  # without a config the real model's tokens are unknown
            return
        self._prompt_tokens.append(asked)
        self._answer_tokens += answers
        for what, most, counts in (("prompt", self._limits[0], [asked]), ("answer", self._limits[1], answers)):
            for tokens in counts:
                if most and tokens > most.tokens:
                    yield f"the {what} has {tokens} tokens, over {most.key} = {most.tokens}"

    def _judge(self, pending: Sequence[tuple[int, Prompt]], file: Path) -> None:
        """Add a defect for each prompt whose gold can't judge any answer."""
        if self._rewards is None:
            return
        faults = gold_faults(self._rewards, [prompt for _, prompt in pending])
        for (number, prompt), fault in zip(pending, faults, strict=True):
            if fault:
                self._add(prompt.prompt_id, file, number, fault)


def _solved(config: TrainingConfig | None) -> Collection[str]:
    """Return the verifier types whose prompts need a solution (a worked answer) in this kind of run."""
    if config is None or config.learns_from != "solutions":
        return ()
    return config.data.verifier_types or VERIFIER_TYPES


class _Limit(NamedTuple):
    """The most tokens, and the key of the config that sets this limit."""

    key: str
    tokens: int


def _limits(config: TrainingConfig | None) -> tuple[_Limit | None, _Limit | None]:
    """Return the limits of a prompt and of a written answer to learn from; None where there is no limit."""
    if config is None:
        return None, None
    key, limits = config.limits_key, config.limits
    prompt = _Limit(f"{key}.max_prompt_tokens", limits.max_prompt_tokens)
    if config.learns_from == "rewards":
        return prompt, None
    return prompt, _Limit(f"{key}.max_completion_tokens", limits.max_completion_tokens)


def _answer_tokens(read: Prompt | Preference, chat: ChatFormat) -> Iterator[int]:
    """Yield the number of tokens of each written answer, as a learner counts them."""
    if isinstance(read, Preference):
        yield from (len(chat.turn_token_ids(answer)) + 1 for answer in read.answers)  # and one id that is only a target
    elif read.solution is not None:
        yield len(chat.completion_token_ids(read.solution))


def _pair_as_json(pair: Pair) -> dict[str, Any]:
    first, second = ({"file": place.file, "row": place.row} for place in (pair.first, pair.second))
    return {"how": pair.how, "first": first, "second": second}


def _spread(values: Sequence[int]) -> dict[str, float]:
    """Return the least, the median and the largest value; nothing for no values."""
    if not values:
        return {}
    return {"least": min(values), "median": float(np.median(values)), "most": max(values)}


def report_table(report: Report) -> Table:
    """Return the statistics as a table, then the first 20 pairs of images in different sources and 20 defects."""
    from rich.table import Table

    table = Table(title="Data", title_justify="left", show_header=False)
    table.add_column(no_wrap=True)
    table.add_column()
    for name, value in report.statistics.items():
        if isinstance(value, list) or value == {}:
            continue
        shown = ", ".join(f"{key} {number:g}" for key, number in value.items()) if isinstance(value, dict) else value
        table.add_row(name.replace("_", " "), _shown(str(shown)))
    sections = [
        ([_pair_line(pair) for pair in report.statistics["image_pairs"]], report.statistics["shared_images"]),
        ([_defect_line(defect) for defect in report.defects], len(report.defects)),
    ]
    for lines, count in sections:
        table.add_section()
        for place, text in lines[:_SHOWN]:
            table.add_row(f"[red]{_shown(place)}[/]", _shown(text))
        if count > _SHOWN:
            table.add_row("", f"… and {count - _SHOWN} more")
    return table


def _shown(text: str) -> str:
    """Return the text as a terminal can print it: half of a surrogate pair becomes its escape."""
    from rich.markup import escape

    return escape(text.encode("utf-8", "backslashreplace").decode())


def _pair_line(pair: dict[str, Any]) -> tuple[str, str]:
    """Return the place of the second image, and which image it resembles."""
    first, second = (f"{Path(pair[key]['file']).name}:{pair[key]['row']}" for key in ("first", "second"))
    how = "the same image as" if pair["how"] == "the same" else "an image that looks like that of"
    return second, f"{how} {first}"


def _defect_line(defect: Defect) -> tuple[str, str]:
    """Return the place of a defect, and its record's id with the reason."""
    return f"{Path(defect.file).name}:{defect.row}", f"{defect.id}: {defect.reason}"
