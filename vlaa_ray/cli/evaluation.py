"""The command `eval`: a model on benchmarks and records, and two evaluations against each other."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from vlaa_ray.cli.common import require_own_actors, writing

if TYPE_CHECKING:
    from vlaa_ray.config import EvalConfig
    from vlaa_ray.run.model_source import ModelSource

app = typer.Typer(rich_markup_mode=None)
_BUILTIN, _RECORDS = "builtin:", "records"
_SMALL_MODEL = "builtin:tiny-base"
_NOT_IN_NAMES = re.compile(r"[^A-Za-z0-9._-]+")


Arguments = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="KEY=VALUE", help="Keys of the config to change, for example rollout.num_samples=8; or more NAMEs."
    ),
]
Model = Annotated[
    str | None,
    typer.Option(
        metavar="MODEL",
        help="A folder, the name of a run or its folder, a checkpoint, OWNER/NAME on the hub, builtin:NAME, or the "
        "URL of an OpenAI-compatible endpoint.",
    ),
]
Benchmarks = Annotated[
    list[str] | None,
    typer.Option(
        metavar="NAME",
        help="MathVista, MathVision, MathVerse, DynaMath, WeMath or LogicVista; builtin:heldout; or records, which "
        "their own verifiers score. Can be given several times.",
    ),
]
Data = Annotated[
    list[str] | None,
    typer.Option(
        metavar="PATH",
        help="File with the questions, or a folder with the files of all benchmarks; or one for each --benchmark, "
        "in their order. Without --benchmark: records.",
    ),
]
NumRows = Annotated[int | None, typer.Option(min=1, metavar="N", help="Ask the first N rows of each benchmark.")]
Conditions = Annotated[
    Path | None,
    typer.Option(
        "--config",
        metavar="FILE",
        help="The conditions: prompts, pixels, tokens, sampling and judge, such as configs/eval/kit.yaml. Without "
        "it, those that the model was trained with.",
    ),
]
Out = Annotated[Path | None, typer.Option(metavar="DIR", help="Folder of the result. Without it: runs/eval-MODEL.")]
Compared = Annotated[
    tuple[Path, Path] | None,
    typer.Option(metavar="A B", help="Compare the folders of two evaluations instead: B against A."),
]


@app.command("eval")
def evaluate(
    arguments: Arguments = None,
    model: Model = None,
    benchmark: Benchmarks = None,
    data: Data = None,
    num_rows: NumRows = None,
    config: Conditions = None,
    out: Out = None,
    compare: Compared = None,
) -> None:
    """Evaluate a model on benchmarks and on records of your own; or compare two evaluations.

    The result has each score with its 95% interval, how each row was settled, and the conditions. The same command
    continues an evaluation that was stopped: no row is asked twice.
    """
    if compare is not None:
        if model or benchmark or data or num_rows or config or arguments:
            raise typer.BadParameter("takes two folders, and --out alone beside them", param_hint="--compare")
        return _compare(*compare, out)
    if model is None:
        raise typer.BadParameter("name the model to evaluate", param_hint="--model")
    overrides = [argument for argument in arguments or [] if "=" in argument]
    names = [*(benchmark or []), *(argument for argument in arguments or [] if "=" not in argument)]
    sections = [
        {**section, "num_rows": num_rows} if num_rows else section for section in benchmark_sections(names, data or [])
    ]
    _evaluate(model, sections, config, out, overrides)


def _evaluate(
    model: str, benchmarks: list[dict[str, Any]], config: Path | None, out: Path | None, overrides: list[str]
) -> None:
    from rich.console import Console

    from vlaa_ray.evaluation.progress import result_table
    from vlaa_ray.report.evaluation_page import write_evaluation_page
    from vlaa_ray.run.run_json import run_path

    source = _source(_SMALL_MODEL if model == "builtin" else model)
    loaded = eval_config(source, benchmarks, config, out, overrides)
    for section in loaded.benchmarks:
        if not section.records:
            _known(section.name)
    require_own_actors()
    from actors.drivers.evaluation import run_evaluation

    result = run_evaluation(loaded, source)
    folder = run_path(loaded)
    page = write_evaluation_page(folder)
    console = Console(emoji=False)
    console.print(result_table(result))
    console.print(f"Result: {folder}\nPage: {page}", soft_wrap=True, highlight=False)


def _source(model: str) -> ModelSource:
    """Return what `--model` names; in a Ray job its paths are also looked for in the folder of the sender."""
    from vlaa_ray.config.base_folder import base_folder, find_checkpoint
    from vlaa_ray.run.model_source import resolve_model

    if model.startswith(("http://", "https://")):
        return resolve_model(model)
    return resolve_model(find_checkpoint(model), base_folder("runs") / "runs")


def benchmark_sections(names: Sequence[str], data: Sequence[str]) -> list[dict[str, Any]]:
    """Return the section `benchmarks` of a config from the options; [] leaves the config's own.

    Raises:
        typer.BadParameter: names and paths don't match.
        ConfigError: there is no benchmark of a name.

    """
    builtin = [_of_records(name, name.partition(":")[2]) for name in names if name.startswith(_BUILTIN)]
    others = [name for name in names if not name.startswith(_BUILTIN)]
    if not others:
        return [*builtin, *(_of_records(path, Path(path.rpartition(":")[2]).stem) for path in data)]
    named = [name if name == _RECORDS else _known(name) for name in others]
    if not data:
        raise typer.BadParameter(f"name the file or folder of {', '.join(named)}", param_hint="--data")
    if len(data) not in (1, len(others)):
        message = f"give one path for all of them, or one for each: got {len(data)} for {len(others)} names"
        raise typer.BadParameter(message, param_hint="--data")
    paths = data if len(data) == len(others) else [*data] * len(others)
    sections = []
    for name, path in zip(named, paths, strict=True):
        sections.append(_of_records(path, Path(path).stem) if name == _RECORDS else {"name": name, "data": path})
    return [*sections, *builtin]


def _known(name: str) -> str:
    """Return the name of a benchmark as its results have it; ConfigError for an unknown name."""
    from vlaa_ray.evaluation.benchmarks import benchmark

    return benchmark(name).name


def _of_records(path: str, name: str) -> dict[str, Any]:
    return {"name": _NOT_IN_NAMES.sub("-", name).lstrip("._-") or _RECORDS, "data": path, "records": True}


def eval_config(
    source: ModelSource,
    benchmarks: list[dict[str, Any]],
    file: Path | None,
    out: Path | None,
    overrides: Sequence[str],
) -> EvalConfig:
    """Return the config of an evaluation; `overrides` win over the options, and these over the file.

    Without a file the conditions are those that the model was trained with, as far as they are known.

    Raises:
        ConfigError: a key is wrong, or no benchmark is named.

    """
    from vlaa_ray.config import EvalConfig, load_config
    from vlaa_ray.errors import ConfigError

    preset: dict[str, Any] = {} if file else _own_conditions(source)
    if source.kind == "endpoint":
        preset["endpoint.url"] = source.path
        if source.served_name:
            preset["endpoint.model"] = source.served_name
    else:
        preset["model.path"] = source.path
    preset["run.name"] = _NOT_IN_NAMES.sub("-", f"eval-{source.name}") if out is None else out.name
    if out is not None:
        preset["run.dir"] = str(out.parent)
    if benchmarks:
        preset["benchmarks"] = benchmarks
    texts = [f"{key}={json.dumps(value)}" for key, value in preset.items()]
    config = load_config(file, [*texts, *overrides], EvalConfig)
    if not config.benchmarks:
        raise ConfigError("nothing to evaluate on", fix="add --benchmark NAME --data PATH")
    return config


_OF_RUN = ("max_completion_tokens", "num_actors", "cpus_per_actor", "gpus_per_actor", "max_num_seqs", "kv_cache_bytes")
_PIXELS_PER_TOKEN = 28 * 28
_QUESTION_TOKENS = 2048


def _own_conditions(source: ModelSource) -> dict[str, Any]:
    """Return the keys of the config for the settings that the model was trained with, as far as they are known."""
    from vlaa_ray.config import parse_yaml
    from vlaa_ray.storage.layout import CONFIG
    from vlaa_ray.storage.mapping_file import read_mapping

    keys: dict[str, Any] = {"conditions.name": "model", "model.system_prompt": source.system_prompt}
    if source.min_pixels and source.max_pixels:
        keys |= {"model.min_pixels": source.min_pixels, "model.max_pixels": source.max_pixels}
        keys["rollout.max_prompt_tokens"] = source.max_pixels // _PIXELS_PER_TOKEN + _QUESTION_TOKENS
    if source.kind == "builtin":
        keys["rollout.max_completion_tokens"] = 64
    if source.checkpoint is not None:
        trained = read_mapping(source.checkpoint / CONFIG, parse_yaml)[0]
        rollout, model = trained.get("rollout") or {}, trained.get("model") or {}
        keys |= {f"rollout.{key}": rollout[key] for key in _OF_RUN if key in rollout}
        keys |= {"model.dtype": model["dtype"]} if "dtype" in model else {}
        keys |= {"rewards": trained["rewards"]} if "rewards" in trained else {}
    return keys


def _compare(first: Path, second: Path, out: Path | None) -> None:
    from rich.console import Console

    from vlaa_ray.config.base_folder import base_folder, find_input
    from vlaa_ray.evaluation.comparison import compare, comparison_table
    from vlaa_ray.report.comparison_page import write_comparison_page

    first, second = Path(find_input(str(first))), Path(find_input(str(second)))
    comparison = compare(first, second)
    names = f"compare-{first.resolve().name}-{second.resolve().name}"
    folder = out or base_folder("runs") / "runs" / names
    file = folder / "comparison.json"
    with writing(file):
        folder.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps(comparison, indent=1) + "\n", encoding="utf-8")
    page = write_comparison_page(comparison["benchmarks"], first, second, folder / "page.html")
    console = Console(emoji=False)
    console.print(comparison_table(comparison))
    for key, (of_a, of_b) in comparison["differing_conditions"].items():
        console.print(f"Conditions differ: {key}: {of_a!r} (a), {of_b!r} (b)", soft_wrap=True, markup=False)
    console.print(f"Comparison: {file}\nPage: {page}", soft_wrap=True, highlight=False)
