"""One rank of the GRPO learner: it does a training step on groups with advantages and returns the statistics."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from vlaa_ray.algorithms.kl import AdaptiveKl
from vlaa_ray.algorithms.losses import (
    AGGREGATIONS,
    LOSSES,
    LossResult,
    StepCounts,
    token_weights,
    truncated_importance_weights,
)
from vlaa_ray.config import GrpoConfig
from vlaa_ray.errors import LearnerError
from vlaa_ray.learner.core import LearnerCore
from vlaa_ray.learner.feeding import Feed
from vlaa_ray.models.batches import Batch, Row
from vlaa_ray.models.loading import load_model
from vlaa_ray.models.policy import policy_at
from vlaa_ray.records import Group, OptimizerStep


@dataclass(frozen=True)
class _Sequence:
    """The facts about one completion of this rank that the loss needs."""

    rollout_logprobs: np.ndarray  # [C]
    advantage: float


class RLLearner:
    """One rank of the policy in training. All ranks must make the same calls, the constructor included.

    The policy and the reference of the KL term are both loaded from `model.path`.
    """

    def __init__(self, config: GrpoConfig) -> None:
        self._config = config
        make_policy = policy_at(config.rollout.temperature)
        self.core = LearnerCore(config.model, config.learner, make_policy)
        kl = config.grpo.kl
        self._kl = AdaptiveKl(coefficient=kl.coefficient, target=kl.target, horizon=kl.horizon)
        self._reference = None
        if kl.coefficient > 0:
            reference = make_policy(load_model(config.model), self.core.chat)
            self._reference = reference.requires_grad_(False).eval().to(self.core.engine.device)  # whole on each rank
        self._sums = _Sums()
        self.weight_version = 0
        """The number of optimizer steps done."""

    def accumulate(self, groups: Sequence[Group]) -> None:
        """Add the gradient of groups with advantages to the next training step, which must have one optimizer step."""
        (rows,), sequences = _rows([groups])
        feed = self.core.feed([rows], [1 + bool(self._reference)])
        self._add(feed.batches(0), sequences, old_logprobs=None, ref_logprobs=self._ref_logprobs(feed, 1))

    def update(self, steps: Sequence[OptimizerStep]) -> dict[str, float]:
        """Do the optimizer steps of one training step on this rank's groups; return the metrics over all ranks.

        The groups that `accumulate` got before are part of the first optimizer step.

        Raises:
            LearnerError: the loss or the gradient is not finite.

        """
        rows, sequences = _rows([step.groups for step in steps])
        # the policy of the first optimizer step is its own old policy, which needs no extra forward pass
        needs_old = [number > 0 for number in range(len(steps))]
        feed = self.core.feed(rows, [1 + bool(self._reference) + old for old in needs_old])
        ref_logprobs = self._ref_logprobs(feed, len(steps))
        old_logprobs = self.core.logprobs(batch for number in range(1, len(steps)) for batch in feed.batches(number))
        total = self._config.run.num_steps * self._config.learner.updates_per_step
        applied: list[dict[str, float]] = []
        for number, step in enumerate(steps):
            old = old_logprobs if needs_old[number] else None
            self._add(feed.batches(number), sequences, old_logprobs=old, ref_logprobs=ref_logprobs)
            divisor = AGGREGATIONS[self._config.grpo.aggregation].divisor(
                StepCounts(
                    num_sequences=step.num_sequences,
                    num_tokens=step.num_tokens,
                    max_completion_tokens=self._config.rollout.max_completion_tokens,
                )
            )
            self._check()
            applied.append(self.core.step(self.weight_version, total, divisor))
            self._sums.end_step(divisor)
            self.weight_version += 1
        metrics = self._sums.metrics(self.core.engine.reduce_sum, self.core.engine.reduce_max, len(steps))
        self._sums = _Sums()
        norms = [of_step["policy/grad_norm"] for of_step in applied]
        metrics |= applied[-1] | {"policy/grad_norm": float(np.mean(norms))}
        if self._reference:
            metrics["policy/kl_coefficient"] = self._kl.coefficient
            self._kl = self._kl.updated(metrics["policy/kl"], sum(step.num_sequences for step in steps))
        else:
            metrics.pop("policy/kl")
        return metrics

    def _ref_logprobs(self, feed: Feed, num_steps: int) -> dict[int, np.ndarray] | None:
        if not self._reference:
            return None
        every = (batch for number in range(num_steps) for batch in feed.batches(number))
        return self.core.logprobs(every, self._reference)

    def _add(
        self,
        batches: Iterable[Batch],
        sequences: list[_Sequence],
        *,
        old_logprobs: dict[int, np.ndarray] | None,
        ref_logprobs: dict[int, np.ndarray] | None,
    ) -> None:
        objective = Objective(
            self._config,
            sequences,
            old_logprobs=old_logprobs,
            ref_logprobs=ref_logprobs,
            kl_coefficient=self._kl.coefficient,
            sums=self._sums,
        )
        self.core.accumulate(batches, objective)

    def save(self, folder: Path) -> None:
        """Write everything that `load` needs, and the model in `hf/`.

        Raises:
            CheckpointError: a file can't be written.

        """
        self.core.save(folder, self._state())

    def begin_save(self, folder: Path) -> None:
        """Copy what `save` writes into RAM, and begin to write it; see `LearnerCore.begin_save`."""
        self.core.begin_save(folder, self._state())

    def load(self, folder: Path) -> None:
        """Restore weights, optimizer, weight version and KL coefficient.

        Raises:
            CheckpointError: the optimizer state is missing or does not fit.

        """
        state: dict[str, Any] = self.core.load(folder)
        self.weight_version = state["weight_version"]
        self._kl = AdaptiveKl(**state["kl"])

    def _state(self) -> dict[str, Any]:
        return {"weight_version": self.weight_version, "kl": asdict(self._kl)}

    def offload(self) -> None:
        """Move all memory of this rank from its device into RAM, the reference policy included."""
        self.core.engine.offload(*filter(None, [self._reference]))

    def reload(self) -> None:
        """Bring back what `offload` moved; until then nothing else may be called."""
        self.core.engine.reload()

    def _check(self) -> None:
        total = self.core.engine.reduce_sum(self._sums.values.clone())
        if not bool(torch.isfinite(total).all()):
            raise LearnerError(
                "the loss is not finite",
                weight_version=self.weight_version,
                rank=self.core.engine.rank,
                got=total.tolist(),
                fix="resume from the last checkpoint with a lower learning rate",
            )


class Objective:
    """The loss of one optimizer step, undivided. A call returns one micro-batch's share, and adds to `sums`.

    `old_logprobs` and `ref_logprobs` are by sequence id. Without `old_logprobs`, the policy is its own old policy.
    """

    def __init__(
        self,
        config: GrpoConfig,
        sequences: list[_Sequence],
        *,
        old_logprobs: dict[int, np.ndarray] | None,
        ref_logprobs: dict[int, np.ndarray] | None,
        kl_coefficient: float,
        sums: _Sums,
    ) -> None:
        self._sequences, self._sums = sequences, sums
        self._old, self._ref, self._kl_coefficient = old_logprobs, ref_logprobs, kl_coefficient
        self._kl_kind = config.grpo.kl.estimator
        self._loss = LOSSES[config.grpo.loss].from_config(config.grpo)
        self._aggregation = AGGREGATIONS[config.grpo.aggregation]
        self._importance_cap = config.grpo.importance_cap if config.corrects_engine else None

    def __call__(self, outputs: tuple[torch.Tensor, torch.Tensor], batch: Batch) -> torch.Tensor:
        """Return the batch's share of the loss, with its gradient, from (logprobs [N], entropy [N]) of its tokens."""
        logprobs, entropy = outputs
        ids = torch.unique_consecutive(batch.sequence_ids).tolist()
        mine = [self._sequences[number] for number in ids]
        lengths = torch.tensor([len(sequence.rollout_logprobs) for sequence in mine], dtype=torch.long)
        device = logprobs.device
        rollout_logprobs = _flat([sequence.rollout_logprobs for sequence in mine], device)
        old = logprobs.detach() if self._old is None else _flat([self._old[number] for number in ids], device)
        importance = None
        if self._importance_cap is not None:
            importance = truncated_importance_weights(old, rollout_logprobs, self._importance_cap)
        result = self._loss(
            logprobs,
            old,
            torch.tensor([sequence.advantage for sequence in mine]).repeat_interleave(lengths).to(device),
            token_weights(lengths, self._aggregation).to(device),
            torch.arange(len(mine)).repeat_interleave(lengths).to(device),
            importance_weights=importance,
            ref_logprobs=None if self._ref is None else _flat([self._ref[number] for number in ids], device),
            kl_coefficient=self._kl_coefficient,
            kl_kind=self._kl_kind,
        )
        self._sums.add(result, entropy, (old - rollout_logprobs).abs(), importance, self._importance_cap)
        return result.loss


