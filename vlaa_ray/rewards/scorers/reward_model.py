"""A reward model in this process: a vision-language model with a value head."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from vlaa_ray.config import ModelSection, OpenEndedSection
from vlaa_ray.errors import DataError
from vlaa_ray.models.batch_tools import packing_tools
from vlaa_ray.models.batches import Row, collate, micro_batches
from vlaa_ray.models.chat import chat_format_of
from vlaa_ray.models.reward_model import checkpoint_folder, last_tokens, load_reward_model, row_of
from vlaa_ray.records import Prompt
from vlaa_ray.rewards.scorers.offloading import Offloading


class LocalRewardModel:
    """Implements `ScoreModel`. All answers to a prompt are scored in one forward pass, which reads its image once."""

    def __init__(self, section: OpenEndedSection) -> None:
        assert section.model  # the config makes sure of it
        model = ModelSection(
            path=str(checkpoint_folder(section.model)),
            dtype=section.dtype,
            system_prompt=None,
            min_pixels=section.min_pixels,
            max_pixels=section.max_pixels,
        )
        loaded = load_reward_model(model)
        self._chat = chat_format_of(model)
        self._tools = packing_tools(loaded.model, self._chat)
        self._max_tokens = section.max_tokens
        self._model_on_demand = Offloading(loaded, section.park)

    @torch.no_grad()
    def scores(self, prompt: Prompt, answers: Sequence[str]) -> list[float | str]:
        """Return S of each answer, or a text that says why it has none: it is too long, or holds control tokens."""
        try:
            prompt_ids = self._chat.expanded_token_ids(prompt)
        except DataError as error:
            return [error.message] * len(answers)
        results: dict[int, float | str] = {}
        readable: dict[int, np.ndarray] = {}
        for number, answer in enumerate(answers):
            try:
                ids = self._chat.turn_token_ids(answer)
            except DataError as error:
                results[number] = error.message
                continue
            if (num_tokens := len(prompt_ids) + len(ids)) > self._max_tokens:
                results[number] = f"prompt and answer have {num_tokens} tokens, over the limit of {self._max_tokens}"
            else:
                readable[number] = ids
        if readable:
            row = row_of(prompt, prompt_ids, list(readable.values()))
            scores = self._run(row)
            results |= {number: scores[place] for place, number in enumerate(readable)}
        return [results[number] for number in range(len(answers))]

    def _run(self, row: Row) -> dict[int, float]:
        """Return S of each answer of the row, by its place. A row that is too long is scored in several parts."""
        scores: dict[int, float] = {}
        with self._model_on_demand.onload() as model:
            for rows in micro_batches([row], self._max_tokens):
                batch = collate(rows, self._tools)
                places = batch.sequence_ids[last_tokens(batch.sequence_ids)].tolist()
                values = model(batch.to(self._model_on_demand.device))[0].tolist()
                scores |= dict(zip(places, values, strict=True))
        return scores

    def offload(self) -> None:
        """Move the weights to the CPU, if `rewards.open_ended.park` is set."""
        self._model_on_demand.offload()
