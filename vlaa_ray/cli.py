"""The command line, `vlaa-ray` or `python -m vlaa_ray`: parses, asks the right module, and ends with the right code.

Exit codes: 0 done, 1 failed, 2 wrong config or command line, 130 and 143 stopped by SIGINT and SIGTERM. Heavy
modules are imported by the commands that need them, so that every `--help` answers at once.
"""

from __future__ import annotations

import importlib.util
import logging
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

import vlaa_ray
from vlaa_ray.errors import ConfigError, VlaaRayError

if TYPE_CHECKING:
    from vlaa_ray.config import AnyConfig, RewardsSection, RunConfig, SupervisedConfig

app = typer.Typer(
    name="vlaa-ray",
    help=vlaa_ray.__doc__,
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,  # plain help: rich would double the time it takes
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
log = logging.getLogger(__name__)

ConfigFile = Annotated[Path, typer.Option("--config", metavar="FILE", help="YAML file of the run.")]
Overrides = Annotated[list[str] | None, typer.Argument(metavar="KEY=VALUE", help="For example run.num_steps=3.")]
Resume = Annotated[
    str,
    typer.Option(metavar="auto|never|DIR", help="Continue the run of this name, start only, or continue from DIR."),
]
data_app = typer.Typer(help="Look at data before it is trained on.", no_args_is_help=True, rich_markup_mode=None)
app.add_typer(data_app, name="data")
RewardsOf = Annotated[
    Path | None, typer.Option("--config", metavar="FILE", help="Score as this run would: its verifiers and scorer.")
]


@app.command()
def train(
    config: ConfigFile,
    overrides: Overrides = None,
    resume: Resume = "auto",
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Plan and check only; needs no GPU.")] = False,
) -> None:
    """Train with GRPO, and show what it gained."""
    from vlaa_ray.config import load_config

    loaded: RunConfig = load_config(config, overrides or [])
    if dry_run:
        return _plan(loaded)
    _require_own_actors()
    from actors.driver import run_training

    run_training(loaded, resume)
    _show_results(loaded)


@app.command()
def sft(config: ConfigFile, overrides: Overrides = None, resume: Resume = "auto") -> None:
    """Train on worked answers (supervised), with Ray Train."""
    from vlaa_ray.config import SftConfig, load_config

    _train_supervised(load_config(config, overrides or [], SftConfig), resume)


@app.command("reward-model")
def reward_model(config: ConfigFile, overrides: Overrides = None, resume: Resume = "auto") -> None:
    """Train a reward model on pairs of answers, with Ray Train."""
    from vlaa_ray.config import RewardModelConfig, load_config

    _train_supervised(load_config(config, overrides or [], RewardModelConfig), resume)


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
    _require_own_actors()
    from actors.reward_server import serve_reward_model

    serve_reward_model(section, num_replicas=replicas, port=port, address=address, gpus=gpus)


@app.command("config")
def show_config(file: Annotated[Path, typer.Argument(metavar="FILE")], overrides: Overrides = None) -> None:
    """Print a file's resolved config, with every default."""
    from vlaa_ray.config import dump_config

    typer.echo(dump_config(_load(file, overrides or [])), nl=False)


@app.command()
def report(run_dir: Annotated[Path, typer.Argument(metavar="RUN_DIR", help="For example runs/quickstart.")]) -> None:
    """Write the report of a run, and print its table."""
    if not (run_dir / "config.yaml").is_file():
        raise ConfigError("not a run folder: it has no config.yaml", folder=str(run_dir), fix="give runs/NAME")
    _print_report(run_dir)


@app.command()
def score(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="JSON Lines: response, gold, verifier_type.")],
    out: Annotated[Path | None, typer.Option(metavar="FILE", help="Write every row with its verdict.")] = None,
    config: RewardsOf = None,
) -> None:
    """Score a file of responses, or a run's rollouts, and print the table."""
    import json

    from rich.console import Console

    from vlaa_ray.rewards.mixture import MixedReward
    from vlaa_ray.rewards.offline import score_file, score_table

    with MixedReward(_rewards(config)) as rewards:
        rows = score_file(file, rewards)
    if out:
        out.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    Console().print(score_table(rows))


@app.command()
def probe(
    source: Annotated[str, typer.Argument(metavar="DATA", help="builtin:heldout, or a file of prompts.")],
    image_root: Annotated[str | None, typer.Option(metavar="DIR", help="Of the file's images.")] = None,
    limit: Annotated[int, typer.Option(min=1, help="At most so many prompts.")] = 500,
    config: RewardsOf = None,
) -> None:
    """Show what answers that don't look would earn on some data; then exit 1 if any beats an honest wrong answer."""
    from rich.console import Console

    from vlaa_ray.config import DataSection
    from vlaa_ray.data.dataset import open_dataset
    from vlaa_ray.rewards.mixture import MixedReward
    from vlaa_ray.rewards.probes import probe_prompts, probe_table

    section = _rewards(config)
    prompts = open_dataset(source, DataSection(image_root=image_root), limit, section.verifier_types())
    with MixedReward(section) as rewards:
        outcomes = probe_prompts(prompts, rewards)
    Console().print(probe_table(outcomes))
    if any(outcome.holes for outcome in outcomes):
        raise typer.Exit(1)


