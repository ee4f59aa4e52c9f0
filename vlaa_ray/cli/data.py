"""The commands of the group `data`: they check, make and show data before a run trains on it."""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from vlaa_ray.cli.common import (
    ConfigFile,
    Overrides,
    print_to_stderr,
    ready_to_write,
    require_own_actors,
    training_config,
    without_library_warnings,
    writing,
)

if TYPE_CHECKING:
    from vlaa_ray.config import CurationConfig, DataSection, TrainingConfig
    from vlaa_ray.curation.outputs import Outputs

ImageRoot = Annotated[
    str | None,
    typer.Option(
        metavar="DIR",
        help="Folder that image paths are relative to. Without it: the one of --config, else the folder images beside "
        "the data file, else the folder of that file.",
    ),
]
ImageHost = Annotated[
    list[str] | None,
    typer.Option(metavar="HOST", help="Host that images may be fetched from by URL; can be given several times."),
]
VerifierType = Annotated[
    str | None, typer.Option(metavar="TYPE", help="Verifier type of records that don't name one, for example math.")
]
app = typer.Typer(
    help="Check, make or show data before a run trains on it.", no_args_is_help=True, rich_markup_mode=None
)


@app.command("check")
def check(
    paths: Annotated[
        list[str],
        typer.Argument(
            metavar="PATH", help="File, folder, or data set of the Hugging Face hub (hub:OWNER/NAME@SPLIT)."
        ),
    ],
    image_root: ImageRoot = None,
    image_host: ImageHost = None,
    verifier_type: VerifierType = None,
    config: Annotated[
        Path | None,
        typer.Option(
            "--config",
            metavar="FILE",
            help="Config of the run that will use the data: records must suit its model and its limits on tokens.",
        ),
    ] = None,
    report: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write the whole report to this file, as JSON.")
    ] = None,
    quarantine: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="Write id, file, row and reason of each bad record to this file, as JSON Lines."
        ),
    ] = None,
) -> None:
    """List every defect of some data, with its file and row. Exits with 1 if there is one."""
    report = report and ready_to_write(report, "--report", [*paths, config])
    quarantine = quarantine and ready_to_write(quarantine, "--quarantine", [*paths, config, report])
    run = training_config(config)
    data, sources = _data_section(run, image_root, image_host, verifier_type), _sources(paths)

    from rich.console import Console

    from vlaa_ray.checks.data import check_data
    from vlaa_ray.checks.data_report import report_parts
    from vlaa_ray.config import RewardsSection
    from vlaa_ray.data.reading_progress import report_progress
    from vlaa_ray.models.input_sizes import input_sizes_of
    from vlaa_ray.rewards.manager import RewardManager
    from vlaa_ray.run.quarantine import write_defects

    section = run.judges_with if run else RewardsSection()
    sizes = input_sizes_of(run.model) if run else None
    judging = RewardManager(section, sizes) if section else nullcontext()
    with without_library_warnings(), report_progress(print_to_stderr), judging as rewards:
        result = check_data(sources, data, rewards, run)
    if report:
        with writing(report):
            report.write_text(result.as_json() + "\n", encoding="utf-8")
    if quarantine:
        with writing(quarantine):
            write_defects(quarantine, result.defects)
    for part in report_parts(result):
        Console(emoji=False).print(part, highlight=False)
    if result.defects:
        raise typer.Exit(1)


@app.command("curate")
def curate(
    config: ConfigFile,
    overrides: Overrides = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only estimate the calls, tokens and cost; no teacher is asked.")
    ] = False,
) -> None:
    """Make an SFT set and an RL set from questions about pictures.

    This takes the six steps of VLAA-Thinking; the RL set holds the harder questions. Results are in the folder
    run.dir/run.name. The same command continues a curation that was stopped.
    """
    from vlaa_ray.config import CurationConfig, load_config

    loaded = load_config(config, overrides or [], CurationConfig)
    if dry_run:
        return _estimate(loaded)
    require_own_actors()
    from actors.drivers.curation import curated

    with curated(loaded) as outputs:
        _show_curated(loaded, outputs)


