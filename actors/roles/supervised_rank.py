"""One rank of a run on written answers. All take the same steps; rank 0 writes metrics and checkpoints."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vlaa_ray.config import RewardModelConfig, SftConfig, SupervisedConfig
from vlaa_ray.errors import DataError

NOTES = "logs/data.txt"
"""In the run folder: what people are to know of the data, a line each."""


@dataclass(frozen=True)
class Task:
    """`resume_from` is a checkpoint's folder, and `data` the fingerprint of what it was trained on."""

    config: SupervisedConfig
    folder: Path
    resume_from: Path | None
    data: dict[str, Any] | None


def train_on_rank(options: dict[str, Any]) -> None:
    """The whole run, on each rank: what Ray Train calls with {"task": Task}."""
    os.environ["LOCAL_SIZE"] = os.environ.get("LOCAL_WORLD_SIZE", "1")
    from vlaa_ray.compat.cpu_wheels import register

    register()
    _Rank(options["task"]).run()


class _Rank:
    def __init__(self, task: Task) -> None:
        from ray.train import get_context

        from vlaa_ray.config import dump_config
        from vlaa_ray.monitoring.tracker import Tracker
        from vlaa_ray.run.checkpoints import CheckpointStore

        config, folder = task.config, task.folder
        self._task, self._config = task, config
        self._rank, self._num_ranks = get_context().get_world_rank(), config.learner.num_ranks
        self._learner = _learner(config, folder)
        self._first = self._learner.load(task.resume_from) if task.resume_from else 0
        self._read_data()
        self._store = CheckpointStore(folder / "checkpoints", config.checkpoint.keep, config=dump_config(config))
        self._tracker = None
        if self._rank == 0:
            self._tracker = Tracker(folder, config.tracking, config.run.name, config.model_dump(mode="json"))
        self._evaluated = False

    def run(self) -> None:
        from vlaa_ray.data.dataset import SeededOrder

        config, size = self._config, self._config.limits.samples_per_step
        order = SeededOrder(self._training, config.run.seed)
        for step in range(self._first, config.run.num_steps):
            mine = [order[position] for position in range(step * size + self._rank, (step + 1) * size, self._num_ranks)]
            metrics = self._learner.update(mine, step)
            done = step + 1
            last = done == config.run.num_steps
            if metrics["samples/dropped"]:
                self._list_dropped(done)
            if done % config.eval.every_steps == 0 or last:
                metrics |= self._evaluate(done)
            if self._tracker:
                self._tracker.log(done, metrics)
            if done % config.checkpoint.every_steps == 0 or last:
                self._save(done)
        if self._tracker:
            self._tracker.close()

    def _read_data(self) -> None:
        """DataError on all ranks if they haven't read the same, as where a host of images failed one of them."""
        from vlaa_ray.data.fingerprint import change_of, fingerprint
        from vlaa_ray.data.supervised import open_supervised
        from vlaa_ray.records import Defect
        from vlaa_ray.run.quarantine import quarantine_note, write_quarantine

        quarantine: list[Defect] = []
        self._training, self._heldout = open_supervised(self._config, quarantine)
        self._data = fingerprint(self._training, solved=True)
        left_out = [(one.file, one.row) for one in quarantine]
        found = self._of_all_ranks((self._data, fingerprint(self._heldout, solved=True), left_out))
        if any(one != found[0] for one in found):
            fix = "the same command reads it again; data that changes meanwhile can't be trained on"
            raise DataError("the ranks have read different data", left_out=[len(one[2]) for one in found], fix=fix)
        if self._rank == 0:
            folder = self._task.folder
            write_quarantine(folder, quarantine)
            notes = filter(None, (quarantine_note(folder), change_of(self._task.data, self._data)))
            (folder / NOTES).write_text("\n".join(notes), encoding="utf-8", errors="backslashreplace")

    def _evaluate(self, done: int) -> dict[str, float]:
        count = min(len(self._heldout), self._config.eval.num_prompts or len(self._heldout))
        metrics: dict[str, float] = self._learner.evaluate(
            [self._heldout[number] for number in range(self._rank, count, self._num_ranks)]
        )
        if metrics["eval/samples/dropped"] and not self._evaluated:  # they are the same every time
            self._list_dropped(done, heldout=True)
        self._evaluated = True
        return metrics

    def _save(self, done: int) -> None:
        import torch

        partial = [str(self._store.begin(done)) if self._rank == 0 else ""]
        torch.distributed.broadcast_object_list(partial)
        self._learner.save(Path(partial[0]), done)
        torch.distributed.barrier()
        if self._rank == 0:
            self._store.commit(done, {"step": done, "data": self._data})

    def _list_dropped(self, done: int, **facts: bool) -> None:
        dropped = [one for part in self._of_all_ranks(self._learner.row_filter.dropped) for one in part]
        if self._tracker:
            self._tracker.log_dropped([{"step": done, **one, **facts} for one in dropped])

    def _of_all_ranks(self, mine: Any) -> list[Any]:
        import torch

        found: list[Any] = [None] * self._num_ranks
        torch.distributed.all_gather_object(found, mine)
        return found


def _learner(config: SupervisedConfig, folder: Path) -> Any:
    if isinstance(config, RewardModelConfig):
        from vlaa_ray.learner.reward_model import RewardModelLearner

        return RewardModelLearner(config, folder)
    from vlaa_ray.learner.sft import SftLearner

    assert isinstance(config, SftConfig)
    return SftLearner(config, folder)
