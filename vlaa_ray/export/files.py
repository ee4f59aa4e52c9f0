"""The folder of an exported model: weights, processor, generation config, chat template, settings and card."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

import vlaa_ray
from vlaa_ray.config import parse_yaml
from vlaa_ray.config.base_folder import expand_home
from vlaa_ray.errors import CheckpointError, ConfigError, ModelError
from vlaa_ray.export.card import model_card
from vlaa_ray.export.lineage import base_model
from vlaa_ray.export.template import check_template, with_system_prompt
from vlaa_ray.report.evaluation_folder import RecordedEvaluation
from vlaa_ray.run.model_source import ModelSource
from vlaa_ray.run.trained_frame import trained_frame
from vlaa_ray.storage.layout import CONFIG, EXPORTED
from vlaa_ray.storage.mapping_file import read_mapping

_TEMPLATE, _TOKENIZER, _GENERATION = "chat_template.jinja", "tokenizer_config.json", "generation_config.json"
_PROCESSOR, _IMAGES, _MODEL = "processor_config.json", "preprocessor_config.json", "config.json"
_GREEDY_TEMPERATURE = 0.01
"""The temperature that stands for greedy decoding: transformers refuses 0, and vLLM makes a smaller one 0.01."""


def export_model(source: ModelSource, folder: Path, scores: tuple[RecordedEvaluation, ...] = ()) -> Path:
    """Write the verified checkpoint `source` to the new folder `folder` and return its absolute path.

    Files are copied, because training tools change files in place, and a link would change the checkpoint with them.
    The folder appears as a whole, after its template has been compared with the training's token ids.

    Raises:
        ConfigError: the folder exists and is not empty, or lies inside a checkpoint, or can't be written.
        ModelError: `source` is no checkpoint of a run, or its chat template can't take the system prompt.
        CheckpointError: a file of the checkpoint can't be read.

    """
    checkpoint = source.checkpoint
    if checkpoint is None:
        fix = "name a run, its folder or one of its checkpoints"
        raise ModelError("only a checkpoint of a run can be exported", got=source.path, kind=source.kind, fix=fix)
    folder = _free(folder, checkpoint)
    partial = folder.with_name(f".{folder.name}.{os.getpid()}.partial")
    try:
        _copy(Path(source.path), partial)
        _write_settings(partial, source, checkpoint)
        _check(partial, source)
        card = model_card(folder.name, source, base_model(checkpoint), scores)
        (partial / "README.md").write_text(card, encoding="utf-8")
        if folder.exists():
            folder.rmdir()
        partial.rename(folder)
    except OSError as error:
        fix = "free space, or name a folder elsewhere"
        raise ConfigError(f"can't write the export: {error}", folder=str(folder), fix=fix) from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return folder


def _free(folder: Path, checkpoint: Path) -> Path:
    folder = Path(expand_home(str(folder))).absolute()
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        what = "exists and is not empty" if folder.is_dir() else "is a file"
        raise ConfigError(f"the folder for the export {what}", folder=str(folder), fix="name a new folder")
    if folder.resolve().is_relative_to(checkpoint.resolve()):
        message = "the folder for the export lies inside the checkpoint, which would not be sound any more"
        raise ConfigError(message, folder=str(folder), fix="name a folder elsewhere")
    return folder


def _copy(model: Path, partial: Path) -> None:
    partial.mkdir(parents=True)
    for path in sorted(model.iterdir()):
        if not path.is_file():
            raise CheckpointError("hf/ holds something that is not a file", path=str(path))
        shutil.copyfile(path, partial / path.name)  # with the usual permissions; safetensors gives none to others


def _write_settings(folder: Path, source: ModelSource, checkpoint: Path) -> None:
    """Write what differs from the checkpoint: template, limits of pixels, generation config, and `vlaa_ray.json`.

    The model's config loses `use_cache: false`, with which the learner saved it: generation needs the cache.
    """
    config = read_mapping(checkpoint / CONFIG, parse_yaml)[0]
    tokenizer = _read(folder / _TOKENIZER)
    inside = tokenizer.pop("chat_template", None)  # older checkpoints hold the template here
    template = folder / _TEMPLATE
    text = template.read_text(encoding="utf-8") if template.is_file() else inside
    if not isinstance(text, str):
        raise ModelError("the checkpoint has no chat template", expected=_TEMPLATE, checkpoint=str(checkpoint))
    template.write_text(with_system_prompt(text, source.system_prompt), encoding="utf-8")
    _write(folder / _TOKENIZER, tokenizer)
    _write_pixels(folder, source)
    _write(folder / _MODEL, {key: value for key, value in _read(folder / _MODEL).items() if key != "use_cache"})
    _write(folder / _GENERATION, _generation(_read(folder / _GENERATION), config.get("eval")))
    settings = {
        "vlaa_ray": vlaa_ray.__version__,
        "run": config.get("run", {}).get("name"),
        "weight_version": source.weight_version,
        "system_prompt": source.system_prompt,
        "min_pixels": source.min_pixels,
        "max_pixels": source.max_pixels,
        "frame": trained_frame(source),
    }
    _write(folder / EXPORTED, settings)


def _write_pixels(folder: Path, source: ModelSource) -> None:
    """Write the limits of pixels for transformers 5 (processor_config.json) and for what reads the older file."""
    processor = _read(folder / _PROCESSOR)
    images = processor.get("image_processor") or _read(folder / _IMAGES)
    images |= {"size": {"shortest_edge": source.min_pixels, "longest_edge": source.max_pixels}}
    if "image_processor" in processor:
        _write(folder / _PROCESSOR, processor | {"image_processor": images})
    named = {"processor_class": processor.get("processor_class")} if processor.get("processor_class") else {}
    limits = {"min_pixels": source.min_pixels, "max_pixels": source.max_pixels}
    _write(folder / _IMAGES, images | limits | named)


def _generation(settings: dict[str, Any], evaluation: Any) -> dict[str, Any]:
    """Return the generation config: the end tokens of the checkpoint, and the sampling of the run's evaluation.

    Penalties and cuts of the base model are left out, because neither training nor evaluation had them.
    """
    temperature = evaluation.get("temperature", 0.0) if isinstance(evaluation, dict) else 0.0
    kept = {key: value for key, value in settings.items() if key.endswith("_token_id")}
    sampling = {"do_sample": True, "temperature": temperature or _GREEDY_TEMPERATURE, "top_k": 0, "top_p": 1.0}
    return kept | sampling | {"transformers_version": settings.get("transformers_version")}


def _check(folder: Path, source: ModelSource) -> None:
    from vlaa_ray.models.loading import load_processor

    section = source.section()
    check_template(load_processor(section, folder), section, Path(source.path))


def _read(path: Path) -> dict[str, Any]:
    return read_mapping(path, json.loads)[0]


def _write(path: Path, value: dict[str, Any]) -> None:
    path.write_text(json.dumps(value, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
