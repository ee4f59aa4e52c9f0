"""The doctor's visit to all nodes of a Ray cluster."""

from __future__ import annotations

import secrets
from dataclasses import replace

import ray
from ray.exceptions import RayError

from actors.fleet.nodes import ask_nodes
from actors.process.causes import first_line
from vlaa_ray.config import TrainingConfig
from vlaa_ray.config.base_folder import is_remote
from vlaa_ray.errors import PlacementError
from vlaa_ray.planning.doctor import Finding
from vlaa_ray.planning.node_checks import Questions, compare, questions_of
from vlaa_ray.run.run_json import run_path


def diagnose_cluster(address: str, config: TrainingConfig | None) -> list[Finding]:
    """Return findings about every node of the cluster at `address`; with a config, also about what its run needs.

    Raises:
        PlacementError: the cluster can't be reached.

    """
    try:
        ray.init(address=address, log_to_driver=False, logging_level="ERROR")
    except (ConnectionError, RuntimeError, ValueError, RayError) as error:
        fix = "start one with `ray start --head`, or give --address HOST:6379 (and RAY_AUTH_TOKEN)"
        raise PlacementError(f"can't reach a Ray cluster: {first_line(error)}", address=address, fix=fix) from error
    try:
        questions = questions_of(config) if config else Questions()
        if config is None or is_remote(questions.run_folder):
            return compare(ask_nodes(questions, measure_speed=True))
        folder = run_path(config)
        folder.mkdir(parents=True, exist_ok=True)
        mark = folder / f".seen-{secrets.token_hex(8)}"
        mark.touch()
        try:
            return compare(ask_nodes(replace(questions, mark=mark.name), measure_speed=True))
        finally:
            mark.unlink()
    finally:
        ray.shutdown()
