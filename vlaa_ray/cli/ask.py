"""The command that asks a model one question: ask."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from vlaa_ray.cli.common import (
    DEFAULT_RUNS,
    RunsFolder,
    print_to_stderr,
    ready_to_write,
    without_library_warnings,
    writing,
)

if TYPE_CHECKING:
    from vlaa_ray.asking.session import AnsweredQuestion
    from vlaa_ray.rewards.verifiers.frames import Frame

_ENDINGS = (".png", ".jpg", ".jpeg", ".webp")
app = typer.Typer(rich_markup_mode=None)


Question = Annotated[
    str, typer.Argument(metavar="QUESTION", help="Question; <image> in it marks the places of the pictures.")
]
Model = Annotated[
    str,
    typer.Option(
        metavar="MODEL",
        help="A folder (also an export), a run's name or a checkpoint, OWNER/NAME on the hub, builtin:NAME, or the URL "
        "of an OpenAI-compatible endpoint, such as http://127.0.0.1:8000/v1; URL#MODEL names a model there.",
    ),
]
Pictures = Annotated[list[Path] | None, typer.Option(metavar="FILE", help="Picture to ask about; may be repeated.")]
Out = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE",
        help="Picture to write with the boxes or points of the answer. Default: NAME-answer.png in the current folder, "
        "where NAME is that of the picture. Without boxes and points nothing is written.",
    ),
]
FrameName = Annotated[
    str | None,
    typer.Option(
        metavar="unit|rel1000|resized_px|original_px",
        help="Frame of the answer's coordinates: 0 to 1, 0 to 1000, pixels of the picture as the model sees it, or of "
        "the file. Default: that of the model's training, where it is recorded; else a guess, which is said.",
    ),
]


@app.command()
def ask(
    question: Question,
    model: Model,
    image: Pictures = None,
    out: Out = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
    frame: FrameName = None,
    max_tokens: Annotated[int, typer.Option(min=1, metavar="N", help="Tokens of the answer at most.")] = 1024,
    temperature: Annotated[
        float, typer.Option(min=0, max=2, metavar="T", help="Sampling temperature; 0 takes the likeliest tokens.")
    ] = 0.0,
    seed: Annotated[int, typer.Option(min=0, metavar="N", help="Seed of the sampling.")] = 0,
    deadline: Annotated[
        float, typer.Option(min=1, metavar="S", help="Seconds until the answer must be there, the start included.")
    ] = 300.0,
    api_key_env: Annotated[
        str, typer.Option(metavar="NAME", help="Environment variable with the API key of an endpoint.")
    ] = "VLAA_RAY_API_KEY",
    runs: RunsFolder = DEFAULT_RUNS,
) -> None:
    """Ask a model a question about pictures.

    The reasoning and the answer are printed. Where the answer has boxes or points, they are drawn on a copy of the
    picture, in its own pixels, and the copy's name is printed. A model that is not behind an endpoint is loaded in
    this process, with the system prompt and the pixel limits of its training.
    """
    from vlaa_ray.asking.deadline import within
    from vlaa_ray.asking.session import AskSettings, answer_question, prompt_of_files, write_picture
    from vlaa_ray.run.model_source import resolve_model

    if not question.strip():
        raise typer.BadParameter("the question is empty", param_hint="QUESTION")
    target = _target(out, image or [])
    settings = AskSettings(
        max_tokens=max_tokens,
        temperature=temperature,
        seed=seed,
        frame=_frame(frame),
        deadline_s=deadline,
        api_key_env=api_key_env,
    )
    prompt = prompt_of_files(question, image or [])
    with within(deadline, "the answer"), without_library_warnings():
        source = resolve_model(model, runs)
        answered = answer_question(source, prompt, settings, print_to_stderr)
    picture = target if answered.marks else None
    if picture is not None:
        with writing(picture):
            write_picture(answered, picture)
    if as_json:
        return typer.echo(json.dumps(answered.as_json(source, prompt, picture), ensure_ascii=False, indent=1))
    _print(answered, picture)


def _frame(name: str | None) -> Frame | None:
    from vlaa_ray.rewards.verifiers.frames import FRAMES, known_frame

    frame = known_frame(name)
    if name is not None and frame is None:
        raise typer.BadParameter(f"{name!r} is none of {', '.join(FRAMES)}", param_hint="--frame")
    return frame


def _target(out: Path | None, images: list[Path]) -> Path | None:
    """Return the file for the picture with marks; None where there is nothing to draw on."""
    if not images:
        if out is not None:
            raise typer.BadParameter("there is no picture to draw on; give --image", param_hint="--out")
        return None
    target = out or Path(f"{images[0].stem}-answer.png")
    if target.suffix.lower() not in _ENDINGS:
        raise typer.BadParameter(f"the name must end in {', '.join(_ENDINGS)}", param_hint="--out")
    return ready_to_write(target, "--out", images)


def _print(answered: AnsweredQuestion, picture: Path | None) -> None:
    from vlaa_ray.asking.reply import printable

    reply = answered.reply
    if reply.reasoning:
        typer.echo(f"Reasoning\n{_indented(printable(reply.reasoning))}\n")
    note = "" if reply.tagged else " (without <answer> tags)"
    typer.echo(f"Answer{note}\n{_indented(printable(reply.answer) or '(empty)')}")
    for mark in answered.marks:
        what = "Box" if len(mark.pixels) == 4 else "Point"
        label = f" {printable(mark.label)}" if mark.label else ""
        typer.echo(f"{what}{label}: {', '.join(f'{value:g}' for value in mark.pixels)} px")
    if picture is not None:
        typer.echo(f"Picture: {picture}")
    if answered.is_guess:
        print_to_stderr(f"The frame of the coordinates is not known; they count as {answered.frame}: --frame names it")
    if answered.generated.finish_reason == "length":
        print_to_stderr("The answer was cut off: raise --max-tokens")


def _indented(text: str) -> str:
    return "\n".join(f"  {line}" for line in text.split("\n"))
