"""The sizes of the pools of a GRPO run, as `vlaa_ray.elastic.scaling` decides them after every step."""

from __future__ import annotations

import asyncio
from typing import Literal

from actors.fleet.joining import Note
from actors.fleet.pool import Pool
from actors.fleet.role_pools import RewardPool, RolloutPool
from vlaa_ray.config import GrpoConfig, PoolSection
from vlaa_ray.elastic.scaling import Limits, Load, Scaling, next_size
from vlaa_ray.roles import Metrics


class FleetSizes:
    """The sizes of both pools, as a `FleetRole`."""

    def __init__(self, config: GrpoConfig, rollouts: RolloutPool, rewards: RewardPool, note: Note) -> None:
        prompts = config.rollout.prompts_per_step
        in_flight = prompts * (config.max_staleness + 1)
        self._sized = (
            _Sized("rollout", rollouts.pool, _limits(config.rollout, prompts, in_flight), note),
            _Sized("reward", rewards.pool, _limits(config.rewards, prompts, in_flight), note),
        )

    def adapt(self, *, wait_share: float, groups_waiting: int) -> Metrics:
        """See `FleetRole`."""
        sampling_s, scoring_s = (sized.calls_s() for sized in self._sized)
        total_s = sampling_s + scoring_s
        share = sampling_s / total_s if total_s else 0.5
        load = Load(wait_share=wait_share, sampling_share=share, groups_waiting=groups_waiting)
        for sized in self._sized:
            sized.follow(load)
        return {
            "load/wait_share": load.wait_share,
            "load/sampling_share": load.sampling_share,
            "load/groups_waiting": load.groups_waiting,
            **{f"{sized.role}/replicas_wanted": sized.pool.target for sized in self._sized},
        }


class _Sized:
    """One pool, and what its last steps asked for."""

    def __init__(self, role: Literal["rollout", "reward"], pool: Pool, limits: Limits, note: Note) -> None:
        self.role, self.pool = role, pool
        self._limits, self._note = limits, note
        self._scaling = Scaling(size=pool.target)
        self._seen_s = 0.0

    def calls_s(self) -> float:
        """Return the seconds of the calls that ended since the last step."""
        seconds, self._seen_s = self.pool.calls_s - self._seen_s, self.pool.calls_s
        return seconds

    def follow(self, load: Load) -> None:
        before = self._scaling.size
        self._scaling = next_size(self._scaling, load, self.role, self._limits, now_s=asyncio.get_running_loop().time())
        if self._scaling.size != before:
            waits = f"the learner waits {load.wait_share:.0%} of a step, {load.groups_waiting} groups wait for it"
            self._note(f"{self.role} actors: {before} -> {self._scaling.size} ({waits})")
            self.pool.resize(self._scaling.size)


def _limits(section: PoolSection, prompts_per_step: int, in_flight: int) -> Limits:
    """Return the limits of a pool; more replicas than prompts in flight would have nothing to do."""
    return Limits(
        smallest=section.smallest,
        largest=max(section.smallest, min(section.largest, in_flight)),
        prompts_per_step=prompts_per_step,
        cool_down_s=section.resize_every_s,
    )
