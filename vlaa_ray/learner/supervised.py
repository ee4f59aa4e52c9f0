"""Supervised fine-tuning on worked answers, with the learner core that GRPO uses: a row has one completion."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import torch

from vlaa_ray.config import SftConfig
from vlaa_ray.data.dataset import open_dataset
from vlaa_ray.data.packing import Batch, Row
from vlaa_ray.errors import DataError
from vlaa_ray.grpo.loss import sft_loss
from vlaa_ray.learner.core import LearnerCore
from vlaa_ray.models.logprobs import policy_at
from vlaa_ray.models.tiny import make_tiny_model
from vlaa_ray.records import Defect, Prompt

UNTRAINED = "builtin:tiny-untrained"
"""As `model.path`: the quickstart's small model with random weights, made in the run folder."""


def _starting_model(config: SftConfig, folder: Path) -> Path | None:
    """The folder of the model that rank 0 makes for the run; None where `model.path` is a checkpoint."""
    if config.model.path != UNTRAINED:
        return None
    target = folder / "untrained"
    if torch.distributed.get_rank() == 0 and not (target / "tokenizer.json").is_file():
        make_tiny_model(target, seed=config.run.seed)
    torch.distributed.barrier()
    return target


class SupervisedLearner:
    """One rank of a supervised run."""

    def __init__(self, config: SftConfig, folder: Path) -> None:
        self._config = config
        path = _starting_model(config, folder)
        self.core = LearnerCore(config.model, config.learner, policy_at(1.0), path)

    def datasets(self, quarantine: list[Defect]) -> tuple[Sequence[Prompt], Sequence[Prompt]]:
        """The prompts to train on, and the held-out ones; what is left out is added to `quarantine`."""
        data = self._config.data
        return (
            open_dataset(data.train, data, data.num_train, quarantine=quarantine),
            open_dataset(data.heldout, data, data.num_heldout, quarantine=quarantine),
        )

    def row(self, prompt: Prompt) -> Row | None:
        """The prompt with its solution as the one completion; None if it is too long."""
        if prompt.solution is None:
            raise DataError("the prompt has no solution to learn from", prompt_id=prompt.prompt_id)
        prompt_ids = self.core.chat.expanded_token_ids(prompt)
        completion = self.core.chat.completion_token_ids(prompt.solution)
        limits = self._config.sft
        if len(prompt_ids) > limits.max_prompt_tokens or len(completion) > limits.max_completion_tokens:
            return None
        return Row(prompt_token_ids=prompt_ids, images=prompt.images, completions=(completion,), sequence_ids=(0,))

    def update(self, prompts: Sequence[Prompt], step: int) -> dict[str, float]:
        """One optimizer step on this rank's share of the step's prompts: mean loss per token, over all ranks."""
        rows = [row for row in map(self.row, prompts) if row is not None]
        local = sum(len(row.completions[0]) for row in rows)
        total_tokens = float(self.core.engine.reduce_sum(torch.tensor([local], dtype=torch.float64))[0])
        if not total_tokens:
            raise DataError(
                "every sample of the step is too long", fix="raise sft.max_prompt_tokens or max_completion_tokens"
            )
        sums = torch.zeros(2, dtype=torch.float64)

        def loss(outputs: tuple[torch.Tensor, torch.Tensor], batch: Batch) -> torch.Tensor:
            logprobs, entropy = outputs
            value = sft_loss(logprobs, torch.full_like(logprobs, 1 / total_tokens))
            sums.add_(torch.tensor([value.item(), entropy.sum().item() / total_tokens], dtype=torch.float64))
            return value

        self.core.accumulate(rows, loss)
        applied = self.core.step(step, self._config.run.num_steps)
        mean_loss, entropy = self.core.engine.reduce_sum(sums).tolist()
        return {
            "policy/loss": mean_loss,
            "policy/entropy": entropy,
            **applied,
            "completion/mean_tokens": total_tokens / self._config.sft.samples_per_step,
        }

    def evaluate(self, prompts: Sequence[Prompt]) -> dict[str, float]:
        """Mean loss per token over all ranks' prompts, without training on them."""
        rows = [replace(row, sequence_ids=(i,)) for i, prompt in enumerate(prompts) if (row := self.row(prompt))]
        logprobs = self.core.logprobs(rows).values()
        local = torch.tensor([-sum(float(one.sum()) for one in logprobs), sum(map(len, logprobs))], dtype=torch.float64)
        loss, tokens = self.core.engine.reduce_sum(local).tolist()
        return {"eval/loss": loss / max(tokens, 1)}

    def save(self, folder: Path, step: int) -> None:
        """Write what `load` needs, and `hf/`; a collective."""
        self.core.save(folder, {"step": step})

    def load(self, folder: Path) -> int:
        """Restore weights and optimizer; the steps done."""
        return int(self.core.load(folder)["step"])
