"""Reward models from pairs of answers, with the learner core that GRPO uses: a row holds both answers of a pair."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from torch.nn.functional import logsigmoid

from vlaa_ray.config import RewardModelConfig
from vlaa_ray.data.packing import Batch, Row
from vlaa_ray.data.preferences import open_preferences
from vlaa_ray.errors import DataError
from vlaa_ray.learner.core import LearnerCore
from vlaa_ray.learner.schedule import learning_rate
from vlaa_ray.models.reward_model import answers_row, fresh_reward_model
from vlaa_ray.records import Preference


class PreferenceLearner:
    """One rank of a reward model's training."""

    def __init__(self, config: RewardModelConfig, folder: Path) -> None:
        self._config = config
        self.core = LearnerCore(config.model, config.learner, fresh_reward_model)

    def datasets(self) -> tuple[Sequence[Preference], Sequence[Preference]]:
        """The pairs to train on, and the held-out ones."""
        data = self._config.data
        return (
            open_preferences(data.train, data, data.num_train),
            open_preferences(data.heldout, data, data.num_heldout),
        )

    def row(self, pair: Preference) -> Row | None:
        """The prompt with both answers, the better one first; None if one of them is too long."""
        row = answers_row(self.core.chat, pair.prompt, (pair.chosen, pair.rejected))
        limits = self._config.reward_model
        too_long = any(len(answer) > limits.max_completion_tokens for answer in row.completions)
        return None if too_long or len(row.prompt_token_ids) > limits.max_prompt_tokens else row

    def update(self, pairs: Sequence[Preference], step: int) -> dict[str, float]:
        """One optimizer step on this rank's share of the step's pairs: mean loss per pair, over all ranks."""
        rows = [row for row in map(self.row, pairs) if row is not None]
        total = float(self.core.engine.reduce_sum(torch.tensor([len(rows)], dtype=torch.float64))[0])
        if not total:
            raise DataError("every pair of the step is too long", fix="raise reward_model.max_completion_tokens")
        sums = torch.zeros(3, dtype=torch.float64)

        def loss(scores: torch.Tensor, batch: Batch) -> torch.Tensor:
            value = preference_loss(scores, self._config.reward_model.center_coefficient) / total
            sums.add_(torch.stack([value.detach().double().cpu(), *_agreement(scores)]))
            return value

        self.core.accumulate(rows, loss)
        optim, run = self._config.learner.optim, self._config.run
        rate = learning_rate(step, run.num_steps, optim.learning_rate, optim.min_learning_rate, optim.warmup_share)
        norm = self.core.step(rate)
        mean_loss, right, margin = self.core.engine.reduce_sum(sums).tolist()
        return {
            "policy/loss": mean_loss,
            "policy/grad_norm": norm,
            "learning_rate": rate,
            "pairs/accuracy": right / total,
            "pairs/margin": margin / total,
        }

    def evaluate(self, pairs: Sequence[Preference]) -> dict[str, float]:
        """Accuracy and margin on held-out pairs, over all ranks."""
        sums = torch.zeros(3, dtype=torch.float64)
        rows = [row for row in map(self.row, pairs) if row is not None]
        for scores, _ in self.core.evaluate(rows):
            sums += torch.stack([torch.tensor(len(scores) / 2, dtype=torch.float64), *_agreement(scores)])
        count, right, margin = self.core.engine.reduce_sum(sums).tolist()
        return {"eval/pairs/accuracy": right / max(count, 1), "eval/pairs/margin": margin / max(count, 1)}

    def save(self, folder: Path, step: int) -> None:
        """Write what `load` needs, and `hf/`; a collective."""
        self.core.save(folder, {"step": step})

    def load(self, folder: Path) -> int:
        """Restore weights and optimizer; the steps done."""
        return int(self.core.load(folder)["step"])


def preference_loss(scores: torch.Tensor, center_coefficient: float) -> torch.Tensor:
    """Sum over pairs of -log sigmoid(chosen - rejected) + c · (chosen + rejected)²; `scores` [2P] alternate.

    Bradley and Terry's model as in InstructGPT (arXiv 2203.02155, equation 1); the second term keeps scores
    around 0 (arXiv 2312.09244, section 3), and is TRL's `center_rewards_coefficient`.
    """
    chosen, rejected = scores[0::2], scores[1::2]
    return (center_coefficient * (chosen + rejected).square() - logsigmoid(chosen - rejected)).sum()


def _agreement(scores: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """(pairs with the better answer ahead, sum of the margins)."""
    margins = (scores[0::2] - scores[1::2]).detach().double().cpu()
    return (margins > 0).sum().double(), margins.sum()