@app.command("show")
def show(
    paths: Annotated[
        list[str],
        typer.Argument(
            metavar="PATH",
            help="File, folder, data set of the Hugging Face hub (hub:OWNER/NAME@SPLIT), or built-in data "
            "(builtin:train or builtin:heldout).",
        ),
    ],
    image_root: ImageRoot = None,
    image_host: ImageHost = None,
    verifier_type: VerifierType = None,
    config: Annotated[
        Path | None,
        typer.Option(
            "--config",
            metavar="FILE",
            help="Config of the run that will use the data; the page then shows the tokens of its model.",
        ),
    ] = None,
    limit: Annotated[int, typer.Option(min=1, max=10**9, metavar="N", help="Records to show, at most.")] = 40,
    seed: Annotated[int, typer.Option(min=0, metavar="N", help="Seed of the random choice of records.")] = 0,
    out: Annotated[Path, typer.Option(metavar="FILE.html", help="File to which the page is written.")] = Path(
        "data.html"
    ),
) -> None:
    """Show records on a web page, with pictures and solutions.

    Some records of each kind are chosen at random. Gold boxes are drawn into the pictures.
    """
    out = ready_to_write(out, "--out", [*paths, config])
    run = training_config(config)
    data, sources = _data_section(run, image_root, image_host, verifier_type), _sources(paths)

    from rich.console import Console

    from vlaa_ray.data.reading_progress import report_progress
    from vlaa_ray.report.data_page import write_data_page

    with without_library_warnings(), report_progress(print_to_stderr), writing(out):
        page = write_data_page(out, sources, data, run, limit, seed)
    Console(emoji=False).print(f"Page: {page}", soft_wrap=True, highlight=False)


def _sources(paths: list[str]) -> list[str]:
    """Return the paths as `data.train` takes them.

    Raises:
        DataError: a path names no file, folder or built-in split. This is known before anything is read.

    """
    from vlaa_ray.config.base_folder import BUILTIN, HUB, find_data
    from vlaa_ray.data.builtin import BuiltinData
    from vlaa_ray.errors import DataError

    sources = [find_data(path) for path in paths]
    missing = [source for source in sources if not source.startswith((BUILTIN, HUB)) and not Path(source).exists()]
    for source in sources:
        if source.startswith(BUILTIN):
            BuiltinData(source.removeprefix(BUILTIN))  # refuses an unknown split
    if missing:
        raise DataError("No such file or folder: " + ", ".join(missing), fix="check the path; it is relative to here")
    return sources


def _data_section(
    run: TrainingConfig | None, image_root: str | None, hosts: list[str] | None, verifier_type: str | None
) -> DataSection:
    """Return the run's section `data`, with the options of the command line in place of its values.

    Raises typer.BadParameter if the verifier type is unknown or a host is not valid.
    """
    from pydantic import ValidationError

    from vlaa_ray.config import DataSection, FetchSection
    from vlaa_ray.config.base_folder import find_input
    from vlaa_ray.records import VERIFIER_TYPES

    allowed = run.verifier_types if run else VERIFIER_TYPES
    if verifier_type and verifier_type not in allowed:
        message = f"unknown verifier type {verifier_type!r}; use one of {', '.join(allowed)}"
        raise typer.BadParameter(message, param_hint="--verifier-type")
    data = run.data if run else DataSection()
    try:
        fetch = FetchSection(**data.fetch.model_dump() | {"hosts": (*data.fetch.hosts, *(hosts or ()))})
    except ValidationError as error:
        raise typer.BadParameter(
            error.errors()[0]["msg"].removeprefix("Value error, "), param_hint="--image-host"
        ) from error
    root = find_input(image_root) if image_root else None
    options = {name: value for name, value in (("image_root", root), ("verifier_type", verifier_type)) if value}
    mixed = {
        name: tuple(part.model_copy(update=options) for part in source)
        for name, source in (("train", data.train), ("heldout", data.heldout))
        if not isinstance(source, str)
    }
    return data.model_copy(update=options | mixed | {"fetch": fetch})


def _show_curated(config: CurationConfig, outputs: Outputs) -> None:
    from rich.console import Console

    from vlaa_ray.curation.counts import reasons_table, sources_table
    from vlaa_ray.curation.outputs import SETS
    from vlaa_ray.curation.progress import flow_table
    from vlaa_ray.report.curation_page import write_curation_page
    from vlaa_ray.run.run_json import run_path

    console, folder = Console(emoji=False), run_path(config)
    console.print(flow_table(outputs.counts, outputs.calls))
    console.print(reasons_table(outputs.counts))
    console.print(sources_table(outputs.counts))
    for file in (*(folder / f"{name}.json" for name in SETS), *outputs.subsets):
        console.print(f"Set: {file}", soft_wrap=True, highlight=False)
    console.print(f"Page: {write_curation_page(folder, outputs)}", soft_wrap=True, highlight=False)


def _estimate(config: CurationConfig) -> None:
    from rich.console import Console

    from vlaa_ray.curation.estimate import estimate, estimate_table, over_budget
    from vlaa_ray.curation.refusals import Refusals
    from vlaa_ray.run.run_json import run_path
    from vlaa_ray.services.call_store import recorded

    refusals = Refusals()
    estimates = estimate(config, recorded(run_path(config)), refusals)
    Console(emoji=False).print(estimate_table(estimates))
    for line in (*refusals.lines(), *over_budget(estimates, config)):
        Console(emoji=False).print(line, soft_wrap=True, highlight=False)
