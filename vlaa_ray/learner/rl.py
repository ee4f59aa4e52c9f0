"""One rank of the GRPO learner: it does a training step on groups with advantages and returns the statistics."""

from __future__ import annotations

import math
from collections.abc import Sequence
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
        self.weight_version = 0
        """The number of optimizer steps done."""

    def update(self, steps: Sequence[OptimizerStep]) -> dict[str, float]:
        """Do the optimizer steps of one training step on this rank's groups; return the metrics over all ranks.

        Raises:
            LearnerError: the loss or the gradient is not finite.

        """
        sums = _Sums()
        rows, sequences = _rows([group for step in steps for group in step.groups])
        flat = [row for part in rows for row in part]
        ref_logprobs = self.core.logprobs(flat, self._reference) if self._reference else None
        # with one optimizer step the old policy is the policy itself, which needs no extra forward pass
        old_logprobs = self.core.logprobs(flat) if len(steps) > 1 else None
        total = self._config.run.num_steps * self._config.learner.updates_per_step
        applied: list[dict[str, float]] = []
        first = 0
        for step in steps:
            mine = [row for part in rows[first : first + len(step.groups)] for row in part]
            first += len(step.groups)
            objective = Objective(
                self._config,
                StepCounts(
                    num_sequences=step.num_sequences,
                    num_tokens=step.num_tokens,
                    max_completion_tokens=self._config.rollout.max_completion_tokens,
                ),
                sequences,
                old_logprobs=old_logprobs,
                ref_logprobs=ref_logprobs,
                kl_coefficient=self._kl.coefficient,
                sums=sums,
            )
            self.core.accumulate(mine, objective)
            self._check(sums)
            applied.append(self.core.step(self.weight_version, total))
            self.weight_version += 1
        metrics = sums.metrics(self.core.engine.reduce_sum, self.core.engine.reduce_max, len(steps))
        norms = [of_step["policy/grad_norm"] for of_step in applied]
        metrics |= applied[-1] | {"policy/grad_norm": float(np.mean(norms))}
        if self._reference:
            metrics["policy/kl_coefficient"] = self._kl.coefficient
            self._kl = self._kl.updated(metrics["policy/kl"], sum(step.num_sequences for step in steps))
        else:
            metrics.pop("policy/kl")
        return metrics

    def save(self, folder: Path) -> None:
        """Write everything that `load` needs, and the model in `hf/`.

        Raises:
            CheckpointError: a file can't be written.

        """
        self.core.save(folder, {"weight_version": self.weight_version, "kl": asdict(self._kl)})

    def load(self, folder: Path) -> None:
        """Restore weights, optimizer, weight version and KL coefficient.

        Raises:
            CheckpointError: the optimizer state is missing or does not fit.

        """
        state: dict[str, Any] = self.core.load(folder)
        self.weight_version = state["weight_version"]
        self._kl = AdaptiveKl(**state["kl"])

    def _check(self, sums: _Sums) -> None:
        total = self.core.engine.reduce_sum(sums.values.clone())
        if not bool(torch.isfinite(total).all()):
            raise LearnerError(
                "the loss is not finite",
                weight_version=self.weight_version,
                rank=self.core.engine.rank,
                got=total.tolist(),
                fix="resume from the last checkpoint with a lower learning rate",
            )


class Objective:
    """The loss of one optimizer step. A call returns the share of one micro-batch, and adds its statistics to `sums`.

    `old_logprobs` and `ref_logprobs` are by sequence id. Without `old_logprobs`, the policy is its own old policy.
    """

    def __init__(
        self,
        config: GrpoConfig,
        counts: StepCounts,
        sequences: list[_Sequence],
        *,
        old_logprobs: dict[int, np.ndarray] | None,
        ref_logprobs: dict[int, np.ndarray] | None,
        kl_coefficient: float,
        sums: _Sums,
    ) -> None:
        self._counts, self._sequences, self._sums = counts, sequences, sums
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
            token_weights(lengths, self._aggregation, self._counts).to(device),
            torch.arange(len(mine)).repeat_interleave(lengths).to(device),
            importance_weights=importance,
            ref_logprobs=None if self._ref is None else _flat([self._ref[number] for number in ids], device),
            kl_coefficient=self._kl_coefficient,
            kl_kind=self._kl_kind,
        )
        self._sums.add(result, entropy, (old - rollout_logprobs).abs(), importance, self._importance_cap)
        return result.loss


class _Sums:
    """Sums and maxima over tokens, collected over micro-batches and, at the end, over ranks."""

    def __init__(self) -> None:
        self.values = torch.zeros(9, dtype=torch.float64)
        self._maxima = torch.zeros(2, dtype=torch.float64)
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
        nothing = torch.zeros(0) if importance is None else importance
        self._has_importance |= importance is not None
        parts = [
            *(result.loss, result.num_tokens, result.num_clipped_low, result.num_clipped_high, result.kl_sum),
            *(entropy.sum(), difference.sum(), nothing.sum(), (nothing >= (cap or math.inf)).sum()),
        ]
        self.values += torch.stack([part.detach().double().cpu() for part in parts])
        largest = difference.max() if len(difference) else torch.zeros(())
        maxima = torch.stack([part.detach().double().cpu() for part in (largest, result.ratio_max)])
        self._maxima = torch.maximum(self._maxima, maxima)

    def metrics(self, total: Any, maximum: Any, num_steps: int) -> dict[str, float]:
        """Return the metrics of a training step; `total` and `maximum` are the reductions over ranks."""
        loss, tokens, low, high, kl, entropy, difference, importance, capped = total(self.values).tolist()
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


def _rows(groups: Sequence[Group]) -> tuple[list[list[Row]], list[_Sequence]]:
    """Return the row of each group, and the sequences of all rows in the order of their sequence ids.

    A row has the group's rollouts with an advantage and at least one token; a group without any has no row.
    """
    rows: list[list[Row]] = []
    sequences: list[_Sequence] = []
    for group in groups:
        kept = [r for r in group.rollouts if r.advantage is not None and len(r.completion.token_ids)]
        ids = tuple(range(len(sequences), len(sequences) + len(kept)))
        sequences += [
            _Sequence(rollout.completion.rollout_logprobs, float(rollout.advantage or 0.0)) for rollout in kept
        ]
        row = Row(
            prompt_token_ids=group.prompt_token_ids,
            images=group.prompt.images,
            completions=tuple(rollout.completion.token_ids for rollout in kept),
            sequence_ids=ids,
        )
        rows.append([row] if kept else [])
    return rows, sequences


def _flat(parts: list[np.ndarray], device: torch.device) -> torch.Tensor:
    return torch.from_numpy(np.concatenate(parts) if parts else np.zeros(0, dtype=np.float32)).to(device)
