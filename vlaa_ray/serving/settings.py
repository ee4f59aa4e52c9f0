"""The settings of a server, made from its config and the model that it names: for vLLM, and for the checks."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from vlaa_ray.config import ModelSection, ServeConfig
from vlaa_ray.config.files import apply_overrides, read_values, validated
from vlaa_ray.errors import ConfigError, ModelError
from vlaa_ray.models.dtypes import TORCH_NAMES
from vlaa_ray.models.loading import family_at, load_model_config
from vlaa_ray.run.model_source import ModelSource, resolve_model

BUILTIN = "builtin"
_SMALL_MODEL = "builtin:tiny-base"
REASONING_PARSER, PARSER_PLUGIN = "vlaa_ray", "vlaa_ray.serving.vllm_parser"
"""The name of this project's reasoning parser in vLLM, and the module that registers it."""
_MIN_BATCH_TOKENS = 2048  # of one forward pass, on a CPU
_IMAGE_CACHE_GB = 0.5


@dataclass(frozen=True, kw_only=True)
class ServeSettings:
    """A config, and what the model that it names adds to it."""

    config: ServeConfig
    model: ModelSection
    """The model's folder, number format, system prompt and pixel limits."""
    name: str
    """The name that requests call the model by."""
    source: ModelSource
    """Where the model comes from."""


def settings_of(config: ServeConfig) -> ServeSettings:
    """Return the settings with which the model of a config is served.

    Raises:
        ModelError: there is no such model, or it is an endpoint.
        CheckpointError: it is a checkpoint that is damaged.
        ConfigError: the limits of pixels of the config don't fit together.

    """
    policy = config.policy
    source = resolve_model(_SMALL_MODEL if policy.model == BUILTIN else policy.model, Path(policy.runs_dir))
    if source.kind == "endpoint":
        raise ModelError("an endpoint is served already", got=policy.model, fix="name a folder, a run or a hub id")
    dtype = config.engine.dtype or ("bf16" if config.replicas.gpus else "fp32")
    changes = {
        "system_prompt": policy.system_prompt or source.system_prompt,
        "min_pixels": policy.min_pixels or source.min_pixels,
        "max_pixels": policy.max_pixels or source.max_pixels,
    }
    known = {key: value for key, value in changes.items() if key == "system_prompt" or value is not None}
    try:
        model = ModelSection.model_validate({"path": source.path, "dtype": dtype, **known})
    except ValidationError as error:
        raise ConfigError(f"policy: {error.errors()[0]['msg']}", model=policy.model) from None
    return ServeSettings(config=config, model=model, name=policy.name or source.name, source=source)


def engine_arguments(settings: ServeSettings) -> dict[str, Any]:
    """Return the arguments of vLLM's engine and of its OpenAI front, for `LLMConfig.engine_kwargs`.

    Sampling starts from what the model was trained with: temperature 1 and no penalty of a generation config.
    """
    config, model = settings.config, settings.model
    images = config.limits.max_images
    arguments: dict[str, Any] = {
        "dtype": TORCH_NAMES[model.dtype],
        "max_num_seqs": config.engine.max_num_seqs,
        "generation_config": "vllm",
        "override_generation_config": {"max_new_tokens": config.limits.max_completion_tokens},
        "chat_template_content_format": "openai",  # the template places the images, as in the training
        "mm_processor_cache_gb": _IMAGE_CACHE_GB,
        "trust_remote_code": False,
        "seed": 0,
        **family_at(model.path).engine_arguments(model, images),
    }
    if config.engine.max_model_tokens:
        arguments["max_model_len"] = config.engine.max_model_tokens
    if config.policy.separate_reasoning:
        arguments |= {"reasoning_parser": REASONING_PARSER, "reasoning_parser_plugin": PARSER_PLUGIN}
    if config.replicas.gpus:
        return arguments | {
            "tensor_parallel_size": config.replicas.gpus,
            "gpu_memory_utilization": config.engine.gpu_memory_share,
        }
    return arguments | {
        "enforce_eager": True,
        "enable_chunked_prefill": False,  # on a CPU a seeded request fails if its prefill is split
        "max_num_batched_tokens": max(_model_tokens(settings), config.engine.max_num_seqs, _MIN_BATCH_TOKENS),
        "kv_cache_memory_bytes": config.engine.kv_cache_bytes,
    }


def engine_environment(settings: ServeSettings) -> dict[str, str]:
    """Return the environment variables of a replica and of the engine's processes."""
    shared = {
        "VLLM_NO_USAGE_STATS": "1",
        "TOKENIZERS_PARALLELISM": "false",
        "PYTHONUTF8": "1",
        "VLLM_LOGGING_LEVEL": "INFO",
    }
    if settings.config.replicas.gpus:
        return shared
    return shared | {
        "VLLM_CPU_OMP_THREADS_BIND": "nobind",  # the default binds every engine to the same cores
        "OMP_NUM_THREADS": str(max(1, int(settings.config.replicas.cpus))),
        "TORCH_COMPILE_DISABLE": "1",
    }


def serve_config(args: Mapping[str, Any]) -> ServeConfig:
    """Return the config from `args` of a Serve file; raises ConfigError with all problems."""
    return validated(dict(args), ServeConfig, where="args of the application")


def load_serve_config(file: Path | None, model: str | None, overrides: Sequence[str]) -> ServeConfig:
    """Return the config of a Serve file's only application, changed by the model and overrides of the command line.

    Raises:
        ConfigError: the file has no or several applications, or keys are wrong; the message lists all problems.

    """
    values = _application_args(file) if file else {}
    apply_overrides(values, [*overrides, *([f"policy.model={json.dumps(model)}"] if model else [])])
    return validated(values, ServeConfig, **({"file": str(file)} if file else {}))


def _application_args(file: Path) -> dict[str, Any]:
    path, values = read_values(file)
    applications = values.get("applications")
    if not isinstance(applications, list) or len(applications) != 1 or not isinstance(applications[0], dict):
        message = "the file is no Serve config with one application"
        raise ConfigError(message, file=str(path), fix="see configs/serve/local.yaml")
    args = applications[0].get("args")
    if not isinstance(args, dict):
        raise ConfigError("the application of the Serve config has no args", file=str(path))
    return args


def _model_tokens(settings: ServeSettings) -> int:
    """Return the number of tokens of the longest prompt and answer together."""
    model_config = load_model_config(settings.model.path)
    text = getattr(model_config, "text_config", model_config)
    return settings.config.engine.max_model_tokens or int(text.max_position_embeddings)
