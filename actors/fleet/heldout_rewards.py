"""The actor that samples and scores held-out answers of a run that trains on written answers."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from actors.fleet.folder_weights import FolderWeights
from actors.fleet.role_pools import RewardPool, RolloutPool
from actors.fleet.spawn import Spawner
from actors.fleet.weight_sync import WeightSync
from actors.process.set_up import set_up_actor_process
from vlaa_ray.config import SftConfig
from vlaa_ray.records import Prompt
from vlaa_ray.roles import Metrics
from vlaa_ray.storage.layout import HELDOUT_MODEL
from vlaa_ray.storage.notes import append_note


@dataclass(frozen=True)
class _SamplingFleet:
    """The engines and reward actors of this actor, with the transport of new weights to the engines."""

    rollouts: RolloutPool
    rewards: RewardPool
    weights: FolderWeights
    weight_sync: WeightSync


class HeldOutRewardsActor:
    """The owner of engines and reward actors that are idle between the evaluations of an SFT run in `folder`.

    At the first evaluation the engines load the model that the ranks have written. At later ones they are sent the new
    weights, as in GRPO.
    """

    def __init__(self, config: SftConfig, folder: str, shm_prefix: str) -> None:
        self._folder = Path(folder)
        self._model = self._folder / HELDOUT_MODEL
        set_up_actor_process(str(self._folder / "logs" / "heldout_rewards.log"), shm_prefix)
        section = config.model.model_copy(update={"path": str(self._model)})
        self._config = config.model_copy(update={"model": section})
        self._shm_prefix = shm_prefix
        self._fleet: _SamplingFleet | None = None

    async def prepare(self) -> None:
        """Read the held-out prompts.

        Raises:
            DataError: no held-out prompt can be read.

        """
        self._prompts = await asyncio.to_thread(self._read)

    async def measure(self, step: int) -> Metrics:
        """Return the `eval/reward/…` metrics of the model that the ranks have written after this step."""
        from vlaa_ray.evaluation.in_training import heldout_rewards

        start = time.monotonic()
        if self._fleet is None:
            self._fleet = await self._start(step)
        else:
            self._fleet.weights.weight_version = step
            await self._fleet.weight_sync.publish()
        metrics = await heldout_rewards(self._config, self._prompts, self._fleet)
        return metrics | {"time/heldout_rewards_s": time.monotonic() - start}

    def _read(self) -> Sequence[Prompt]:
        from vlaa_ray.data.dataset import open_dataset

        data = self._config.data
        return open_dataset(data.heldout, data, data.num_heldout, self._config.verifier_types, [])

    async def _start(self, step: int) -> _SamplingFleet:
        config = self._config
        spawn = Spawner(config, self._folder / "logs")
        rollouts = RolloutPool(config, spawn.rollout, self._note)
        rewards = RewardPool(config, spawn.reward, self._note)
        await asyncio.gather(rollouts.start(), rewards.start())
        weights = FolderWeights(config.model, self._model, self._shm_prefix, config.bucket_bytes)
        weights.weight_version = step
        return _SamplingFleet(rollouts, rewards, weights, WeightSync(config, weights, rollouts))

    def _note(self, text: str) -> None:
        append_note(self._folder, text)
