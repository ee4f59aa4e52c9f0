"""One rank of the GRPO learner: groups with advantages in, one training step done, its statistics out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from vlaa_ray.algorithms.kl import AdaptiveKl
from vlaa_ray.algorithms.losses import LossResult, grpo_loss, token_weights, truncated_importance_weights
from vlaa_ray.config import GrpoConfig
from vlaa_ray.errors import LearnerError
from vlaa_ray.learner.core import LearnerCore, Loss
from vlaa_ray.models.batches import Batch, Row
from vlaa_ray.models.loading import load_model
from vlaa_ray.models.policy import policy_at
from vlaa_ray.records import Group, OptimizerStep


@dataclass(frozen=True)
class _Sequence:
    """One completion of this rank, as the loss needs it."""

    rollout_logprobs: np.ndarray  # [C]
    advantage: float


class RLLearner:
    """A rank of the policy in training. All ranks are built, and called, alike and together."""

    def __init__(self, config: GrpoConfig, *, path: Path | None = None, reference_path: Path | None = None) -> None:
        self._config = config
        make_policy = policy_at(config.rollout.temperature)
        self.core = LearnerCore(config.model, config.learner, make_policy, path)
        kl = config.grpo.kl
        self._kl = AdaptiveKl(coefficient=kl.coefficient, target=kl.target, horizon=kl.horizon)
        self._reference = None
        if kl.coefficient > 0:
            reference = make_policy(load_model(config.model, reference_path), self.core.processor)
            self._reference = reference.requires_grad_(False).eval().to(self.core.engine.device)  # whole on each rank
        self.weight_version = 0
        """Optimizer steps done."""

    def update(self, steps: Sequence[OptimizerStep]) -> dict[str, float]:
        """Do the optimizer steps of one training step; metrics over all ranks by their names in `metrics`."""
        sums = _Sums()
        rows, sequences = _rows([group for step in steps for group in step.groups])
        flat = [row for part in rows for row in part]
        ref_logprobs = self.core.logprobs(flat, self._reference) if self._reference else None
        # with one optimizer step, the policy is its own old policy: no forward pass of its own
        old_logprobs = self.core.logprobs(flat) if len(steps) > 1 else None
        total = self._config.run.num_steps * self._config.learner.updates_per_step
        applied: list[dict[str, float]] = []
        first = 0
        for step in steps:
            mine = [row for part in rows[first : first + len(step.groups)] for row in part]
            first += len(step.groups)
            self.core.accumulate(mine, self._loss(step, sequences, old_logprobs, ref_logprobs, sums))
            self._check(sums)
            applied.append(self.core.step(self.weight_version, total))
            self.weight_version += 1
        metrics = sums.metrics(self.core.engine.reduce_sum, self.core.engine.reduce_max, len(steps))
        metrics |= applied[-1] | {"policy/grad_norm": float(np.mean([one["policy/grad_norm"] for one in applied]))}
        if self._reference:
            metrics["policy/kl_coefficient"] = self._kl.coefficient
            self._kl = self._kl.updated(metrics["policy/kl"], sum(step.num_sequences for step in steps))
        else:
            metrics.pop("policy/kl")
        return metrics

    def save(self, folder: Path) -> None:
        """Write everything that `load` needs, and `hf/`; a collective."""
        self.core.save(folder, {"weight_version": self.weight_version, "kl": asdict(self._kl)})

    def load(self, folder: Path) -> None:
        """Restore weights, optimizer, weight version and KL coefficient; a collective."""
        state: dict[str, Any] = self.core.load(folder)
        self.weight_version = state["weight_version"]
        self._kl = AdaptiveKl(**state["kl"])

    def _loss(
        self,
        step: OptimizerStep,
        sequences: list[_Sequence],
        old: dict[int, np.ndarray] | None,
        ref: dict[int, np.ndarray] | None,
        sums: _Sums,
    ) -> Loss:
        grpo, rollout = self._config.grpo, self._config.rollout

        def loss(outputs: tuple[torch.Tensor, torch.Tensor], batch: Batch) -> torch.Tensor:
            logprobs, entropy = outputs
            ids = torch.unique_consecutive(batch.sequence_ids).tolist()
            mine = [sequences[i] for i in ids]
            lengths = torch.tensor([len(one.rollout_logprobs) for one in mine], dtype=torch.long)
            device = logprobs.device
            rollout_logprobs = _flat([one.rollout_logprobs for one in mine], device)
            old_logprobs = logprobs.detach() if old is None else _flat([old[i] for i in ids], device)
            weights = token_weights(
                lengths,
                grpo.aggregation,
                num_sequences=step.num_sequences,
                num_tokens=step.num_tokens,
                max_completion_tokens=rollout.max_completion_tokens,
            ).to(device)
            advantages = torch.tensor([one.advantage for one in mine]).repeat_interleave(lengths).to(device)
            importance = None
            if self._config.max_staleness:
                importance = truncated_importance_weights(old_logprobs, rollout_logprobs, grpo.importance_cap)
            result = grpo_loss(
                logprobs,
                old_logprobs,
                advantages,
                weights,
                clip_low=grpo.clip_low,
                clip_high=grpo.clip_high,
                importance_weights=importance,
                ref_logprobs=None if ref is None else _flat([ref[i] for i in ids], device),
                kl_coefficient=self._kl.coefficient,
                kl_kind=grpo.kl.estimator,
            )
            sums.add(result, entropy, (old_logprobs - rollout_logprobs).abs())
            return result.loss

        return loss

    def _check(self, sums: _Sums) -> None:
        total = self.core.engine.reduce_sum(sums.values.clone())
        if not bool(torch.isfinite(total).all()):
            raise LearnerError(
                "the loss is not finite",
                step=self.weight_version,
                rank=self.core.engine.rank,
                got=total.tolist(),
                fix="look at the step's rollouts; resume from the last checkpoint with a lower learning rate",
            )


class _Sums:
    """Sums over tokens, added up over micro-batches and, at the end, over ranks."""

    def __init__(self) -> None:
        self.values = torch.zeros(6, dtype=torch.float64)
        self._max_difference = torch.zeros(1, dtype=torch.float64)

    def add(self, result: LossResult, entropy: torch.Tensor, difference: torch.Tensor) -> None:
        clipped = result.num_clipped_low + result.num_clipped_high
        parts = [result.loss, result.num_tokens, clipped, result.kl_sum, entropy.sum(), difference.sum()]
        self.values += torch.stack([part.detach().double().cpu() for part in parts])
        if len(difference):
            self._max_difference = torch.maximum(self._max_difference, difference.max().detach().double().cpu())

    def metrics(self, total: Any, maximum: Any, num_steps: int) -> dict[str, float]:
        loss, tokens, clipped, kl, entropy, difference = total(self.values).tolist()
        tokens = max(tokens, 1)
        return {
            "policy/loss": loss / num_steps,
            "policy/clip_share": clipped / tokens,
            "policy/kl": kl / tokens,
            "policy/entropy": entropy / tokens,
            "logprob_diff/mean_abs": difference / tokens,
            "logprob_diff/max_abs": float(maximum(self._max_difference)[0]),
        }


def _rows(groups: Sequence[Group]) -> tuple[list[list[Row]], list[_Sequence]]:
    """One row a group of its rollouts with an advantage and tokens, and those in the order of their sequence ids."""
    rows: list[list[Row]] = []
    sequences: list[_Sequence] = []
    for group in groups:
        kept = [one for one in group.rollouts if one.advantage is not None and len(one.completion.token_ids)]
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
