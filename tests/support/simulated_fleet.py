"""Simulated engines, reward actors and learner ranks as real Ray actors, in the fleet of a GRPO run."""

import asyncio
import json
import time
from pathlib import Path

import ray
from simulated import SimulatedEngine, SimulatedRank, SimulatedRewards

from actors.fleet.placement import Reservation
from actors.fleet.spawn import TrainingSpawner, pool_options

QUICK = "quick"
"""The file in the run's folder after which all work takes no time."""


def _node_id():
    return ray.get_runtime_context().get_node_id()


class EngineActor(SimulatedEngine):
    """An engine that writes the time of its last group into the run's folder."""

    def __init__(self, folder):
        super().__init__("", sample_s=0.4)
        self._folder = Path(folder)

    async def node_id(self):
        return _node_id()

    async def start(self):
        pass

    async def sample(self, request):
        if (self._folder / QUICK).exists():
            self._sample_s = 0.01
        group = await self.do_sample(request)
        (self._folder / f"last_group_{_node_id()}").write_text(str(time.time()))
        return group

    async def check_manifest(self, wire):
        await self.do_check_manifest(wire)

    async def pause(self):
        await self.do_pause()

    async def start_weight_update(self):
        await self.do_start_weight_update()

    async def load_bucket(self, bucket, data):
        await self.do_load_bucket(bucket, data)

    async def stage_bucket(self, bucket, data):
        await self.do_stage_bucket(bucket, data)

    async def drop_staged(self):
        await self.do_drop_staged()

    async def load_staged(self):
        await self.do_load_staged()

    async def finish_and_resume(self, version):
        await self.do_finish_and_resume(version)

    async def rss_bytes(self):
        return 1


class RewardsActor(SimulatedRewards):
    """A reward actor."""

    def __init__(self):
        super().__init__("")

    async def node_id(self):
        return _node_id()

    async def start(self):
        pass

    async def score(self, prompt, responses, progress):
        return await self.do_score(prompt, responses, progress)

    async def rss_bytes(self):
        return 1


class RankActor(SimulatedRank):
    """A learner rank; its last update waits until the run may end."""

    def __init__(self, rank, folder, num_steps):
        super().__init__(rank, "", learn_s=0.5)
        self._folder, self._num_steps = Path(folder), num_steps

    async def meeting_point(self):
        return "127.0.0.1", 4711, _node_id()

    async def start(self, *args):
        pass

    async def accumulate(self, groups):
        await self.do_accumulate(groups)

    async def update(self, steps):
        while self._state.version + 1 == self._num_steps and not (self._folder / QUICK).exists():
            await asyncio.sleep(0.1)
        if (self._folder / QUICK).exists():
            self._learn_s = 0.01
        return await self.do_update(steps)

    async def manifest(self):
        return await self.do_manifest()

    async def next_bucket(self):
        return await self.do_next_bucket()

    async def packed_bucket(self):
        return await self.do_packed_bucket()

    async def drop_series(self):
        await self.do_drop_series()

    async def save(self, folder):
        await self.do_save(folder)
        (Path(folder) / "hf").mkdir(exist_ok=True)
        (Path(folder) / "hf" / "config.json").write_text(json.dumps({}))

    async def load(self, folder):
        return await self.do_load(folder)

    async def rss_bytes(self):
        return 1


class SimulatedSpawner(TrainingSpawner):
    """The starter of simulated actors, in the places of the real ones."""

    def __init__(self, config, log_dir, reservation: Reservation):
        super().__init__(config, log_dir, reservation)
        self._folder = str(log_dir.parent)

    def rollout(self, index, avoided=frozenset()):
        section = self._training.rollout
        options = pool_options(section, section.cpus_per_actor, section.gpus_per_actor, avoided)
        return ray.remote(EngineActor).options(**options).remote(self._folder)

    def reward(self, index, avoided=frozenset()):
        section = self._training.rewards
        options = pool_options(section, section.cpus_per_actor, section.gpus_per_actor, avoided)
        return ray.remote(RewardsActor).options(**options).remote()

    def learner(self, rank):
        options = self._ranks_place.options("learner", rank)
        return ray.remote(RankActor).options(**options).remote(rank, self._folder, self._training.run.num_steps)
