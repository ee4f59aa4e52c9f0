"""Asks the teachers: never twice the same, never over the budget, and never without writing down what came back.

    caller = TeacherClient(config, images, store, urls)
    caller.ask(Call(step="verify", prompt="…")) -> Reply(text="Yes")

Threads call `ask` side by side. The key of a call is a hash of everything that shapes the reply: model, text, picture,
sampling and the number of the attempt; not the address, so that a model may move.
"""

from __future__ import annotations

import base64
import dataclasses
import hashlib
import json
import math
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from pathlib import Path
from typing import Any, TypeGuard

from vlaa_ray.config import CurationConfig, StepSection, TeacherSection
from vlaa_ray.curation.sample import STEPS
from vlaa_ray.curation.steps import CHARS_PER_TOKEN, Call, Reply
from vlaa_ray.curation.store import CallStore, Spent, Usage
from vlaa_ray.errors import DataError, TeacherError
from vlaa_ray.images.decode import mime_type
from vlaa_ray.services.client import Service, Unanswered

_PICTURE_TOKENS = 1024  # most services count fewer
_MILLION = 1e6
_TOO_MANY = 1 << 31
_LOOK_AGAIN_S = 1.0
MEASURES: dict[str, Callable[[Spent], float]] = {
    "cost": lambda one: one.cost,
    "tokens": lambda one: one.input_tokens + one.output_tokens,
    "calls": lambda one: one.calls,
}
"""What each limit of the budget is a limit of."""


class TeacherClient:
    """May be used from many threads. `stop` keeps it from new calls; those on their way are still recorded."""

    def __init__(self, config: CurationConfig, images: Path, store: CallStore, urls: Mapping[str, str]) -> None:
        self._config = config
        self._images = images
        self._store = store
        self._services = {name: _service(name, config.teachers[name], url) for name, url in urls.items()}
        self._lock = threading.Lock()
        self._changed = threading.Condition(self._lock)
        self._on_their_way: dict[str, Future[Reply]] = {}
        self._reserved = Spent()
        self._stopped: TeacherError | None = None
        self._spent = {step: one for step, one in store.spent().items() if step in STEPS}
        self._recalled = dict.fromkeys(STEPS, 0)

    def ask(self, call: Call) -> Reply:
        """The reply; what two ask at once is asked once. TeacherError if the service or the budget is at its end."""
        key = self.key(call)
        with self._lock:
            waiting = self._on_their_way.get(key)
            if waiting is None:
                mine = self._on_their_way[key] = Future()
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
                del self._on_their_way[key]
        return reply

    def recall(self, call: Call) -> Reply | None:
        """The reply, if it is known already: at once, without a thread to wait in."""
        reply = self._store.get(self.key(call))
        if reply is not None:
            self._count_recalled(call.step)
        return reply

    def stop(self, why: TeacherError) -> None:
        """From now on every call that isn't on its way ends with this error."""
        with self._changed:
            self._stopped = self._stopped or why
            self._changed.notify_all()
        for service in self._services.values():
            service.stop()

    def drain(self, deadline_s: float) -> None:
        """Returns when no call is on its way any more, or after the deadline."""
        end = time.monotonic() + deadline_s
        with self._changed:
            self._changed.wait_for(lambda: not self._reserved.calls, end - time.monotonic())

    def state(self) -> dict[str, Any]:
        """{"spent": {step: what it took}, "recalled": {step: replies that were known already}, "in_flight": calls}."""
        with self._lock:
            spent = {step: dataclasses.asdict(one) for step, one in self._spent.items()}
            return {"spent": spent, "recalled": dict(self._recalled), "in_flight": self._reserved.calls}

    def key(self, call: Call) -> str:
        """The hash of everything that shapes the reply."""
        section = self._step(call)
        asked = [self._teacher(call).model, call.prompt, call.image_sha256, section.sampling(), call.attempt]
        return hashlib.sha256(json.dumps(asked, sort_keys=True).encode("utf-8", "surrogatepass")).hexdigest()

    def _recall_or_make(self, call: Call, key: str) -> Reply:
        if (known := self._store.get(key)) is not None:
            self._count_recalled(call.step)
            return known
        estimate = estimated_usage(call, self._step(call), self._teacher(call))
        self._reserve(estimate)
        try:
            reply, usage = self._make(call, estimate)
            self._store.put(key, call.step, reply, usage)
            with self._lock:
                self._spent.setdefault(call.step, Spent()).add(usage)
            return reply
        except Unanswered as error:  # not recorded: another attempt at the run asks again
            return Reply(refused=str(error))
        finally:
            self._release(estimate)

    def _make(self, call: Call, estimate: Usage) -> tuple[Reply, Usage]:
        section, teacher = self._step(call), self._teacher(call)
        service = self._services[section.teacher]
        body = {"model": teacher.model, "messages": [self._message(call)], **section.sampling()}
        if call.attempt:  # asked the same, some services say the same again
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
        url = f"data:{mime_type(data)};base64,{base64.b64encode(data).decode()}"
        picture = {"type": "image_url", "image_url": {"url": url}}
        return {"role": "user", "content": [picture, {"type": "text", "text": call.prompt}]}

    def _step(self, call: Call) -> StepSection:
        section: StepSection = getattr(self._config.steps, call.step)
        return section

    def _teacher(self, call: Call) -> TeacherSection:
        return self._config.teachers[self._step(call).teacher]

    def _count_recalled(self, step: str) -> None:
        with self._lock:
            self._recalled[step] += 1

    def _reserve(self, estimate: Usage) -> None:
        """Room in the budget for a call at its dearest, as soon as there is; TeacherError where there is none left."""
        with self._changed:
            while True:
                if self._stopped:
                    raise self._stopped
                short = self._short_of(estimate)
                if short is None:
                    break
                if not self._reserved.calls:
                    fix = f"raise budget.{short}; the same command goes on where it was"
                    spent = {step: one.calls for step, one in self._spent.items()}
                    self._stopped = TeacherError(f"the budget of {short} is used up", fix=fix, calls=spent)
                    raise self._stopped
                self._changed.wait(_LOOK_AGAIN_S)  # others on their way may take less than they might have
            self._reserved.add(estimate)

    def _short_of(self, estimate: Usage) -> str | None:
        """What of the budget would not be enough."""
        for name, measure in MEASURES.items():
            limit = getattr(self._config.budget, name)
            spent = sum(measure(one) for one in (*self._spent.values(), self._reserved))
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
    """The teacher at its address; a server that the run has started gets no key."""
    changes: dict[str, Any] = {"url": url} if url == teacher.url else {"url": url, "api_key_env": None}
    section = teacher.model_copy(update=changes)
    return Service(section, f"the teacher {name!r}", f"teachers.{name}", TeacherError, teacher.tokens_per_minute)