@data_app.command("check")
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
    from vlaa_ray.rewards.mixture import MixedReward

    run = load_config(config, kind=RunConfig) if config else None
    with MixedReward(run.rewards if run else RewardsSection()) as rewards:
        found = check_data(paths, image_root, rewards, run)
    if report:
        report.write_text(found.as_json() + "\n", encoding="utf-8")
    if quarantine:
        lines = "".join(defect.as_line() for defect in found.defects)
        quarantine.write_text(lines, encoding="utf-8", errors="backslashreplace")
    Console().print(report_table(found))
    if found.defects:
        raise typer.Exit(1)


@app.command()
def submit(
    args: Annotated[list[str], typer.Argument(metavar="-- COMMAND", help="What to run there.")],
    address: Annotated[
        str | None, typer.Option(metavar="URL", help="Ray's dashboard; null for this machine's.")
    ] = None,
    working_dir: Annotated[Path, typer.Option(metavar="DIR", help="Sent to the cluster.")] = Path("."),
    wait: Annotated[bool, typer.Option("--wait/--no-wait", help="Follow the log, and end with the job's code.")] = True,
) -> None:
    """Run a command on a Ray cluster: submit -- train --config FILE."""
    commands = [command.name or command.callback.__name__ for command in app.registered_commands if command.callback]
    commands += [str(group.name) for group in app.registered_groups]
    if args[0] not in commands:
        raise ConfigError(f"unknown command {args[0]!r}", fix=f"one of {', '.join(commands)}, after --")
    _require_own_actors()
    from actors.submit import submit as submit_job

    raise typer.Exit(submit_job(address, args, working_dir, wait))


@app.command()
def doctor(
    config: Annotated[
        Path | None, typer.Option("--config", metavar="FILE", help="Hold the machine against it.")
    ] = None,
) -> None:
    """Say what would break a run here; then exit 2."""
    from rich.console import Console

    from vlaa_ray.doctor import diagnose, is_broken, table

    findings = diagnose(_load(config, []) if config else None)
    Console().print(table(findings))
    if is_broken(findings):
        raise typer.Exit(2)


def main(args: list[str] | None = None) -> int:
    """Run the command line; the exit code."""
    try:
        app(args, prog_name="vlaa-ray")
    except SystemExit as done:
        return done.code if isinstance(done.code, int) else 1
    except VlaaRayError as error:
        log.debug("the run ended", exc_info=error)
        _print_error(error)
        return error.exit_code
    except Exception as error:
        log.exception("unexpected error")
        _complain(type(error).__name__, str(error), "This is a bug: please report it, with the traceback above.")
        return 1
    return 0


def _rewards(config: Path | None) -> RewardsSection:
    from vlaa_ray.config import RewardsSection, RunConfig, load_config

    return load_config(config, kind=RunConfig).rewards if config else RewardsSection()


def _train_supervised(config: SupervisedConfig, resume: str) -> None:
    _require_own_actors()
    from actors.supervised import run_supervised

    run_supervised(config, resume)


def _plan(config: RunConfig) -> None:
    from rich.console import Console

    from vlaa_ray.dry_run import examine, failed, show

    examined = examine(config)
    show(examined, Console())
    if error := failed(examined):
        raise error


def _show_results(config: RunConfig) -> None:
    from vlaa_ray.run_folder import run_path

    _print_report(run_path(config))


def _print_report(run_dir: Path) -> None:
    from rich.console import Console

    from vlaa_ray.report import final_table, write_report

    path = write_report(run_dir)
    console = Console()
    console.print(final_table(run_dir))
    console.print(f"Report: {path}", soft_wrap=True, highlight=False)


def _load(file: Path, overrides: list[str]) -> AnyConfig:
    """The config in `file`, of whatever kind of run."""
    import yaml

    from vlaa_ray.config import config_kind, load_config

    try:
        values = yaml.safe_load(file.read_text(encoding="utf-8"))
    except (OSError, yaml.YAMLError):
        values = None  # load_config says what is wrong
    return load_config(file, overrides, config_kind(values))


def _require_own_actors() -> None:
    """ConfigError unless the package `actors` that Python would import is the one beside `vlaa_ray`."""
    spec = importlib.util.find_spec("actors")
    found = Path(spec.origin).resolve() if spec and spec.origin else None
    expected = Path(vlaa_ray.__file__).resolve().parents[1] / "actors" / "__init__.py"
    if found != expected:
        fix = "pip uninstall actors, then reinstall vlaa-ray; or run from the project's folder"
        raise ConfigError(
            "another package called 'actors' is in the way", got=str(found), expected=str(expected), fix=fix
        )


def _print_error(error: VlaaRayError) -> None:
    where = ", ".join(f"{key}={value!r}" for key, value in error.facts.items())
    _complain(type(error).__name__, error.message.strip(), where, f"Fix: {error.fix}" if error.fix else "")


def _complain(kind: str, *lines: str) -> None:
    """Write an error to stderr: its kind, and the lines that say something."""
    from rich.console import Console
    from rich.text import Text

    message = Text(kind, style="bold red").append(
        ": " + "\n".join(line for line in lines if line), style="not bold default"
    )
    Console(stderr=True, soft_wrap=True).print(message)
