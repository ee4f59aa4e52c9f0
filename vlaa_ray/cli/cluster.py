"""The commands for a Ray cluster: jobs and services on it."""

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
    args: Annotated[list[str], typer.Argument(metavar="-- COMMAND", help="What to run there.")],
    address: Annotated[
        str | None, typer.Option(metavar="URL", help="Ray's dashboard; null for this machine's.")
    ] = None,
    working_dir: Annotated[Path, typer.Option(metavar="DIR", help="Sent to the cluster.")] = Path("."),
    wait: Annotated[bool, typer.Option("--wait/--no-wait", help="Follow the log, and end with the job's code.")] = True,
) -> None:
    """Run a command on a Ray cluster: submit -- train --config FILE."""
    root = context.find_root().command
    assert isinstance(root, TyperGroup)
    commands = root.list_commands(context)
    if args[0] not in commands:
        raise ConfigError(f"unknown command {args[0]!r}", fix=f"one of {', '.join(commands)}, after --")
    require_own_actors()
    from actors.drivers.submit import submit as submit_job

    raise typer.Exit(submit_job(address, args, working_dir, wait))


@app.command("reward-server")
def reward_server(
    model: Annotated[str, typer.Option(metavar="MODEL", help="A folder, a hub id or builtin:tiny-reward.")],
    replicas: Annotated[int, typer.Option(min=1)] = 1,
    port: Annotated[int, typer.Option()] = 8400,
    gpus: Annotated[float, typer.Option(help="Of each replica.")] = 0,
    address: Annotated[str | None, typer.Option(metavar="ADDRESS", help="Of a Ray cluster.")] = None,
    min_pixels: Annotated[int, typer.Option(help="Smaller pictures are enlarged.")] = 3136,
    max_pixels: Annotated[int, typer.Option(help="Larger pictures are reduced.")] = 1_003_520,
) -> None:
    """Serve a reward model for several runs, with Ray Serve: POST /score."""
    from vlaa_ray.config import OpenEndedSection

    section = OpenEndedSection(scorer="reward_model", model=model, min_pixels=min_pixels, max_pixels=max_pixels)
    require_own_actors()
    from actors.serving.reward_server import serve_reward_model

    serve_reward_model(section, num_replicas=replicas, port=port, address=address, gpus=gpus)
