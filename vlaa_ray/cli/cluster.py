"""The commands for a Ray cluster: `submit` and `reward-server`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from typer.core import TyperGroup

from vlaa_ray.cli.common import require_own_actors
from vlaa_ray.errors import ConfigError

app = typer.Typer(rich_markup_mode=None)


@app.command()
def submit(
    context: typer.Context,
    args: Annotated[
        list[str], typer.Argument(metavar="-- COMMAND", help="The vlaa-ray command to run, after two dashes.")
    ],
    address: Annotated[
        str | None, typer.Option(metavar="URL", help="Address of Ray's dashboard. Default: the one of this machine.")
    ] = None,
    working_dir: Annotated[Path, typer.Option(metavar="DIR", help="Folder that is copied to the cluster.")] = Path("."),
    wait: Annotated[
        bool, typer.Option("--wait/--no-wait", help="Show the job's log, and exit with its exit code.")
    ] = True,
) -> None:
    """Run a vlaa-ray command on a Ray cluster, for example: submit -- train --config FILE."""
    root = context.find_root().command
    assert isinstance(root, TyperGroup)
    commands = root.list_commands(context)
    if args[0] not in commands:
        raise ConfigError(f"unknown command {args[0]!r}", fix=f"use one of {', '.join(commands)}, after --")
    require_own_actors()
    from actors.drivers.submit import submit as submit_job

    raise typer.Exit(submit_job(address, args, working_dir, wait))


@app.command("reward-server")
def reward_server(
    model: Annotated[str, typer.Option(metavar="MODEL", help="A folder, a hub id or builtin:tiny-reward.")],
    replicas: Annotated[int, typer.Option(min=1, help="Number of copies of the model.")] = 1,
    port: Annotated[int, typer.Option(help="Port on which to listen.")] = 8400,
    gpus: Annotated[float, typer.Option(help="GPUs of each copy.")] = 0,
    address: Annotated[
        str | None, typer.Option(metavar="ADDRESS", help="Address of a Ray cluster. Default: start Ray here.")
    ] = None,
    min_pixels: Annotated[int, typer.Option(help="Pictures with fewer pixels are enlarged.")] = 3136,
    max_pixels: Annotated[int, typer.Option(help="Pictures with more pixels are reduced.")] = 1_003_520,
) -> None:
    """Serve a reward model to several runs, with Ray Serve, at POST /score."""
    from vlaa_ray.config import OpenEndedSection

    section = OpenEndedSection(scorer="reward_model", model=model, min_pixels=min_pixels, max_pixels=max_pixels)
    require_own_actors()
    from actors.serving.reward_server import serve_reward_model

    serve_reward_model(section, num_replicas=replicas, port=port, address=address, gpus=gpus)
