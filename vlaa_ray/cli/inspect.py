"""The commands that inspect configs, runs, rewards and the machine: config, report, score, probe and doctor."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from vlaa_ray.cli.common import Overrides, print_report
from vlaa_ray.errors import ConfigError

if TYPE_CHECKING:
    from vlaa_ray.config import RewardsSection

RewardsOf = Annotated[
    Path | None,
    typer.Option("--config", metavar="FILE", help="Config of a GRPO run, whose verifiers and scorer are used."),
]
app = typer.Typer(rich_markup_mode=None)


@app.command("config")
def show_config(
    file: Annotated[
        str | None, typer.Argument(metavar="[FILE]", help="Config of a run, a YAML file; with --explain a key.")
    ] = None,
    overrides: Overrides = None,
    explain: Annotated[
        bool, typer.Option("--explain", help="Say what a key does, or show all keys: config --explain [KEY].")
    ] = False,
) -> None:
    """Print the resolved config of a file, with all default values; or explain a key."""
    if explain:
        from vlaa_ray.config import explain as explained

        return typer.echo(explained.explain(file) if file else explained.tree())
    if file is None:
        raise typer.BadParameter("give the config file of a run, or --explain", param_hint="FILE")
    from vlaa_ray.config import AnyConfig, dump_config, load_config

    typer.echo(dump_config(load_config(file, overrides or [], AnyConfig)), nl=False)


@app.command()
def report(
    run_dir: Annotated[Path, typer.Argument(metavar="RUN_DIR", help="Folder of a run, for example runs/quickstart.")],
) -> None:
    """Write the report of a run, and print its table."""
    if not (run_dir / "config.yaml").is_file():
        raise ConfigError(
            "not a run folder: it has no config.yaml", folder=str(run_dir), fix="give the folder of a run, runs/NAME"
        )
    print_report(run_dir)


@app.command()
def score(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="JSON Lines with response, gold and verifier_type.")],
    out: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write each row with its reward to this file.")
    ] = None,
    config: RewardsOf = None,
) -> None:
    """Score a file of responses, or the rollouts of a run, and print a table of the rewards."""
    import json

    from rich.console import Console

    from vlaa_ray.checks.responses import score_file, score_table
    from vlaa_ray.rewards.manager import RewardManager

    with RewardManager(_rewards(config)) as rewards:
        rows = score_file(file, rewards)
    if out:
        out.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    Console().print(score_table(rows))


@app.command()
def probe(
    source: Annotated[str, typer.Argument(metavar="DATA", help="A file of prompts, or builtin:SPLIT.")],
    image_root: Annotated[
        str | None, typer.Option(metavar="DIR", help="Folder to which image paths are relative.")
    ] = None,
    limit: Annotated[int, typer.Option(min=1, help="Maximum number of prompts.")] = 500,
    config: RewardsOf = None,
) -> None:
    """Show the rewards of answers that ignore the picture. Exits with 1 if one beats an honest wrong answer."""
    from rich.console import Console

    from vlaa_ray.checks.probes import probe_prompts, probe_table
    from vlaa_ray.config import DataSection
    from vlaa_ray.data.dataset import open_dataset
    from vlaa_ray.rewards.manager import RewardManager

    section = _rewards(config)
    prompts = open_dataset(source, DataSection(image_root=image_root), limit, section.verifier_types())
    with RewardManager(section) as rewards:
        outcomes = probe_prompts(prompts, rewards)
    Console().print(probe_table(outcomes))
    if any(outcome.holes for outcome in outcomes):
        raise typer.Exit(1)


@app.command()
def doctor(
    config: Annotated[
        Path | None,
        typer.Option("--config", metavar="FILE", help="Config of a run; checks that the machine can run it."),
    ] = None,
) -> None:
    """List what would make a run fail on this machine. Exits with 2 if there is anything."""
    from rich.console import Console

    from vlaa_ray.config import TrainingConfig, load_config
    from vlaa_ray.planning.doctor import diagnose, is_broken, table

    findings = diagnose(load_config(config, kind=TrainingConfig) if config else None)
    Console().print(table(findings))
    if is_broken(findings):
        raise typer.Exit(2)


def _rewards(config: Path | None) -> RewardsSection:
    from vlaa_ray.config import GrpoConfig, RewardsSection, load_config

    return load_config(config, kind=GrpoConfig).rewards if config else RewardsSection()
