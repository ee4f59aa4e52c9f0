"""The reasoning parser of vLLM's interface; importing this module registers it under `REASONING_PARSER`.

vLLM's own server takes it, too: --reasoning-parser-plugin vlaa_ray.serving.vllm_parser --reasoning-parser vlaa_ray
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from vllm.entrypoints.generate.base.protocol import DeltaMessage
from vllm.reasoning import ReasoningParser, ReasoningParserManager

from vlaa_ray.serving.reasoning import Parts, ReasoningSplitter, split
from vlaa_ray.serving.settings import REASONING_PARSER


class VlaaReasoningParser(ReasoningParser):
    """Splits a response by its text: in the tokenizers of Qwen2.5-VL the tags are no tokens of their own.

    It never says that the reasoning has ended: the system prompt of the paper names the tags, so that vLLM would find
    the end of the thought in the prompt. So all pieces of a streamed response come through this parser, to the last.
    """

    engine_based_streaming = True  # so that vLLM asks for what is left at the end (`finish_streaming`)

    def __init__(self, tokenizer: Any, *args: Any, **kwargs: Any) -> None:
        super().__init__(tokenizer, *args, **kwargs)
        self._thinks_first = _prompt_opens_thought(tokenizer)
        self._splitter = ReasoningSplitter(thinks_first=self._thinks_first)

    def is_reasoning_end(self, input_ids: Sequence[int]) -> bool:
        """Return False; see above."""
        return False

    def extract_content_ids(self, input_ids: list[int]) -> list[int]:
        """Return all ids: nothing is left out of a structured answer, which this server does not offer."""
        return input_ids

    def count_reasoning_tokens(self, token_ids: Sequence[int]) -> int:
        """Return the number of tokens of the thought, with those of its last tag."""
        splitter, number = ReasoningSplitter(thinks_first=self._thinks_first), 0
        for token in self.model_tokenizer.convert_ids_to_tokens(list(token_ids)):
            number += splitter.thinks
            splitter.feed(token)
        return number

    def extract_reasoning(self, model_output: str, request: Any) -> tuple[str | None, str | None]:
        """Return (reasoning, content) of a whole response; None for one that is empty."""
        parts = split(model_output, thinks_first=self._thinks_first)
        return parts.reasoning or None, parts.content or None

    def extract_reasoning_streaming(
        self,
        previous_text: str,
        current_text: str,
        delta_text: str,
        previous_token_ids: Sequence[int],
        current_token_ids: Sequence[int],
        delta_token_ids: Sequence[int],
    ) -> DeltaMessage | None:
        """Return what the piece `delta_text` adds; None if nothing can be said yet."""
        return _message(self._splitter.feed(delta_text))

    def finish_streaming(self) -> DeltaMessage | None:
        """Return what is left at the end of a streamed response."""
        return _message(self._splitter.finish())


def _message(parts: Parts) -> DeltaMessage | None:
    if not parts.reasoning and not parts.content:
        return None
    return DeltaMessage(reasoning=parts.reasoning or None, content=parts.content or None)


def _prompt_opens_thought(tokenizer: Any) -> bool:
    """Return True if the chat template ends a prompt with `<think>`, so that every response begins inside a thought."""
    template = getattr(tokenizer, "chat_template", None)
    tail = template.rpartition("add_generation_prompt")[2] if isinstance(template, str) else ""
    return "<think>" in tail and "</think>" not in tail


ReasoningParserManager.register_module(REASONING_PARSER, module=VlaaReasoningParser)
