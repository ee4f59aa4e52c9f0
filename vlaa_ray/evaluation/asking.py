"""The questions of an evaluation, asked as a stream: a bounded number is in flight, and each answer is stored at once.

asking = Asking(conditions, sampler, stored)
await asking.run(questions, writer, on_answers)
asking.failures                              -> {("MathVista", "17"): "the prompt is too long"}
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from vlaa_ray.errors import ConfigError, DataError
from vlaa_ray.evaluation.answers import Answer, AnswerKey, AnswerWriter, StoredAnswers
from vlaa_ray.evaluation.questions import QuestionSet
from vlaa_ray.evaluation.samplers import Sampler
from vlaa_ray.evaluation.workers import for_each
from vlaa_ray.records import Prompt
from vlaa_ray.roles import SampleRequest, request_seed
from vlaa_ray.text.conversation import context_json

_NO_STEP = -1  # as the evaluations of a training run, so that its held-out answers are the same


@dataclass(frozen=True, kw_only=True)
class Sampling:
    """All that shapes answers beside the questions. Equal values and equal questions give equal answers."""

    model: str
    """What the model is: its name at the hub or the endpoint, or a hash of its files."""
    system_prompt: str | None
    min_pixels: int | None
    max_pixels: int | None
    temperature: float
    top_p: float
    max_completion_tokens: int
    num_samples: int
    seed: int

    def request(self, prompt: Prompt) -> SampleRequest:
        """Return the request for a prompt; its seed depends on the run's seed and the prompt's id."""
        return SampleRequest(
            prompt=prompt,
            num_samples=self.num_samples,
            seed=request_seed(self.seed, _NO_STEP, prompt.prompt_id),
            temperature=self.temperature,
            max_completion_tokens=self.max_completion_tokens,
            top_p=self.top_p,
        )

    def key(self, request: SampleRequest) -> str:
        """Return the hash of all that shapes the answers to a request; the number of samples is no part of it."""
        prompt = request.prompt
        inputs: list[Any] = [self.model, self.system_prompt, self.min_pixels, self.max_pixels]
        inputs += [request.temperature, request.top_p, request.max_completion_tokens]
        inputs += [request.seed if request.temperature else 0, prompt.question, context_json(prompt)]
        inputs.append([image.sha256 for image in prompt.images])
        return hashlib.sha256(json.dumps(inputs).encode()).hexdigest()


OnAnswers = Callable[[int, int], None]
"""A function that gets the numbers of answers and of their tokens that have come."""


class Asking:
    """The stream of questions; answers that are stored are not asked for again.

    Raises ConfigError if a stored answer was given to another request: by another model or under other conditions.
    """

    def __init__(self, sampling: Sampling, questions: Sequence[QuestionSet], stored: StoredAnswers) -> None:
        self._sampling, self._questions, self._stored = sampling, questions, stored
        self.failures: dict[tuple[str, str], str] = {}
        """Why a question got no answer, by set and index."""
        self.num_missing = {each.name: self._count_missing(each) for each in questions}
        """The number of questions without all of their answers, by set."""

    async def run(self, sampler: Sampler, writer: AnswerWriter, num_in_flight: int, on_answers: OnAnswers) -> None:
        """Ask what is missing, at most `num_in_flight` questions at the same time.

        Raises:
            DataError: the answers can't be written, or the model answered nothing at all.
            VlaaRayError: an engine or the endpoint failed for good.

        """
        await for_each(
            self._missing(),
            lambda missing: self._ask(*missing, sampler, writer, on_answers),
            min(num_in_flight, sum(self.num_missing.values())),
        )
        if self.failures and len(self.failures) == sum(map(len, self._questions)):
            reason = next(iter(self.failures.values()))
            raise DataError("the model has answered no question", first=reason, questions=len(self.failures))

    async def _ask(
        self, questions: QuestionSet, number: int, sampler: Sampler, writer: AnswerWriter, on_answers: OnAnswers
    ) -> None:
        index = questions.index(number)
        try:
            request = self._sampling.request(questions.prompt(number))
            samples = await sampler.answers(request)
        except DataError as error:
            self.failures[questions.name, index] = error.one_line()
            on_answers(self._sampling.num_samples, 0)
            return
        key = self._sampling.key(request)
        answers = [
            Answer(
                benchmark=questions.name,
                index=index,
                sample=sample,
                prediction=given.text,
                finish_reason=given.finish_reason,
                num_tokens=given.num_tokens,
                request=key,
            )
            for sample, given in enumerate(samples)
            if AnswerKey(questions.name, index, sample) not in self._stored.requests
        ]
        writer.add(answers)
        on_answers(len(answers), sum(answer.num_tokens for answer in answers))

    def _missing(self) -> Iterator[tuple[QuestionSet, int]]:
        for questions in self._questions:
            for number in range(len(questions)):
                if self._lacks(questions, number):
                    yield questions, number

    def _lacks(self, questions: QuestionSet, number: int) -> bool:
        return any(key not in self._stored.requests for key in self._keys(questions, number))

    def _keys(self, questions: QuestionSet, number: int) -> list[AnswerKey]:
        index = questions.index(number)
        return [AnswerKey(questions.name, index, sample) for sample in range(self._sampling.num_samples)]

    def _count_missing(self, questions: QuestionSet) -> int:
        """Return how many questions lack answers, after a look at who gave those that are stored."""
        for number in range(len(questions)):
            requests = {self._stored.requests.get(key) for key in self._keys(questions, number)} - {None}
            if not requests:
                continue
            try:
                expected = self._sampling.key(self._sampling.request(questions.prompt(number)))
            except DataError:  # such a question is not asked
                continue
            if requests != {expected}:
                raise ConfigError(
                    "the folder holds answers of another model, under other conditions, or to other questions",
                    file=str(self._stored.path),
                    benchmark=questions.name,
                    index=questions.index(number),
                    fix="choose another --out, or delete the folder",
                )
        return sum(self._lacks(questions, number) for number in range(len(questions)))
