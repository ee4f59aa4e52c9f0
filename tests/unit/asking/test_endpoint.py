"""A question to an OpenAI-compatible endpoint: what is sent, what is read, and what is refused. The server is real."""

import base64
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from PIL import Image

from vlaa_ray.asking.endpoint import ask_endpoint
from vlaa_ray.asking.session import prompt_of_files
from vlaa_ray.errors import ModelError
from vlaa_ray.run.model_source import resolve_model

ANSWER = {
    "choices": [{"message": {"content": "<answer>3</answer>", "reasoning_content": "I see"}, "finish_reason": "stop"}],
    "usage": {"completion_tokens": 9},
}


@pytest.fixture
def prompt(tmp_path):
    Image.new("RGB", (60, 40), "red").save(tmp_path / "a.png")
    return prompt_of_files("Is <image> red?", [tmp_path / "a.png"])


def asked(url, prompt, **changes):
    options = {"max_tokens": 20, "temperature": 0.0, "seed": 1, "deadline_s": 10, "api_key_env": None} | changes
    return ask_endpoint(resolve_model(url), prompt, **options)


def test_question_and_picture_are_sent_and_the_reasoning_comes_back(endpoint, prompt, monkeypatch):
    monkeypatch.setenv("SOME_KEY", "secret")
    endpoint.answer = lambda body: (200, ANSWER)
    generated = asked(f"{endpoint.url}#tiny", prompt, api_key_env="SOME_KEY")
    assert (generated.text, generated.reasoning, generated.num_tokens) == ("<answer>3</answer>", "I see", 9)
    (body,) = endpoint.bodies
    assert (body["model"], body["max_tokens"], body["temperature"]) == ("tiny", 20, 0.0)
    before, image, after = body["messages"][0]["content"]
    assert (before["text"], after["text"]) == ("Is ", " red?")
    data = image["image_url"]["url"].removeprefix("data:image/png;base64,")
    assert base64.b64decode(data) == open(prompt.images[0].path, "rb").read()
    assert len(body["messages"]) == 1  # the server puts in its own system prompt
    assert endpoint.headers[0]["authorization"] == "Bearer secret"


def test_no_key_is_sent_that_was_not_named(endpoint, prompt, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "secret")
    endpoint.answer = lambda body: (200, ANSWER)
    asked(f"{endpoint.url}#tiny", prompt)
    assert "authorization" not in endpoint.headers[0]


@pytest.mark.parametrize(
    ("status", "reply"),
    [(400, {"error": "the image is too large"}), (401, {"error": "wrong key"}), (404, {"error": "no such model"})],
)
def test_a_refusal_says_what_the_server_said(endpoint, prompt, status, reply):
    endpoint.answer = lambda body: (status, reply)
    with pytest.raises(ModelError, match=reply["error"]) as refused:
        asked(f"{endpoint.url}#tiny", prompt)
    assert "the API key" in refused.value.fix  # and no key of a config, which there is none of


def test_a_server_that_is_not_there_or_lists_no_model(prompt, unused_tcp_port):
    with pytest.raises(ModelError, match="does not list its models"):
        asked(f"http://127.0.0.1:{unused_tcp_port}/v1", prompt)


def test_the_first_listed_model_is_asked(prompt):
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            data = b'{"data": [{"id": "first"}, {"id": "second"}]}' if self.path == "/v1/models" else b"[]"
            self.send_response(200)
            self.send_header("content-length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def do_POST(self):
            body = self.rfile.read(int(self.headers["content-length"]))
            data = b'{"choices": [{"message": {"content": "yes"}, "finish_reason": "length"}]}'
            data = data if b'"model": "first"' in body else b"{}"
            self.send_response(200)
            self.send_header("content-length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *args):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    try:
        generated = asked(f"http://127.0.0.1:{server.server_port}/v1", prompt)
    finally:
        server.shutdown()
        server.server_close()
    assert (generated.text, generated.finish_reason, generated.num_tokens) == ("yes", "length", None)
