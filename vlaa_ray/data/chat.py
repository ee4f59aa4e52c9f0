"""Prompts to token ids, once: what the engine is asked with and what the learner trains on are the same ids."""

from __future__ import annotations

from functools import cached_property
from typing import Any

import numpy as np

from vlaa_ray.config import ModelSection
from vlaa_ray.errors import DataError
from vlaa_ray.models.families import family_of
from vlaa_ray.records import ImageRef, Prompt

_MARK = "the answer"
_PROBES = ("Is it {{ 1 }} or {% 2 %}?\n\n\\frac{a}{b} <b>&amp; 'é' \"🎉\"</b>", "A")
"""Questions that a template would have to change, if it changes any."""


def chat_format_of(model: ModelSection) -> ChatFormat:
    """Of the checkpoint that a config names; ModelError if it can't be loaded."""
    from transformers import AutoConfig

    from vlaa_ray.models.loading import load_processor
    from vlaa_ray.models.paths import UNTRAINED, local_path

    if model.path == UNTRAINED:  # is made in a run; its tokenizer and processor are those of the trained one
        model = model.model_copy(update={"path": "builtin:tiny-base"})
    return ChatFormat(load_processor(model), AutoConfig.from_pretrained(local_path(model.path)), model.system_prompt)


class ChatFormat:
    """The checkpoint's chat template with the run's system prompt, and its arithmetic of image tokens."""

    def __init__(self, processor: Any, model_config: Any, system_prompt: str | None) -> None:
        self.tokenizer = processor.tokenizer
        self._processor = processor
        self._system_prompt = system_prompt
        vision = model_config.vision_config
        self._patch_px, self._merge = vision.patch_size, vision.spatial_merge_size
        family = family_of(model_config)
        self.image_token_id: int = self.tokenizer.convert_tokens_to_ids(family.image_token)
        added = self.tokenizer.added_tokens_decoder.values()  # all_special_tokens may lack some, such as <|im_start|>
        special = {token.content for token in added if token.special}
        self._control = sorted(special | {*self.tokenizer.all_special_tokens, *family.vision_tokens})
        self._frames: dict[int, tuple[str, str] | None] = {}

    def prompt_token_ids(self, prompt: Prompt) -> list[int]:
        """Ids with one image token per image, as vLLM takes them; DataError if the text holds control tokens."""
        question = prompt.question.replace("<image>", "").strip()
        self._refuse_control_tokens(question, "the question", prompt_id=prompt.prompt_id)
        text = self._conversation(question, len(prompt.images))
        ids: list[int] = self.tokenizer(text, add_special_tokens=False)["input_ids"]
        if ids.count(self.image_token_id) != len(prompt.images):
            raise DataError("image placeholders and images don't match", prompt_id=prompt.prompt_id)
        return ids

    def num_image_tokens(self, image: ImageRef) -> int:
        """Tokens that an image takes, from its size alone."""
        width, height = self.input_size(image)
        factor = self._patch_px * self._merge
        return (height // factor) * (width // factor)

    def input_size(self, image: ImageRef) -> tuple[int, int]:
        """(width, height) in pixels of the image as the model sees it; DataError if it takes none of this shape."""
        from transformers.models.qwen2_vl.image_processing_qwen2_vl import smart_resize

        size, factor = self._processor.image_processor.size, self._patch_px * self._merge
        try:
            height, width = smart_resize(
                image.height_px, image.width_px, factor, size["shortest_edge"], size["longest_edge"]
            )
        except ValueError as error:
            raise DataError(f"the model takes no image of this shape: {error}", sha256=image.sha256) from error
        return width, height

    def expanded_token_ids(self, prompt: Prompt) -> np.ndarray:
        """[T] int32: the prompt's ids with each image token repeated for its features, as the learner takes them."""
        ids = np.asarray(self.prompt_token_ids(prompt), dtype=np.int32)
        repeats = np.ones(len(ids), dtype=np.int64)
        repeats[ids == self.image_token_id] = [self.num_image_tokens(image) for image in prompt.images]
        return np.repeat(ids, repeats)

    def completion_token_ids(self, text: str) -> np.ndarray:
        """[C] int32: a written answer with the end-of-turn token, as SFT trains on it; DataError as for prompts."""
        self._refuse_control_tokens(text, "the solution")
        ids = self.tokenizer(text, add_special_tokens=False)["input_ids"]
        return np.asarray([*ids, self.tokenizer.eos_token_id], dtype=np.int32)

    def turn_token_ids(self, text: str) -> np.ndarray:
        """[C] int32: an answer with all that the template puts behind it; DataError as for prompts."""
        self._refuse_control_tokens(text, "the answer")
        ids = self.tokenizer(text + self._turn_end, add_special_tokens=False)["input_ids"]
        return np.asarray(ids, dtype=np.int32)

    def _conversation(self, question: str, num_images: int) -> str:
        """The text of the conversation up to where the answer begins."""
        if num_images not in self._frames:
            self._frames[num_images] = self._frame(num_images)
        frame = self._frames[num_images]
        return self._rendered(question, num_images) if frame is None else question.join(frame)

    def _frame(self, num_images: int) -> tuple[str, str] | None:
        """What the template puts before and behind a question; None where that depends on the question."""
        start, found, end = self._rendered(_PROBES[0], num_images).partition(_PROBES[0])
        steady = found and self._rendered(_PROBES[1], num_images) == f"{start}{_PROBES[1]}{end}"
        return (start, end) if steady else None

    def _rendered(self, question: str, num_images: int) -> str:
        content: list[dict[str, str]] = [{"type": "image"} for _ in range(num_images)]
        content.append({"type": "text", "text": question})
        messages: list[dict[str, Any]] = [{"role": "user", "content": content}]
        if self._system_prompt:
            messages.insert(0, {"role": "system", "content": [{"type": "text", "text": self._system_prompt}]})
        return str(self._processor.apply_chat_template(messages, add_generation_prompt=True, tokenize=False))

    @cached_property
    def _turn_end(self) -> str:
        """What the template puts behind an answer."""
        messages = [{"role": "user", "content": "?"}, {"role": "assistant", "content": _MARK}]
        return str(self._processor.apply_chat_template(messages, tokenize=False).partition(_MARK)[2])

    def _refuse_control_tokens(self, text: str, what: str, **facts: str) -> None:
        try:
            text.encode()
        except UnicodeEncodeError as error:
            raise DataError(f"{what} holds half of a character: {error.reason}", **facts) from error
        for token in self._control:
            if token in text:
                raise DataError(f"{what} holds the control token {token!r}", **facts)
