"""The model card (README.md) of an exported model, written from its run.

Only what the run or an evaluation recorded is in it. Paths of the machine are shortened to their last part.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from vlaa_ray.config import PoolSection, parse_yaml
from vlaa_ray.config.base_folder import BUILTIN, HUB
from vlaa_ray.export.lineage import UNKNOWN, Origin, kind_of
from vlaa_ray.report.evaluation_folder import RecordedBenchmark, RecordedEvaluation
from vlaa_ray.report.headline import difference, headline, number
from vlaa_ray.run.model_source import ModelSource
from vlaa_ray.run.reader import RecordedRun
from vlaa_ray.storage.layout import CONFIG, STATE
from vlaa_ray.storage.mapping_file import as_mapping, read_mapping

_SHOWN_SECTIONS = ("model", "data", "grpo", "sft", "rollout", "rewards", "learner", "eval", "max_staleness")
_POOLS = ("rollout", "rewards")
_HARDWARE = (
    "min_ranks",
    "max_restarts",
    "restart_window_s",
    "nodes",
    "cpus_",
    "gpus_",
    "kv_cache",
    "gpu_memory",
    "num_threads",
    "fetch",
    "park",
)
_PRIVATE = ("system_prompt", "service")
"""Keys that are not in the table: the first has a place of its own, the second may name the hosts of a company."""
_PATHS = ("path", "train", "heldout", "image_root", "model", "cache")
_MAX_CELL = 200


def model_card(name: str, source: ModelSource, base: Origin, scores: tuple[RecordedEvaluation, ...] = ()) -> str:
    """Return the text of the card of a checkpoint: the hub's header in YAML, and the page in Markdown."""
    checkpoint = source.checkpoint
    assert checkpoint is not None  # export_model refuses other models
    config = read_mapping(checkpoint / CONFIG, parse_yaml)[0]
    state = read_mapping(checkpoint / STATE, json.loads)[0]
    run = _run_until(source)
    parts = [
        _header(name, base, config, scores),
        f"# {_plain(name)}\n\n{_summary(source, base, config)}",
        _usage(name, source),
        "## Training data\n\n" + "\n".join(_data(config, state, run)),
        "## Scores\n\n" + "\n\n".join(_scores(config, run, source, scores)),
        "## Settings\n\n" + _settings(config, run),
    ]
    return "\n\n".join(parts) + "\n"


def _run_until(source: ModelSource) -> RecordedRun | None:
    """Return what the run recorded up to the step of the checkpoint; None without the run's folder."""
    if source.run_dir is None:
        return None
    run = RecordedRun.read(source.run_dir)
    return replace(run, metrics=[row for row in run.metrics if row["step"] <= (source.weight_version or 0)])


def _header(name: str, base: Origin, config: dict[str, Any], scores: tuple[RecordedEvaluation, ...]) -> str:
    from huggingface_hub import EvalResult, ModelCardData

    results = [
        EvalResult(
            task_type="image-text-to-text",
            dataset_type=benchmark,
            dataset_name=benchmark,
            metric_type="accuracy",
            metric_name=f"{result.headline} ({evaluation.conditions.get('name', 'own')} conditions)",
            metric_value=round(score, 2),
        )
        for evaluation in scores
        for benchmark, result in evaluation.benchmarks.items()
        if (score := result.main.value) is not None
    ]
    data = ModelCardData(
        base_model=base.hub_id,
        license=base.licence,
        library_name="transformers",
        pipeline_tag="image-text-to-text",
        tags=["vlaa-ray", kind_of(config).lower(), "vision-language", "reasoning"],
        datasets=_hub_datasets(config) or None,
        model_name=name if results else None,
        eval_results=results or None,
    )
    return f"---\n{data.to_yaml()}\n---"


def _summary(source: ModelSource, base: Origin, config: dict[str, Any]) -> str:
    known = f"The licence of the base model is {base.licence}."
    unknown = "The licence of the base model is unknown: look it up before you use or pass on this model."
    return "\n".join(
        [
            f"A vision-language model, trained with {kind_of(config)} by vlaa-ray, after {source.weight_version} "
            "optimizer steps.",
            "",
            f"- Base model: {_link(base)}",
            f"- Licence: {unknown if base.licence == UNKNOWN else known}",
            *(f"- Stage {number}: {_plain(stage)}" for number, stage in enumerate(base.stages, start=1)),
        ]
    )


def _link(base: Origin) -> str:
    return f"[{base.name}](https://huggingface.co/{base.hub_id})" if base.hub_id else f"`{_plain(base.name)}`"


