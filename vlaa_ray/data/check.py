"""One pass over data before a run: every defect with its file and row, what the data is made of, and what repeats.

report = check_data([Path("train.jsonl")], None, rewards, config)
report.defects[0]  -> Defect(id="7", file="train.jsonl", row=7, reason="the image is damaged: …")
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from vlaa_ray.config import RunConfig
from vlaa_ray.data.chat import ChatFormat
from vlaa_ray.data.files import record_files
from vlaa_ray.data.images import load
from vlaa_ray.data.readers import defect_of, iterate_prompts, told
from vlaa_ray.errors import DataError
from vlaa_ray.records import Defect, Prompt
from vlaa_ray.rewards.mixture import MixedReward

if TYPE_CHECKING:
    from PIL.Image import Image
    from rich.table import Table

_BATCH = 256
_MARK = "<image>"
_SHOWN = 20
_LEAST_PX = 4


@dataclass
class Report:
    """What was found; a run is safe without defects."""

    defects: list[Defect] = field(default_factory=list)
    statistics: dict[str, Any] = field(default_factory=dict)

    def as_json(self) -> str:
        return json.dumps({"defects": [asdict(one) for one in self.defects], "statistics": self.statistics}, indent=1)


def check_data(
    paths: Sequence[str | Path], image_root: str | None, rewards: MixedReward, config: RunConfig | None
) -> Report:
    """All defects of what the paths name, as `data.train` takes them, in their order.

    With a config also those that only its model or limits make.
    """
    checker = _Checker(rewards, config)
    root = image_root or (config.data.image_root if config else None)
    kind = config.data.verifier_type if config else None
    for file in (file for path in paths for file in record_files(path)):
        checker.check(file, iterate_prompts(file, root, rewards.verifier_types, kind))
    return checker.report()


class _Checker:
    def __init__(self, rewards: MixedReward, config: RunConfig | None) -> None:
        self._rewards = rewards
        self._config = config
        self._chat = _chat(config) if config else None
        self._report = Report()
        self._ids: dict[str, tuple[str, int]] = {}
        self._asked: dict[tuple[str, ...], tuple[str, int]] = {}
        self._hashes: dict[int, set[str]] = {}
        self._counts: dict[str, Counter[str]] = {name: Counter() for name in ("source", "verifier_type", "gold_type")}
        self._sizes: list[tuple[int, int]] = []
        self._tokens: list[int] = []
        self._num_rows = 0

    def check(self, file: Path, rows: Iterator[tuple[int, Prompt | DataError]]) -> None:
        """Take in one file."""
        pending: list[tuple[int, Prompt]] = []
        for number, read in rows:
            self._num_rows += 1
            if isinstance(read, DataError):
                self._report.defects.append(defect_of(read, file, number))
                continue
            reasons = [*self._repeats(read, file, number), *self._unfit(read)]
            for reason in reasons:
                self._add(read.prompt_id, file, number, reason)
            pending.append((number, read))
            if len(pending) == _BATCH:
                self._judge(pending, file)
                pending = []
        self._judge(pending, file)

    def report(self) -> Report:
        order = {name: place for place, name in enumerate(dict.fromkeys(one.file for one in self._report.defects))}
        self._report.defects.sort(key=lambda one: (order[one.file], one.row))
        self._report.statistics = {
            "records": self._num_rows,
            "records_with_defects": len({(one.file, one.row) for one in self._report.defects}),
            **{name: dict(counts.most_common()) for name, counts in self._counts.items()},
            "image_px": _spread([width * height for width, height in self._sizes]),
            "prompt_tokens": _spread(self._tokens),
            "look_alike_images": sum(len(same) - 1 for same in self._hashes.values()),
        }
        return self._report

    def _add(self, identity: str, file: Path, row: int, reason: str) -> None:
        self._report.defects.append(Defect(identity, str(file), row, reason))

    def _repeats(self, prompt: Prompt, file: Path, number: int) -> Iterator[str]:
        """A second record with this id, or with these images and this question, be it in another file."""
        asked = (*(image.sha256 for image in prompt.images), prompt.question.strip())
        for known, key, what in ((self._ids, prompt.prompt_id, "id"), (self._asked, asked, "question and images")):
            first = known.setdefault(key, (str(file), number))  # type: ignore[attr-defined]
            if first != (str(file), number):
                yield f"the same {what} as row {first[1]} of {first[0]}"

    def _unfit(self, prompt: Prompt) -> Iterator[str]:
        """What is wrong with the text and the images."""
        self._counts["source"][prompt.source] += 1
        self._counts["verifier_type"][prompt.verifier_type] += 1
        self._counts["gold_type"][type(prompt.gold).__name__] += 1
        if not prompt.question.replace(_MARK, "").strip():
            yield "the question is empty"
        if "\0" in prompt.question:
            yield "the question holds a NUL character"
        if prompt.question.count(_MARK) not in (0, len(prompt.images)):
            yield f"{prompt.question.count(_MARK)} {_MARK} in the question, and {len(prompt.images)} images"
        for image in prompt.images:
            try:
                self._hashes.setdefault(_difference_hash(load(image)), set()).add(image.sha256)
                self._sizes.append((image.width_px, image.height_px))
            except DataError as error:
                yield told(error)
                return
            if min(image.width_px, image.height_px) < _LEAST_PX:
                yield f"an image of {image.width_px} x {image.height_px} pixels shows nothing"
        if self._chat and self._config:
            try:
                tokens = len(self._chat.expanded_token_ids(prompt))
            except DataError as error:
                yield told(error)
                return
            self._tokens.append(tokens)
            limit = self._config.rollout.max_prompt_tokens
            if tokens > limit:
                yield f"the prompt has {tokens} tokens, over rollout.max_prompt_tokens = {limit}"

    def _judge(self, pending: Sequence[tuple[int, Prompt]], file: Path) -> None:
        """Every gold as its own answer, which must be worth something where a rule judges.

        And another answer beside it: equal texts are right even where the gold can't be read.
        """
        judged = [(number, prompt) for number, prompt in pending if self._rewards.is_ruled(prompt)]
        own = self._rewards.score([(prompt, _tagged(prompt.gold_text)) for _, prompt in judged])
        other = self._rewards.score([(prompt, _tagged("0")) for _, prompt in judged])
        for (number, prompt), of_gold, of_other in zip(judged, own, other, strict=True):
            unjudged = next((result.reason for result in (of_gold, of_other) if not result.valid), None)
            if unjudged is not None:
                self._add(prompt.prompt_id, file, number, f"the gold can't be judged: {unjudged}")
            elif of_gold.value == 0:
                self._add(prompt.prompt_id, file, number, f"the gold fails against itself: {of_gold.reason}")


def _chat(config: RunConfig) -> ChatFormat:
    from transformers import AutoConfig

    from vlaa_ray.models.loading import load_processor
    from vlaa_ray.models.paths import local_path

    model_config = AutoConfig.from_pretrained(local_path(config.model.path))
    return ChatFormat(load_processor(config.model), model_config, config.model.system_prompt)


def _tagged(answer: str) -> str:
    return f"<think>.</think><answer>{answer}</answer>"


def _difference_hash(image: Image) -> int:
    """64 bits that alike images share: whether each of 8 x 8 places is darker than the next to its right."""
    grey = np.asarray(image.convert("L").resize((9, 8)), dtype=np.int16)
    return int("".join("1" if darker else "0" for darker in (grey[:, 1:] > grey[:, :-1]).flatten()), 2)


def _spread(values: Sequence[int]) -> dict[str, float]:
    if not values:
        return {}
    return {"least": min(values), "median": float(np.median(values)), "most": max(values)}


def report_table(report: Report) -> Table:
    """What the data is made of, and the first defects."""
    from rich.markup import escape
    from rich.table import Table

    table = Table(title="Data", title_justify="left", show_header=False)
    table.add_column(no_wrap=True)
    table.add_column()
    for name, value in report.statistics.items():
        shown = ", ".join(f"{key} {number:g}" for key, number in value.items()) if isinstance(value, dict) else value
        table.add_row(name.replace("_", " "), escape(str(shown)))
    table.add_section()
    for one in report.defects[:_SHOWN]:
        table.add_row(f"[red]{escape(Path(one.file).name)}:{one.row}[/]", escape(f"{one.id}: {one.reason}"))
    if len(report.defects) > _SHOWN:
        table.add_row("", f"… and {len(report.defects) - _SHOWN} more")
    return table
