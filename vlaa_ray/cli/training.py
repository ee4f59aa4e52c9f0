"""The commands that train: GRPO, SFT and reward models."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Annotated

import typer

from vlaa_ray.cli.common import ConfigFile, Overrides, Resume, print_report, require_own_actors

if TYPE_CHECKING:
    from vlaa_ray.config import GrpoConfig, SupervisedConfig, TrainingConfig

app = typer.Typer(rich_markup_mode=None)
DryRun = Annotated[
    bool,
    typer.Option(
        "--dry-run", help="Only check the config, and show the plan: processes, memory and steps. Needs no GPU."
    ),
]


@app.command()
def train(
    config: ConfigFile,
    overrides: Overrides = None,
    resume: Resume = "auto",
    dry_run: DryRun = False,
) -> None:
    """Train with GRPO or a related method.

    At the end, the held-out rewards before and after the training are shown, and a report is written. Results are
    in the folder run.dir/run.name. The same command continues a run that was stopped.
    """
    from vlaa_ray.config import load_config

    loaded: GrpoConfig = load_config(config, overrides or [])
    if dry_run:
        return _plan(loaded)
    require_own_actors()
    from actors.drivers.grpo import run_grpo

    asyncio.run(run_grpo(loaded, resume))
    _show_results(loaded)


@app.command()
def sft(config: ConfigFile, overrides: Overrides = None, resume: Resume = "auto", dry_run: DryRun = False) -> None:
    """Train on worked answers (supervised fine-tuning).

    Results are in the folder run.dir/run.name. The same command continues a run that was stopped.
    """
    from vlaa_ray.config import SftConfig, load_config

    _train_supervised(load_config(config, overrides or [], SftConfig), resume, dry_run)


@app.command("reward-model")
def reward_model(
    config: ConfigFile, overrides: Overrides = None, resume: Resume = "auto", dry_run: DryRun = False
) -> None:
    """Train a reward model on pairs of answers.

    A pair is a better and a worse answer to one question. Results are in the folder run.dir/run.name. The same
    command continues a run that was stopped.
    """
    from vlaa_ray.config import RewardModelConfig, load_config

    _train_supervised(load_config(config, overrides or [], RewardModelConfig), resume, dry_run)


def _train_supervised(config: SupervisedConfig, resume: str, dry_run: bool) -> None:
    if dry_run:
        return _plan(config)
    require_own_actors()
    from actors.drivers.supervised import run_supervised

    run_supervised(config, resume)


def _plan(config: TrainingConfig) -> None:
    from rich.console import Console

    from vlaa_ray.planning.dry_run import examine, failed, show

    examined = examine(config)
    show(examined, Console(markup=False, emoji=False))
    if error := failed(examined):
        raise error


def _show_results(config: GrpoConfig) -> None:
    from vlaa_ray.run.run_json import run_path, run_place

    place = run_place(config)
    print_report(run_path(config), address=str(place) if place else None)