def _usage(name: str, source: ModelSource) -> str:
    prompt = source.system_prompt
    about = (
        "The chat template puts in the system prompt of the training where the conversation has none:\n\n"
        + _fenced(prompt)
        if prompt
        else "The model was trained without a system prompt of its own."
    )
    return f"""## Use

{about}

Images are scaled to between {source.min_pixels:,} and {source.max_pixels:,} pixels, as in the training.

```python
from transformers import AutoModelForImageTextToText, AutoProcessor

processor = AutoProcessor.from_pretrained("{name}")
model = AutoModelForImageTextToText.from_pretrained("{name}", dtype="auto")
question = [{{"type": "image", "path": "picture.png"}}, {{"type": "text", "text": "…"}}]
inputs = processor.apply_chat_template(
    [{{"role": "user", "content": question}}],
    add_generation_prompt=True,
    tokenize=True,
    return_dict=True,
    return_tensors="pt",
)
print(processor.decode(model.generate(**inputs, max_new_tokens=1024)[0]))
```

```bash
vllm serve {name}
vlaa-ray ask --model {name} --image picture.png "…"
```"""


def _data(config: dict[str, Any], state: dict[str, Any], run: RecordedRun | None) -> Iterator[str]:
    data = as_mapping(config.get("data"))
    recorded = as_mapping(state.get("data"))
    for key, what in (("train", "Training"), ("heldout", "Held out")):
        yield f"- {what}: {', '.join(_sources(data.get(key)))}"
    if isinstance(count := recorded.get("num_prompts"), int):
        yield f"- Records that could be used for training: {count:,}"
    rollout, sft = as_mapping(config.get("rollout")), as_mapping(config.get("sft"))
    steps = state.get("step")
    if isinstance(steps, int) and sft:  # its config has a section `rollout`, too, for held-out answers
        yield f"- Seen in training: {steps:,} steps of {sft.get('samples_per_step', 0):,} worked answers"
    elif isinstance(steps, int) and rollout:
        prompts, group = rollout.get("prompts_per_step", 0), rollout.get("group_size", 0)
        yield f"- Seen in training: {steps:,} steps of {prompts:,} prompts with {group:,} sampled answers each"
    if run is not None and (quarantine := run.path / "quarantine.jsonl").is_file():
        with quarantine.open("rb") as file:
            yield f"- Records left out because they can't be used: {sum(1 for _ in file):,}"
    if isinstance(digest := recorded.get("sha256"), str):
        yield f"- Fingerprint of the data (sha256): `{digest}`"


def _sources(value: Any) -> list[str]:
    """Return the sources of a config with their weights; of a path only its last part."""
    if isinstance(value, str):
        return [f"`{_short(value)}`"]
    parts = [part for part in value if isinstance(part, dict)] if isinstance(value, list) else []
    return [f"`{_short(str(part.get('path')))}` (weight {part.get('weight', 1.0):g})" for part in parts] or ["unknown"]


def _hub_datasets(config: dict[str, Any]) -> list[str]:
    train = as_mapping(config.get("data")).get("train")
    named = [train] if isinstance(train, str) else [part.get("path") for part in train or () if isinstance(part, dict)]
    hub = [str(name).removeprefix(HUB).partition("@")[0] for name in named if str(name).startswith(HUB)]
    return [name for name in hub if not name.startswith((".", "/")) and name.count("/") == 1]


def _scores(
    config: dict[str, Any], run: RecordedRun | None, source: ModelSource, scores: tuple[RecordedEvaluation, ...]
) -> Iterator[str]:
    result = headline(run) if run is not None else None
    if result is None or not result.lines:
        yield "The run has no held-out evaluation up to this checkpoint."
    else:
        rows = [(line.label, number(line.base), number(line.trained), difference(line)) for line in result.lines]
        yield _table((f"held-out {result.subject}", result.first_heading, result.last_heading, "difference"), rows)
        yield f"{result.caption} {_own_conditions(config, samples=result.subject == 'reward')}"
        if result.last_step is not None and result.last_step != source.weight_version:
            yield f"This checkpoint (step {source.weight_version}) is later than that evaluation."
    for evaluation in scores:
        yield from _benchmarks(evaluation)


