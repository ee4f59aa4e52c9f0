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
        list[str],
        typer.Argument(metavar="-- COMMAND", help="The vlaa-ray command to run, with its arguments, after two dashes."),
    ],
    address: Annotated[
        str | None,
        typer.Option(
            metavar="URL",
            help="Address of Ray's dashboard, http://HOST:8265. Default: the cluster of this machine. The environment "
            "variables RAY_API_SERVER_ADDRESS and RAY_ADDRESS take precedence.",
        ),
    ] = None,
    working_dir: Annotated[
        Path,
        typer.Option(
            metavar="DIR",
            help="Folder that is sent to the cluster, where the job starts in a copy of it. Files that git ignores and "
            "the folder runs are left out.",
        ),
    ] = Path("."),
    wait: Annotated[
        bool,
        typer.Option(
            "--wait/--no-wait",
            help="Show the job's log until it ends, and exit with its exit code; or return once the job is accepted.",
        ),
    ] = True,
) -> None:
    """Run a vlaa-ray command as a job on a Ray cluster.

    For example: submit -- train --config FILE. The cluster needs the project's dependencies, not the project itself.
    """
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
    model: Annotated[
        str, typer.Option(metavar="MODEL", help="Reward model: a folder, a hub id or builtin:tiny-reward.")
    ],
    replicas: Annotated[
        int, typer.Option(min=1, metavar="N", help="Copies of the model, which answer requests side by side.")
    ] = 1,
    host: Annotated[
        str, typer.Option(metavar="HOST", help="Address to listen on. One that other machines can reach needs a token.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(metavar="N", help="Port to listen on.")] = 8400,
    token_env: Annotated[
        str,
        typer.Option(metavar="NAME", help="Name of the environment variable with the token that requests must carry."),
    ] = "VLAA_RAY_TOKEN",
    gpus: Annotated[float, typer.Option(metavar="N", help="GPUs of each copy; 0 runs it on the CPU.")] = 0,
    address: Annotated[
        str | None,
        typer.Option(metavar="ADDRESS", help="Ray cluster to join, auto or HOST:PORT. Default: a Ray of its own."),
    ] = None,
    min_pixels: Annotated[
        int, typer.Option(metavar="N", help="Images with fewer pixels are enlarged to this many.")
    ] = 3136,
    max_pixels: Annotated[
        int, typer.Option(metavar="N", help="Images with more pixels are reduced to this many.")
    ] = 1_003_520,
) -> None:
    """Serve a reward model to several runs over HTTP.

    It answers POST /score, which a run asks with rewards.open_ended.service.url. The server runs on Ray Serve, until it
    is interrupted.
    """
    import os

    from pydantic import SecretStr

    from vlaa_ray.config import OpenEndedSection
    from vlaa_ray.config.base_folder import find_checkpoint

    model = find_checkpoint(model)
    section = OpenEndedSection(scorer="reward_model", model=model, min_pixels=min_pixels, max_pixels=max_pixels)
    secret = os.environ.get(token_env, "").strip()
    if not secret and not _is_loopback(host):
        raise ConfigError(
            "a reward server that others can reach needs a token",
            host=host,
            fix=f"set the environment variable {token_env} to a secret, here and where the runs start, and name it in "
            "the runs' configs: rewards.open_ended.service.api_key_env",
        )
    require_own_actors()
    from actors.serving.reward_server import serve_reward_model

    token = SecretStr(secret) if secret else None
    serve_reward_model(section, num_replicas=replicas, host=host, port=port, token=token, address=address, gpus=gpus)


def _is_loopback(host: str) -> bool:
    import ipaddress

    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
