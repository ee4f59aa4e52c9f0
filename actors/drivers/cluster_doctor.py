"""The doctor's visit to all nodes of a Ray cluster."""

from __future__ import annotations

import ray

from actors.fleet.nodes import ask_nodes, ask_nodes_of_run
from actors.process.causes import UNREACHABLE, unreachable
from vlaa_ray.config import TrainingConfig
from vlaa_ray.config.base_folder import is_remote
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
    except UNREACHABLE as error:
        raise unreachable(error, address, "HOST:6379") from error
    try:
        questions = questions_of(config) if config else Questions()
        if config is None or is_remote(questions.run_folder):
            return compare(ask_nodes(questions, measure_speed=True))
        folder = run_path(config)
        folder.mkdir(parents=True, exist_ok=True)
        return compare(ask_nodes_of_run(questions, folder, measure_speed=True))
    finally:
        ray.shutdown()
