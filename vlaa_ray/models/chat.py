"""Prompts to token ids, once: what the engine is asked with and what the learner trains on are the same ids."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np

from vlaa_ray.config import ModelSection
from vlaa_ray.errors import DataError
from vlaa_ray.models.families import family_of
from vlaa_ray.models.loading import load_model_config, load_processor
from vlaa_ray.models.paths import UNTRAINED, local_path
from vlaa_ray.records import ImageRef, Prompt
from vlaa_ray.text.placeholders import in_parts

_MARK = "the answer"
_PROBES = ("Is it {{ 1 }} or {% 2 %}?\n\n\\frac{a}{b} <b>&amp; 'é' \"🎉\"</b>", "A")
"""Texts that a template would have to change, if it changes any."""
_Parts = tuple[str | None, ...]


def chat_format_of(model: ModelSection, path: str | Path | None = None) -> ChatFormat:
    """The format of the checkpoint that a config names, or of another one at `path`; ModelError if it can't be loaded.

    Engine, learner and scorers take theirs from here, so that all of them ask and train with the same ids.
    """
    if path is None:  # UNTRAINED is made in a run; its tokenizer and processor are those of the trained one
        path = local_path("builtin:tiny-base" if model.path == UNTRAINED else model.path)
    return ChatFormat(load_processor(model, path), load_model_config(path), model.system_prompt)


class ChatFormat:
    """The checkpoint's chat template with the run's system prompt, and its arithmetic of image tokens."""

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
        self._frames: dict[tuple[bool, ...], list[str] | None] = {}

    def prompt_token_ids(self, prompt: Prompt) -> list[int]:
        """Ids with one token an image, at its `<image>`, as vLLM takes them; DataError if it holds control tokens."""
        parts = in_parts(prompt.question, len(prompt.images), prompt_id=prompt.prompt_id)
        for part in parts:
            self.refuse_control_tokens(part or "", "the question", prompt_id=prompt.prompt_id)
        ids: list[int] = self.tokenizer(self._conversation(parts), add_special_tokens=False)["input_ids"]
        if ids.count(self.image_token_id) != len(prompt.images):
            raise DataError("image placeholders and images don't match", prompt_id=prompt.prompt_id)
        return ids

    @cached_property
    def banned_token_ids(self) -> list[int]:
        """Ids that are never sampled and that the learner's softmax leaves out: the family's vision control tokens."""
        vocabulary = self.tokenizer.get_vocab()
        return sorted(vocabulary[token] for token in self._family.vision_tokens if token in vocabulary)

    def num_image_tokens(self, image: ImageRef) -> int:
        """Tokens that an image takes, from its size alone."""
        return self._family.num_image_tokens(self._model_config, self.processor, image)

    def input_size(self, image: ImageRef) -> tuple[int, int]:
        """(width, height) in pixels of the image as the model sees it; DataError if it takes none of this shape."""
        return self._family.input_size(self._model_config, self.processor, image)

    def expanded_token_ids(self, prompt: Prompt) -> np.ndarray:
        """[T] int32: the prompt's ids with each image token repeated for its features, as the learner takes them."""
        ids = np.asarray(self.prompt_token_ids(prompt), dtype=np.int32)
        repeats = np.ones(len(ids), dtype=np.int64)
        repeats[ids == self.image_token_id] = [self.num_image_tokens(image) for image in prompt.images]
        return np.repeat(ids, repeats)

    def completion_token_ids(self, text: str) -> np.ndarray:
        """[C] int32: a written answer with the end-of-turn token, as SFT trains on it; DataError as for prompts."""
        self.refuse_control_tokens(text, "the solution")
        ids = self.tokenizer(text, add_special_tokens=False)["input_ids"]
        return np.asarray([*ids, self.tokenizer.eos_token_id], dtype=np.int32)

    def turn_token_ids(self, text: str) -> np.ndarray:
        """[C] int32: an answer with all that the template puts behind it; DataError as for prompts."""
        self.refuse_control_tokens(text, "the answer")
        ids = self.tokenizer(text + self._turn_end, add_special_tokens=False)["input_ids"]
        return np.asarray(ids, dtype=np.int32)

    def _conversation(self, parts: _Parts) -> str:
        """The text of the conversation up to where the answer begins."""
        shape = tuple(part is None for part in parts)
        if shape not in self._frames:
            self._frames[shape] = self._frame(parts)
        frame = self._frames[shape]
        return self._rendered(parts) if frame is None else _framed(parts, frame)

    def _frame(self, parts: _Parts) -> list[str] | None:
        """What the template puts around texts at these places; None where that depends on the texts."""
        probes, others = ([part and f"{probe}{number}" for number, part in enumerate(parts)] for probe in _PROBES)
        frame: list[str] = []
        rest = self._rendered(probes)
        for probe in filter(None, probes):
            start, _, rest = rest.partition(probe)
            frame.append(start)
        frame.append(rest)
        steady = all(_framed(some, frame) == self._rendered(some) for some in (probes, others))
        return frame if steady else None

    def _rendered(self, parts: Sequence[str | None]) -> str:
        content = [{"type": "image"} if part is None else {"type": "text", "text": part} for part in parts]
        messages: list[dict[str, Any]] = [{"role": "user", "content": content}]
        if self._system_prompt:
            messages.insert(0, {"role": "system", "content": [{"type": "text", "text": self._system_prompt}]})
        return str(self.processor.apply_chat_template(messages, add_generation_prompt=True, tokenize=False))

    @cached_property
    def _turn_end(self) -> str:
        """What the template puts behind an answer."""
        messages = [{"role": "user", "content": "?"}, {"role": "assistant", "content": _MARK}]
        return str(self.processor.apply_chat_template(messages, tokenize=False).partition(_MARK)[2])

    def refuse_control_tokens(self, text: str, what: str, **facts: str) -> None:
        """DataError if the text, named by `what`, holds any, or can't be encoded at all."""
        try:
            text.encode()
        except UnicodeEncodeError as error:
            raise DataError(f"{what} holds half of a character: {error.reason}", **facts) from error
        for token in self._control:
            if token in text:
                raise DataError(f"{what} holds the control token {token!r}", **facts)


def _framed(parts: Sequence[str | None], frame: Sequence[str]) -> str:
    """The texts, with what belongs before, between and behind them."""
    texts = [part for part in parts if part is not None]
    return "".join(chain.from_iterable(zip(frame, [*texts, ""], strict=True)))
