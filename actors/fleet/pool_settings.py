"""The size of a pool of actors and its limits, as the config gives them."""

from __future__ import annotations

from dataclasses import dataclass

from vlaa_ray.config import FleetConfig, PoolSection
from vlaa_ray.planning.failures import LossBudget


@dataclass(frozen=True, kw_only=True)
class PoolSettings:
    """The size of a pool and its limits."""

    role: str
    """"rollout" or "reward"; it appears in the names of log files and in errors."""
    smallest: int
    """The number of actors that must be ready before the pool has started."""
    first: int
    """The number of actors to begin with."""
    budget: LossBudget
    """The losses that are made good in a time; after that the pool goes on with the actors that are left."""
    provision_s: float
    """The seconds that an actor may wait for its place."""
    start_s: float
    """The seconds that an actor may take to start once it has its place."""
    give_up_s: float
    """The seconds that calls wait while there is no actor at all."""
    call_s: float
    """The seconds that a call may take; a replica that leaves without haste gets so many to end its calls."""
    max_calls_in_flight: int
    """The number of calls that one actor gets at the same time; a call's deadline begins when the actor gets it."""


def pool_settings(role: str, config: FleetConfig, section: PoolSection, call_s: float, in_flight: int) -> PoolSettings:
    """Return the settings of the pool of a role whose calls take at most `call_s` seconds each."""
    limits = config.deadlines
    return PoolSettings(
        role=role,
        smallest=section.smallest,
        first=section.first,
        budget=LossBudget(section.max_restarts, section.restart_window_s),
        provision_s=limits.provision_s,
        start_s=limits.start_s,
        give_up_s=section.give_up_s,
        call_s=call_s,
        max_calls_in_flight=in_flight,
    )


def max_groups_in_flight(config: FleetConfig) -> int:
    """Return how many groups a reward actor gets at the same time: enough to keep a judge busy, else two."""
    section = config.rewards.open_ended
    if section.scorer == "judge" or section.service.url:
        return 1 + section.service.concurrency // config.samples_per_prompt
    return 2
