"""A served model, started once as a user starts it: answers, streams, refusals, metrics, and an end without loss."""

from __future__ import annotations

import re
import signal
import threading
import time
from collections.abc import Iterator
from typing import Any

import httpx
import openai
import pytest
from served import Served, messages_of, questions, served, shared_files, wait_until
from sockets import listening_beyond_loopback

from vlaa_ray.config import ModelSection
from vlaa_ray.models.chat import chat_format_of
from vlaa_ray.records import Prompt

pytestmark = pytest.mark.integration
MODEL = "tiny-base"
PROMPT = "Think in <think> </think>, answer in <answer> </answer>."
OVERRIDES = [f"policy.system_prompt={PROMPT}", "limits.max_images=2", "limits.max_completion_tokens=512",
             "limits.max_text_chars=2000", "limits.max_body_bytes=1000000", "engine.max_num_seqs=16"]  # fmt: skip


@pytest.fixture(scope="module")
def before() -> set[str]:
    return shared_files()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, before: set[str]) -> Iterator[Served]:
    with served(tmp_path_factory.mktemp("serve"), *OVERRIDES, key="s3cret") as one:
        yield one


@pytest.fixture(scope="module")
def prompt() -> Prompt:
    return questions(1)[0]


def test_the_client_of_openai_gets_an_answer_about_a_picture(server: Served, prompt: Prompt) -> None:
    client = server.client()
    assert [model.id for model in client.models.list()] == [MODEL] == [client.models.retrieve(MODEL).id]
    answer = client.chat.completions.create(model=MODEL, messages=messages_of(prompt), temperature=0, max_tokens=64)
    message = answer.choices[0].message
    assert message.content and not re.search("</?(think|answer)>", message.content)
    assert answer.model == MODEL and answer.usage.completion_tokens > 0


def test_the_prompt_has_the_tokens_of_the_training(server: Served, prompt: Prompt) -> None:
    answer = server.client().chat.completions.create(model=MODEL, messages=messages_of(prompt), max_tokens=1)
    model = ModelSection(path="builtin:tiny-base", system_prompt=PROMPT, min_pixels=3136, max_pixels=12544)
    assert answer.usage.prompt_tokens == len(chat_format_of(model).expanded_token_ids(prompt))


@pytest.mark.parametrize("index", range(4))
def test_a_streamed_answer_is_the_whole_one_in_pieces(server: Served, index: int) -> None:
    asked: dict[str, Any] = {"model": MODEL, "messages": messages_of(questions(4)[index]), "max_tokens": 96}
    whole = server.client().chat.completions.create(**asked, temperature=0).choices[0]
    reasoning, content, finish = "", "", None
    for chunk in server.client().chat.completions.create(**asked, temperature=0, stream=True):
        delta = chunk.choices[0].delta
        reasoning += getattr(delta, "reasoning", None) or ""
        content += delta.content or ""
        finish = chunk.choices[0].finish_reason or finish
    assert (content, reasoning) == (whole.message.content or "", whole.message.reasoning or "")
    assert finish == whole.finish_reason


def test_the_thought_is_apart_from_the_answer(server: Served) -> None:
    messages = messages_of(questions(1)[0])
    raw = server.client().chat.completions.create(
        model=MODEL, messages=messages, temperature=0, logprobs=True, max_tokens=96
    )
    tokens = "".join(item.token for item in raw.choices[0].logprobs.content)
    message = raw.choices[0].message
    thought = re.search("<think>(.*?)</think>", tokens, re.S)
    assert thought and message.reasoning == thought[1].strip() != ""
    assert message.content == re.search("<answer>(.*?)</answer>", tokens, re.S)[1].strip()


@pytest.mark.parametrize(
    ("change", "status", "code"),
    [
        ({"model": "gpt-4"}, 404, "model_not_found"),
        ({"max_tokens": 513}, 400, "invalid_value"),
        ({"temperature": -1}, 400, "invalid_value"),
        ({"temperature": "hot"}, 400, "invalid_value"),
        ({"mm_processor_kwargs": {"max_pixels": 10**8}}, 400, "unknown_parameter"),
        ({"messages": [{"role": "user", "content": "x" * 2001}]}, 400, "text_too_long"),
        ({"messages": [{"role": "user", "content": "word " * 399 + "?" * 5}], "max_tokens": 512}, 200, None),
    ],
)
def test_a_wrong_request_is_told_what_is_wrong(server: Served, change: dict, status: int, code: str | None) -> None:
    reply = server.post({"model": MODEL, "messages": [{"role": "user", "content": "Hi"}], **change})
    assert (reply.status_code, reply.json().get("error", {}).get("code")) == (status, code), reply.text


