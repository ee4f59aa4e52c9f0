"""The writer of a training run: metrics, rollouts, dropped prompts, quarantined records, checkpoints."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from vlaa_ray.config import TrainingConfig, dump_config
from vlaa_ray.data.fingerprint import change_of
from vlaa_ray.errors import CheckpointError, StorageError
from vlaa_ray.models.input_sizes import input_sizes_of
from vlaa_ray.monitoring.rollout_log import rollout_rows
from vlaa_ray.monitoring.tracker import Tracker
from vlaa_ray.records import Defect, Group
from vlaa_ray.rewards.params import VerifierParams
from vlaa_ray.run.checkpoints import Checkpoint, CheckpointStore
from vlaa_ray.run.parts import CheckpointParts
from vlaa_ray.run.quarantine import quarantine_note, write_quarantine
from vlaa_ray.run.remote_run import RemoteRun
from vlaa_ray.run.sample_pictures import sample_pictures
from vlaa_ray.storage.layout import CHECKPOINTS

_MODEL = "hf/config.json"


class RunWriter:
    """The only writer into the run folder `path`: the driver of a GRPO run, or rank 0 of supervised training.

    `resume_from` is the checkpoint from which the run continues; `remote` is the run folder in a bucket, if there is
    one and this process sends to it.
    """

    def __init__(
        self, config: TrainingConfig, path: Path, resume_from: Checkpoint | None, remote: RemoteRun | None = None
    ) -> None:
        self._path = path
        self._rollouts_per_step = config.tracking.rollouts_per_step
        judges = config.judges_with
        self._params = VerifierParams(judges.verifiers if judges else {}, input_sizes_of(config.model))
        self._pictures_every = config.tracking.pictures_every_steps
        self._trained_on: dict[str, Any] | None = resume_from.state.get("data") if resume_from else None
        self._data: dict[str, Any] = {}
        tag = f".{remote.attempt}" if remote else ""
        self._checkpoints = CheckpointStore(
            path / CHECKPOINTS, config.num_checkpoints_kept, config=dump_config(config), tag=tag
        )
        self._remote = remote
        self._parts: CheckpointParts | None = None
        if remote:
            self._parts = CheckpointParts(remote.place / CHECKPOINTS, remote.attempt, config.deadlines.checkpoint_s)
        self._tracker = Tracker(path, config.tracking, config.run.name, config.model_dump(mode="json"))

    def use_data(self, data: dict[str, Any], quarantine: Sequence[Defect]) -> list[str]:
        """Remember the data's fingerprint for checkpoints, and write the left-out records to `quarantine.jsonl`.

        Return notes for people: how many records are left out, and whether the data has changed since the checkpoint.
        """
        self._data = data
        write_quarantine(self._path, quarantine)
        return [note for note in (quarantine_note(self._path), change_of(self._trained_on, data)) if note]

    def log(self, step: int, metrics: Mapping[str, float], groups: Sequence[Group] = ()) -> None:
        """Append the step's metrics, and write some of its rollouts for people to read."""
        if groups and self._rollouts_per_step:
            rows = rollout_rows(groups, step, self._rollouts_per_step, self._tracker.save_image, self._params.of)
            self._tracker.log_rollouts(step, rows)
            if self._pictures_every and (step - 1) % self._pictures_every == 0:
                self._tracker.show(step, partial(sample_pictures, self._path, rows))
        self._tracker.log(step, metrics)

    def log_dropped(self, rows: Iterable[dict[str, Any]]) -> None:
        """Append the step, id and reason of samples that could not be trained on to `dropped.jsonl`."""
        self._tracker.log_dropped(list(rows))

    def begin_checkpoint(self, step: int) -> Path:
        """Return an empty folder for the files of the checkpoint.

        Raises:
            OwnershipLost: another attempt has taken over the run's folder in a bucket.

        """
        if self._remote:
            self._remote.require_ownership()
        partial = self._checkpoints.begin(step)
        if self._parts:
            self._parts.mark(partial)
        return partial

    def commit_checkpoint(self, step: int, state: dict[str, Any]) -> Path:
        """Finish the checkpoint with `state` and the data's fingerprint, and return its folder.

        Raises:
            CheckpointError: a file can't be written, or the learner's files can't be seen on this node.
            OwnershipLost: another attempt has taken over the run's folder in a bucket.

        """
        partial = self._checkpoints.partial(step)
        try:
            elsewhere = self._parts.collect(step, partial) if self._parts else {}
        except StorageError as error:
            message = f"the files of ranks on other nodes can't be looked for: {error.message}"
            raise CheckpointError(message, fix=error.fix, folder=str(partial)) from error
        if not (partial / _MODEL).is_file() and _MODEL not in elsewhere:
            raise CheckpointError(
                "the learner's files can't be seen from this process",
                folder=str(partial),
                fix="put run.dir on a file system that all nodes share, or into a bucket",
            )
        if self._remote:
            self._remote.require_ownership()
        folder = self._checkpoints.commit(step, state | {"data": self._data}, elsewhere)
        if self._remote:
            self._remote.wake()
        return folder

    def close(self) -> None:
        """End the trackers; this waits some seconds for TensorBoard and W&B."""
        self._tracker.close()
