"""The page of `vlaa-ray serve --ui`: a picture, a question, and what the served model thinks, answers and marks.

It is made with Gradio, which the extra `ui` installs, and asks the server as any other client does.
"""

from __future__ import annotations

import importlib.util
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from PIL import Image

from vlaa_ray.asking.session import AskSettings, answer_question, prompt_of_files
from vlaa_ray.errors import ConfigError, VlaaRayError
from vlaa_ray.images.decode import load
from vlaa_ray.images.overlay import draw_marks
from vlaa_ray.run.model_source import ModelSource

MAX_QUESTION_CHARS = 8000
_LOOPBACK = "127.0.0.1"


class PageAnswer(NamedTuple):
    """What the page shows of an answer; `picture` is the asked one with the marks, None where there are no marks."""

    reasoning: str
    answer: str
    picture: Image.Image | None
    note: str


@dataclass(frozen=True, kw_only=True)
class ServedModel:
    """The server that the page asks."""

    name: str
    url: str
    settings: AskSettings


def ask_server(model: ServedModel, picture: Image.Image | None, question: str) -> PageAnswer:
    """Return what the page shows of the served model's answer, or in `note` why it has no answer."""
    question = question.strip()[:MAX_QUESTION_CHARS]
    if not question:
        return PageAnswer("", "", None, "Write a question first.")
    source = ModelSource(name=model.name, path=model.url, kind="endpoint", served_name=model.name)
    try:
        with tempfile.TemporaryDirectory() as folder:
            files = [Path(folder) / "picture.png"] if picture else []
            if picture:
                picture.convert("RGB").save(files[0])
            prompt = prompt_of_files(("<image>" if files else "") + question.replace("<image>", ""), files)
            answered = answer_question(source, prompt, model.settings, lambda line: None)
            marked = draw_marks(load(answered.marked), answered.marks) if answered.marks and answered.marked else None
    except VlaaRayError as error:
        return PageAnswer("", "", None, error.message)
    return PageAnswer(answered.reply.reasoning, answered.reply.answer, marked, f"{answered.seconds:.1f} s")


def require_gradio() -> None:
    """Check that Gradio is installed.

    Raises:
        ConfigError: it is not.

    """
    if importlib.util.find_spec("gradio") is None:
        fix = "pip install -e '.[ui]' in a checkout of the project"
        raise ConfigError("the page of --ui needs Gradio, which is not installed", fix=fix)


@contextmanager
def opened_page(model: ServedModel, port: int) -> Iterator[str]:
    """Yield the address of the page, which only this machine reaches, while the block runs.

    Raises:
        ConfigError: the port is in use.

    """
    page = _page(model)
    try:
        page.launch(
            server_name=_LOOPBACK, server_port=port, share=False, prevent_thread_lock=True, quiet=True, inbrowser=False
        )
    except OSError as error:
        raise ConfigError(f"the page of --ui can't listen on port {port}", fix="set http.ui_port") from error
    try:
        yield f"http://{_LOOPBACK}:{port}"
    finally:
        page.close()


def _page(model: ServedModel) -> Any:
    import gradio

    with gradio.Blocks(title=f"vlaa-ray: {model.name}", analytics_enabled=False) as page:
        gradio.Markdown(f"## {model.name}")
        with gradio.Row():
            with gradio.Column():
                picture = gradio.Image(type="pil", label="Picture", sources=["upload", "clipboard"])
                question = gradio.Textbox(label="Question", max_length=MAX_QUESTION_CHARS)
                ask = gradio.Button("Ask", variant="primary")
                note = gradio.Textbox(label="Note", interactive=False)
            with gradio.Column():
                answer = gradio.Textbox(label="Answer", interactive=False)
                reasoning = gradio.Textbox(label="Reasoning", interactive=False, lines=8)
                marked = gradio.Image(label="Marked picture", interactive=False)

        def asked(image: Image.Image | None, text: str) -> tuple[str, str, Image.Image | None, str]:
            return tuple(ask_server(model, image, text))  # type: ignore[return-value]

        for event in (ask.click, question.submit):
            event(asked, [picture, question], [reasoning, answer, marked, note], api_name="ask")
    return page
