"""The writer of a training run: metrics, rollouts, dropped prompts, quarantined records, checkpoints."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from vlaa_ray.config import TrainingConfig, dump_config
from vlaa_ray.data.fingerprint import change_of
from vlaa_ray.errors import CheckpointError
from vlaa_ray.monitoring.rollout_log import rollout_rows
from vlaa_ray.monitoring.tracker import Tracker
from vlaa_ray.records import Defect, Group
from vlaa_ray.run.checkpoints import Checkpoint, CheckpointStore
from vlaa_ray.run.quarantine import quarantine_note, write_quarantine


class RunWriter:
    """The only writer into the run folder `path`: the driver of a GRPO run, or rank 0 of supervised training.

    `resume_from` is the checkpoint from which the run continues.
    """

    def __init__(self, config: TrainingConfig, path: Path, resume_from: Checkpoint | None) -> None:
        self._path = path
        self._rollouts_per_step = config.tracking.rollouts_per_step
        self._trained_on: dict[str, Any] | None = resume_from.state.get("data") if resume_from else None
        self._data: dict[str, Any] = {}
        self._checkpoints = CheckpointStore(
            path / "checkpoints", config.num_checkpoints_kept, config=dump_config(config)
        )
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
            rows = rollout_rows(groups, step, self._rollouts_per_step, self._tracker.save_image)
            self._tracker.log_rollouts(step, rows)
        self._tracker.log(step, metrics)

    def log_dropped(self, rows: Iterable[dict[str, Any]]) -> None:
        """Append the step, id and reason of samples that could not be trained on to `dropped.jsonl`."""
        self._tracker.log_dropped(list(rows))

    def begin_checkpoint(self, step: int) -> Path:
        """Return an empty folder for the files of the checkpoint."""
        return self._checkpoints.begin(step)

    def commit_checkpoint(self, step: int, state: dict[str, Any]) -> Path:
        """Finish the checkpoint with `state` and the data's fingerprint, and return its folder.

        Raises:
            CheckpointError: a file can't be written, or the learner's files can't be seen on this node.

        """
        partial = self._checkpoints.partial(step)
        if not (partial / "hf" / "config.json").is_file():
            raise CheckpointError(
                "the learner's files can't be seen from this process",
                folder=str(partial),
                fix="put run.dir on a file system that all nodes share",
            )
        return self._checkpoints.commit(step, state | {"data": self._data})

    def close(self) -> None:
        """End the trackers; this waits some seconds for TensorBoard and W&B."""
        self._tracker.close()
