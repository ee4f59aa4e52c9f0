"""Reasons why a run with a config can't use a record: a missing worked answer, the run's model, or its limits."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from contextlib import nullcontext, suppress
from typing import NamedTuple

from vlaa_ray.config import ModelSection, TrainingConfig
from vlaa_ray.data.readers import UNSOLVED
from vlaa_ray.errors import DataError
from vlaa_ray.models.chat import ChatFormat, chat_format_of
from vlaa_ray.records import VERIFIER_TYPES, Preference, Prompt
from vlaa_ray.text.conversation import as_one_text

_MOST_CHARS = 32_000
_SOLVE = "give it a worked answer (<think>…</think><answer>…</answer>), or train on it with another command"


class Misfit(NamedTuple):
    """A reason against a record, and what to do about it."""

    reason: str
    fix: str = ""


class Fitness:
    """The demands of a run on its records, and the lengths of those seen so far.

    Without a config, the built-in model stands for the run's, and the only limit on lengths is 32,000 characters for a
    question.
    """

    def __init__(self, config: TrainingConfig | None) -> None:
        self._solved = _solved(config)
        self._limits = _limits(config)
        self._counts_tokens = config is not None
        self._learns_answers = config is not None and config.learns_from != "rewards"
        self._chat = chat_format_of(config.model if config else ModelSection(path="builtin:tiny-base"))
        self.prompt_tokens: list[int] = []
        self.answer_tokens: list[int] = []

    def misfits(self, prompt: Prompt, read: Prompt | Preference) -> Iterator[Misfit]:
        """Yield the reasons why the run can't use the record; its lengths are kept."""
        if prompt.verifier_type in self._solved and prompt.solution is None:
            yield Misfit(UNSOLVED, _SOLVE)
        if not self._counts_tokens and (length := len(as_one_text(prompt))) > _MOST_CHARS:
            yield Misfit(
                f"the question has {length} characters, more than {_MOST_CHARS}; with --config its tokens are counted"
            )
            return
        answers: list[int] = []
        try:
            asked = len(self._chat.expanded_token_ids(prompt))
            if prompt.verifier_type == "open_ended" and not self._learns_answers:  # a reward model will read the gold
                self._chat.refuse_control_tokens(prompt.gold_text, "the gold")
            with nullcontext() if self._learns_answers else suppress(DataError):
                answers = list(_answer_tokens(read, self._chat))
        except DataError as error:
            yield Misfit(error.one_line(), error.fix)
            return
        if not self._counts_tokens:  # without a config the real model's tokens are unknown
            return
        self.prompt_tokens.append(asked)
        self.answer_tokens += answers
        for what, most, counts in (("prompt", self._limits[0], [asked]), ("answer", self._limits[1], answers)):
            for tokens in counts:
                if most and tokens > most.tokens:
                    yield Misfit(
                        f"the {what} has {tokens} tokens, over {most.key} = {most.tokens}", f"set {most.key} higher"
                    )


def _solved(config: TrainingConfig | None) -> Collection[str]:
    """Return the verifier types whose prompts need a solution (a worked answer) in this kind of run."""
    if config is None or config.learns_from != "solutions":
        return ()
    return config.data.verifier_types or VERIFIER_TYPES


class _Limit(NamedTuple):
    """The most tokens, and the key of the config that sets this limit."""

    key: str
    tokens: int


def _limits(config: TrainingConfig | None) -> tuple[_Limit | None, _Limit | None]:
    """Return the limits of a prompt and of a written answer to learn from; None where there is no limit."""
    if config is None:
        return None, None
    key, limits = config.limits_key, config.limits
    prompt = _Limit(f"{key}.max_prompt_tokens", limits.max_prompt_tokens)
    if config.learns_from == "rewards":
        return prompt, None
    return prompt, _Limit(f"{key}.max_completion_tokens", limits.max_completion_tokens)


def _answer_tokens(read: Prompt | Preference, chat: ChatFormat) -> Iterator[int]:
    """Yield the number of tokens of each written answer, as a learner counts them."""
    if isinstance(read, Preference):
        yield from (len(chat.turn_token_ids(answer)) + 1 for answer in read.answers)  # and one id that is only a target
    elif read.solution is not None:
        yield len(chat.completion_token_ids(read.solution))
