"""From a question and its pictures to an answer with marks: what the command `ask` prints."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vlaa_ray.asking.reply import GeneratedText, Mark, ModelReply, likely_frame, marks_in, read_reply
from vlaa_ray.images.decode import load, reference
from vlaa_ray.images.overlay import draw_marks
from vlaa_ray.records import ImageRef, Prompt
from vlaa_ray.rewards.verifiers.frames import Frame
from vlaa_ray.run.model_source import ModelSource
from vlaa_ray.run.trained_frame import trained_frame
from vlaa_ray.text.conversation import spoken_turns
from vlaa_ray.text.durations import duration

Tell = Callable[[str], None]
"""Takes a line about the progress, for people."""


@dataclass(frozen=True, kw_only=True)
class AskSettings:
    """How the model is asked."""

    max_tokens: int = 1024
    temperature: float = 0.0
    seed: int = 0
    frame: Frame | None = None
    """The frame of boxes and points; None for that of the model's training, or else a guess."""
    deadline_s: float = 300.0
    api_key_env: str | None = None


@dataclass(frozen=True, kw_only=True)
class AnsweredQuestion:
    """The answer to one question; marks are in pixels of the picture `marked` (None without pictures)."""

    generated: GeneratedText
    reply: ModelReply
    marks: tuple[Mark, ...]
    frame: Frame | None
    is_guess: bool
    marked: ImageRef | None
    seconds: float

    def as_json(self, source: ModelSource, prompt: Prompt, picture: Path | None) -> dict[str, Any]:
        """Return the content of `--json`; `picture` is the file with the marks, if one was written."""
        boxes = [mark for mark in self.marks if len(mark.pixels) == 4]
        points = [mark for mark in self.marks if len(mark.pixels) == 2]
        return {
            "model": {
                "name": source.name,
                "path": source.path,
                "kind": source.kind,
                "weight_version": source.weight_version,
            },
            "question": prompt.question,
            "images": [image.path for image in prompt.images],
            "reasoning": self.reply.reasoning,
            "answer": self.reply.answer,
            "response": self.generated.text,
            "finish_reason": self.generated.finish_reason,
            "num_tokens": self.generated.num_tokens,
            "boxes": [{"box_px": list(mark.pixels), "label": mark.label} for mark in boxes],
            "points": [{"point_px": list(mark.pixels), "label": mark.label} for mark in points],
            "frame": self.frame,
            "frame_is_guess": self.is_guess,
            "picture": None if picture is None else str(picture),
            "seconds": round(self.seconds, 2),
        }


def prompt_of_files(question: str, images: Sequence[Path]) -> Prompt:
    """Return the prompt of a question and picture files; `<image>` in the question marks the places of the pictures.

    Raises:
        DataError: a file is no picture, or the number of `<image>` is not that of the pictures.

    """
    prompt = Prompt(
        prompt_id="question",
        question=question,
        gold="",
        verifier_type="text",
        source="ask",
        images=tuple(reference(path) for path in images),
    )
    spoken_turns(prompt)  # before a model is loaded
    return prompt


def answer_question(source: ModelSource, prompt: Prompt, settings: AskSettings, tell: Tell) -> AnsweredQuestion:
    """Ask the model, and return its answer. `seconds` is the time of the answer, without that of loading the model.

    Raises:
        ModelError: the model can't be loaded, or the endpoint gives no answer.
        DataError: the prompt can't be asked, or a picture has another shape than the model takes.

    """
    marked = prompt.gold_image
    if source.kind == "endpoint":
        from vlaa_ray.asking.endpoint import ask_endpoint

        tell(f"Asking {source.path} …")
        started, input_size = time.monotonic(), None
        generated = ask_endpoint(
            source,
            prompt,
            max_tokens=settings.max_tokens,
            temperature=settings.temperature,
            seed=settings.seed,
            deadline_s=settings.deadline_s,
            api_key_env=settings.api_key_env,
        )
    else:
        tell(f"Loading {source.name} …")
        started = time.monotonic()
        from vlaa_ray.asking.local import LocalModel

        model = LocalModel.load(source)
        tell(f"Ready after {duration(time.monotonic() - started)}; thinking …")
        started = time.monotonic()
        input_size = model.input_size(marked) if marked else None
        generated = model.generate(
            prompt, max_tokens=settings.max_tokens, temperature=settings.temperature, seed=settings.seed
        )
    return _answered(source, prompt, settings, generated, input_size, time.monotonic() - started)


def _answered(
    source: ModelSource,
    prompt: Prompt,
    settings: AskSettings,
    generated: GeneratedText,
    input_size: tuple[int, int] | None,
    seconds: float,
) -> AnsweredQuestion:
    reply, marked = read_reply(generated.text, generated.reasoning), prompt.gold_image
    named = settings.frame or trained_frame(source)
    frame = named or likely_frame(reply.answer, "resized_px" if input_size else "original_px")
    marks: tuple[Mark, ...] = ()
    if marked is not None:
        size = (marked.width_px, marked.height_px)
        marks = marks_in(reply.answer, frame, size, input_size, is_guess=named is None)
    return AnsweredQuestion(
        generated=generated,
        reply=reply,
        marks=marks,
        frame=frame if marks else None,
        is_guess=bool(marks) and named is None,
        marked=marked,
        seconds=seconds,
    )


def write_picture(answered: AnsweredQuestion, path: Path) -> None:
    """Write the asked picture with the marks drawn on it; the ending of `path` names the format."""
    assert answered.marked is not None  # there are no marks without a picture
    draw_marks(load(answered.marked), answered.marks).save(path)
