"""The tree of all errors that end a run or reject input.

    VlaaRayError
    ├── ConfigError            a config file or an override is wrong (all problems in one message)
    ├── DataError              a record, an image or a file of the data is wrong
    ├── ModelError             a checkpoint can't be loaded, or the engine and the learner disagree on it
    ├── PlacementError         the cluster has no room for the run, or can't be reached
    ├── RolloutError           sampling failed
    │   └── RolloutFleetExhausted   no rollout actor is left, and none may be restarted
    ├── RewardError            scoring failed; never raised for a wrong answer
    ├── TeacherError           a model that makes data can't be used: it refuses, is gone, or the budget is spent
    ├── LearnerError           an update failed
    │   └── LearnerLost        a learner rank died or hangs; all ranks have to start again
    ├── WeightSyncError        new weights did not arrive complete in an engine
    ├── LedgerError            a sample has no end, or two: a bug
    ├── CheckpointError        a checkpoint is missing, incomplete or altered
    ├── StorageError           a bucket can't be reached, or refuses a request
    ├── OwnershipLost          another attempt has taken over the run folder in a bucket
    ├── ExperimentError        some arms of an experiment are not complete
    ├── DeadlineExceeded       a wait took too long; the message names what it waited for
    └── RunInterrupted         SIGINT or SIGTERM stopped the run; carries the exit code

A message says what failed, where, what was found, what was expected and what to do. `facts` holds the same as data,
and `run.json` stores it. Every error survives pickling, so that a Ray actor can send it to the driver.
"""

from __future__ import annotations

from typing import Any


class VlaaRayError(Exception):
    """The base of all errors: `message` says what failed, `fix` what to do, `facts` where (file, row, key, rank …)."""

    exit_code = 1
    """The exit status of the command that ends with this error."""

    def __init__(self, message: str, *, fix: str = "", **facts: Any) -> None:
        self.message = message
        self.fix = fix
        self.facts = facts
        super().__init__(self._text())

    def add_facts(self, **facts: Any) -> None:
        """Add facts that only a caller knows, such as the run's folder; facts that are there stay."""
        self.facts = facts | self.facts
        self.args = (self._text(),)

    def _text(self) -> str:
        where = ", ".join(f"{key}={value!r}" for key, value in self.facts.items())
        return self.message + (f" ({where})" if where else "") + (f". Fix: {self.fix}" if self.fix else "")

    def __reduce__(self) -> tuple[Any, ...]:
        return _rebuild, (type(self), self.message, self.fix, self.facts)

    def as_dict(self) -> dict[str, Any]:
        """Return the error as `run.json` stores it: the facts, and with them `type`, `message` and `fix`."""
        return {**self.facts, "type": type(self).__name__, "message": self.message, "fix": self.fix}

    def one_line(self) -> str:
        """Return the message, followed by the value that was found (the fact `got`) where there is one."""
        got = self.facts.get("got")
        return self.message if got in (None, "") else f"{self.message} ({got})"

    def expected(self) -> str:
        """Return what was expected (the fact `expected`) as text; an empty text where the error does not say it."""
        expected = self.facts.get("expected", "")
        return ", ".join(map(str, expected)) if isinstance(expected, list | tuple) else str(expected)


def _rebuild(cls: type[VlaaRayError], message: str, fix: str, facts: dict[str, Any]) -> VlaaRayError:
    return cls(message, fix=fix, **facts)


class ConfigError(VlaaRayError):
    """A config file or an override is wrong."""

    exit_code = 2


class DataError(VlaaRayError):
    """A record, an image or a file of the data is wrong."""


class ModelError(VlaaRayError):
    """A checkpoint can't be loaded, or the engine and the learner disagree on it."""


class PlacementError(VlaaRayError):
    """The cluster has no room for the run, or can't be reached."""


class RolloutError(VlaaRayError):
    """Sampling failed."""


class RolloutFleetExhausted(RolloutError):
    """No rollout actor is left, and none may be restarted."""


class RewardError(VlaaRayError):
    """Scoring failed; never raised for a wrong answer."""


class TeacherError(VlaaRayError):
    """A model that makes data can't be used: it refuses requests, is gone, or the budget is spent."""


class LearnerError(VlaaRayError):
    """An update failed."""


class LearnerLost(LearnerError):
    """A learner rank died or hangs, so that all ranks have to start again."""


class WeightSyncError(VlaaRayError):
    """New weights did not arrive complete in an engine."""


class LedgerError(VlaaRayError):
    """A sample was asked for and has no end, or two; this is a bug."""


class CheckpointError(VlaaRayError):
    """A checkpoint is missing, incomplete or altered."""


class StorageError(VlaaRayError):
    """A bucket can't be reached, or it refuses a request."""


class OwnershipLost(VlaaRayError):
    """Another attempt of the run has taken over its folder in a bucket; this one must not write there any more."""


class ExperimentError(VlaaRayError):
    """Some arms of an experiment are not complete; the message names each with its cause."""


class DeadlineExceeded(VlaaRayError):
    """A wait took longer than its limit; the message names what it waited for and how long."""


class RunInterrupted(VlaaRayError):
    """A signal stopped the run; `exit_code` is 128 + the signal's number."""

    def __init__(self, message: str, *, fix: str = "", signal: int, **facts: Any) -> None:
        super().__init__(message, fix=fix, signal=signal, **facts)
        self.exit_code = 128 + signal
