"""The command `compare`: several ways to train, each with several seeds, on one page."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from vlaa_ray.cli.common import ConfigFile, Overrides, require_own_actors

if TYPE_CHECKING:
    from vlaa_ray.experiments.plan import ExperimentPlan

app = typer.Typer(rich_markup_mode=None)


@app.command()
def compare(
    config: ConfigFile,
    overrides: Overrides = None,
    dry_run: Annotated[
        bool,
        typer.Option(
            "--dry-run", help="Only check all arms, and show the runs, their work and their GPU hours. Needs no GPU."
        ),
    ] = False,
    only: Annotated[
        list[str] | None,
        typer.Option(
            metavar="ARM", help="Run this arm, and the one that changes refer to. Can be given several times."
        ),
    ] = None,
) -> None:
    """Train and evaluate several arms, such as SFT, GRPO, and SFT before GRPO, and compare them.

    Each arm is made of ordinary runs with several seeds; runs that arms share are done once. Results are in the folder
    run.dir/run.name: page.html and result.json, also while it runs. The same command continues what was stopped, and
    runs again what has changed.
    """
    from vlaa_ray.config import ExperimentConfig, load_config
    from vlaa_ray.experiments.plan import plan_experiment

    loaded = load_config(config, overrides or [], ExperimentConfig)
    plan = plan_experiment(loaded, only or [], here=not dry_run)
    if dry_run:
        return _show_plan(plan)
    require_own_actors()
    from rich.console import Console

    from actors.drivers.experiments import run_experiment
    from vlaa_ray.run.run_json import run_place

    folder = run_experiment(plan)
    place = run_place(loaded) or folder
    text = f"Result: {place / 'result.json'}\nPage: {place / 'page.html'}"
    Console(emoji=False).print(text, soft_wrap=True, highlight=False)


def _show_plan(plan: ExperimentPlan) -> None:
    from rich.console import Console

    from vlaa_ray.errors import ConfigError
    from vlaa_ray.experiments.terminal import show_plan

    show_plan(plan, Console(markup=False, emoji=False))
    if broken := plan.broken():
        lines = "".join(f"\n  - {name}: {text}" for name, problems in broken.items() for text in problems)
        raise ConfigError(f"{len(broken)} of {len(plan.arms)} arms can't be run:{lines}\n")
