"""The page of `serve --ui`: what it shows of an answer, and how it is used in a real browser."""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from devtools import BROWSER, tab
from endpoint import Endpoint
from PIL import Image
from served import free_port

from vlaa_ray.asking.session import AskSettings
from vlaa_ray.asking.web_page import ServedModel, ask_server, opened_page, require_gradio
from vlaa_ray.errors import ConfigError
from vlaa_ray.images.overlay import COLOUR

NEEDS_PAGE = pytest.mark.skipif(
    importlib.util.find_spec("gradio") is None or (BROWSER is None and "CI" not in os.environ),
    reason="no browser or no Gradio: apt-get install chromium, pip install -e '.[ui]'",
)


@pytest.fixture
def server() -> Iterator[Endpoint]:
    message = {"content": "[0.25, 0.25, 0.75, 0.75]", "reasoning": "The red square is in the middle."}
    reply = {
        "choices": [{"message": message, "finish_reason": "stop"}],
        "usage": {"completion_tokens": 9, "prompt_tokens": 9},
    }
    one = Endpoint(lambda body: (200, reply))
    yield one
    one.close()


def model_at(server: Endpoint, deadline_s: float = 20) -> ServedModel:
    return ServedModel(name="tiny", url=server.url, settings=AskSettings(frame="unit", deadline_s=deadline_s))


def test_an_answer_is_shown_with_its_box(server: Endpoint) -> None:
    shown = ask_server(model_at(server), Image.new("RGB", (448, 448)), "Where is the square?")
    assert shown.answer == "[0.25, 0.25, 0.75, 0.75]" and shown.reasoning == "The red square is in the middle."
    assert shown.picture.getpixel((112, 200)) == COLOUR and shown.picture.getpixel((224, 224)) == (0, 0, 0)
    (body,) = server.bodies
    assert [part["type"] for part in body["messages"][0]["content"]] == ["image_url", "text"]


def test_no_question_and_no_answer_are_told(server: Endpoint) -> None:
    assert "question" in ask_server(model_at(server), None, "  ").note and not server.bodies
    server.answer = lambda body: (400, {"error": {"message": "the text is too long"}})
    shown = ask_server(model_at(server), None, "How long?")
    assert shown.answer == "" and shown.note


def test_a_missing_gradio_is_told_before_anything_starts(monkeypatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ConfigError, match=r"\[ui\]"):
        require_gradio()


@NEEDS_PAGE
def test_the_page_in_a_browser(server: Endpoint, tmp_path: Path) -> None:
    Image.new("RGB", (448, 448), (9, 9, 200)).save(tmp_path / "blue.png")
    with opened_page(model_at(server), free_port()) as address, tab(address, tmp_path) as page:
        page.wait_for("!!document.querySelector('input[type=file]') && !!document.querySelector('textarea')")
        page.give_file("input[type=file]", tmp_path / "blue.png")
        page.wait_for("!!document.querySelector('img') && document.querySelector('img').naturalWidth > 0")
        page.evaluate(
            "(() => { const box = [...document.querySelectorAll('textarea,input[type=text]')]"
            ".find((one) => one.labels && [...one.labels].some((label) => label.innerText.includes('Question')));"
            "box.value = 'Where?'; box.dispatchEvent(new Event('input', {bubbles: true})); })()"
        )
        page.evaluate("[...document.querySelectorAll('button')].find((one) => one.innerText === 'Ask').click()")
        values = "[...document.querySelectorAll('textarea,input')].map((one) => one.value)"
        page.wait_for(f"{values}.some((value) => value.includes('0.75'))")
        assert "The red square is in the middle." in page.evaluate(values)
        page.wait_for("document.querySelectorAll('img').length >= 2")
        page.picture(Path(os.environ.get("VLAA_RAY_PICTURES", str(tmp_path))) / "ui.png")
        assert page.errors == []
    assert [body["messages"][0]["content"][1]["text"] for body in server.bodies] == ["Where?"]
