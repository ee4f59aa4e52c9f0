"""The start of new actors, each in its bundle, with its environment and its log file."""

from __future__ import annotations

import secrets
from pathlib import Path
from typing import Any

import ray

from actors.fleet.placement import Reservation
from actors.fleet.role_pools import max_groups_in_flight
from actors.process.environment import role_environment
from actors.roles.learner import LearnerActor
from actors.roles.reward import RewardActor
from actors.roles.rollout import RolloutActor
from vlaa_ray.config import FleetConfig, GrpoConfig


class Spawner:
    """The starter of engines and reward actors: a method takes an index within the role and returns a new handle."""

    def __init__(self, config: FleetConfig, log_dir: Path, reservation: Reservation) -> None:
        self._config, self._log_dir, self._reservation = config, log_dir, reservation

    def rollout(self, index: int) -> Any:
        """Start an actor with a vLLM engine."""
        section = self._config.rollout
        threads = role_environment("rollout", None, section.cpus_per_actor, section.gpus_per_actor)
        actor = ray.remote(RolloutActor).options(**self._options("rollout", index, threads))
        return actor.remote(self._config, self._log_file("rollout", index), self._shm_prefix())

    def reward(self, index: int) -> Any:
        """Start a reward actor, with a thread for each group that it may get at the same time."""
        section = self._config.rewards
        threads = role_environment("reward", None, section.cpus_per_actor, section.gpus_per_actor)
        options = self._options("reward", index, threads) | {"max_concurrency": max_groups_in_flight(self._config)}
        actor = ray.remote(RewardActor).options(**options)
        return actor.remote(self._config, self._log_file("reward", index), self._shm_prefix())

    def _options(self, role: str, index: int, environment: dict[str, str]) -> dict[str, Any]:
        return self._reservation.options(role, index) | {"runtime_env": {"env_vars": environment}}

    def _log_file(self, role: str, index: int) -> str:
        return str(self._log_dir / f"{role}_{index}.log")

    def _shm_prefix(self) -> str:
        """Return the prefix of the names of all files that one actor makes in /dev/shm."""
        return f"vlaa-{self._config.run.name}-{secrets.token_hex(4)}-"


class TrainingSpawner(Spawner):
    """The starter of the actors of a GRPO run: engines, reward actors and the ranks of the learner."""

    def __init__(self, config: GrpoConfig, log_dir: Path, reservation: Reservation) -> None:
        self._training = config.in_turn()
        super().__init__(self._training, log_dir, reservation)

    def learner(self, rank: int) -> Any:
        """Start a rank of the learner."""
        section = self._training.learner
        threads = role_environment("learner", section.num_threads, section.cpus_per_rank, section.gpus_per_rank)
        actor = ray.remote(LearnerActor).options(**self._options("learner", rank, threads))
        ranks_on_node = self._reservation.num_on_node("learner", rank, section.num_ranks)
        return actor.remote(self._training, rank, self._log_file("learner", rank), self._shm_prefix(), ranks_on_node)