def _own_conditions(config: dict[str, Any], *, samples: bool) -> str:
    """Return the conditions of the run's own evaluation, which either sampled answers or scored given ones."""
    evaluation, data = as_mapping(config.get("eval")), as_mapping(config.get("data"))
    asked = evaluation.get("num_prompts")
    which = f"the first {asked:,} of" if isinstance(asked, int) else "all of"
    told = f"Conditions: {which} {', '.join(_sources(data.get('heldout')))}"
    if not samples:
        return f"{told}, with their worked answers."
    tokens = evaluation.get("max_completion_tokens") or as_mapping(config.get("rollout")).get("max_completion_tokens")
    return (
        f"{told}, one answer each at temperature {evaluation.get('temperature', 0.0):g}, at most {tokens} tokens, "
        "judged by the verifiers of the training."
    )


def _benchmarks(evaluation: RecordedEvaluation) -> Iterator[str]:
    rows = [_benchmark_row(name, result) for name, result in evaluation.benchmarks.items()]
    yield _table(("benchmark", "counted as", "score, %", "95% interval", "rows", "settled by"), rows)
    if evaluation.mean_of_six is not None:
        yield f"Mean of the six: {evaluation.mean_of_six:.1f}"
    conditions = {key: value for key, value in evaluation.conditions.items() if value not in (None, "", {})}
    conditions.pop("system_prompt", None)
    if isinstance(judge := conditions.get("judge"), dict):
        conditions["judge"] = judge.get("model")  # without the address of the service
    told = ", ".join(f"{_plain(key)} {_plain(_told(value))}" for key, value in conditions.items())
    prompt = evaluation.conditions.get("system_prompt")
    asked = f" System prompt:\n\n{_fenced(str(prompt))}" if prompt else " No system prompt."
    measured = f"Measured by vlaa-ray {_plain(evaluation.version)} on {_plain(str(evaluation.created)[:10])}."
    yield f"Conditions: {told}. {measured}{asked}"


def _benchmark_row(name: str, result: RecordedBenchmark) -> tuple[str, ...]:
    score = result.main
    value = "–" if score.value is None else f"{score.value:.1f}"
    interval = "–" if score.low is None or score.high is None else f"{score.low:.1f} to {score.high:.1f}"
    settled = ", ".join(f"{how} {count:,}" for how, count in result.settled if count)
    return name, result.headline, value, interval, f"{result.num_rows:,} x {result.num_samples}", settled


def _settings(config: dict[str, Any], run: RecordedRun | None) -> str:
    run_section = as_mapping(config.get("run"))
    rows = [(f"run.{key}", run_section.get(key)) for key in ("num_steps", "seed")]
    for section in _SHOWN_SECTIONS:
        rows += _flat(section, config.get(section))
    shown = [(f"`{key}`", _told(value)) for key, value in rows if value not in (None, {}, [])]
    versions = as_mapping(run.state.get("versions")) if run is not None else {}
    told = ", ".join(f"{name} {version}" for name, version in versions.items())
    table = _table(("key", "value"), shown)
    block = f"<details><summary>The resolved config of the run</summary>\n\n{table}\n\n</details>"
    return f"{block}\n\nVersions: {told or UNKNOWN}"


def _flat(prefix: str, value: Any) -> Iterator[tuple[str, Any]]:
    """Yield (key, value) of a section's leaves: without what is private, and without hardware."""
    if not isinstance(value, dict):
        last = prefix.rpartition(".")[2]
        yield prefix, _shortened(value) if last in _PATHS else value
        return
    for key, part in value.items():
        if not (key.startswith(_HARDWARE + _PRIVATE) or (prefix in _POOLS and key in PoolSection.model_fields)):
            yield from _flat(f"{prefix}.{key}", part)


def _shortened(value: Any) -> Any:
    if isinstance(value, list):
        return ", ".join(_sources(value)).replace("`", "")
    return _short(value) if isinstance(value, str) else value


def _short(path: str) -> str:
    """Return a source or a path without the folders of this machine; hub ids and built-in names stay."""
    if path.startswith((BUILTIN, HUB)) and not path.startswith((f"{HUB}/", f"{HUB}.")):
        return path
    is_local = path.startswith(("/", ".", "~")) or Path(path).exists()
    return Path(path).name if is_local else path


def _table(heads: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    lines = [list(heads)]
    cells = [["---"] * len(lines[0]), *([_plain(cell) for cell in row] for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in [*lines, *cells])


def _told(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return text if len(text) <= _MAX_CELL else text[:_MAX_CELL] + " …"


def _plain(text: Any) -> str:
    """Return a foreign text as one line that can't end a table's cell or begin HTML."""
    return " ".join(str(text).split()).replace("|", "\\|").replace("<", "&lt;")


def _fenced(text: str) -> str:
    """Return a text as a code block whose fence is longer than any fence inside it."""
    fence = "```"
    while fence in text:
        fence += "`"
    return f"{fence}text\n{text}\n{fence}"
