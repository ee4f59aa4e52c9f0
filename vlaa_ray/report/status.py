"""The state of a run in a few lines, from its folder alone: it may be on this disk, on a shared one, or in a bucket."""

from __future__ import annotations

import fcntl
import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np

from vlaa_ray.config.base_folder import is_remote
from vlaa_ray.errors import VlaaRayError
from vlaa_ray.monitoring.names import types_in
from vlaa_ray.run.checkpoints import CheckpointStore
from vlaa_ray.run.ownership import read_owner
from vlaa_ray.run.reader import RecordedRun
from vlaa_ray.run.remote_checkpoints import list_remote
from vlaa_ray.run.remote_sources import fetch_run
from vlaa_ray.storage.layout import CHECKPOINTS, LOCK, LOGS, MANIFEST
from vlaa_ray.storage.mapping_file import as_mapping
from vlaa_ray.storage.places import BucketPath
from vlaa_ray.text.durations import duration

_LOST_AFTER_S = 120.0
_BLOCKS = "▁▂▃▄▅▆▇█"
_ROLES = {
    "rollout": ("rollout", "num_actors", "time/rollout_s"),
    "rewards": ("reward", "num_actors", "time/reward_s"),
    "learner": ("learner", "num_ranks", "time/learn_s"),
}
"""A role's section of the config: its name in metrics, the key of the number of its actors, and its time in a step."""
_PACE_STEPS = 20


@dataclass(frozen=True, kw_only=True)
class RoleStatus:
    """What is known about a role at the last step; None for what is not known."""

    name: str
    actors: float | None = None
    restarts: float | None = None
    """The number of its actors that were replaced so far."""
    busy_s: float | None = None
    """Its seconds of the last step."""
    rss_bytes: float | None = None
    """Resident memory of its largest process."""


@dataclass(frozen=True, kw_only=True)
class RunStatus:
    """What is known about a run; a part that is not known is None or empty."""

    name: str
    state: str
    """running, finished, failed, interrupted; killed or silent where it says running, but nothing works there."""
    step: int
    num_steps: int | None
    rewards: dict[str, float] = field(default_factory=dict)
    """The newest mean reward or loss by its name, held-out ones included."""
    step_s: float | None = None
    samples_per_s: float | None = None
    curve: list[float] = field(default_factory=list)
    """The mean reward of each step so far, or the loss where there is none."""
    roles: list[RoleStatus] = field(default_factory=list)
    """What each role did in the last step."""
    checkpoint: tuple[int, float] | None = None
    """Step and age in seconds of the newest finished checkpoint."""
    life_s: float | None = None
    """Seconds since the last sign of life."""
    behind_s: float | None = None
    """Seconds since the bucket had everything, at the last step."""
    error: dict[str, Any] = field(default_factory=dict)

    @property
    def is_over(self) -> bool:
        """True if nothing more will happen unless somebody starts the run again."""
        return self.state != "running"


def status_of(text: str) -> RunStatus:
    """Return the status of the run that `text` names: a folder, or an address in a bucket.

    Raises:
        VlaaRayError: there is no such run.
        StorageError: the bucket can't be used.

    """
    if is_remote(text):
        place = BucketPath.parse(text)
        folder, owner = fetch_run(text), read_owner(place)
        life_s = _age_of(str(owner.get("renewed"))) if owner.get("renewed") else None
        works = not owner.get("released") and life_s is not None and life_s < _LOST_AFTER_S
        finished = [remote for remote in list_remote(place / CHECKPOINTS) if remote.is_finished]
        newest = (finished[-1].step, time.time() - finished[-1].files[MANIFEST].changed_ns / 1e9) if finished else None
        return _status(RecordedRun.read(folder), works, "silent", life_s, newest)
    folder = Path(text)
    run = RecordedRun.read(folder)
    if not run.state and not run.metrics:
        raise VlaaRayError("no run in this folder", fix="give the folder of a run, runs/NAME", got=text)
    return _status(run, _is_locked(folder), "killed", _local_life_s(folder), _newest_checkpoint(folder))


def lines(status: RunStatus) -> list[str]:
    """Return the status as lines for people."""
    total = f" of {status.num_steps}" if status.num_steps else ""
    shown = [f"{status.name}: {status.state}, step {status.step}{total}"]
    if status.error:
        shown.append(f"  cause         {status.error.get('type')}: {status.error.get('message')}")
    rewards = [f"  {name:<13} {value:.3f}" for name, value in status.rewards.items()]
    if rewards and len(status.curve) > 1:  # the first one is the mean that the curve shows
        rewards[0] += f"  {sparkline(status.curve)}"
    shown += rewards
    if status.step_s:
        left = (status.num_steps - status.step) * status.step_s if status.num_steps and not status.is_over else None
        speed = [f"{duration(status.step_s)} a step"]
        speed += [f"{status.samples_per_s:.0f} samples/s"] if status.samples_per_s else []
        speed += [f"about {duration(left)} left"] if left else []
        shown.append(f"  speed         {', '.join(speed)}")
    shown += [f"  {role.name:<13} {_role_line(role)}" for role in status.roles]
    if status.checkpoint:
        shown.append(f"  checkpoint    step {status.checkpoint[0]}, {_ago(status.checkpoint[1])}")
    else:
        shown.append("  checkpoint    none yet")
    if status.behind_s is not None:
        shown.append(f"  bucket        was {duration(status.behind_s)} behind at the last step")
    if status.life_s is not None:
        shown.append(f"  sign of life  {_ago(status.life_s)}")
    return shown


