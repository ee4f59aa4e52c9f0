"""The number of replicas that a pool should have: a pure function of numbers that are logged.

For example:

    next_size(scaling, Load(wait_share=0.6, sampling_share=0.9, groups_waiting=0), "rollout", limits, now_s=60.0)

A pool grows while the learner waits for groups and this role is what the groups wait for. It shrinks while finished
groups wait for the learner. Several steps in a row must ask for the same, and changes have a distance in time.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

GROWS_ABOVE = 0.25
"""Share of a step that the learner waits for groups, above which a pool grows."""
SHRINKS_BELOW = 0.05
"""Share of a step that the learner waits for groups, below which a pool may shrink."""
PATIENCE_STEPS = 2
"""Steps in a row that must ask for the same change."""


@dataclass(frozen=True, kw_only=True)
class Load:
    """The load of one step; each field is logged as `load/…`."""

    wait_share: float
    """The share of the step in which the learner waited for groups."""
    sampling_share: float
    """The share of sampling in the time that groups spent on sampling and on rewards; 0.5 without any group."""
    groups_waiting: int
    """The finished groups of later steps that wait for the learner."""


@dataclass(frozen=True, kw_only=True)
class Limits:
    """The bounds of the size of a pool and of its changes."""

    smallest: int
    largest: int
    prompts_per_step: int
    cool_down_s: float
    """The seconds between two changes."""


@dataclass(frozen=True, kw_only=True)
class Scaling:
    """The wanted size of a pool, and what its last steps asked for."""

    size: int
    steps: int = 0
    """The steps in a row that asked for more (positive) or for less (negative)."""
    changed_s: float = float("-inf")
    """The time of the last change."""


def next_size(
    scaling: Scaling, load: Load, role: Literal["rollout", "reward"], limits: Limits, *, now_s: float
) -> Scaling:
    """Return the scaling after a step with this load at the time `now_s`; its `size` differs if the pool must change.

    A pool grows by half of its size, at least by one, and shrinks by one.
    """
    wish = _wish(load, role, limits)
    steps = wish if not wish or scaling.steps * wish < 0 else scaling.steps + wish
    bounded = min(max(scaling.size, limits.smallest), limits.largest)
    if abs(steps) < PATIENCE_STEPS or now_s - scaling.changed_s < limits.cool_down_s:
        return replace(scaling, size=bounded, steps=steps)
    change = max(1, bounded // 2) if steps > 0 else -1
    size = min(max(bounded + change, limits.smallest), limits.largest)
    if size == bounded:
        return replace(scaling, size=bounded, steps=steps)
    return Scaling(size=size, changed_s=now_s)


def _wish(load: Load, role: str, limits: Limits) -> int:
    """Return 1 for more replicas, -1 for fewer, 0 for as many as there are."""
    share = load.sampling_share if role == "rollout" else 1 - load.sampling_share
    if load.wait_share > GROWS_ABOVE:
        return 1 if share >= 0.5 else 0
    # half a step of finished groups: the learner would not wait with one replica less
    has_reserve = 2 * load.groups_waiting >= limits.prompts_per_step
    return -1 if load.wait_share < SHRINKS_BELOW and has_reserve else 0
