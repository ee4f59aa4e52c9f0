"""A reward model in this process: a vision-language model with a value head."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from vlaa_ray.config import ModelSection, OpenEndedSection
from vlaa_ray.data.chat import ChatFormat
from vlaa_ray.data.packing import collate, micro_batches, split_rows
from vlaa_ray.errors import DataError, RewardError
from vlaa_ray.models.loading import load_processor
from vlaa_ray.models.packing import packing_tools
from vlaa_ray.models.reward_model import answers_row, checkpoint_folder, load_reward_model
from vlaa_ray.records import Prompt
from vlaa_ray.rewards.scorers.parking import Parking


class LocalRewardModel:
    """Implements `ScoreModel`. All answers to a prompt are scored in one pass over its image."""

    def __init__(self, section: OpenEndedSection) -> None:
        if section.model is None:
            raise RewardError("no reward model is named", fix="set rewards.open_ended.model")
        model = ModelSection(
            path=str(checkpoint_folder(section.model)),
            dtype=section.dtype,
            system_prompt=None,
            min_pixels=section.min_pixels,
            max_pixels=section.max_pixels,
        )
        loaded = load_reward_model(model)
        processor = load_processor(model)
        self._chat = ChatFormat(processor, loaded.model.config, None)
        self._tools = packing_tools(loaded.model, processor, self._chat)
        self._max_tokens = section.max_tokens
        self._parking = Parking(loaded, section.park)

    @torch.no_grad()
    def scores(self, prompt: Prompt, answers: Sequence[str]) -> list[float | str]:
        """S of each answer, or in words why it has none: it is too long, or holds control tokens."""
        found: dict[int, float | str] = {}
        readable: dict[int, str] = {}
        for number, answer in enumerate(answers):
            try:
                row = answers_row(self._chat, prompt, (answer,))
            except DataError as error:
                found[number] = error.message
                continue
            if row.num_tokens > self._max_tokens:
                found[number] = f"prompt and answer have {row.num_tokens} tokens, over the limit of {self._max_tokens}"
            else:
                readable[number] = answer
        found |= self._scored(prompt, readable)
        return [found[number] for number in range(len(answers))]

    def _scored(self, prompt: Prompt, answers: dict[int, str]) -> dict[int, float | str]:
        if not answers:
            return {}
        row = answers_row(self._chat, prompt, list(answers.values()))
        values: list[float | str] = []
        with self._parking.awake() as model:
            for rows in micro_batches(split_rows([row], self._max_tokens), self._max_tokens):
                values += model(collate(rows, self._tools).to(self._parking.device))[0].tolist()
        return dict(zip(answers, values, strict=True))

    def park(self) -> None:
        """Move the weights to the CPU, where `park` is set."""
        self._parking.park()