def sparkline(values: Sequence[float], width: int = 40) -> str:
    """Return a curve as a text of at most `width` blocks, from the lowest value to the highest; each is a mean."""
    parts = np.array_split(np.asarray(values, dtype=float), min(width, len(values)))
    means = np.array([part.mean() for part in parts])
    low, high = np.nanmin(means), np.nanmax(means)
    levels = (means - low) / (high - low) if high > low else np.zeros_like(means)
    top = len(_BLOCKS) - 1
    return "".join(" " if np.isnan(level) else _BLOCKS[round(float(level) * top)] for level in levels)


def _role_line(role: RoleStatus) -> str:
    parts = []
    if role.actors is not None:
        parts.append(f"{role.actors:g} actor{'s' * (role.actors != 1)}")
    if role.busy_s is not None:
        parts.append(f"{duration(role.busy_s)} of the last step")
    if role.restarts:
        parts.append(f"{role.restarts:g} replaced")
    if role.rss_bytes:
        parts.append(f"{role.rss_bytes / 2**30:.1f} GiB")
    return ", ".join(parts)


def _status(
    run: RecordedRun, works: bool, otherwise: str, life_s: float | None, checkpoint: tuple[int, float] | None
) -> RunStatus:
    """Return the status of a run; `works` says whether a process works on it, `otherwise` what it is called if not."""
    state = str(run.state.get("state") or "unknown")
    last = run.metrics[-1] if run.metrics else {}
    section = as_mapping(run.config.get("run"))
    times = [value for _, value in run.series("time/step_s")][-_PACE_STEPS:]
    planned = run.state.get("num_steps") or section.get("num_steps")
    return RunStatus(
        name=str(section.get("name") or run.path.name),
        state=otherwise if state == "running" and not works else state,
        step=int(last.get("step", run.state.get("step") or 0)),
        num_steps=planned if isinstance(planned, int) else None,
        rewards=_rewards(run),
        step_s=sum(times) / len(times) if times else None,
        samples_per_s=last.get("throughput/samples_per_s"),
        curve=[value for _, value in run.series(_curve_name(run))],
        roles=_roles(run, last),
        checkpoint=checkpoint,
        life_s=life_s,
        behind_s=last.get("storage/behind_s"),
        error=as_mapping(run.state.get("error")),
    )


def _rewards(run: RecordedRun) -> dict[str, float]:
    """Return the newest value of the mean rewards, in all and by verifier type, or else of the losses."""
    names, main = run.names(), _curve_name(run)
    shown = {"reward": main, "held-out": "eval/reward/mean"}
    if main != "reward/mean":
        shown = {"loss": main, "held-out loss": "eval/loss", "held-out": "eval/reward/mean"}
    shown |= {f"  {kind}": f"reward/{kind}/mean" for kind in types_in(names, "reward/{}/mean")}
    return {label: run.series(name)[-1][1] for label, name in shown.items() if name in names}


def _curve_name(run: RecordedRun) -> str:
    return "reward/mean" if "reward/mean" in run.names() else "policy/loss"


def _roles(run: RecordedRun, last: Mapping[str, float]) -> list[RoleStatus]:
    """Return the roles that the config names; their numbers are the last step's, or those of the config before it."""
    roles = []
    for section, (role, count, time_s) in _ROLES.items():
        planned = as_mapping(run.config.get(section)).get(count)
        if not isinstance(planned, int):
            continue
        logged = last.get(f"{role}/replicas", last.get(f"{role}/ranks"))
        roles.append(
            RoleStatus(
                name=section,
                actors=float(planned) if logged is None else logged,
                restarts=last.get(f"{role}/restarts"),
                busy_s=last.get(time_s),
                rss_bytes=last.get(f"memory/{role}_rss_bytes"),
            )
        )
    return roles


def _is_locked(folder: Path) -> bool:
    """Return True if a process holds the lock of a run folder."""
    try:
        with (folder / LOCK).open("r+") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    return False


def _local_life_s(folder: Path) -> float | None:
    files = [folder / "run.json", folder / "metrics.jsonl", *(folder / LOGS).glob("*")]
    changed = [file.stat().st_mtime for file in files if file.is_file()]
    return time.time() - max(changed) if changed else None


def _newest_checkpoint(folder: Path) -> tuple[int, float] | None:
    for path in reversed(CheckpointStore(folder / CHECKPOINTS, keep=1).paths()):
        manifest = path / MANIFEST
        if manifest.is_file():
            return int(json.loads(manifest.read_text())["step"]), time.time() - manifest.stat().st_mtime
    return None


def _age_of(moment: str) -> float | None:
    try:
        return time.time() - datetime.fromisoformat(moment).timestamp()
    except ValueError:
        return None


def _ago(seconds: float) -> str:
    return f"{duration(max(0.0, seconds))} ago"
