"""Steps 2 to 5 for one sample: caption, distil, rewrite and verify.

    sample = await Steps(config).run(sample, ask)
    sample.dropped_at == "" and sample.solution.startswith("<think>")

The steps do no input or output themselves; `ask` brings the teachers' replies. Source: arXiv 2504.11468, section 2 and
appendix A. The reasoning teacher gets the caption and never the picture. It is told to write as if it saw the picture,
and the step `rewrite` corrects sentences that mention the caption.
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
from vlaa_ray.services.call_store import Reply
from vlaa_ray.text.placeholders import without_images


@dataclass(frozen=True, kw_only=True)
class Call:
    """A request to a teacher: a text, and the picture if the step shows it.

    `image` is a path relative to the run's `images/`. `attempt` is the number of unusable replies so far.
    """

    step: str
    prompt: str
    image: str | None = None
    image_sha256: str | None = None
    attempt: int = 0


CHARS_PER_TOKEN = 3.5  # for English text; used for estimates only
Ask = Callable[[Call], Awaitable[Reply]]


class Unusable(Exception):
    """The reply does not have the form that the step asked for; another attempt may succeed."""


class Step(Protocol):
    """One step of the pipeline: it asks a teacher and uses the reply."""

    name: str
    section: Any

    def call(self, sample: Sample) -> Call | None:
        """Return the request for a sample; None if it needs none."""
        ...

    def take(self, sample: Sample, reply: Reply) -> Sample:
        """Return the sample with the reply's text, or dropped. Raises Unusable if the reply has the wrong form."""
        ...


class Steps:
    """Steps 2 to 5 with the settings of the config. Raises ConfigError if a template can't be used."""

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
        """Return the sample after the last step, or after the step that dropped it.

        A sample that was dropped before, or whose `use` is not "distill", is returned unchanged. Errors of `ask` are
        raised.
        """
        for step in self._steps if sample.use == "distill" and not sample.dropped_at else ():
            sample = await self._run_step(step, sample, ask)
            if sample.dropped_at:
                break
        return sample

    def longest_calls(self, sample: Sample) -> Iterator[Call]:
        """Yield the requests for a sample if every reply had its maximum length; used for estimates."""
        caption, distilled, rewritten = (_filler(step.section) for step in self._steps[:3])
        sample = sample.with_(distilled=distilled, rewritten=Reasoning("…", rewritten).text)
        for step in self._steps:
            if (call := step.call(sample)) is not None:
                yield call
            sample = sample.with_(caption=sample.caption or caption)

    async def _run_step(self, step: Step, sample: Sample, ask: Ask) -> Sample:
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
                    raise Unusable(f"the reply was cut off at steps.{step.name}.max_tokens")
                return step.take(sample, reply)
            except Unusable as error:
                why = str(error)
        return sample.drop(step.name, f"no usable reply in {self._max_replies} attempts", why)


Section = TypeVar("Section", bound=StepSection)


class _Step(Generic[Section]):
    name = ""

    def __init__(self, section: Section) -> None:
        self.section = section
        self.template: Template = load_template(self.name, section.template)


class Caption(_Step[CaptionSection]):
    """Step 2: a teacher describes the picture. A sample with a caption from its source needs no request."""

    name = "caption"

    def call(self, sample: Sample) -> Call | None:
        """Return the request with picture and question; None if the sample has a caption."""
        if sample.caption:
            return None
        prompt = self.template.filled(question=sample.question, side_information=_side(sample))
        return Call(step=self.name, prompt=prompt, image=sample.image, image_sha256=sample.image_sha256)

    def take(self, sample: Sample, reply: Reply) -> Sample:
        """Return the sample with its caption. Raises Unusable if the caption has fewer than `min_words` words."""
        if num_words(reply.text) < self.section.min_words:
            raise Unusable(f"the caption has only {num_words(reply.text)} words: {reply.text.strip()[:60]!r}")
        return sample.with_(caption=reply.text.strip())


class Distill(_Step[StepSection]):
    """Step 3: a reasoning teacher thinks and answers, with the caption in place of the picture."""

    name = "distill"

    def call(self, sample: Sample) -> Call:
        """Return the request with caption, question and side information, without the picture."""
        question = without_images(sample.question)
        side = _side(sample)
        return Call(
            step=self.name,
            prompt=self.template.filled(caption=sample.caption, question=question, side_information=side),
        )

    def take(self, sample: Sample, reply: Reply) -> Sample:
        """Return the sample with thinking and answer in `distilled`. Raises Unusable if the reply lacks one of them."""
        reasoning = read_reasoning(reply.text, reply.thought)
        if isinstance(reasoning, str):
            raise Unusable(reasoning)
        return sample.with_(distilled=reasoning.text)


class Rewrite(_Step[RewriteSection]):
    """Step 4: a teacher rewrites mentions of the caption as mentions of the picture.

    A sample whose length changes by more than `max_length_gap_words` is dropped.
    """

    name = "rewrite"

    def call(self, sample: Sample) -> Call:
        """Return the request with the text of step 3."""
        return Call(step=self.name, prompt=self.template.filled(input=sample.distilled))

    def take(self, sample: Sample, reply: Reply) -> Sample:
        """Return the sample with `rewritten` and `solution`, or dropped. Raises Unusable without thinking or answer."""
        reasoning = read_reasoning(reply.text)
        if isinstance(reasoning, str):
            raise Unusable(reasoning)
        gap = abs(num_words(reasoning.text) - num_words(sample.distilled))
        limit = self.section.max_length_gap_words
        if limit is not None and gap > limit:
            return sample.drop(self.name, f"the rewriting changed the length by over {limit} words", f"{gap} words")
        return sample.with_(rewritten=reasoning.text, solution=solution_of(reasoning, sample.verifier_type))


class Verify(_Step[StepSection]):
    """Step 5: a teacher says whether the answer agrees with the gold. The sample is kept only if the reply is Yes."""

    name = "verify"

    def call(self, sample: Sample) -> Call:
        """Return the request with the gold, the final answer and the question."""
        reasoning = read_reasoning(sample.rewritten)
        assert not isinstance(reasoning, str)  # the step `rewrite` has checked it
        gold = sample.gold if isinstance(sample.gold, str) else json.dumps(sample.gold, ensure_ascii=False)
        answer = final_answer(reasoning.answer, sample.verifier_type)
        question = without_images(sample.question)
        return Call(step=self.name, prompt=self.template.filled(gold=gold, answer=answer, question=question))

    def take(self, sample: Sample, reply: Reply) -> Sample:
        """Return the sample with its verdict; No drops it. Raises Unusable if the reply is neither Yes nor No."""
        word = reply.text.strip().strip(".!\"'*").lower()
        if word not in ("yes", "no"):
            raise Unusable(f"the reply is neither Yes nor No: {reply.text.strip()[:60]!r}")
        if word == "no":
            return sample.with_(verdict="No").drop(self.name, "the answer differs from the gold")
        return sample.with_(verdict="Yes")


def _filler(section: StepSection) -> str:
    return "x" * round(section.max_tokens * CHARS_PER_TOKEN)


def _side(sample: Sample) -> str:
    """Return the side information of the source under a heading; "" for a sample without any."""
    return f"Known about the picture:\n```\n{sample.side_information}\n```" if sample.side_information else ""
