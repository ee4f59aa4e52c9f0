"""Reward models: a vision-language model with a head that gives one number, S(image, question, answer).

The checkpoint is a Hugging Face folder that also holds `value_head.safetensors` (`v_head.summary.weight` and
`.bias`), the layout of LLaMA-Factory and Skywork-VL-Reward. The answer is the assistant's turn of a chat; the
score is read at the last token of that chat.

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
from vlaa_ray.models.scoring import ScoringHead
from vlaa_ray.records import Prompt

HEAD_FILE = "value_head.safetensors"
MAX_ANSWERS = 1000
"""The largest number of answers to one prompt. A sequence id is 1000 · the prompt's number + the answer's number."""
_PREFIX = "v_head."


class RewardModel(nn.Module):
    """A module whose forward returns the scores [A] of a batch's answers, in fp32, in the batch's order.

    In training it also returns the logprobs [M] of the tokens of each prompt's first answer, which is the best one.
    A loss on them keeps the hidden states general (arXiv 2406.10216).
    """

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.model = model
        self._family = family_of(model.config)
        model.lm_head = ScoringHead(model.lm_head, banned_token_ids=[])
        summary = nn.Linear(model.config.text_config.hidden_size, 1)
        nn.init.zeros_(summary.weight)
        nn.init.zeros_(summary.bias)
        self.v_head = nn.ModuleDict({"summary": summary})
        self.v_head.to(next(model.parameters()).dtype)

    def forward(self, batch: Batch) -> tuple[torch.Tensor, torch.Tensor]:
        """Return (scores [A], logprobs [M] of the prompts' first answers); logprobs are empty outside of training."""
        hidden = self._family.completion_hidden_states(self.model, batch)
        scores = self.v_head["summary"](hidden[last_tokens(batch.sequence_ids)])[:, 0].float()
        if not self.training:
            return scores, scores.new_zeros(0)
        best = batch.sequence_ids % MAX_ANSWERS == 0
        return scores, self.model.lm_head(hidden[best], batch.targets[best])[0]

    def save(self, folder: Path, state: dict[str, torch.Tensor]) -> None:
        """Write the model and the head; `state` has the weights of both, those of the model by Hugging Face's names."""
        head = {name: value.contiguous() for name, value in state.items() if name.startswith(_PREFIX)}
        self.model.save_pretrained(folder, state_dict={name: state[name] for name in state.keys() - head.keys()})
        if head:
            save_file(head, Path(folder) / HEAD_FILE)


def last_tokens(sequence_ids: torch.Tensor) -> torch.Tensor:
    """Return the index [A] of the last token of each answer: the end of each run of equal ids in [N]."""
    if not len(sequence_ids):
        return sequence_ids
    ends = torch.ones_like(sequence_ids, dtype=torch.bool)
    ends[:-1] = sequence_ids[1:] != sequence_ids[:-1]
    return ends.nonzero()[:, 0]


def load_reward_model(section: ModelSection) -> RewardModel:
    """Return the trained reward model in the folder `section.path`, ready to score.

    Raises:
        ModelError: the folder has no file with a value head, the head doesn't fit the model, or the model can't be
            loaded.

    """
    folder = Path(section.path)
    try:
        head = load_file(folder / HEAD_FILE)
    except (OSError, SafetensorError) as error:
        fix = f"a reward model has its head in {HEAD_FILE}; train one with vlaa-ray reward-model"
        raise ModelError(f"not a reward model: {error}", path=str(folder), fix=fix) from error
    model = RewardModel(load_model(section, folder))
    expected = {name: tuple(value.shape) for name, value in model.state_dict().items() if name.startswith(_PREFIX)}
    shapes = {name: tuple(value.shape) for name, value in head.items()}
    if shapes != expected:
        raise ModelError("the head doesn't fit the model", file=str(folder / HEAD_FILE), got=shapes, expected=expected)
    model.load_state_dict(head, strict=False)
    model.requires_grad_(False)
    return model.eval()


def checkpoint_folder(path: str) -> Path:
    """Return the folder of a `builtin:` model, a path or a hub id; a hub id is downloaded if it is not there yet.

    Raises:
        ModelError: the model can't be found or downloaded.

    """
    folder = Path(local_path(path))
    if folder.is_dir():
        return folder
    from huggingface_hub import snapshot_download

    try:
        return Path(snapshot_download(path))
    except (OSError, ValueError) as error:
        raise ModelError(f"can't load the reward model: {error}", path=path) from error


def answers_row(chat: ChatFormat, prompt: Prompt, answers: Sequence[str], number: int = 0) -> Row:
    """Return one row with the prompt and its answers side by side, scored in one pass over the image.

    `number` is the prompt's number in the batch.

    Raises:
        DataError: the model can't take the prompt or an answer.

    """
    return row_of(prompt, chat.expanded_token_ids(prompt), [chat.turn_token_ids(answer) for answer in answers], number)


def row_of(prompt: Prompt, prompt_ids: np.ndarray, answers: Sequence[np.ndarray], number: int = 0) -> Row:
    """Return the row that `answers_row` returns, from the token ids of the prompt and of its answers."""
    return Row(
        prompt_token_ids=prompt_ids,
        images=prompt.images,
        completions=tuple(_with_target(ids) for ids in answers),
        sequence_ids=tuple(number * MAX_ANSWERS + place for place in range(len(answers))),
    )


def _with_target(ids: np.ndarray) -> np.ndarray:
    """Return the ids with one more id: the last token of a row is only a target, which the model does not see."""
    return np.append(ids, ids[-1])