@pytest.mark.parametrize(
    ("url", "code"),
    [
        ("data:image/png;base64,%%%", "invalid_image"),
        ("data:image/png;base64,aGVsbG8=", "invalid_image"),
        ("http://169.254.169.254/latest/meta-data", "image_url_refused"),
        ("file:///etc/passwd", "invalid_image"),
    ],
)
def test_a_wrong_picture_is_refused(server: Served, url: str, code: str) -> None:
    content = [{"type": "image_url", "image_url": {"url": url}}, {"type": "text", "text": "?"}]
    reply = server.post({"model": MODEL, "messages": [{"role": "user", "content": content}]})
    assert (reply.status_code, reply.json()["error"]["code"]) == (400, code) and reply.json()["error"]["message"]


def test_too_much_and_nonsense_are_refused(server: Served) -> None:
    assert server.post(b"{").json()["error"]["message"].startswith("the body is no JSON")
    big = server.post(b" " * 1_000_001)
    assert (big.status_code, big.json()["error"]["code"]) == (413, "request_too_large")
    lost = httpx.get(f"{server.url}/completions", headers={"Authorization": f"Bearer {server.key}"})
    assert lost.status_code in (404, 405) and lost.json()["error"]["code"] == "unknown_path"


def test_only_the_key_opens_and_health_and_metrics_are_open(server: Served, prompt: Prompt) -> None:
    with pytest.raises(openai.AuthenticationError, match="wrong"):
        server.client("other").models.list()
    reply = server.post({"model": MODEL}, Authorization="")
    assert (reply.status_code, reply.json()["error"]["code"]) == (401, "missing_api_key")
    with pytest.raises(openai.NotFoundError, match=MODEL):
        server.client().chat.completions.create(model="other", messages=messages_of(prompt))
    assert httpx.get(f"{server.root}/health").json() == {"status": "ok", "model": MODEL}
    names = ("ray_vlaa_serve_request_seconds_count", "ray_vlaa_serve_refusals", "ray_serve_", "vllm")
    wait_until(lambda: all(name in httpx.get(f"{server.root}/metrics").text for name in names), 60, server)


def test_no_other_machine_reaches_it(server: Served) -> None:
    assert listening_beyond_loopback(server.process.pid) == []


def test_sigterm_lets_a_stream_end_refuses_new_requests_and_leaves_nothing(server: Served, before: set[str]) -> None:
    asked: dict[str, Any] = {"model": MODEL, "messages": messages_of(questions(2)[1]), "max_tokens": 512}
    stream = server.client().chat.completions.create(
        **asked, stream=True, stream_options={"include_usage": True}, extra_body={"min_tokens": 512}
    )
    next(stream)
    server.process.send_signal(signal.SIGTERM)
    refused: list[int] = []
    asker = threading.Thread(target=lambda: refused.extend(_statuses_of_new_requests(server)))
    asker.start()
    chunks = list(stream)
    assert chunks[-1].usage.completion_tokens == 512
    assert server.process.wait(90) == 0, server.log.read_text()[-3000:]
    asker.join(30)
    assert set(refused) <= {200, 404, 503}  # empty if the port was closed before the first of them
    deadline = time.monotonic() + 20
    while shared_files() - before and time.monotonic() < deadline:
        time.sleep(0.5)
    assert shared_files() - before == set()


def _statuses_of_new_requests(server: Served) -> list[int]:
    """The statuses of requests that come after SIGTERM, until nothing listens any more."""
    statuses = []
    while True:
        try:
            reply = server.post({"model": MODEL, "messages": [{"role": "user", "content": "Hi"}], "max_tokens": 1})
            statuses.append(reply.status_code)
        except httpx.TransportError:
            return statuses
        time.sleep(0.2)
