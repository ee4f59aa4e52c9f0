"""Simulated engines, reward actors and learner ranks as real Ray actors, in the fleet of a GRPO run."""

import asyncio
import json
import os
import time
from dataclasses import dataclass
from pathlib import Path

import psutil
import ray
from simulated import SimulatedEngine, SimulatedRank, SimulatedRewards

from actors.fleet.placement import Reservation
from actors.fleet.spawn import TrainingSpawner, pool_options

SETTINGS = "SIMULATED_FLEET"
"""The variable in the driver's environment with `Settings` as JSON."""
QUICK = "quick"
"""The file in the run's folder after which all work takes no time."""
ARMED = "armed.json"
"""The file in the run's folder that holds a phase: [its name, seconds at most]; the phase goes on without it."""


@dataclass(frozen=True)
class Settings:
    """How long simulated work takes."""

    sample_s: float = 0.4
    learn_s: float = 0.5
    last_waits: bool = False
    """Let the last update wait until the file QUICK is there."""

    @classmethod
    def read(cls):
        return cls(**json.loads(os.environ.get(SETTINGS, "{}")))


class Held:
    """An actor whose work can stand still in one phase."""

    def prepare(self, folder, settings):
        self._folder, self._settings = Path(folder), settings

    async def hold(self, phase):
        """Stand still where the phase is held; the file `held_PHASE` in the run's folder shows that it has begun."""
        armed = self._folder / ARMED
        held, seconds = json.loads(armed.read_text()) if armed.exists() else ("", 0)
        if held != phase:
            return
        (self._folder / f"held_{phase}").touch()
        end = time.monotonic() + seconds
        while armed.exists() and time.monotonic() < end:
            await asyncio.sleep(0.05)

    @property
    def is_quick(self):
        return (self._folder / QUICK).exists()

    async def node_id(self):
        return _node_id()

    async def stay(self):
        await asyncio.Event().wait()

    async def rss_bytes(self):
        return psutil.Process().memory_info().rss


def _node_id():
    return ray.get_runtime_context().get_node_id()


class EngineActor(Held, SimulatedEngine):
    """An engine that writes the time of its last group into the run's folder, and a line into its log."""

    def __init__(self, folder, index=0, settings=Settings()):
        super().__init__("", sample_s=settings.sample_s)
        self.prepare(folder, settings)
        self._log = self._folder / "logs" / f"rollout_{index}.log"

    async def start(self):
        self._log.parent.mkdir(parents=True, exist_ok=True)
        with self._log.open("a") as log:
            log.write(f"an engine on node {_node_id()}\n")
        await self.hold("start")

    async def sample(self, request):
        await self.hold("rollout" if request.temperature else "eval")
        if self.is_quick:
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
        await self.hold("weight sync")
        await self.do_load_bucket(bucket, data)

    async def stage_bucket(self, bucket, data):
        await self.do_stage_bucket(bucket, data)

    async def drop_staged(self):
        await self.do_drop_staged()

    async def load_staged(self):
        await self.do_load_staged()

    async def finish_and_resume(self, version):
        await self.do_finish_and_resume(version)


class RewardsActor(Held, SimulatedRewards):
    """A reward actor."""

    def __init__(self, folder, settings):
        super().__init__("")
        self.prepare(folder, settings)

    async def start(self):
        pass

    async def score(self, prompt, responses, progress):
        await self.hold("reward")
        return await self.do_score(prompt, responses, progress)

    async def offload(self):
        pass


class RankActor(Held, SimulatedRank):
    """A learner rank."""

    def __init__(self, rank, folder, settings, num_steps):
        super().__init__(rank, "", learn_s=settings.learn_s)
        self.prepare(folder, settings)
        self._num_steps = num_steps

    async def meeting_point(self):
        return "127.0.0.1", 4711, _node_id()

    async def start(self, *args):
        pass

    async def accumulate(self, groups):
        await self.do_accumulate(groups)

    async def update(self, steps):
        await self.hold("learn")
        while self._settings.last_waits and self._state.version + 1 == self._num_steps and not self.is_quick:
            await asyncio.sleep(0.1)
        if self.is_quick:
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
        await self.hold("checkpoint")
        await self.do_save(folder)
        (Path(folder) / "hf").mkdir(exist_ok=True)
        (Path(folder) / "hf" / "config.json").write_text(json.dumps({}))

    async def is_written(self):
        return await self.do_is_written()

    async def hand_over(self, folder):
        await self.do_hand_over(folder)

    async def load(self, folder):
        return await self.do_load(folder)


class SimulatedSpawner(TrainingSpawner):
    """The starter of simulated actors, in the places of the real ones."""

    def __init__(self, config, log_dir, reservation: Reservation):
        super().__init__(config, log_dir, reservation)
        self._folder, self._settings = str(log_dir.parent), Settings.read()

    def rollout(self, index, avoided=frozenset()):
        section = self._training.rollout
        options = pool_options(section, section.cpus_per_actor, section.gpus_per_actor, avoided)
        return ray.remote(EngineActor).options(**options).remote(self._folder, index, self._settings)

    def reward(self, index, avoided=frozenset()):
        section = self._training.rewards
        options = pool_options(section, section.cpus_per_actor, section.gpus_per_actor, avoided)
        return ray.remote(RewardsActor).options(**options).remote(self._folder, self._settings)

    def learner(self, rank):
        options = self._ranks_place.options("learner", rank)
        steps = self._training.run.num_steps
        return ray.remote(RankActor).options(**options).remote(rank, self._folder, self._settings, steps)
