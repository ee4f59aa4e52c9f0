"""Steps 2 to 5 for one sample: caption, distil, rewrite, verify. Pure: what the teachers say comes in through `ask`.

    sample = await Steps(config).run(sample, ask)
    sample.dropped_at == "" and sample.solution.startswith("<think>")

Source: arXiv 2504.11468, section 2 and appendix A. The reasoning teacher never sees the picture: it has the caption and
speaks as if it saw, which the rewriting repairs where it forgot.
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any, Generic, Protocol, TypeVar

from vlaa_ray.config import CaptionSection, CurationConfig, RewriteSection, StepSection
from vlaa_ray.curation.answers import Reasoning, final_answer, num_words, read_reasoning, solution_of
from vlaa_ray.curation.sample import Sample
from vlaa_ray.curation.templates import Template, load_template
from vlaa_ray.text.placeholders import without_images


@dataclass(frozen=True, kw_only=True)
class Call:
    """What a teacher is asked: a text, and the picture where the step shows it. `attempt` counts unusable replies."""

    step: str
    prompt: str
    image: str | None = None
    image_sha256: str | None = None
    attempt: int = 0


@dataclass(frozen=True, kw_only=True)
class Reply:
    """What came back: `thought` is thinking that the service sent apart; `refused` says why there is no text."""

    text: str = ""
    thought: str | None = None
    finish_reason: str = "stop"
    refused: str = ""


CHARS_PER_TOKEN = 3.5  # of English; only for estimates
Ask = Callable[[Call], Awaitable[Reply]]


class Unusable(Exception):
    """The reply isn't what the step asked for; another one may be."""


class Step(Protocol):
    """One question to a teacher."""

    name: str
    section: Any

    def call(self, sample: Sample) -> Call | None:
        """What to ask; None where the sample needs no call."""
        ...

    def take(self, sample: Sample, reply: Reply) -> Sample:
        """The sample with what was replied, or dropped; Unusable if the reply has the wrong form."""
        ...


class Steps:
    """The steps as the config wants them; ConfigError if a template can't be used."""

    def __init__(self, config: CurationConfig) -> None:
        steps = config.steps
        self._steps: tuple[Step, ...] = (
            Caption(steps.caption),
            Distill(steps.distill),
            Rewrite(steps.rewrite),
            Verify(steps.verify),
        )
        self._max_replies = steps.max_replies

    async def run(self, sample: Sample, ask: Ask) -> Sample:
        """The sample after the last step, or as it was dropped. One that isn't to be distilled needs none of them."""
        for step in self._steps if sample.use == "distill" and not sample.dropped_at else ():
            sample = await self._taught(step, sample, ask)
            if sample.dropped_at:
                break
        return sample

    def longest_calls(self, sample: Sample) -> Iterator[Call]:
        """What the sample would ask for if every reply were as long as it may be."""
        caption, distilled, rewritten = (_filler(step.section) for step in self._steps[:3])
        sample = sample.with_(distilled=distilled, rewritten=Reasoning("…", rewritten).text)
        for step in self._steps:
            if (call := step.call(sample)) is not None:
                yield call
            sample = sample.with_(caption=sample.caption or caption)

    async def _taught(self, step: Step, sample: Sample, ask: Ask) -> Sample:
        call = step.call(sample)
        if call is None:
            return sample
        why = ""
        for attempt in range(self._max_replies):
            reply = await ask(replace(call, attempt=attempt))
            if reply.refused:
                return sample.drop(step.name, "the teacher gave no reply", reply.refused)
            try:
                if reply.finish_reason == "length":
                    raise Unusable(f"cut at steps.{step.name}.max_tokens")
                return step.take(sample, reply)
            except Unusable as error:
                why = str(error)
        return sample.drop(step.name, f"no usable reply in {self._max_replies}", why)


Section = TypeVar("Section", bound=StepSection)


class _Step(Generic[Section]):
    name = ""

    def __init__(self, section: Section) -> None:
        self.section = section
        self.template: Template = load_template(self.name, section.template)


class Caption(_Step[CaptionSection]):
    """Step 2: the picture in words. A source's own caption stands in for a call."""

    name = "caption"

    def call(self, sample: Sample) -> Call | None:
        if sample.caption:
            return None
        prompt = self.template.filled(question=sample.question, side_information=_side(sample))
        return Call(step=self.name, prompt=prompt, image=sample.image, image_sha256=sample.image_sha256)

    def take(self, sample: Sample, reply: Reply) -> Sample:
        if num_words(reply.text) < self.section.min_words:
            raise Unusable(f"a caption of {num_words(reply.text)} words: {reply.text.strip()[:60]!r}")
        return sample.with_(caption=reply.text.strip())


class Distill(_Step[StepSection]):
    """Step 3: thinking and an answer, from the words alone."""

    name = "distill"

    def call(self, sample: Sample) -> Call:
        question = without_images(sample.question)
        side = _side(sample)
        return Call(
            step=self.name,
            prompt=self.template.filled(caption=sample.caption, question=question, side_information=side),
        )

    def take(self, sample: Sample, reply: Reply) -> Sample:
        reasoning = read_reasoning(reply.text, reply.thought)
        if isinstance(reasoning, str):
            raise Unusable(reasoning)
        return sample.with_(distilled=reasoning.text)


class Rewrite(_Step[RewriteSection]):
    """Step 4: the picture takes the caption's place in the text. Whoever changed more than that is dropped."""

    name = "rewrite"

    def call(self, sample: Sample) -> Call:
        return Call(step=self.name, prompt=self.template.filled(input=sample.distilled))

    def take(self, sample: Sample, reply: Reply) -> Sample:
        reasoning = read_reasoning(reply.text)
        if isinstance(reasoning, str):
            raise Unusable(reasoning)
        gap = abs(num_words(reasoning.text) - num_words(sample.distilled))
        limit = self.section.max_length_gap_words
        if limit is not None and gap > limit:
            return sample.drop(self.name, f"over {limit} words longer or shorter", f"{gap} words")
        return sample.with_(rewritten=reasoning.text, solution=solution_of(reasoning, sample.verifier_type))


class Verify(_Step[StepSection]):
    """Step 5: does the answer agree with the gold? Only a Yes stays."""

    name = "verify"

    def call(self, sample: Sample) -> Call:
        reasoning = read_reasoning(sample.rewritten)
        assert not isinstance(reasoning, str)  # the step before has read it
        gold = sample.gold if isinstance(sample.gold, str) else json.dumps(sample.gold, ensure_ascii=False)
        answer = final_answer(reasoning.answer, sample.verifier_type)
        question = without_images(sample.question)
        return Call(step=self.name, prompt=self.template.filled(gold=gold, answer=answer, question=question))

    def take(self, sample: Sample, reply: Reply) -> Sample:
        word = reply.text.strip().strip(".!\"'*").lower()
        if word not in ("yes", "no"):
            raise Unusable(f"neither Yes nor No: {reply.text.strip()[:60]!r}")
        if word == "no":
            return sample.with_(verdict="No").drop(self.name, "the answer differs from the gold")
        return sample.with_(verdict="Yes")


def _filler(section: StepSection) -> str:
    return "x" * round(section.max_tokens * CHARS_PER_TOKEN)


def _side(sample: Sample) -> str:
    """What the source tells beside the picture, under a heading of its own; nothing if it tells nothing."""
    return f"Known about the picture:\n```\n{sample.side_information}\n```" if sample.side_information else ""
