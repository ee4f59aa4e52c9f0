"""A judge for answers that the rules can't settle: a model behind an OpenAI-compatible endpoint.

Every reply is recorded under the hash of what was asked, before it is used, so nothing is asked or paid twice. A reply
that can't be used is asked for again, at most twice; then the row stays unsettled. Nothing is drawn at random.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from vlaa_ray.config import JudgeSection
from vlaa_ray.errors import RewardError
from vlaa_ray.evaluation.questions import AnswerVerdict, BenchmarkQuestions
from vlaa_ray.services.call_store import CallStore, Reply, Usage
from vlaa_ray.services.chat_reply import read_chat_reply
from vlaa_ray.services.client import Service, Unanswered

JUDGED = "judge.sqlite"
NO_JUDGE = "no judge is set (judge.url)"
_ATTEMPTS = 3
_WAIT_S = 30.0
_MAX_REASON_CHARS = 2000


class AnswerJudge:
    """The judge of one evaluation, whose folder holds its replies. Close it at the end.

    Raises RewardError if the service refuses all requests or is down for good, and TeacherError if the replies can't be
    recorded.
    """

    def __init__(self, section: JudgeSection, folder: Path) -> None:
        self._section = section
        self._store = CallStore(folder / JUDGED, wait_s=_WAIT_S)
        self._service = Service(section, "the judge", "judge", RewardError)
        self._threads = ThreadPoolExecutor(section.concurrency, thread_name_prefix="judge")

    async def settle(
        self, questions: BenchmarkQuestions, number: int, prediction: str, rule: AnswerVerdict
    ) -> AnswerVerdict:
        """Return the judge's verdict on a prediction that the rules left unsettled with `rule`."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._threads, self._settle, questions, number, prediction, rule)

    def close(self) -> None:
        """Ask nothing more, and close the record."""
        self._service.stop()
        self._threads.shutdown(wait=True, cancel_futures=True)
        self._store.close()

    def _settle(
        self, questions: BenchmarkQuestions, number: int, prediction: str, rule: AnswerVerdict
    ) -> AnswerVerdict:
        suite, row = questions.suite, questions.rows[number]
        messages = suite.judge_messages(row, prediction)
        if messages is None:
            return rule
        verdict = rule
        for attempt in range(_ATTEMPTS):
            try:
                reply = self._reply(messages, attempt)
            except Unanswered as error:  # not recorded, so that the next run asks again
                return _left(rule, f"the judge gives no answer: {error}")
            verdict = AnswerVerdict.of(suite.judge_score(row, reply.text))
            if verdict.correct is not None:
                return verdict
        return _left(rule, f"the judge's reply can't be used: {verdict.reason}")

    def _reply(self, messages: list[dict[str, Any]], attempt: int) -> Reply:
        section = self._section
        body = {"model": section.model, "messages": messages, "max_tokens": section.max_tokens, "temperature": 0.0}
        if attempt:  # at temperature 0 the same reply would come again
            body |= {"temperature": 0.5 * attempt, "seed": attempt}
        key = hashlib.sha256(json.dumps(body, sort_keys=True).encode()).hexdigest()
        recorded = self._store.get(key)
        if recorded is not None:
            return recorded
        started = time.monotonic()
        text, input_tokens, output_tokens = self._service.post("chat/completions", body, read=_read)
        reply = Reply(text=text)
        self._store.put(key, "judge", reply, Usage(input_tokens, output_tokens, 0.0, time.monotonic() - started))
        return reply


def _left(rule: AnswerVerdict, why: str) -> AnswerVerdict:
    reason = "; ".join(part for part in (rule.reason, why) if part)
    return AnswerVerdict(
        value=0.0, correct=None, extracted=rule.extracted, reason=reason[:_MAX_REASON_CHARS], settled_by=""
    )


def without_judge(verdict: AnswerVerdict) -> AnswerVerdict:
    """Return an unsettled verdict that says that there is no judge; a settled one as it is."""
    return verdict if verdict.correct is not None or not verdict.answered else _left(verdict, NO_JUDGE)


def _read(reply: Any) -> tuple[str, int, int]:
    """Return (text, input tokens, output tokens) of a chat completion; ValueError if it is not one with a text."""
    said = read_chat_reply(reply)
    if said.text is None:
        raise ValueError("not a chat completion: its content is not text")
    return said.text, said.input_tokens or 0, said.output_tokens or 0
