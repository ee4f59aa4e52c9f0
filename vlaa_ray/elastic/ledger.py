"""The books of a run: every sample that is asked for has exactly one end, trained or dropped with its reason.

    ledger.open(position, prompt_id)                  # when the group is asked for
    ledger.close(groups, …)                           # when a step has taken its groups
    ledger.end()                                      # at the end of the run: what is still open is dropped

A sample is known by the position of its prompt in the run's order and its number in the group. The books are checked
at every call; a sample without an end, or with two, is an error.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from vlaa_ray.algorithms.step_plan import counts, group_has_variance
from vlaa_ray.config import GrpoSection
from vlaa_ray.errors import LedgerError, WeightSyncError
from vlaa_ray.records import Group, Rollout

TRAINED = "trained"
ENDED = "run_ended"


class Ledger:
    """The ends of all samples since the start of this process; a resumed run opens its groups anew."""

    def __init__(self, grpo: GrpoSection, group_size: int) -> None:
        self._grpo, self._group_size = grpo, group_size
        self._open: dict[int, str] = {}
        self._ends: Counter[str] = Counter()
        self._num_opened = 0
        self._next_open: int | None = None
        self._next_close: int | None = None

    def open(self, position: int, prompt_id: str) -> None:
        """Record that the group at this position is asked for.

        Raises:
            LedgerError: the position does not follow the one before, for instance because it is asked for twice.

        """
        if self._next_open not in (None, position):
            raise _wrong("a group is asked for out of order", position, expected=self._next_open)
        self._next_open = position + 1
        self._open[position] = prompt_id
        self._num_opened += self._group_size

    def close(self, groups: Sequence[Group], *, newest: int, oldest: int) -> dict[str, float]:
        """Record the ends of the samples of one step, and return how many had which end, and how many are open.

        `newest` and `oldest` bound the versions of the weights that a sample of the step may come from.

        Raises:
            LedgerError: a group was not asked for, has ended before, or lacks samples.
            WeightSyncError: a sample comes from weights that are too old, or that the learner does not have.

        """
        ends: Counter[str] = Counter()
        for group in groups:
            ends.update(self._ends_of(group))
            for rollout in group.rollouts:
                _check_versions(group, rollout, newest, oldest)
        self._ends.update(ends)
        self._check_sum()
        dropped = {f"ledger/dropped/{why}": count for why, count in ends.items() if why != TRAINED}
        return {"ledger/trained": ends[TRAINED], "ledger/open": self.num_open, **dropped}

    def end(self) -> Counter[str]:
        """Drop the samples that are still open, since the run has ended, and return the number of each end."""
        self._ends[ENDED] += self.num_open
        self._open.clear()
        self._check_sum()
        return self._ends

    @property
    def num_open(self) -> int:
        """The number of samples without an end."""
        return len(self._open) * self._group_size

    def _check_sum(self) -> None:
        if self._ends.total() + self.num_open != self._num_opened:
            raise LedgerError("the ends of the samples don't add up", asked=self._num_opened, ends=dict(self._ends))

    def _ends_of(self, group: Group) -> list[str]:
        """Return the end of each sample of a group that is open; it is closed afterwards."""
        prompt_id = self._open.pop(group.position, None)
        if prompt_id != group.prompt.prompt_id:
            raise _wrong("a group has ended that was not open", group.position, expected=prompt_id)
        if self._next_close not in (None, group.position):
            raise _wrong("a group has ended out of order", group.position, expected=self._next_close)
        self._next_close = group.position + 1
        if group.failure is not None:
            return ["failed"] * self._group_size
        if len(group.rollouts) != self._group_size:
            raise _wrong("a group has ended without all of its samples", group.position, expected=self._group_size)
        return [self._end_of(group, rollout) for rollout in group.rollouts]

    def _end_of(self, group: Group, rollout: Rollout) -> str:
        """Return the end of a sample of a group whose advantages are known."""
        if not counts(group, self._grpo):
            return "resampled"
        if rollout.advantage is not None:
            return TRAINED if len(rollout.completion.token_ids) else "empty"
        if not rollout.reward.valid:
            return "not_judged"
        return "overlong" if group_has_variance(group) else "no_variance"


def _check_versions(group: Group, rollout: Rollout, newest: int, oldest: int) -> None:
    versions = {version for version, _, _ in rollout.completion.weight_versions}
    if versions and not oldest <= min(versions) <= max(versions) <= newest:
        raise WeightSyncError(
            "a sample comes from weights that must not be used",
            got=sorted(versions),
            expected=f"{oldest} to {newest}",
            prompt_id=group.prompt.prompt_id,
            fix="this is a bug: please report it with the run's logs",
        )


def _wrong(message: str, position: int, *, expected: object) -> LedgerError:
    fix = "this is a bug: please report it with the run's logs"
    return LedgerError(message, position=position, expected=expected, fix=fix)
