"""The commands of the group `data`: what can be done with data before it is trained on."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(help="Look at data before it is trained on.", no_args_is_help=True, rich_markup_mode=None)


@app.command("check")
def check(
    paths: Annotated[list[Path], typer.Argument(metavar="PATH…", help="Files, or folders that datasets saved.")],
    image_root: Annotated[str | None, typer.Option(metavar="DIR", help="Of the files' images.")] = None,
    config: Annotated[
        Path | None, typer.Option("--config", metavar="FILE", help="Of the run that is to use it.")
    ] = None,
    report: Annotated[Path | None, typer.Option(metavar="FILE", help="Write all of it as JSON.")] = None,
    quarantine: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write the bad records as JSON Lines, as a run does.")
    ] = None,
) -> None:
    """Name every defect with its file and row; then exit 1 if a run would not be safe."""
    from rich.console import Console

    from vlaa_ray.config import RewardsSection, RunConfig, load_config
    from vlaa_ray.data.check import check_data, report_table
    from vlaa_ray.data.quarantine import write_defects
    from vlaa_ray.rewards.mixture import MixedReward

    run = load_config(config, kind=RunConfig) if config else None
    with MixedReward(run.rewards if run else RewardsSection()) as rewards:
        found = check_data(paths, image_root, rewards, run)
    if report:
        report.write_text(found.as_json() + "\n", encoding="utf-8")
    if quarantine:
        write_defects(quarantine, found.defects)
    Console().print(report_table(found))
    if found.defects:
        raise typer.Exit(1)
