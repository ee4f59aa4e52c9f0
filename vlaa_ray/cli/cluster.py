"""The commands for a Ray cluster: `submit`, `status`, `reward-server` and `spot-notice`."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from typer.core import TyperGroup

from vlaa_ray.cli.common import DEFAULT_RUNS, RunsFolder, require_own_actors
from vlaa_ray.errors import ConfigError, VlaaRayError

if TYPE_CHECKING:
    from vlaa_ray.config import OpenEndedSection

app = typer.Typer(rich_markup_mode=None)
Address = Annotated[
    str | None,
    typer.Option(
        metavar="URL",
        help="Address of Ray's dashboard, http://HOST:8265. Default: the cluster of this machine. The environment "
        "variables RAY_API_SERVER_ADDRESS and RAY_ADDRESS take precedence.",
    ),
]
_JOB = "raysubmit_"
_WATCH_S = 5.0
_TOKEN = "VLAA_RAY_TOKEN"


@app.command()
def submit(
    context: typer.Context,
    args: Annotated[
        list[str],
        typer.Argument(metavar="-- COMMAND", help="The vlaa-ray command to run, with its arguments, after two dashes."),
    ],
    address: Address = None,
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
    secret: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME[=FILE]",
            help="Environment variable with a secret that the job needs, such as WANDB_API_KEY; may be repeated. Only "
            "the name is sent: the nodes have the variable, or FILE on each of them holds the secret.",
        ),
    ] = None,
) -> None:
    """Run a vlaa-ray command as a job on a Ray cluster.

    For example: submit -- train --config FILE. The cluster needs the project's dependencies, not the project itself.
    """
    root = context.find_root().command
    assert isinstance(root, TyperGroup)
    commands = root.list_commands(context)
    if args[0] not in commands:
        raise ConfigError(f"unknown command {args[0]!r}", fix=f"use one of {', '.join(commands)}, after --")
    if not working_dir.is_dir():
        raise ConfigError("--working-dir is no folder", folder=str(working_dir), fix="name the folder of your project")
    require_own_actors()
    from actors.drivers.submit import submit as submit_job
    from vlaa_ray.services.secret import Reference, refuse_secrets

    references = [Reference.parse(text) for text in secret or []]
    refuse_secrets(args)
    run = _run_of(args, working_dir)
    raise typer.Exit(submit_job(address, args, working_dir, wait, references, run))


def _run_of(args: list[str], working_dir: Path) -> str:
    """Return the folder or the address of the run that a command would start; "" if it is not known here."""
    from vlaa_ray.config import AnyConfig, load_config
    from vlaa_ray.run.run_json import run_place

    files = [value for name, value in pairwise(args) if name == "--config"]
    files += [value.removeprefix("--config=") for value in args if value.startswith("--config=")]
    changes = [value for value in args[1:] if "=" in value and not value.startswith("-")]
    if not files:
        return ""
    try:
        config = load_config(working_dir / files[-1], changes, AnyConfig)
    except VlaaRayError:  # the job says what is wrong with it, where its files are
        return ""
    return str(run_place(config) or working_dir.resolve() / config.run.dir / config.run.name)


@app.command()
def status(
    run: Annotated[
        str | None,
        typer.Argument(
            metavar="RUN|JOB",
            help="Name or folder of a run, its address in a bucket, or the id of a job that submit has printed. "
            "Default: the newest run below --runs.",
        ),
    ] = None,
    runs: RunsFolder = DEFAULT_RUNS,
    address: Address = None,
    watch: Annotated[
        bool, typer.Option("--watch", help="Show it again and again until the run is over; in place on a terminal.")
    ] = False,
) -> None:
    """Show how a run is doing.

    Step, rewards, speed, actors, last checkpoint and last sign of life come from the run's folder. The run need not be
    on this machine, and nothing of it is asked.
    """
    from vlaa_ray.report.status import lines, status_of

    place = _named_run(run, runs, address)
    if watch:
        return _watch(place)
    typer.echo("\n".join(lines(status_of(place))))


def _watch(place: str) -> None:
    """Show the status of a run until it is over: in place on a terminal, elsewhere once for each step."""
    import time

    from rich.console import Console
    from rich.live import Live
    from rich.text import Text

    from vlaa_ray.report.status import lines, status_of

    console, step = Console(), None
    with Live(console=console, auto_refresh=False) as live:
        while True:
            found = status_of(place)
            text = Text("\n".join(lines(found)))
            if console.is_terminal:
                live.update(text, refresh=True)
            elif found.step != step or found.is_over:
                console.print(text, soft_wrap=True, highlight=False)
            if found.is_over:
                return
            step = found.step
            time.sleep(_WATCH_S)


def _named_run(run: str | None, runs: Path, address: str | None) -> str:
    """Return the folder or the address in a bucket of the run that a user names.

    Raises:
        ConfigError: there is no such run or job.

    """
    from vlaa_ray.config.base_folder import expand_home, is_remote

    if run is None:
        found = max(runs.glob("*/run.json"), key=lambda file: file.stat().st_mtime, default=None)
        if found is None:
            raise ConfigError(f"there is no run in {runs}", fix="name a run, its folder, its address or its job")
        return str(found.parent)
    if is_remote(run):
        return expand_home(run)
    for folder in (Path(expand_home(run)), runs / run):
        if folder.is_dir():
            return str(folder)
    if not run.startswith(_JOB):
        names = sorted(file.parent.name for file in runs.glob("*/run.json"))
        raise ConfigError(f"no run {run!r} in {runs}", expected=names[:10], fix="name a run, its folder or its address")
    require_own_actors()
    from actors.drivers.submit import run_of_job

    return run_of_job(address, run)


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
    port: Annotated[int, typer.Option(min=1, max=65535, metavar="N", help="Port to listen on.")] = 8400,
    token_env: Annotated[
        str,
        typer.Option(metavar="NAME", help="Name of the environment variable with the token that requests must carry."),
    ] = _TOKEN,
    gpus: Annotated[float, typer.Option(min=0, metavar="N", help="GPUs of each copy; 0 runs it on the CPU.")] = 0,
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
    from pydantic import SecretStr

    from vlaa_ray.services.secret import secret_in

    section = _reward_model(model, min_pixels, max_pixels, gpus, address)
    secret = secret_in(token_env, "--token-env")
    if not secret and (not _is_loopback(host) or token_env != _TOKEN):
        raise ConfigError(
            "a reward server that others can reach needs a token"
            if token_env == _TOKEN
            else f"the environment variable {token_env!r} of --token-env holds no token",
            host=host,
            fix=f"set the environment variable {token_env} to a secret, here and where the runs start, and name it in "
            "the runs' configs: rewards.open_ended.service.api_key_env",
        )
    if address is None:
        require_free(host, port)
    require_own_actors()
    from actors.serving.reward_server import serve_reward_model

    token = SecretStr(secret) if secret else None
    serve_reward_model(section, num_replicas=replicas, host=host, port=port, token=token, address=address, gpus=gpus)


def _reward_model(model: str, min_pixels: int, max_pixels: int, gpus: float, address: str | None) -> OpenEndedSection:
    """Return the section of the reward model that these options of `reward-server` describe.

    Raises:
        ConfigError: an option has a value that can't be used, or there is no such model.

    """
    from pydantic import ValidationError

    from vlaa_ray.config import OpenEndedSection
    from vlaa_ray.config.base_folder import find_checkpoint
    from vlaa_ray.config.sections import cluster_address
    from vlaa_ray.planning.start_checks import model_check

    checkpoint = find_checkpoint(model)
    try:
        if address is not None:
            cluster_address(address)
        if gpus > 1 and gpus % 1:
            raise ValueError(f"--gpus must be a whole number or at most 1, got {gpus:g}")
        section = OpenEndedSection(
            scorer="reward_model", model=checkpoint, min_pixels=min_pixels, max_pixels=max_pixels
        )
    except ValidationError as error:
        problems = [(*problem["loc"], problem["msg"].removeprefix("Value error, ")) for problem in error.errors()]
        text = "; ".join(": ".join(map(str, problem)) for problem in problems)
        raise ConfigError(f"the reward model's options can't be used: {text}", fix="give other values") from None
    except ValueError as error:
        raise ConfigError(str(error), fix="see vlaa-ray reward-server --help") from None
    _, check = model_check(checkpoint)
    if check.ok is False:
        raise ConfigError(f"--model: {check.found}", fix="give a folder, a hub id or builtin:tiny-reward")
    return section


def require_free(host: str, port: int) -> None:
    """Raise ConfigError if no server can listen at this address: it is in use, or not of this machine."""
    import socket

    try:
        (family, *_, place), *_ = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        socket.create_server(place[:2], family=family).close()
    except (OSError, UnicodeError) as error:
        fix = "choose another --port, or a --host of this machine"
        raise ConfigError(f"can't listen on {host}:{port}: {error}", fix=fix) from error


def _is_loopback(host: str) -> bool:
    import ipaddress

    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


@app.command("spot-notice")
def spot_notice(
    cloud: Annotated[str, typer.Option(metavar="aws|gcp", help="Cloud whose machine this is.")],
    endpoint: Annotated[
        str | None, typer.Option(metavar="URL", help="Address of the metadata service, in place of the cloud's own.")
    ] = None,
    poll_s: Annotated[float, typer.Option(min=0.1, metavar="SECONDS", help="Seconds between two questions.")] = 2.0,
) -> None:
    """Wait until the cloud takes this spot machine away, and tell Ray to drain its node.

    Start it beside `ray start` on every spot node. A run on that node then lets its actors leave in time.
    """
    from vlaa_ray.services.spot_notice import CLOUDS, wait_for_notice

    if cloud not in CLOUDS:
        raise ConfigError(f"unknown cloud {cloud!r}", fix=f"use one of {', '.join(CLOUDS)}")
    notice = wait_for_notice(CLOUDS[cloud], endpoint, poll_s)
    require_own_actors()
    from actors.drivers.drain import drain_own_node

    node = drain_own_node(notice.leave_s, notice.reason)
    typer.echo(f"{notice.reason}: node {node} leaves in {notice.leave_s:.0f} s")
