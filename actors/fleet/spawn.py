"""The start of new actors, each in its place, with its environment and its log file."""

from __future__ import annotations

import secrets
from pathlib import Path
from typing import Any

import ray

from actors.fleet.placement import Reservation, actor_options
from actors.fleet.pool_settings import max_groups_in_flight
from actors.process.environment import role_environment
from actors.roles.learner import LearnerActor
from actors.roles.reward import RewardActor
from actors.roles.rollout import RolloutActor
from vlaa_ray.config import FleetConfig, GrpoConfig, PoolSection
from vlaa_ray.config.base import bundle
from vlaa_ray.planning.placement import market_labels


class Spawner:
    """The starter of engines and reward actors: a method takes an index and nodes to avoid, and returns a new handle.

    Every actor is placed by itself, so that it can come and go; engines that share devices are in the `reservation`.
    """

    def __init__(self, config: FleetConfig, log_dir: Path, reservation: Reservation | None = None) -> None:
        self._config, self._log_dir, self._reservation = config, log_dir, reservation

    def rollout(self, index: int, avoided: frozenset[str] = frozenset()) -> Any:
        """Ask for an actor with a vLLM engine."""
        section = self._config.rollout
        threads = role_environment("rollout", None, section.cpus_per_actor, section.gpus_per_actor)
        if self._config.colocated and self._reservation is not None:
            placed = self._reservation.options("rollout", index)
        else:
            placed = pool_options(section, section.cpus_per_actor, section.gpus_per_actor, avoided)
        actor = ray.remote(RolloutActor).options(**placed, **_variables(threads))
        return actor.remote(self._config, self._log_file("rollout", index), self._shm_prefix())

    def reward(self, index: int, avoided: frozenset[str] = frozenset()) -> Any:
        """Ask for a reward actor, with a thread for each group that it may get at the same time, and one for `stay`."""
        section = self._config.rewards
        threads = role_environment("reward", None, section.cpus_per_actor, section.gpus_per_actor)
        placed = pool_options(section, section.cpus_per_actor, section.gpus_per_actor, avoided)
        concurrency = max_groups_in_flight(self._config) + 1
        actor = ray.remote(RewardActor).options(**placed, **_variables(threads), max_concurrency=concurrency)
        return actor.remote(self._config, self._log_file("reward", index), self._shm_prefix())

    def _log_file(self, role: str, index: int) -> str:
        return str(self._log_dir / f"{role}_{index}.log")

    def _shm_prefix(self) -> str:
        """Return the prefix of the names of all files that one actor makes in /dev/shm."""
        return f"vlaa-{self._config.run.name}-{secrets.token_hex(4)}-"


class TrainingSpawner(Spawner):
    """The starter of the actors of a GRPO run: engines, reward actors and the ranks of the learner."""

    def __init__(self, config: GrpoConfig, log_dir: Path, reservation: Reservation) -> None:
        self._training, self._ranks_place = config.in_turn(), reservation
        super().__init__(self._training, log_dir, reservation)

    def learner(self, rank: int) -> Any:
        """Start a rank of the learner."""
        section = self._training.learner
        threads = role_environment("learner", section.num_threads, section.cpus_per_rank, section.gpus_per_rank)
        placed = self._ranks_place.options("learner", rank)
        ranks_on_node = self._ranks_place.num_on_node("learner", rank, section.num_ranks)
        actor = ray.remote(LearnerActor).options(**placed, **_variables(threads))
        return actor.remote(self._training, rank, self._log_file("learner", rank), self._shm_prefix(), ranks_on_node)


def pool_options(section: PoolSection, cpus: float, gpus: float, avoided: frozenset[str]) -> dict[str, Any]:
    """Return the options that place an actor of a pool by itself, on the kind of node that its section asks for."""
    first, *others = market_labels(section, avoided)
    options = actor_options(bundle(cpus, gpus))
    if first:
        options["label_selector"] = first
    if others:
        options["fallback_strategy"] = [{"label_selector": labels} for labels in others]
    return options


def _variables(variables: dict[str, str]) -> dict[str, Any]:
    return {"runtime_env": {"env_vars": variables}}
