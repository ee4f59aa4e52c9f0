"""The commands that inspect configs, runs, rewards and the machine: config, report, score, probe and doctor."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from vlaa_ray.cli.common import (
    Overrides,
    print_report,
    print_to_stderr,
    ready_to_write,
    require_own_actors,
    training_config,
    writing,
)
from vlaa_ray.errors import ConfigError

if TYPE_CHECKING:
    from vlaa_ray.report.study import Sought
    from vlaa_ray.rewards.manager import RewardManager

RewardsOf = Annotated[
    Path | None,
    typer.Option(
        "--config",
        metavar="FILE",
        help="Config of a GRPO run whose verifiers and scorer judge. Without it, the default ones.",
    ),
]
app = typer.Typer(rich_markup_mode=None)
_FOLLOW_S = 10.0
"""The seconds between two looks at a run that is followed."""


@app.command("config")
def show_config(
    file: Annotated[
        str | None,
        typer.Argument(
            metavar="FILE|KEY", help="Config of a run, a YAML file; with --explain a key, such as eval.num_prompts."
        ),
    ] = None,
    overrides: Overrides = None,
    explain: Annotated[
        bool, typer.Option("--explain", help="Print what KEY does, its type, default and allowed values; or all keys.")
    ] = False,
) -> None:
    """Print a config with all defaults, or explain a key."""
    if explain:
        from vlaa_ray.config import explain as explained

        return typer.echo(explained.explain(file) if file else explained.tree())
    if file is None:
        raise typer.BadParameter("give the config file of a run, or --explain", param_hint="FILE")
    from vlaa_ray.config import AnyConfig, dump_config, load_config

    typer.echo(dump_config(load_config(file, overrides or [], AnyConfig)), nl=False)


@app.command()
def report(
    run_dir: Annotated[
        list[str],
        typer.Argument(
            metavar="RUN_DIR...",
            help="Folder of a run, for example runs/quickstart or s3://BUCKET/runs/quickstart; several are shown on "
            "one page, their curves over each other.",
        ),
    ],
    phrase: Annotated[
        list[str] | None,
        typer.Option("--phrase", metavar="TEXT", help="Also look for this phrase in the rollouts on disk; repeatable."),
    ] = None,
    sft_data: Annotated[
        str | None,
        typer.Option(
            metavar="DATA", help="Also count the rollouts on disk that begin as a worked answer of this data does."
        ),
    ] = None,
    opening_words: Annotated[
        int, typer.Option(min=1, max=100, metavar="N", help="First words that are compared with --sft-data.")
    ] = 5,
    follow: Annotated[
        bool, typer.Option("--follow", help="Write it again after new steps, until the run is over.")
    ] = False,
    out: Annotated[Path, typer.Option(metavar="FILE.html", help="File of the page of several runs.")] = Path(
        "runs.html"
    ),
) -> None:
    """Write the report of a run again, and print its table; or the page of an evaluation, or of several runs."""
    from vlaa_ray.config.base_folder import find_input, is_remote
    from vlaa_ray.run.remote_sources import local_run

    if len(run_dir) > 1:
        if phrase or sft_data or follow:
            raise typer.BadParameter("several runs take --out alone", param_hint="RUN_DIR")
        return _several(run_dir, out)
    named = find_input(run_dir[0])
    folder = _run_folder(named)
    if (folder / "result.json").is_file():
        from vlaa_ray.report.evaluation_page import write_evaluation_page

        return typer.echo(f"Page: {write_evaluation_page(folder)}")
    sought = _sought(phrase or [], sft_data, opening_words)
    if follow:
        _follow(named, sought)
        folder = local_run(named)  # of a run in a bucket, this brings what has changed
    print_report(folder, sought, named if is_remote(named) else None)


def _run_folder(named: str) -> Path:
    """Return the folder of a run, or of its copy if it is in a bucket.

    Raises:
        ConfigError: the folder is not that of a run.

    """
    from vlaa_ray.run.remote_sources import local_run

    folder = local_run(named)
    if not (folder / "config.yaml").is_file():
        raise ConfigError(
            "not a run folder: it has no config.yaml", folder=named, fix="give the folder of a run, runs/NAME"
        )
    return folder


def _several(run_dirs: list[str], out: Path) -> None:
    """Write the page of several runs."""
    from vlaa_ray.config.base_folder import find_input
    from vlaa_ray.report.runs_page import write_runs_page
    from vlaa_ray.run.reader import RecordedRun

    runs = [RecordedRun.read(_run_folder(find_input(named))) for named in run_dirs]
    out = ready_to_write(out, "--out", [run.path / "config.yaml" for run in runs])
    with writing(out):
        typer.echo(f"Page: {write_runs_page(runs, out)}")


def _follow(named: str, sought: Sought | None) -> None:
    """Write the report of a run again after new steps; return when the run is over."""
    import time

    from vlaa_ray.report import write_report
    from vlaa_ray.report.status import status_of
    from vlaa_ray.run.remote_sources import local_run

    step, pause_s = None, _FOLLOW_S
    while not (status := status_of(named)).is_over:
        if status.step != step:
            started, step = time.monotonic(), status.step
            typer.echo(f"step {step}: {write_report(local_run(named), sought)}")
            pause_s = max(_FOLLOW_S, 10 * (time.monotonic() - started))  # a tenth of a core at most
        time.sleep(pause_s)


@app.command()
def score(
    file: Annotated[
        Path,
        typer.Argument(metavar="FILE", help="JSON or JSON Lines file; each row has response, gold and verifier_type."),
    ],
    out: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="Write each row to this file, as JSON Lines, with its reward and the reason."
        ),
    ] = None,
    config: RewardsOf = None,
) -> None:
    """Score a file of responses, and print their rewards.

    The file may be one of the rollouts of a run. The table shows means and reasons by verifier type.
    """
    import json

    from rich.console import Console

    from vlaa_ray.checks.responses import score_file, score_table
    from vlaa_ray.config.base_folder import find_input

    out = out and ready_to_write(out, "--out", [file, config])
    with _judging(config) as rewards:
        rows = score_file(find_input(str(file)), rewards)
    if out:
        lines = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
        with writing(out):
            out.write_text(lines, encoding="utf-8", errors="backslashreplace")  # half of a surrogate pair has no UTF-8
    Console(emoji=False).print(score_table(rows))


@app.command()
def probe(
    source: Annotated[
        str, typer.Argument(metavar="DATA", help="Prompts: a file, a folder, hub:OWNER/NAME@SPLIT or builtin:heldout.")
    ],
    image_root: Annotated[
        str | None,
        typer.Option(
            metavar="DIR",
            help="Folder that image paths are relative to. Without it: the folder images beside the data file, else "
            "the folder of that file.",
        ),
    ] = None,
    limit: Annotated[
        int, typer.Option(min=1, max=10**9, metavar="N", help="Prompts to use, at most; the first ones are taken.")
    ] = 500,
    config: RewardsOf = None,
) -> None:
    """Show what answers earn that do not look at the picture.

    Records that can't be used are left out and counted. Exits with 1 if an answer earns more than an honest wrong one.
    """
    from rich.console import Console

    from vlaa_ray.checks.probes import probe_prompts, probe_table
    from vlaa_ray.config import DataSection
    from vlaa_ray.config.base_folder import find_data, find_input
    from vlaa_ray.data.dataset import open_dataset
    from vlaa_ray.records import Defect
    from vlaa_ray.run.quarantine import left_out

    data = DataSection(image_root=find_input(image_root) if image_root else None)
    bad: list[Defect] = []
    with _judging(config) as rewards:
        prompts = open_dataset(find_data(source), data, limit, rewards.verifier_types, bad)
        if bad:
            print_to_stderr(f"{left_out(bad)}; `vlaa-ray data check` lists them all")
        outcomes = probe_prompts(prompts, rewards)
    Console(emoji=False).print(probe_table(outcomes))
    if any(outcome.holes for outcome in outcomes):
        raise typer.Exit(1)


@app.command()
def doctor(
    config: Annotated[
        Path | None,
        typer.Option("--config", metavar="FILE", help="Config of a run; the machine is checked for its needs, too."),
    ] = None,
    cluster: Annotated[
        bool,
        typer.Option(
            "--cluster",
            help="Ask every node of a Ray cluster: versions, GPUs, shared memory, clock, speed between the nodes; with "
            "--config also whether it sees model, data and run folder.",
        ),
    ] = False,
    address: Annotated[
        str, typer.Option(metavar="ADDRESS", help="Cluster to ask with --cluster: auto or HOST:PORT.")
    ] = "auto",
) -> None:
    """List what would make a run fail on this machine, or on the nodes of a cluster.

    Exits with 2 if there is anything; the list has the fixes.
    """
    from rich.console import Console

    from vlaa_ray.config.sections import cluster_address
    from vlaa_ray.planning.doctor import diagnose, is_broken, table

    if cluster:
        require_own_actors()
        from actors.drivers.cluster_doctor import diagnose_cluster

        try:
            cluster_address(address)
        except ValueError as error:
            raise typer.BadParameter(str(error), param_hint="--address") from None
        findings = diagnose_cluster(address, training_config(config))
    else:
        findings = diagnose(training_config(config))
    Console(emoji=False).print(table(findings))
    if is_broken(findings):
        raise typer.Exit(2)


def _sought(phrases: list[str], sft_data: str | None, opening_words: int) -> Sought | None:
    phrases = [text for text in phrases if text.strip()]
    if not phrases and sft_data is None:
        return None
    from vlaa_ray.config import DataSection
    from vlaa_ray.config.base_folder import find_data
    from vlaa_ray.data.openings import read_openings
    from vlaa_ray.records import VERIFIER_TYPES
    from vlaa_ray.report.study import Sought

    if sft_data is None:
        return Sought(phrases)
    return Sought(phrases, read_openings(DataSection(), find_data(sft_data), opening_words, VERIFIER_TYPES))


def _judging(config: Path | None) -> RewardManager:
    """Return what judges answers as a run with this config would, or by the defaults."""
    from vlaa_ray.config import GrpoConfig, RewardsSection, load_config
    from vlaa_ray.models.input_sizes import input_sizes_of
    from vlaa_ray.rewards.manager import RewardManager

    if config is None:
        return RewardManager(RewardsSection())
    run = load_config(config, kind=GrpoConfig)
    return RewardManager(run.rewards, input_sizes_of(run.model))
