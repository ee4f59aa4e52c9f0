"""Reward models: a vision-language model with one number for a head, S(image, question, answer).

The checkpoint is a Hugging Face folder with `value_head.safetensors` beside it (`v_head.summary.weight` and
`.bias`), the layout that LLaMA-Factory and Skywork-VL-Reward use. The score is read at the last token of the
chat with the answer as the assistant's turn.

Legend: N completion tokens, D hidden, A answers of the batch.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import nn

from vlaa_ray.config import ModelSection
from vlaa_ray.errors import ModelError
from vlaa_ray.models.batches import Batch, Row
from vlaa_ray.models.chat import ChatFormat
from vlaa_ray.models.families import family_of
from vlaa_ray.models.loading import load_model
from vlaa_ray.models.paths import local_path
from vlaa_ray.records import Prompt

HEAD_FILE = "value_head.safetensors"
MAX_ANSWERS = 1000
"""Of one prompt. Sequence ids are 1000 · the prompt's number + the answer's."""
_PREFIX = "v_head."


class RewardModel(nn.Module):
    """A model whose forward gives the scores [A] of a batch's answers, in fp32, in the batch's order.

    In training it also gives the logprobs [M] of the tokens of each prompt's first answer, the best one: to go on
    learning to say it keeps the hidden states general (arXiv 2406.10216).
    """

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.model = model
        self._family = family_of(model.config)
        summary = nn.Linear(model.config.text_config.hidden_size, 1)
        nn.init.zeros_(summary.weight)
        nn.init.zeros_(summary.bias)
        self.v_head = nn.ModuleDict({"summary": summary})
        self.v_head.to(next(model.parameters()).dtype)

    def forward(self, batch: Batch) -> tuple[torch.Tensor, torch.Tensor]:
        hidden = self._family.completion_hidden_states(self.model, batch)
        scores = self.v_head["summary"](hidden[last_tokens(batch.sequence_ids)])[:, 0].float()
        if not self.training:
            return scores, scores.new_zeros(0)
        best = batch.sequence_ids % MAX_ANSWERS == 0
        logprobs = self.model.lm_head(hidden[best]).float().log_softmax(-1)
        return scores, logprobs.gather(-1, batch.targets[best][:, None])[:, 0]

    def save(self, folder: Path, state: dict[str, torch.Tensor]) -> None:
        """Write the model and the head; `state` holds the weights of both, the model's by Hugging Face's names."""
        head = {name: value.contiguous() for name, value in state.items() if name.startswith(_PREFIX)}
        self.model.save_pretrained(folder, state_dict={name: state[name] for name in state.keys() - head.keys()})
        if head:
            save_file(head, Path(folder) / HEAD_FILE)


def last_tokens(sequence_ids: torch.Tensor) -> torch.Tensor:
    """[A]: where each run of equal ids in [N] ends."""
    if not len(sequence_ids):
        return sequence_ids
    ends = torch.ones_like(sequence_ids, dtype=torch.bool)
    ends[:-1] = sequence_ids[1:] != sequence_ids[:-1]
    return ends.nonzero()[:, 0]


def load_reward_model(section: ModelSection) -> RewardModel:
    """A trained reward model, ready to score; ModelError if `section.path`, a folder, lacks a head that fits."""
    folder = Path(section.path)
    try:
        head = load_file(folder / HEAD_FILE)
    except (OSError, SafetensorError) as error:
        fix = f"a reward model has its head in {HEAD_FILE}; train one with vlaa-ray reward-model"
        raise ModelError(f"not a reward model: {error}", path=str(folder), fix=fix) from error
    model = RewardModel(load_model(section, folder))
    wanted = {name: tuple(value.shape) for name, value in model.state_dict().items() if name.startswith(_PREFIX)}
    found = {name: tuple(value.shape) for name, value in head.items()}
    if found != wanted:
        raise ModelError("the head doesn't fit the model", file=str(folder / HEAD_FILE), got=found, expected=wanted)
    model.load_state_dict(head, strict=False)
    model.requires_grad_(False)
    return model.eval()


def checkpoint_folder(path: str) -> Path:
    """Where the files of a `builtin:` model, a folder or a hub id are; downloaded if need be."""
    folder = Path(local_path(path))
    if folder.is_dir():
        return folder
    from huggingface_hub import snapshot_download

    try:
        return Path(snapshot_download(path))
    except (OSError, ValueError) as error:
        raise ModelError(f"can't load the reward model: {error}", path=path) from error


def answers_row(chat: ChatFormat, prompt: Prompt, answers: Sequence[str], number: int = 0) -> Row:
    """The batch's prompt `number` and answers to it side by side, to be scored in one pass over the image."""
    return row_of(prompt, chat.expanded_token_ids(prompt), [chat.turn_token_ids(answer) for answer in answers], number)


def row_of(prompt: Prompt, prompt_ids: np.ndarray, answers: Sequence[np.ndarray], number: int = 0) -> Row:
    """As `answers_row`, of token ids."""
    return Row(
        prompt_token_ids=prompt_ids,
        images=prompt.images,
        completions=tuple(_with_target(ids) for ids in answers),
        sequence_ids=tuple(number * MAX_ANSWERS + place for place in range(len(answers))),
    )


def _with_target(ids: np.ndarray) -> np.ndarray:
    """One id more: a row's last token is only a target, never seen."""
    return np.append(ids, ids[-1])
