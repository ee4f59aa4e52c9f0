"""The rollout role and the reward role, each a pool of actors."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

from actors.fleet.joining import Note, Spawn
from actors.fleet.pool import Pool
from actors.fleet.pool_settings import max_groups_in_flight, pool_settings
from actors.process.deadlines import died, wait_for
from vlaa_ray.config import FleetConfig
from vlaa_ray.records import Completion, Prompt, RewardResult, SampledGroup
from vlaa_ray.roles import Metrics, SampleRequest


class RolloutPool:
    """A pool of engines as a `RolloutRole`."""

    def __init__(self, config: FleetConfig, spawn: Spawn, note: Note) -> None:
        rollout, self._deadlines = config.rollout, config.deadlines
        settings = pool_settings("rollout", config, rollout, config.deadlines.rollout_s, config.requests_per_engine)
        self.pool = Pool(settings, spawn, note)

    async def start(self) -> None:
        """See `Pool.start`."""
        await self.pool.start()

    async def close(self) -> None:
        """See `Pool.close`."""
        await self.pool.close()

    async def sample(self, request: SampleRequest) -> SampledGroup:
        """See `RolloutRole`."""
        return await self.pool.call(
            lambda actor: actor.sample.remote(request),
            self._deadlines.rollout_s,
            f"completions of prompt {request.prompt.prompt_id}",
        )

    async def metrics(self) -> Metrics:
        """See `RolloutRole`."""
        return {
            "memory/rollout_rss_bytes": await self.pool.max_rss_bytes(),
            "rollout/restarts": self.pool.restarts,
            "rollout/replicas": len(self.pool.replicas),
        }


class RewardPool:
    """A pool of reward actors as a `RewardRole`."""

    def __init__(self, config: FleetConfig, spawn: Spawn, note: Note) -> None:
        rewards, self._deadlines = config.rewards, config.deadlines
        self._config = rewards
        settings = pool_settings("reward", config, rewards, config.deadlines.reward_s, max_groups_in_flight(config))
        self.pool = Pool(settings, spawn, note)
        self._busy_s: Counter[str] = Counter()

    async def start(self) -> None:
        """See `Pool.start`."""
        await self.pool.start()

    async def close(self) -> None:
        """See `Pool.close`."""
        await self.pool.close()

    async def score(self, prompt: Prompt, completions: Sequence[Completion], progress: float) -> list[RewardResult]:
        """See `RewardRole`."""
        if not self._config.shows_images(prompt.verifier_type):  # most verifiers need only the sizes of images
            prompt = replace(prompt, images=tuple(replace(image, data=None) for image in prompt.images))
        results, seconds = await self.pool.call(
            lambda actor: actor.score.remote(prompt, [completion.text for completion in completions], progress),
            self._deadlines.reward_s,
            f"rewards of prompt {prompt.prompt_id}",
        )
        self._busy_s[prompt.verifier_type] += seconds
        return results

    async def offload(self) -> None:
        """See `RewardRole`."""
        if self._config.open_ended.park:
            calls = [
                wait_for(replica.actor.offload.remote(), self._deadlines.reward_s, "reward models to leave the GPU")
                for replica in self.pool.replicas
            ]
            for answer in await asyncio.gather(*calls, return_exceptions=True):
                if isinstance(answer, BaseException) and not died(answer):  # a lost one is found by the next call
                    raise answer

    async def metrics(self) -> Metrics:
        """See `RewardRole`."""
        busy, self._busy_s = self._busy_s, Counter()
        size = max(len(self.pool.replicas), 1)
        return {
            "memory/reward_rss_bytes": await self.pool.max_rss_bytes(),
            "reward/restarts": self.pool.restarts,
            "reward/replicas": len(self.pool.replicas),
            "time/reward_s": sum(busy.values()) / size,
            **{f"time/reward/{verifier_type}_s": seconds / size for verifier_type, seconds in busy.items()},
        }
