"""The questions to every node of a cluster, each asked on the node itself."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import ray
from ray.exceptions import GetTimeoutError, RayError, TaskUnschedulableError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from actors.process.causes import first_line
from actors.process.deadlines import in_daemon_thread
from vlaa_ray.config import TrainingConfig
from vlaa_ray.errors import PlacementError
from vlaa_ray.planning.doctor import Finding
from vlaa_ray.planning.node_checks import NodeAnswer, Questions, compare, examine_node, questions_of

_ANSWER_S = 60.0
_PROBE_BYTES = 32 << 20


def ask_nodes(
    questions: Questions, *, among: Collection[str] | None = None, measure_speed: bool = False
) -> list[NodeAnswer]:
    """Return the answer of each node that is alive; one that gives none within a minute has a fault.

    A node that is leaving, or has left meanwhile, is passed over. Ray must be connected. `among` are the ids of the
    nodes to ask, if not all of them. With `measure_speed`, a few megabytes are sent from each node to this one.
    """
    nodes = [node for node in ray.nodes() if node["Alive"] and (among is None or node["NodeID"] in among)]
    calls = [(node, on_node(node, examine_node).remote(questions), time.time()) for node in nodes]
    answered = [(node, _answer(node, call, asked)) for node, call, asked in calls]
    alive = {node["NodeID"] for node in ray.nodes() if node["Alive"]}
    staying = [(node, answer) for node, answer in answered if answer and (node["NodeID"] in alive or not answer.fault)]
    if not measure_speed or len(staying) < 2:
        return [answer for _, answer in staying]
    return [replace(answer, bytes_per_s=None if answer.fault else _speed(node)) for node, answer in staying]


def ask_nodes_of_run(
    questions: Questions, folder: Path, *, among: Collection[str] | None = None, measure_speed: bool = False
) -> list[NodeAnswer]:
    """Return the answers as `ask_nodes`; a mark in the run's folder on this node tells who has the same disk."""
    with marked(folder) as mark:
        return ask_nodes(replace(questions, mark=mark), among=among, measure_speed=measure_speed)


def check_nodes(config: TrainingConfig, folder: Path, alarm: Callable[[str], None]) -> None:
    """Ask every node before a run starts on several; on one node there is nothing to ask.

    `folder` is the run's folder on this node. `alarm` gets a line for what does not stop the run.

    Raises:
        PlacementError: a node does not see what the run needs, or has other versions; the message names the nodes.

    """
    if sum(node["Alive"] for node in ray.nodes()) < 2:
        return
    found = compare(ask_nodes_of_run(questions_of(config), folder))
    what, fix = _broken(found)
    if what:
        raise PlacementError(f"the nodes are not ready for the run: {what}", fix=fix)
    for finding in found:
        if finding.ok is None:
            alarm(f"{finding.name}: {finding.found}. {finding.fix}")


def _broken(found: Sequence[Finding]) -> tuple[str, str]:
    """Return all that would break the run, and how to mend the first of it; two empty texts for nothing."""
    broken = [finding for finding in found if finding.ok is False]
    return "; ".join(f"{finding.name}: {finding.found}" for finding in broken), broken[0].fix if broken else ""


class NewNodes:
    """The questions to nodes that join a run after its start; `check_nodes` has asked those that were there before.

    `folder` is the run's folder on this node. `note` gets a line for each node that is not fit.
    """

    def __init__(self, config: TrainingConfig, folder: Path, note: Callable[[str], None]) -> None:
        self._config, self._folder, self._note = config, folder, note
        self._known = {node["NodeID"] for node in ray.nodes() if node["Alive"]}
        self._asked: dict[str, asyncio.Task[bool]] = {}

    async def is_fit(self, node: str) -> bool:
        """Return False if the node does not see what the run needs, or has other versions; each node is asked once."""
        if node in self._known:
            return True
        if node not in self._asked:
            self._asked[node] = asyncio.create_task(self._ask(node))
        return await asyncio.shield(self._asked[node])  # others wait for the same answer

    async def _ask(self, node: str) -> bool:
        answers = await in_daemon_thread(lambda: self._answers_of(node))
        what, fix = _broken(compare(answers))
        if what:
            self._note(f"node {node[:8]} joined and is avoided: {what}; {fix}")
        return not what

    def _answers_of(self, node: str) -> list[NodeAnswer]:
        """Return what the node sees, behind the versions of this one; an answer that it gives no more is left out."""
        own = replace(examine_node(Questions()), node="the driver's node", works=False, clock_s=0.0)
        return [own, *ask_nodes_of_run(questions_of(self._config), self._folder, among={node})]


@contextmanager
def marked(folder: Path) -> Iterator[str]:
    """Yield the name of a new file in a folder on this node's disk; a node that has this file has the same disk."""
    mark = folder / f".seen-{secrets.token_hex(8)}"
    mark.touch()
    try:
        yield mark.name
    finally:
        mark.unlink()


def on_node(node: dict[str, Any], function: Any) -> Any:
    """Return the function as a task that runs on this node, also where it has no free CPU."""
    strategy = NodeAffinitySchedulingStrategy(node["NodeID"], soft=False)
    return ray.remote(function).options(num_cpus=0, scheduling_strategy=strategy, max_retries=0)


def _answer(node: dict[str, Any], call: Any, asked: float) -> NodeAnswer | None:
    """Return the node's answer; None if it takes no work any more, as it is about to leave."""
    name = f"{node['NodeManagerHostname']} ({node['NodeManagerAddress']})"
    resources = node["Resources"]
    works = bool(resources.get("CPU") or resources.get("GPU"))
    try:
        answer: NodeAnswer = ray.get(call, timeout=_ANSWER_S)
    except GetTimeoutError:
        ray.cancel(call, force=True)
        return NodeAnswer(name, works, fault=f"no answer within {_ANSWER_S:g} s")
    except TaskUnschedulableError:
        return None
    except RayError as error:
        return NodeAnswer(name, works, fault=first_line(error))
    # it read its clock at some time between question and answer: only what lies outside is known to be wrong
    ahead = max(0.0, answer.clock_s - time.time()) or min(0.0, answer.clock_s - asked)
    gpus = float(resources.get("GPU", 0))
    return replace(answer, node=name, works=works, clock_s=ahead, expected_gpus=gpus)


def _speed(node: dict[str, Any]) -> float | None:
    """Return the bytes a second of a transfer from the node to this one; None if it did not end in time."""
    try:
        made = on_node(node, _some_bytes).remote(_PROBE_BYTES)
        ray.wait([made], timeout=_ANSWER_S, fetch_local=False)
        start = time.perf_counter()
        ray.get(made, timeout=_ANSWER_S)
        return _PROBE_BYTES / (time.perf_counter() - start)
    except (RayError, GetTimeoutError):
        return None


def _some_bytes(size: int) -> bytes:
    return bytes(size)
