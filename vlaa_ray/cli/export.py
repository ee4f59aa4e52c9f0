"""The command that makes a Hugging Face folder of a trained model: export."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from vlaa_ray.cli.common import DEFAULT_RUNS, RunsFolder, print_to_stderr, without_library_warnings

app = typer.Typer(rich_markup_mode=None)


@app.command()
def export(
    model: Annotated[
        str,
        typer.Argument(
            metavar="RUN_OR_CHECKPOINT",
            help="A run's name or folder (its newest sound checkpoint), or a checkpoint, …/checkpoints/step_NNNNNN.",
        ),
    ],
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="New folder to write; it may exist if it is empty.")],
    scores: Annotated[
        list[Path] | None,
        typer.Option(
            metavar="FOLDER", help="Evaluation of this checkpoint (its result.json) for the card; may be repeated."
        ),
    ] = None,
    push: Annotated[
        str | None,
        typer.Option(metavar="OWNER/NAME", help="Upload the folder to this repository of the Hugging Face hub, too."),
    ] = None,
    public: Annotated[
        bool, typer.Option("--public", help="Make the repository public if --push creates it; else it is private.")
    ] = False,
    runs: RunsFolder = DEFAULT_RUNS,
) -> None:
    """Write a trained model as a Hugging Face folder.

    It has the weights, the processor with the pixel limits of the run, a chat template with its system prompt, a
    generation config, and a model card. transformers and vLLM load it as it is. Every file of the model is checked
    against the checkpoint's sha256 first.
    """
    from vlaa_ray.export.files import export_model
    from vlaa_ray.export.hub import push as upload
    from vlaa_ray.export.hub import require_push
    from vlaa_ray.export.scores import read_scores
    from vlaa_ray.run.model_source import resolve_model

    if push:
        require_push(push)
    print_to_stderr("Checking the checkpoint …")
    source = resolve_model(model, runs)
    results = tuple(read_scores(path, source) for path in scores or ())
    print_to_stderr(f"Writing {source.name} …")
    with without_library_warnings():
        path = export_model(source, folder, results)
    typer.echo(str(path))
    if push:
        print_to_stderr(f"Uploading to {push} …")
        typer.echo(upload(path, push, public=public))
