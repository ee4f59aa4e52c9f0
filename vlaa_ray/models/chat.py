"""Token ids of prompts and answers. The engine and the learner get the same ids from here."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from itertools import chain, count
from pathlib import Path
from typing import Any

import numpy as np

from vlaa_ray.config import ModelSection
from vlaa_ray.errors import DataError
from vlaa_ray.models.families import family_of
from vlaa_ray.models.loading import load_model_config, load_processor
from vlaa_ray.models.paths import description_path
from vlaa_ray.records import ImageRef, Prompt
from vlaa_ray.text.conversation import Spoken, spoken_turns, texts_before

_MARK = "the answer"
_PROBES = ("<think>?</think>Is it {{ 1 }} or {% 2 %}?\n\n\\frac{a}{b} <b>&amp; 'é' \"🎉\"</b>", "A")
"""Texts that show whether a chat template changes the texts it is given."""
_Turns = tuple[Spoken, ...]


def chat_format_of(model: ModelSection, path: str | Path | None = None) -> ChatFormat:
    """Return the chat format of the checkpoint that a config names, or of another one at `path`.

    Engine, learner and scorers take theirs from here, so that all of them ask and train with the same token ids.

    Raises:
        ModelError: its config or its processor can't be loaded.

    """
    if path is None:
        path = description_path(model.path)
    return ChatFormat(load_processor(model, path), load_model_config(path), model.system_prompt)


class ChatFormat:
    """The checkpoint's chat template with the run's system prompt, and the sizes of its images in tokens."""

    def __init__(self, processor: Any, model_config: Any, system_prompt: str | None) -> None:
        self.tokenizer = processor.tokenizer
        self.processor = processor
        self._system_prompt = system_prompt
        self._model_config = model_config
        self._family = family = family_of(model_config)
        self.image_token_id: int = self.tokenizer.convert_tokens_to_ids(family.image_token)
        added = self.tokenizer.added_tokens_decoder.values()  # all_special_tokens may lack some, such as <|im_start|>
        special = {token.content for token in added if token.special}
        self._control = sorted(special | {*self.tokenizer.all_special_tokens, *family.vision_tokens})
        self._frames: dict[tuple[tuple[str, tuple[bool, ...]], ...], list[str] | None] = {}

    def prompt_token_ids(self, prompt: Prompt) -> list[int]:
        """Return the prompt's ids as vLLM takes them: one image token in place of each `<image>`.

        The system text of the record comes first, then the run's system prompt, the earlier turns and the question.

        Raises:
            DataError: one of the prompt's texts holds control tokens, or its placeholders don't match its images.

        """
        turns = spoken_turns(prompt, prompt_id=prompt.prompt_id)
        for what, text in texts_before(prompt):
            self.refuse_control_tokens(text, what, prompt_id=prompt.prompt_id)
        for part in turns[-1].parts:
            self.refuse_control_tokens(part or "", "the question", prompt_id=prompt.prompt_id)
        if prompt.system:
            turns = (Spoken("system", (self._before_the_runs(prompt.system),)), *turns)
        ids: list[int] = self.tokenizer(self._conversation(turns), add_special_tokens=False)["input_ids"]
        if ids.count(self.image_token_id) != len(prompt.images):
            raise DataError("image placeholders and images don't match", prompt_id=prompt.prompt_id)
        return ids

    @cached_property
    def banned_token_ids(self) -> list[int]:
        """The ids of the family's vision control tokens, sorted; they are never sampled, nor part of the softmax."""
        vocabulary = self.tokenizer.get_vocab()
        return sorted(vocabulary[token] for token in self._family.vision_tokens if token in vocabulary)

    def num_image_tokens(self, image: ImageRef) -> int:
        """Return the number of tokens that an image takes, from its size alone."""
        return self._family.num_image_tokens(self._model_config, self.processor, image)

    def input_size(self, image: ImageRef) -> tuple[int, int]:
        """Return (width, height) in pixels of the image as the model sees it.

        Raises:
            DataError: the model takes no image of this shape.

        """
        return self._family.input_size(self._model_config, self.processor, image)

    def expanded_token_ids(self, prompt: Prompt) -> np.ndarray:
        """Return the prompt's ids [T] int32 as the learner takes them: an image token for each image feature.

        Raises:
            DataError: as for `prompt_token_ids`.

        """
        ids = np.asarray(self.prompt_token_ids(prompt), dtype=np.int32)
        repeats = np.ones(len(ids), dtype=np.int64)
        repeats[ids == self.image_token_id] = [self.num_image_tokens(image) for image in prompt.images]
        return np.repeat(ids, repeats)

    def completion_token_ids(self, text: str) -> np.ndarray:
        """Return the ids [C] int32 of a written answer with the end-of-turn token, as SFT trains on it.

        Raises:
            DataError: the text holds control tokens or can't be encoded.

        """
        self.refuse_control_tokens(text, "the solution")
        ids = self.tokenizer(text, add_special_tokens=False)["input_ids"]
        return np.asarray([*ids, self.tokenizer.eos_token_id], dtype=np.int32)

    def turn_token_ids(self, text: str) -> np.ndarray:
        """Return the ids [C] int32 of an answer and of everything that the template puts after it.

        Raises:
            DataError: the text holds control tokens or can't be encoded.

        """
        self.refuse_control_tokens(text, "the answer")
        ids = self.tokenizer(text + self._turn_end, add_special_tokens=False)["input_ids"]
        return np.asarray(ids, dtype=np.int32)

    def _before_the_runs(self, system: str) -> str:
        """Return the system text of a record, and below it the run's system prompt unless the record has that, too."""
        own, of_run = system.strip(), (self._system_prompt or "").strip()
        return own if of_run in own else f"{own}\n\n{of_run}"

    def _conversation(self, turns: _Turns) -> str:
        """Return the text of the conversation up to the beginning of the answer."""
        shape = tuple((turn.role, tuple(part is None for part in turn.parts)) for turn in turns)
        if shape not in self._frames:
            self._frames[shape] = self._frame(turns)
        frame = self._frames[shape]
        return self._rendered(turns) if frame is None else _framed(_texts_of(turns), frame)

    def _frame(self, turns: _Turns) -> list[str] | None:
        """Return what the template puts around the texts of such turns; None where that depends on the texts."""
        probes, others = (_probing(turns, probe) for probe in _PROBES)
        frame: list[str] = []
        rest = self._rendered(probes)
        for probe in _texts_of(probes):
            start, _, rest = rest.partition(probe)
            frame.append(start)
        frame.append(rest)
        steady = all(_framed(_texts_of(some), frame) == self._rendered(some) for some in (probes, others))
        return frame if steady else None

    def _rendered(self, turns: _Turns) -> str:
        if self._system_prompt and turns[0].role != "system":
            turns = (Spoken("system", (self._system_prompt,)), *turns)
        messages = [{"role": turn.role, "content": [_content(part) for part in turn.parts]} for turn in turns]
        return str(self.processor.apply_chat_template(messages, add_generation_prompt=True, tokenize=False))

    @cached_property
    def _turn_end(self) -> str:
        """The text that the template puts after an answer."""
        messages = [{"role": "user", "content": "?"}, {"role": "assistant", "content": _MARK}]
        return str(self.processor.apply_chat_template(messages, tokenize=False).partition(_MARK)[2])

    def refuse_control_tokens(self, text: str, what: str, **facts: str) -> None:
        """Refuse a text that holds control tokens; `what` names it in the message, `facts` are added to it.

        Raises:
            DataError: the text holds a control token, or it can't be encoded.

        """
        try:
            text.encode()
        except UnicodeEncodeError as error:
            raise DataError(f"{what} holds half of a character: {error.reason}", **facts) from error
        for token in self._control:
            if token in text:
                raise DataError(f"{what} holds the control token {token!r}", **facts)


def _content(part: str | None) -> dict[str, str]:
    return {"type": "image"} if part is None else {"type": "text", "text": part}


def _probing(turns: _Turns, probe: str) -> _Turns:
    """Return the turns with another text in place of each: the probe and a number of its own."""
    numbers = count()
    return tuple(
        turn._replace(parts=tuple(part and f"{probe}{next(numbers)}" for part in turn.parts)) for turn in turns
    )


def _texts_of(turns: _Turns) -> list[str]:
    return [part for turn in turns for part in turn.parts if part is not None]


def _framed(texts: Sequence[str], frame: Sequence[str]) -> str:
    """Return the texts joined with the frame's pieces before, between and after them."""
    return "".join(chain.from_iterable(zip(frame, [*texts, ""], strict=True)))
