"""The client that asks the teachers. It never asks the same twice, stays within the budget, and stores every reply.

    client = TeacherClient(config, images, store, urls)
    client.ask(Call(step="verify", prompt="…")) -> Reply(text="Yes")

Many threads may call `ask` at once. The key of a call is a hash of everything that shapes the reply: model, text,
picture, sampling and the number of the attempt. The address is no part of it, so a model may move to another server.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import math
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from pathlib import Path
from typing import Any

from vlaa_ray.config import CurationConfig, StepSection, TeacherSection
from vlaa_ray.curation.sample import STEPS
from vlaa_ray.curation.steps import CHARS_PER_TOKEN, Call
from vlaa_ray.errors import DataError, TeacherError
from vlaa_ray.images.decode import chat_part
from vlaa_ray.services.call_store import CallStore, Reply, Spent, Usage
from vlaa_ray.services.chat_reply import read_chat_reply
from vlaa_ray.services.circuit_breaker import failing_services
from vlaa_ray.services.client import Service, Unanswered

_PICTURE_TOKENS = 1024  # most services count fewer
_MILLION = 1e6
_LOOK_AGAIN_S = 1.0
MEASURES: dict[str, Callable[[Spent], float]] = {
    "cost": lambda spent: spent.cost,
    "tokens": lambda spent: spent.input_tokens + spent.output_tokens,
    "calls": lambda spent: spent.calls,
}
"""For each limit of the budget, by its name: a function from what was spent to the amount that the limit bounds."""

SERVED_KEY = "VLAA_RAY_SERVED_KEY"
"""The environment variable with the key of the servers that the run itself has started."""


class TeacherClient:
    """The connection to all teachers of a curation, for use from many threads.

    `images` is the folder of the pictures, and `urls` has the address of each teacher by its name.
    """

    def __init__(self, config: CurationConfig, images: Path, store: CallStore, urls: Mapping[str, str]) -> None:
        self._config = config
        self._images = images
        self._store = store
        self._services = {name: _service(name, config.teachers[name], url) for name, url in urls.items()}
        self._lock = threading.Lock()
        self._changed = threading.Condition(self._lock)
        self._in_flight: dict[str, Future[Reply]] = {}
        self._reserved = Spent()
        self._stopped: TeacherError | None = None
        self._spent = {step: spent for step, spent in store.spent().items() if step in STEPS}
        self._recalled = dict.fromkeys(STEPS, 0)

    def ask(self, call: Call) -> Reply:
        """Return the reply to a call, from the store or the teacher; equal calls at the same time make one request.

        Raises TeacherError if the service does not work, the budget is used up or the client was stopped, and DataError
        if the picture can't be read.
        """
        key = self.key(call)
        with self._lock:
            waiting = self._in_flight.get(key)
            if waiting is None:
                mine = self._in_flight[key] = Future()
        if waiting is not None:
            reply = waiting.result()
            self._count_recalled(call.step)
            return reply
        try:
            reply = self._recall_or_make(call, key)
        except BaseException as error:
            mine.set_exception(error)
            raise
        else:
            mine.set_result(reply)
        finally:
            with self._lock:
                del self._in_flight[key]
        return reply

    def recall(self, call: Call) -> Reply | None:
        """Return the stored reply to a call, without waiting; None if no reply is stored."""
        reply = self._store.get(self.key(call))
        if reply is not None:
            self._count_recalled(call.step)
        return reply

    def stop(self, why: TeacherError) -> None:
        """Raise `why` for every call that is not in flight yet. Replies to calls in flight are still stored."""
        with self._changed:
            self._stopped = self._stopped or why
            self._changed.notify_all()
        for service in self._services.values():
            service.stop()

    def drain(self, deadline_s: float) -> None:
        """Wait until no call is in flight, at most `deadline_s` seconds."""
        end = time.monotonic() + deadline_s
        with self._changed:
            self._changed.wait_for(lambda: not self._reserved.calls, end - time.monotonic())

    def state(self) -> dict[str, Any]:
        """Return {"spent": {step: totals}, "recalled": {step: replies from the store}, "in_flight": calls}.

        "failing_s" has the seconds for which each service has not answered any more.
        """
        with self._lock:
            spent = {step: dataclasses.asdict(total) for step, total in self._spent.items()}
            calls = {"spent": spent, "recalled": dict(self._recalled), "in_flight": self._reserved.calls}
            return calls | {"failing_s": failing_services()}

    def key(self, call: Call) -> str:
        """Return the SHA-256 of everything that shapes the reply to a call."""
        section = self._step(call)
        inputs = [self._teacher(call).model, call.prompt, call.image_sha256, section.sampling(), call.attempt]
        return hashlib.sha256(json.dumps(inputs, sort_keys=True).encode("utf-8", "surrogatepass")).hexdigest()

    def _recall_or_make(self, call: Call, key: str) -> Reply:
        if (recorded := self._store.get(key)) is not None:
            self._count_recalled(call.step)
            return recorded
        estimate = estimated_usage(call, self._step(call), self._teacher(call))
        self._reserve(estimate)
        try:
            reply, usage = self._make(call, estimate)
            self._store.put(key, call.step, reply, usage)
            with self._lock:
                self._spent.setdefault(call.step, Spent()).add(usage)
            return reply
        except Unanswered as error:  # not stored, so that the next attempt at the run asks again
            return Reply(refused=str(error))
        finally:
            self._release(estimate)

    def _make(self, call: Call, estimate: Usage) -> tuple[Reply, Usage]:
        section, teacher = self._step(call), self._teacher(call)
        service = self._services[section.teacher]
        body = {"model": teacher.model, "messages": [self._message(call)], **section.sampling()}
        if call.attempt:  # some services give the same reply to the same request
            body["seed"] = body.get("seed", 0) + call.attempt
        started = time.monotonic()
        reply, usage = service.post(
            "chat/completions",
            body,
            read=lambda answer: _read(answer, call, teacher),
            tokens=estimate.input_tokens + estimate.output_tokens,
        )
        return reply, Usage(usage.input_tokens, usage.output_tokens, usage.cost, time.monotonic() - started)

    def _message(self, call: Call) -> dict[str, Any]:
        if call.image is None:
            return {"role": "user", "content": call.prompt}
        path = self._images / call.image
        try:
            data = path.read_bytes()
        except OSError as error:
            raise DataError(f"can't read the image: {error.strerror}", file=str(path)) from error
        return {"role": "user", "content": [chat_part(data), {"type": "text", "text": call.prompt}]}

    def _step(self, call: Call) -> StepSection:
        section: StepSection = getattr(self._config.steps, call.step)
        return section

    def _teacher(self, call: Call) -> TeacherSection:
        return self._config.teachers[self._step(call).teacher]

    def _count_recalled(self, step: str) -> None:
        with self._lock:
            self._recalled[step] += 1

    def _reserve(self, estimate: Usage) -> None:
        """Reserve the estimated maximum of a call in the budget; wait while calls in flight may still release some.

        Raises TeacherError if the budget is used up, or the client was stopped.
        """
        with self._changed:
            while True:
                if self._stopped:
                    raise self._stopped
                short = self._short_of(estimate)
                if short is None:
                    break
                if not self._reserved.calls:
                    fix = f"raise budget.{short}, then run the same command again to continue"
                    spent = {step: total.calls for step, total in self._spent.items()}
                    self._stopped = TeacherError(f"the budget of {short} is used up", fix=fix, calls=spent)
                    raise self._stopped
                self._changed.wait(_LOOK_AGAIN_S)  # calls in flight may take less than was reserved
            self._reserved.add(estimate)

    def _short_of(self, estimate: Usage) -> str | None:
        """Return the name of the first limit of the budget that the call could exceed; None if it fits."""
        for name, measure in MEASURES.items():
            limit = getattr(self._config.budget, name)
            spent = sum(measure(total) for total in (*self._spent.values(), self._reserved))
            one_call = Spent()
            one_call.add(estimate)
            if limit is not None and spent + measure(one_call) > limit:
                return name
        return None

    def _release(self, estimate: Usage) -> None:
        with self._changed:
            self._reserved.add(estimate, -1)
            self._changed.notify_all()


def _service(name: str, teacher: TeacherSection, url: str) -> Service:
    """Return the client of a teacher's service. A server that the run itself has started gets the key of this run."""
    changes: dict[str, Any] = {"url": url} if url == teacher.url else {"url": url, "api_key_env": SERVED_KEY}
    section = teacher.model_copy(update=changes)
    return Service(section, f"the teacher {name!r}", f"teachers.{name}", TeacherError, teacher.tokens_per_minute)


