"""The front of a served model on fake replicas: retries before an answer has begun, and what a client is told after."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from ray.exceptions import ActorDiedError
from ray.serve.exceptions import BackPressureError
from starlette.requests import Request
from vllm.entrypoints.serve.engine.protocol import ErrorInfo, ErrorResponse

from actors.serving.policy_front import PolicyFront
from vlaa_ray.config import ServeConfig
from vlaa_ray.serving.refusals import RequestRefused
from vlaa_ray.serving.settings import settings_of

CONFIG = {"policy": {"model": "builtin"}, "request_timeout_s": 2}


class Parts:
    """What a handle of Ray Serve gives for a streamed call: parts to wait for, which can be cancelled."""

    def __init__(self, *parts: Any) -> None:
        self._parts, self.cancelled = list(parts), False

    def __aiter__(self) -> Parts:
        return self

    async def __anext__(self) -> Any:
        if not self._parts:
            raise StopAsyncIteration
        part = self._parts.pop(0)
        if isinstance(part, Exception):
            raise part
        if part is None:
            await asyncio.sleep(60)
        return part

    def cancel(self) -> None:
        self.cancelled = True


class Handle:
    """A handle whose replicas answer one call after another."""

    def __init__(self, *answers: Parts) -> None:
        self.answers, self.chat, self.asked = list(answers), self, []

    def options(self, **options: Any) -> Handle:
        assert options == {"stream": True}
        return self

    def remote(self, body: Any, request: None) -> Parts:
        self.asked.append(body)
        return self.answers.pop(0)


def front(*answers: Parts, **changes: Any) -> PolicyFront:
    settings = settings_of(ServeConfig.model_validate(CONFIG | changes))
    return PolicyFront({settings.name: Handle(*answers)}, settings, None)


def asking(stream: bool = True) -> Request:
    body = {"messages": [{"role": "user", "content": "Hi"}], "stream": stream}
    sent = [{"type": "http.request", "body": json.dumps(body).encode(), "more_body": False}]

    async def receive() -> dict[str, Any]:
        return sent.pop(0)

    return Request({"type": "http", "method": "POST", "headers": [], "path": "/"}, receive)


async def streamed(one: PolicyFront) -> str:
    response = await one.chat(asking())
    return "".join([part async for part in response.body_iterator])


def died() -> ActorDiedError:
    return ActorDiedError()


def test_a_request_whose_replica_dies_before_its_answer_goes_to_another() -> None:
    one = front(Parts(died()), Parts(died()), Parts(["data: a\n\n", "data: b\n\n"], ["data: [DONE]\n\n"]))
    assert asyncio.run(streamed(one)) == "data: a\n\ndata: b\n\ndata: [DONE]\n\n"
    assert len(one._handle.asked) == 3 and asyncio.run(one.drain()) == 0


def test_a_stream_that_breaks_off_says_so_and_is_not_asked_again() -> None:
    one = front(Parts(["data: a\n\n"], died()))
    first, second, rest = asyncio.run(streamed(one)).split("\n\n")
    assert first == "data: a" and rest == ""
    assert json.loads(second.removeprefix("data: "))["error"]["code"] == "replica_lost"
    assert asyncio.run(one.drain()) == 0


@pytest.mark.parametrize(
    ("answer", "status", "code"),
    [
        (Parts(BackPressureError(num_queued_requests=9, max_queued_requests=8)), 503, "overloaded"),
        (Parts(ErrorResponse(error=ErrorInfo(message="too long", type="x", code=400))), 400, "invalid_value"),
        (Parts([ErrorResponse(error=ErrorInfo(message="broken", type="x", code=500))]), 500, "engine_error"),
        (Parts(None), 503, "timeout"),
    ],
)
def test_an_answer_that_does_not_begin_is_refused(answer: Parts, status: int, code: str) -> None:
    one = front(answer, request_timeout_s=0.2)
    with pytest.raises(RequestRefused) as caught:
        asyncio.run(streamed(one))
    assert (caught.value.status, caught.value.code) == (status, code)
    assert answer.cancelled == (code == "timeout") and asyncio.run(one.drain()) == 0


def test_a_draining_front_refuses_new_requests_and_counts_those_in_flight() -> None:
    async def drained() -> None:
        one = front(Parts(["data: a\n\n"], ["data: b\n\n"]))
        response = await one.chat(asking())
        assert await one.drain() == 1
        with pytest.raises(RequestRefused, match="stopping") as caught:
            await one.chat(asking())
        assert caught.value.status == 503
        assert [part async for part in response.body_iterator] == ["data: a\n\n", "data: b\n\n"]
        assert await one.drain() == 0

    asyncio.run(drained())