def estimated_usage(call: Call, step: StepSection, teacher: TeacherSection) -> Usage:
    """What a call takes at most, as far as that can be told before: `max_tokens` come back."""
    return _priced(_input_tokens(call), step.max_tokens, teacher)


def _input_tokens(call: Call) -> int:
    return _num_tokens(call.prompt) + (_PICTURE_TOKENS if call.image else 0)


def _num_tokens(text: str) -> int:
    """An estimate: other letters than English ones take about a token each."""
    ascii_chars = sum(map(str.isascii, text))
    return math.ceil(ascii_chars / CHARS_PER_TOKEN) + len(text) - ascii_chars


def _read(answer: Any, call: Call, teacher: TeacherSection) -> tuple[Reply, Usage]:
    """Reply and usage of a chat completion; ValueError if it is none."""
    try:
        choice = answer["choices"][0]
        message = choice["message"]
        text, thought = message.get("content"), message.get("reasoning_content") or message.get("reasoning")
        refusal, finish = message.get("refusal"), str(choice.get("finish_reason") or "stop")
    except (LookupError, TypeError, AttributeError) as error:
        raise ValueError(f"not a chat completion: {type(error).__name__}: {error}") from error
    if not isinstance(text, str | None) or not isinstance(thought, str | None):
        raise ValueError("not a chat completion: its content is no text")
    refused = f"refused: {refusal}" if refusal else "refused by a content filter" if finish == "content_filter" else ""
    reply = Reply(text=text or "", thought=thought, finish_reason=finish, refused=refused)
    return reply, _priced(*_counted(answer.get("usage"), call, reply), teacher)


def _counted(usage: Any, call: Call, reply: Reply) -> tuple[int, int]:
    """Tokens of prompt and reply as the service counts them; estimates where it doesn't, or says what can't be."""
    told = usage if isinstance(usage, dict) else {}
    asked, said = (told.get(name) for name in ("prompt_tokens", "completion_tokens"))
    return (
        asked if _is_count(asked) else _input_tokens(call),
        said if _is_count(said) else _num_tokens(reply.text + (reply.thought or "")),
    )


def _is_count(value: Any) -> TypeGuard[int]:
    return type(value) is int and 0 <= value < _TOO_MANY


def _priced(input_tokens: int, output_tokens: int, teacher: TeacherSection) -> Usage:
    cost = (input_tokens * teacher.input_price + output_tokens * teacher.output_price) / _MILLION
    return Usage(input_tokens, output_tokens, cost)
