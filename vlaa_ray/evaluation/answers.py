"""`answers.jsonl`: every answer of the model, one line each, appended as it comes; an evaluation resumes from it.

A line is a JSON object with benchmark, index, sample, prediction, finish_reason and num_tokens, and with `request`, the
hash of all that shaped the answer. So answers of another model, or to another wording, are never taken for these.
"""

from __future__ import annotations

import json
import os
import queue
import threading
import time
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple

from vlaa_ray.errors import DataError
from vlaa_ray.storage.atomic import write_whole
from vlaa_ray.storage.metrics_file import drop_torn_line

ANSWERS = "answers.jsonl"
_SYNC_EVERY_S = 1.0
_END_S = 60.0


class AnswerKey(NamedTuple):
    """The place of an answer: the set of questions, the question, and the number of the sample."""

    benchmark: str
    row: str
    sample: int


@dataclass(frozen=True, kw_only=True)
class Answer:
    """One answer of the model."""

    benchmark: str
    index: str
    sample: int
    prediction: str
    finish_reason: str
    num_tokens: int
    request: str
    """The hash of all that shaped it."""

    @property
    def key(self) -> AnswerKey:
        """The place of the answer."""
        return AnswerKey(self.benchmark, self.index, self.sample)


class StoredAnswers:
    """The answers in a file, by their places; only their offsets are in memory.

    A torn last line is dropped. Any other line that is no answer is dropped, too, and counted in `num_damaged`; its
    question is asked again. Raises DataError if the file can't be read.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.num_damaged = 0
        self.requests: dict[AnswerKey, str] = {}
        """The hash of each answer's request."""
        self._places: dict[AnswerKey, int] = {}
        try:
            drop_torn_line(path)
            if path.exists() and not self._scan():
                self._rewrite()
        except OSError as error:
            raise DataError(f"can't read the answers: {error.strerror}", file=str(path)) from error

    def __len__(self) -> int:
        return len(self._places)

    def get(self, key: AnswerKey) -> Answer | None:
        """Return the answer at this place; None if nothing is stored there."""
        place = self._places.get(key)
        if place is None:
            return None
        with self.path.open("rb") as file:
            file.seek(place)
            return _answer(file.readline())

    def _scan(self) -> bool:
        """Index the file; return whether every line is an answer to a question of its own."""
        self._places.clear()
        offset, sound = 0, True
        with self.path.open("rb") as file:
            for line in file:
                answer = _answer(line)
                if answer is None or answer.key in self._places:
                    sound = False
                    self.num_damaged += answer is None
                else:
                    self._places[answer.key], self.requests[answer.key] = offset, answer.request
                offset += len(line)
        return sound

    def _rewrite(self) -> None:
        kept = []
        with self.path.open("rb") as file:
            for place in self._places.values():
                file.seek(place)
                kept.append(file.readline())
        write_whole(self.path, b"".join(kept))
        self._scan()


class AnswerWriter:
    """Appends answers in a thread of its own, so that sampling never waits for the disk.

    Lines are brought to the disk at most once a second, and when it is closed. A kill loses only lines that were not
    written yet; their questions are asked again. Use it in a `with` block, which raises DataError if the file can't be
    written; `add` raises it, too, once a write has failed.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lines: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()
        self._failure: OSError | None = None
        self._thread = threading.Thread(target=self._write, name="answers", daemon=True)

    def __enter__(self) -> AnswerWriter:
        self._thread.start()
        return self

    def __exit__(self, kind: Any, error: BaseException | None, at: Any) -> None:
        self._lines.put(None)
        self._thread.join(_END_S)
        if error is None:
            self._check()

    def add(self, answers: Iterable[Answer]) -> None:
        """Hand answers over to be written, those of one call together."""
        self._check()
        text = "".join(json.dumps(asdict(answer)) + "\n" for answer in answers)
        self._lines.put(text.encode())

    def _check(self) -> None:
        if self._failure is not None:
            message = f"can't write the answers: {self._failure.strerror or self._failure}"
            fix = "free space there, then run the same command again: it continues"
            raise DataError(message, file=str(self._path), fix=fix) from self._failure

    def _write(self) -> None:
        try:
            with self._path.open("ab") as file:
                synced, ended = time.monotonic(), False
                while not ended:
                    lines, ended = self._waiting()
                    file.write(b"".join(lines))
                    file.flush()
                    if ended or time.monotonic() - synced >= _SYNC_EVERY_S:
                        os.fsync(file.fileno())
                        synced = time.monotonic()
        except OSError as error:
            self._failure = error

    def _waiting(self) -> tuple[list[bytes], bool]:
        """Wait for lines; return all that are there, and whether the last one has come."""
        lines = [self._lines.get()]
        while lines[-1] is not None:
            try:
                lines.append(self._lines.get_nowait())
            except queue.Empty:
                break
        return [line for line in lines if line is not None], lines[-1] is None


def _answer(line: bytes) -> Answer | None:
    try:
        answer = Answer(**json.loads(line))
        sound = isinstance(answer.index, str) and isinstance(answer.prediction, str) and type(answer.sample) is int
    except (ValueError, TypeError, RecursionError):
        return None
    return answer if sound else None
