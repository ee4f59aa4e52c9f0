"""Supervised fine-tuning on worked answers, with the learner core that GRPO uses; each row has one completion."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch

from vlaa_ray.algorithms.losses import sft_loss
from vlaa_ray.config import SftConfig
from vlaa_ray.data.readers import UNSOLVED
from vlaa_ray.errors import DataError
from vlaa_ray.learner.supervised_base import SupervisedLearner
from vlaa_ray.models.batches import Batch, Row
from vlaa_ray.models.paths import UNTRAINED
from vlaa_ray.models.policy import policy_at
from vlaa_ray.models.tiny import make_tiny_model
from vlaa_ray.records import Prompt


def _starting_model(config: SftConfig, folder: Path) -> Path | None:
    """Make the untrained model on rank 0 and return its folder; None where `model.path` is a checkpoint."""
    if config.model.path != UNTRAINED:
        return None
    target = folder / "untrained"
    if torch.distributed.get_rank() == 0 and not (target / "tokenizer.json").is_file():
        make_tiny_model(target, seed=config.run.seed)
    torch.distributed.barrier()
    return target


class SftLearner(SupervisedLearner):
    """One rank of an SFT run; see `SupervisedLearner` for its methods."""

    def __init__(self, config: SftConfig, folder: Path) -> None:
        super().__init__(config, policy_at(1.0), _starting_model(config, folder))
        self._config = config

    def row(self, prompt: Prompt, number: int) -> Row:
        """Return the prompt with its solution as the only completion; `number` becomes the sequence id.

        Raises:
            DataError: there is no solution, or the model can't take the prompt or the solution.

        """
        if prompt.solution is None:
            raise DataError(UNSOLVED)
        prompt_ids = self.core.chat.expanded_token_ids(prompt)
        completion = self.core.chat.completion_token_ids(prompt.solution)
        return Row(prompt_token_ids=prompt_ids, images=prompt.images, completions=(completion,), sequence_ids=(number,))

    def update(self, prompts: Sequence[Prompt], step: int, num_steps: int) -> dict[str, float]:
        """Do one optimizer step on this rank's share of the prompts; the loss is the mean per token over all ranks."""
        rows = self.row_filter.rows(prompts, self.row)
        local = [sum(len(row.completions[0]) for row in rows), len(self.row_filter.dropped)]
        total_tokens, num_dropped = self.core.engine.reduce_sum(torch.tensor(local, dtype=torch.float64)).tolist()
        if self.row_filter.is_empty_step(total_tokens):
            return {"samples/dropped": num_dropped}
        sums = torch.zeros(2, dtype=torch.float64)

        def loss(outputs: tuple[torch.Tensor, torch.Tensor], batch: Batch) -> torch.Tensor:
            logprobs, entropy = outputs
            value = sft_loss(logprobs, torch.full_like(logprobs, 1 / total_tokens))
            sums.add_(torch.tensor([value.item(), entropy.sum().item() / total_tokens], dtype=torch.float64))
            return value

        self.core.accumulate(self.core.batches(rows), loss)
        applied = self.core.step(step, num_steps)
        mean_loss, entropy = self.core.engine.reduce_sum(sums).tolist()
        return {
            "policy/loss": mean_loss,
            "policy/entropy": entropy,
            **applied,
            "samples/dropped": num_dropped,
            "completion/mean_tokens": total_tokens / (self._config.sft.samples_per_step - num_dropped),
        }

    def evaluate(self, prompts: Sequence[Prompt]) -> dict[str, float]:
        """Return the mean loss per token over the prompts of all ranks, without training on them."""
        rows = self.row_filter.rows(prompts, self.row)
        logprobs = self.core.logprobs(self.core.batches(rows)).values()
        total_loss = -sum(float(of_sequence.sum()) for of_sequence in logprobs)
        local = [total_loss, sum(map(len, logprobs)), len(self.row_filter.dropped)]
        loss, tokens, num_dropped = self.core.engine.reduce_sum(torch.tensor(local, dtype=torch.float64)).tolist()
        measured = {"eval/loss": loss / tokens} if tokens else {}
        return {**measured, "eval/samples/dropped": num_dropped}
