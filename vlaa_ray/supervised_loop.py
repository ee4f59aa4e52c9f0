"""The loop of training on written answers (SFT, reward models): every rank runs it, and rank 0 writes for all.

    order of the samples ──▶ each rank its share ──▶ learner.update ──▶ evaluate, log, save when it is time

Ray Train starts the ranks (`actors.drivers.supervised`). The learner core is the same as in GRPO.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from vlaa_ray.algorithms.early_stopping import EarlyStopping
from vlaa_ray.config import SupervisedConfig
from vlaa_ray.data.fingerprint import fingerprint
from vlaa_ray.data.order import SeededOrder
from vlaa_ray.data.supervised import Written, open_supervised
from vlaa_ray.errors import DataError
from vlaa_ray.learner.deepspeed import join_ranks
from vlaa_ray.learner.rank_group import RankGroup
from vlaa_ray.learner.supervised import make_learner
from vlaa_ray.learner.supervised_base import SupervisedLearner
from vlaa_ray.records import Defect
from vlaa_ray.roles import HeldOutRewards
from vlaa_ray.run.checkpoints import Checkpoint
from vlaa_ray.run.parts import require_driver_here
from vlaa_ray.run.writer import RunWriter
from vlaa_ray.storage.atomic import write_whole
from vlaa_ray.storage.layout import HELDOUT_MODEL, PLAN
from vlaa_ray.storage.notes import append_note

_POLL_S = 10.0


def train(
    config: SupervisedConfig, folder: Path, resume_from: Checkpoint | None, rewards: HeldOutRewards | None = None
) -> None:
    """Train from `resume_from` to the last step, and write into the run's `folder`; every rank calls this function.

    The last step is that of `run.num_steps` or of `run.num_epochs` of the data, or an earlier one by
    `sft.early_stopping`. The environment must name the rank (`set_rank_environment`). Errors of the learner and of the
    data are raised on the ranks that meet them. With `rewards`, the answers of the newest model are scored at each
    evaluation, the first time before step 1.
    """
    require_driver_here(config, folder)
    join_ranks(config.learner)
    learner = make_learner(config, folder)
    ranks = RankGroup()
    run = _RankRun(config, folder, resume_from, ranks, rewards)
    step = learner.load(resume_from.path) if resume_from else 0
    training, heldout = run.read_data()
    order, size = SeededOrder(training, config.run.seed), config.limits.samples_per_step
    num_steps = config.steps_for(len(training))
    stopping = EarlyStopping(config.stops_early, resume_from.state.get("early_stopping") if resume_from else None)
    run.plan(num_steps)
    if rewards and resume_from is None:
        run.log(0, run.evaluate(learner, heldout, 0))
    while step < num_steps and not stopping.is_over:
        share = range(step * size + ranks.rank, (step + 1) * size, ranks.num_ranks)
        metrics = learner.update([order[position] for position in share], step, num_steps)
        step += 1
        if metrics["samples/dropped"]:
            run.list_dropped(learner, step)
        if step % config.eval.every_steps == 0 or step == num_steps:
            metrics |= run.evaluate(learner, heldout, step)
            stopping.observe(step, metrics.get("eval/loss"))
        run.log(step, metrics)
        if step % config.checkpoint.every_steps == 0 or step == num_steps or stopping.is_over:
            run.save(learner, step, stopping)
    run.plan(num_steps, stopping)
    run.close()


class _RankRun:
    """One rank's part of the run: rank 0 writes metrics, notes and checkpoints; the other ranks send their parts."""

    def __init__(
        self,
        config: SupervisedConfig,
        folder: Path,
        resume_from: Checkpoint | None,
        ranks: RankGroup,
        rewards: HeldOutRewards | None,
    ) -> None:
        self._config, self._folder, self._ranks, self._rewards = config, folder, ranks, rewards
        self._writer = RunWriter(config, folder, resume_from) if ranks.is_first else None
        self._listed_heldout = False

    def read_data(self) -> tuple[Written, Written]:
        """Return the training data and the held-out data.

        Raises:
            DataError: the ranks have not read the same data, for instance because images failed to load on one of
                them; every rank raises it.

        """
        quarantine: list[Defect] = []
        training, heldout = open_supervised(self._config, quarantine)
        data = fingerprint(training, solved=True)
        left_out = [(defect.file, defect.row) for defect in quarantine]
        views = self._ranks.gather((data, fingerprint(heldout, solved=True), left_out))
        if any(view != views[0] for view in views):
            fix = "run the same command again; the data must not change while the ranks read it"
            counts = [len(view[2]) for view in views]
            raise DataError("the ranks have read different data", num_left_out=counts, fix=fix)
        if self._writer:
            for note in self._writer.use_data(data, quarantine):
                self._note(note)
        return training, heldout

    def evaluate(self, learner: SupervisedLearner, heldout: Written, step: int) -> dict[str, float]:
        """Return the `eval/…` metrics of the first `eval.num_prompts` held-out samples, shared out over the ranks."""
        count = min(len(heldout), self._config.eval.num_prompts or len(heldout))
        share = range(self._ranks.rank, count, self._ranks.num_ranks)
        metrics = learner.evaluate([heldout[number] for number in share])
        if metrics["eval/samples/dropped"] and not self._listed_heldout:  # the same samples at every evaluation
            self.list_dropped(learner, step, heldout=True)
        self._listed_heldout = True
        return metrics | self._sampled_rewards(learner, step)

    def _sampled_rewards(self, learner: SupervisedLearner, step: int) -> dict[str, float]:
        """Return the `eval/reward/…` metrics of sampled answers; {} for a run without them. A collective."""
        if self._rewards is None:
            return {}
        learner.core.export(self._folder / HELDOUT_MODEL)
        self._ranks.barrier()
        if self._ranks.is_first:
            self._rewards.begin(step)
        metrics: dict[str, float] | None = None
        while metrics is None:  # in short waits, as the other ranks wait in a collective; `result` has the deadline
            metrics = self._ranks.from_first(self._rewards.result(_POLL_S) if self._ranks.is_first else None)
        return metrics

    def log(self, step: int, metrics: dict[str, float]) -> None:
        """Write the step's metrics."""
        if self._writer:
            if count := metrics.get("samples/dropped"):
                self._note(f"step {step}: {count:g} samples dropped; dropped.jsonl lists the reasons")
            self._writer.log(step, metrics)

    def plan(self, num_steps: int, stopping: EarlyStopping | None = None) -> None:
        """Tell the driver the number of steps of the whole run, and at the end whether and why it ended early."""
        if not self._writer:
            return
        plan: dict[str, Any] = {"num_steps": num_steps, "num_epochs": self._config.num_epochs}
        if stopping and stopping.is_over:
            plan |= {"stopped_early": self._config.stops_early}
            self._note(f"{stopping.reason()}; the run has ended early")
        write_whole(self._folder / PLAN, json.dumps(plan))

    def save(self, learner: SupervisedLearner, step: int, stopping: EarlyStopping) -> None:
        """Write a checkpoint; a collective."""
        partial = self._ranks.from_first(self._writer.begin_checkpoint(step) if self._writer else None)
        learner.save(partial, step)
        self._ranks.barrier()
        if self._writer:
            self._writer.commit_checkpoint(step, {"step": step, "early_stopping": stopping.state()})

    def list_dropped(self, learner: SupervisedLearner, step: int, **facts: bool) -> None:
        """Append the samples that the ranks dropped in their last call to `dropped.jsonl`; a collective."""
        parts: Sequence[list[dict[str, Any]]] = self._ranks.gather(list(learner.row_filter.dropped))
        if self._writer:
            self._writer.log_dropped({"step": step, **row, **facts} for part in parts for row in part)

    def close(self) -> None:
        """End the trackers."""
        if self._writer:
            self._writer.close()

    def _note(self, text: str) -> None:
        append_note(self._folder, text)