def estimated_usage(call: Call, step: StepSection, teacher: TeacherSection) -> Usage:
    """Return the estimated maximum usage of a call: its input tokens, `max_tokens` of output, and their cost."""
    return _priced(_input_tokens(call), step.max_tokens, teacher)


def _input_tokens(call: Call) -> int:
    return _num_tokens(call.prompt) + (_PICTURE_TOKENS if call.image else 0)


def _num_tokens(text: str) -> int:
    """Return an estimate: 3.5 ASCII characters a token, and one token for any other character."""
    ascii_chars = sum(map(str.isascii, text))
    return math.ceil(ascii_chars / CHARS_PER_TOKEN) + len(text) - ascii_chars


def _read(answer: Any, call: Call, teacher: TeacherSection) -> tuple[Reply, Usage]:
    """Return the reply and the usage in a chat completion; tokens are estimated where the service does not count them.

    Raises ValueError if `answer` is not a chat completion.
    """
    said = read_chat_reply(answer)
    filtered = said.finish_reason == "content_filter"
    refused = f"refused: {said.refusal}" if said.refusal else "refused by a content filter" if filtered else ""
    reply = Reply(text=said.text or "", thought=said.thought, finish_reason=said.finish_reason, refused=refused)
    num_in, num_out = said.input_tokens, said.output_tokens
    return reply, _priced(
        _input_tokens(call) if num_in is None else num_in,
        _num_tokens(reply.text + (reply.thought or "")) if num_out is None else num_out,
        teacher,
    )


def _priced(input_tokens: int, output_tokens: int, teacher: TeacherSection) -> Usage:
    cost = (input_tokens * teacher.input_price + output_tokens * teacher.output_price) / _MILLION
    return Usage(input_tokens, output_tokens, cost)
