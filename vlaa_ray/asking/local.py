"""A model in this process, loaded with transformers: up in seconds on a CPU, and gone with the process.

vLLM would need half a minute to start and leave shared memory behind; for one question it has nothing to offer.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal

from vlaa_ray.asking.reply import GeneratedText
from vlaa_ray.errors import ModelError
from vlaa_ray.models.chat import ChatFormat, chat_format_of
from vlaa_ray.models.families import Family, family_of
from vlaa_ray.records import ImageRef, Prompt
from vlaa_ray.run.model_source import ModelSource

_ONE_THREAD_PARAMETERS = 50_000_000


@dataclass(frozen=True)
class LocalModel:
    """A loaded model with its chat format."""

    model: Any
    chat: ChatFormat
    family: Family

    @classmethod
    def load(cls, source: ModelSource) -> LocalModel:
        """Load the model: in bf16 on a GPU if there is one, else in fp32 on the CPU.

        Raises:
            ModelError: it can't be loaded.

        """
        import torch
        from transformers import AutoModelForImageTextToText
        from transformers.utils.logging import disable_progress_bar

        disable_progress_bar()
        with_gpu = torch.cuda.is_available()
        dtype: Literal["fp32", "bf16"] = "bf16" if with_gpu else "fp32"
        chat = chat_format_of(source.section(dtype), source.path)
        try:
            model = AutoModelForImageTextToText.from_pretrained(
                source.path, dtype=torch.bfloat16 if with_gpu else torch.float32
            )
        except (OSError, ValueError, RuntimeError) as error:
            raise ModelError(f"can't load the model: {error}", path=source.path) from error
        return cls(model.to("cuda" if with_gpu else "cpu").eval(), chat, family_of(model.config))

    def input_size(self, image: ImageRef) -> tuple[int, int]:
        """Return (width, height) in pixels of the image as the model sees it."""
        return self.chat.input_size(image)

    def generate(self, prompt: Prompt, *, max_tokens: int, temperature: float, seed: int) -> GeneratedText:
        """Return the text that the model generates; at temperature 0 the likeliest tokens.

        The token ids of the prompt are those of training and evaluation, and the tokens that are banned there are
        banned here.

        Raises:
            DataError: the prompt holds control tokens, or its placeholders and images don't match.
            ModelError: the prompt and the answer don't fit into the model's positions.

        """
        import torch

        ids = torch.from_numpy(self.chat.expanded_token_ids(prompt)).long()[None]
        self._check_length(ids.shape[1], max_tokens)
        inputs = {
            "input_ids": ids,
            "attention_mask": torch.ones_like(ids),
            "mm_token_type_ids": (ids == self.chat.image_token_id).int(),
        }
        if prompt.images:
            pixels, grid = self.family.pixels(self.model.config, self.chat.processor, prompt.images)
            inputs |= {"pixel_values": pixels.to(self.model.dtype), "image_grid_thw": grid}
        torch.manual_seed(seed)
        with torch.no_grad(), self._threads():
            output = self.model.generate(
                **{name: value.to(self.model.device) for name, value in inputs.items()},
                generation_config=self._config(max_tokens, temperature),
            )
        new = output[0, ids.shape[1] :].tolist()
        text = self.chat.tokenizer.decode(new, skip_special_tokens=True)
        ended = bool(new) and new[-1] in self._ends()
        return GeneratedText(text=text, finish_reason="stop" if ended else "length", num_tokens=len(new))

    @contextmanager
    def _threads(self) -> Iterator[None]:
        """Give a small model one thread: more would only wait for each other, on a busy machine many times as long."""
        import torch

        before = torch.get_num_threads()
        if self.model.num_parameters() < _ONE_THREAD_PARAMETERS:
            torch.set_num_threads(1)
        try:
            yield
        finally:
            torch.set_num_threads(before)

    def _config(self, max_tokens: int, temperature: float) -> Any:
        from transformers import GenerationConfig

        sampling = {"do_sample": True, "temperature": temperature, "top_k": 0, "top_p": 1.0} if temperature else {}
        return GenerationConfig(
            max_new_tokens=max_tokens,
            eos_token_id=self._ends(),
            pad_token_id=self.chat.tokenizer.pad_token_id,
            suppress_tokens=self.chat.banned_token_ids or None,
            **(sampling or {"do_sample": False}),
        )

    def _ends(self) -> list[int]:
        """Return the ids that end an answer: those of the generation config, and the tokenizer's."""
        own = self.model.generation_config.eos_token_id
        named = [own] if isinstance(own, int) else list(own or ())
        return sorted({*named, self.chat.tokenizer.eos_token_id})

    def _check_length(self, prompt_tokens: int, max_tokens: int) -> None:
        longest = getattr(self.model.config.get_text_config(), "max_position_embeddings", None)
        if longest and prompt_tokens + max_tokens > longest:
            message = "the question and the longest answer don't fit into the model"
            fix = "lower --max-tokens, or ask with fewer or smaller pictures"
            got = f"{prompt_tokens} tokens of the question, {max_tokens} of the answer"
            raise ModelError(message, got=got, expected=f"at most {longest} together", fix=fix)
