"""The command `leaderboard`: published scores beside the user's own evaluations, on one page."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from vlaa_ray.cli.common import ready_to_write, writing

app = typer.Typer(rich_markup_mode=None)


@app.command()
def leaderboard(
    folders: Annotated[
        list[Path] | None,
        typer.Argument(
            metavar="RESULT_FOLDER", help="Folder of an evaluation, for example runs/eval-tiny; it holds result.json."
        ),
    ] = None,
    out: Annotated[Path, typer.Option(metavar="FILE.html", help="File to which the page is written.")] = Path(
        "leaderboard.html"
    ),
) -> None:
    """Show published scores on the six benchmarks by size class, with your own evaluations beside them.

    Each number stands with its source, its date and its conditions. Without a folder, the page has published scores
    alone.
    """
    from rich.console import Console

    from vlaa_ray.config.base_folder import find_input
    from vlaa_ray.report.leaderboard_page import write_leaderboard_page

    results = [Path(find_input(str(folder))) for folder in folders or []]
    out = ready_to_write(out, "--out", [folder / "result.json" for folder in results])
    with writing(out):
        page = write_leaderboard_page(results, out)
    Console(emoji=False).print(f"Page: {page}", soft_wrap=True, highlight=False)
