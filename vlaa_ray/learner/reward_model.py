"""Training of reward models on compared answers, with the learner core that GRPO uses; a row has a prompt's answers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import torch
from torch.nn.functional import logsigmoid

from vlaa_ray.config import RewardModelConfig
from vlaa_ray.learner.supervised_base import SupervisedLearner
from vlaa_ray.models.batches import Batch, Row
from vlaa_ray.models.reward_model import MAX_ANSWERS, RewardModel, answers_row, last_tokens
from vlaa_ray.records import Preference


class RewardModelLearner(SupervisedLearner):
    """One rank of a reward model's training; see `SupervisedLearner` for its methods."""

    def __init__(self, config: RewardModelConfig) -> None:
        super().__init__(config, lambda model, _: RewardModel(model))
        self._config = config

    def row(self, preference: Preference, number: int) -> Row:
        """Return the prompt with its answers; `number` is the prompt's number in the step.

        Raises:
            DataError: the model can't take the prompt or an answer.

        """
        return answers_row(self.core.chat, preference.prompt, preference.answers, number)

    def update(self, preferences: Sequence[Preference], step: int, num_steps: int) -> dict[str, float]:
        """Do one optimizer step on this rank's share of the prompts; the loss is the mean per prompt over all ranks."""
        preferences = [_best_first(preference) for preference in preferences]
        rows = self.row_filter.rows(preferences, self.row)
        local = [len(rows), len(self.row_filter.dropped)]
        total, num_dropped = self.core.engine.reduce_sum(torch.tensor(local, dtype=torch.float64)).tolist()
        if self.row_filter.is_empty_step(total):
            return {"samples/dropped": num_dropped}
        loss_sum = torch.zeros(1, dtype=torch.float64)
        counts = _Counts()
        section = self._config.reward_model

        def loss(outputs: tuple[torch.Tensor, torch.Tensor], batch: Batch) -> torch.Tensor:
            scores, logprobs = outputs
            parts = _by_prompt(scores, batch, preferences)
            counts.add(parts)
            compared = sum((preference_loss(*part, section.center_coefficient) for part in parts), scores.sum() * 0)
            said = -logprobs.sum() / max(len(logprobs), 1) * len(parts)  # for each prompt the mean over tokens
            value = (compared + section.sft_coefficient * said) / total
            loss_sum.add_(value.item())
            return value

        self.core.accumulate(self.core.batches(rows), loss)
        return {
            **self.core.step(step, num_steps),
            "policy/loss": self.core.engine.reduce_sum(loss_sum).item(),
            "samples/dropped": num_dropped,
            **counts.metrics(self.core.engine.reduce_sum, "pairs"),
        }

    def evaluate(self, preferences: Sequence[Preference]) -> dict[str, float]:
        """Return accuracy and margin on the held-out answers of all ranks, without training on them."""
        counts = _Counts()
        preferences = [_best_first(preference) for preference in preferences]
        rows = self.row_filter.rows(preferences, self.row)
        for (scores, _), batch in self.core.evaluate(self.core.batches(rows)):
            counts.add(_by_prompt(scores, batch, preferences))
        num_dropped = self.core.engine.reduce_sum(torch.tensor([len(self.row_filter.dropped)], dtype=torch.float64))
        return {
            "eval/samples/dropped": num_dropped.item(),
            **counts.metrics(self.core.engine.reduce_sum, "eval/pairs"),
        }


def preference_loss(scores: torch.Tensor, worths: torch.Tensor, center_coefficient: float) -> torch.Tensor:
    """Return the mean over pairs of -log sigmoid(better - worse) + c · (better + worse)²; 0 without a pair.

    `scores` and `worths` are [A], for the answers to one prompt. The pairs are all those that differ in worth.

    Source: Bradley and Terry's model as in InstructGPT (arXiv 2203.02155, equation 1). The second term keeps the scores
    around 0 (arXiv 2312.09244, section 3; TRL's `center_rewards_coefficient`).
    """
    better, worse = _pairs(worths)
    margins, sums = scores[better] - scores[worse], scores[better] + scores[worse]
    return (center_coefficient * sums.square() - logsigmoid(margins)).sum() / max(len(margins), 1)


def _pairs(worths: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the indices of the better and of the worse answer of each pair."""
    better, worse = (worths[:, None] > worths[None, :]).nonzero(as_tuple=True)
    return better, worse


def _by_prompt(
    scores: torch.Tensor, batch: Batch, preferences: Sequence[Preference]
) -> list[tuple[torch.Tensor, torch.Tensor]]:
    """Return (scores [A], worths [A]) of each prompt of a batch; its scores are in the order of its sequence ids."""
    ids = batch.sequence_ids[last_tokens(batch.sequence_ids)].tolist()
    parts = []
    for number in dict.fromkeys(sequence_id // MAX_ANSWERS for sequence_id in ids):
        places = [place for place, sequence_id in enumerate(ids) if sequence_id // MAX_ANSWERS == number]
        worths = [preferences[number].worths[ids[place] % MAX_ANSWERS] for place in places]
        parts.append((scores[places], torch.tensor(worths, device=scores.device)))
    return parts


def _best_first(preference: Preference) -> Preference:
    """Return the preference with its answers from the best to the worst: a loss term raises the first one's logprob."""
    ranked = sorted(zip(preference.answers, preference.worths, strict=True), key=lambda pair: -pair[1])
    answers, worths = zip(*ranked, strict=True)
    return replace(preference, answers=answers, worths=worths)


class _Counts:
    """The number of pairs, the number of pairs that the scores put in the right order, and the sum of the margins."""

    def __init__(self) -> None:
        self._values = torch.zeros(3, dtype=torch.float64)

    def add(self, parts: Sequence[tuple[torch.Tensor, torch.Tensor]]) -> None:
        for scores, worths in parts:
            better, worse = _pairs(worths)
            margins = (scores[better] - scores[worse]).detach().double().cpu()
            self._values += torch.stack([torch.tensor(len(margins)).double(), (margins > 0).sum(), margins.sum()])

    def metrics(self, total: Callable[[torch.Tensor], torch.Tensor], prefix: str) -> dict[str, float]:
        count, right, margin = total(self._values).tolist()
        return {f"{prefix}/accuracy": right / count, f"{prefix}/margin": margin / count} if count else {}
