"""The function that Ray Train runs on each rank of training on written answers."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ray
from ray.exceptions import GetTimeoutError, RayActorError, RayTaskError

from actors.process.causes import first_line, typed_cause
from vlaa_ray.config import SupervisedConfig
from vlaa_ray.errors import DeadlineExceeded, RolloutFleetExhausted
from vlaa_ray.roles import Metrics
from vlaa_ray.run.checkpoints import Checkpoint
from vlaa_ray.services.secret import take_secrets


@dataclass(frozen=True)
class RankTask:
    """The arguments of a rank: the config, the run's folder, and the checkpoint to continue from.

    `heldout` is the handle of the actor that samples held-out answers; None for a run without it.
    """

    config: SupervisedConfig
    folder: Path
    resume_from: Checkpoint | None
    heldout: Any = None


class RemoteHeldOutRewards:
    """The actor of held-out rewards as `roles.HeldOutRewards`; rank 0 makes the calls."""

    def __init__(self, actor: Any, deadline_s: float) -> None:
        self._actor, self._deadline_s = actor, deadline_s
        self._call: Any = None
        self._waited_s = 0.0

    def begin(self, step: int) -> None:
        """See `HeldOutRewards`."""
        self._call, self._waited_s = self._actor.measure.remote(step), 0.0

    def result(self, timeout_s: float) -> Metrics | None:
        """See `HeldOutRewards`."""
        try:
            return dict(ray.get(self._call, timeout=timeout_s))
        except GetTimeoutError:
            self._waited_s += timeout_s
        except RayTaskError as error:
            raise typed_cause(error) or error from None
        except RayActorError as error:
            message = f"the actor that samples held-out answers was lost: {first_line(error)}"
            raise RolloutFleetExhausted(message, fix="the same command continues from the last checkpoint") from error
        if self._waited_s >= self._deadline_s:
            fix = "look at logs/ in the run folder; ask fewer prompts (eval.num_prompts), or raise the deadlines"
            raise DeadlineExceeded(f"no held-out rewards within {self._deadline_s:g} s", fix=fix)
        return None


def train_on_rank(options: dict[str, RankTask]) -> None:
    """Run the loop on this rank; Ray Train calls it with {"task": RankTask} once the rank knows where all meet."""
    from vlaa_ray.compat.cpu_wheels import register

    register()
    take_secrets()
    from vlaa_ray.supervised_loop import train

    task = options["task"]
    heldout = None
    if task.heldout is not None:
        heldout = RemoteHeldOutRewards(task.heldout, task.config.heldout_deadline_s)
    train(task.config, task.folder, task.resume_from, heldout)