class _Sums:
    """Sums and maxima over tokens, collected over micro-batches on their device and, at the end, over ranks."""

    def __init__(self) -> None:
        self.values: Any = torch.zeros(9, dtype=torch.float64)
        self._maxima: Any = torch.zeros(2, dtype=torch.float64)
        self._losses = torch.zeros(1, dtype=torch.float64)
        self._has_importance = False

    def add(
        self,
        result: LossResult,
        entropy: torch.Tensor,
        difference: torch.Tensor,
        importance: torch.Tensor | None,
        cap: float | None,
    ) -> None:
        """Add one micro-batch; `difference` is |old - rollout logprob| of each token, `cap` that of `importance`."""
        nothing = difference[:0] if importance is None else importance
        self._has_importance |= importance is not None
        parts = [
            *(result.loss, result.num_tokens, result.num_clipped_low, result.num_clipped_high, result.kl_sum),
            *(entropy.sum(), difference.sum(), nothing.sum(), (nothing >= (cap or math.inf)).sum()),
        ]
        # no number is read here: on a GPU that would wait for the whole micro-batch
        added = torch.stack([part.detach().double() for part in parts])
        self.values = self.values.to(added.device) + added
        largest = torch.cat([difference, difference.new_zeros(1)]).max()
        maxima = torch.stack([part.detach().double() for part in (largest, result.ratio_max)])
        self._maxima = torch.maximum(self._maxima.to(maxima.device), maxima)

    def end_step(self, divisor: float) -> None:
        """Divide the loss that was added up since the last optimizer step, as its gradient was."""
        self._losses = self._losses.to(self.values.device) + self.values[:1] / divisor
        self.values[0] = 0

    def metrics(self, total: Any, maximum: Any, num_steps: int) -> dict[str, float]:
        """Return the metrics of a training step; `total` and `maximum` are the reductions over ranks."""
        _, tokens, low, high, kl, entropy, difference, importance, capped = total(self.values).tolist()
        (loss,) = total(self._losses).tolist()
        largest_difference, ratio_max = maximum(self._maxima).tolist()
        tokens = max(tokens, 1)
        metrics = {
            "policy/loss": loss / num_steps,
            "policy/clip_share": (low + high) / tokens,
            "policy/clip_low_share": low / tokens,
            "policy/clip_high_share": high / tokens,
            "policy/ratio_max": ratio_max,
            "policy/kl": kl / tokens,
            "policy/entropy": entropy / tokens,
            "logprob_diff/mean_abs": difference / tokens,
            "logprob_diff/max_abs": largest_difference,
        }
        if self._has_importance:
            metrics |= {
                "policy/importance_mean": importance / tokens,
                "policy/importance_capped_share": capped / tokens,
            }
        return metrics


def _rows(steps: Sequence[Sequence[Group]]) -> tuple[list[list[Row]], list[_Sequence]]:
    """Return the rows of each step's groups, and the sequences of all rows in the order of their sequence ids.

    A row has the group's rollouts with an advantage and at least one token; a group without any has no row.
    """
    rows: list[list[Row]] = []
    sequences: list[_Sequence] = []
    for groups in steps:
        rows.append([])
        for group in groups:
            kept = [r for r in group.rollouts if r.advantage is not None and len(r.completion.token_ids)]
            if not kept:
                continue
            row = Row(
                prompt_token_ids=group.prompt_token_ids,
                images=group.prompt.images,
                completions=tuple(rollout.completion.token_ids for rollout in kept),
                sequence_ids=tuple(range(len(sequences), len(sequences) + len(kept))),
            )
            rows[-1].append(row)
            sequences += [
                _Sequence(rollout.completion.rollout_logprobs, float(rollout.advantage or 0.0)) for rollout in kept
            ]
    return rows, sequences


def _flat(parts: list[np.ndarray], device: torch.device) -> torch.Tensor:
    return torch.from_numpy(np.concatenate(parts) if parts else np.zeros(0, dtype=np.float32)).to(device)
