"""The settings of a server: the config of a Serve file, the model's own prompt and pixels, and vLLM's arguments."""

from pathlib import Path

import pytest
import yaml

from vlaa_ray.config import ServeConfig
from vlaa_ray.errors import ConfigError, ModelError
from vlaa_ray.serving.settings import (
    engine_arguments,
    engine_environment,
    load_serve_config,
    serve_config,
    settings_of,
)

FILES = sorted((Path(__file__).parents[3] / "configs" / "serve").glob("*.yaml"))


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_every_shipped_serve_file_is_one_of_ray_and_its_args_load(file) -> None:
    from ray.serve.schema import ServeDeploySchema

    values = yaml.safe_load(file.read_text())
    schema = ServeDeploySchema.model_validate(values)
    assert schema.applications[0].import_path == "actors.serving.policy_server:build"
    config = load_serve_config(file, None, [])
    assert config == serve_config(values["applications"][0]["args"])
    assert (schema.http_options.host, schema.http_options.port) == (config.http.host, config.http.port)
    assert f"serve deploy configs/serve/{file.name}" in file.read_text()


def test_the_command_line_changes_the_file() -> None:
    config = load_serve_config(FILES[0], "builtin", ["replicas.max=3", "http.port=8123"])
    assert (config.policy.model, config.replicas.max, config.http.port) == ("builtin", 3, 8123)


def test_all_wrong_keys_are_told_at_once(tmp_path) -> None:
    with pytest.raises(ConfigError, match=r"2 problem.*") as caught:
        load_serve_config(None, "builtin", ["limits.max_image=1", "replicas.min=5"])
    assert "max_images" in caught.value.message and "min (5) is above max (1)" in caught.value.message
    (tmp_path / "other.yaml").write_text("run: {name: a}")
    with pytest.raises(ConfigError, match="no Serve config"):
        load_serve_config(tmp_path / "other.yaml", None, [])


def test_the_small_model_is_served_with_its_own_pixels_and_without_a_system_prompt() -> None:
    settings = settings_of(ServeConfig.model_validate({"policy": {"model": "builtin"}}))
    assert settings.name == "tiny-base" and settings.model.system_prompt is None
    arguments = engine_arguments(settings)
    assert arguments["mm_processor_kwargs"]["size"] == {"shortest_edge": 3136, "longest_edge": 12544}
    assert arguments["limit_mm_per_prompt"] == {"image": 8, "video": 0} and arguments["dtype"] == "float32"
    assert arguments["max_num_batched_tokens"] == 4096 and arguments["reasoning_parser"] == "vlaa_ray"
    assert engine_environment(settings)["OMP_NUM_THREADS"] == "1"


def test_the_config_may_name_another_prompt_other_pixels_and_gpus() -> None:
    policy = {"model": "builtin", "system_prompt": "Be brief.", "max_pixels": 9000, "separate_reasoning": False}
    settings = settings_of(ServeConfig.model_validate({"policy": policy, "replicas": {"gpus": 2}}))
    arguments = engine_arguments(settings)
    assert settings.model.system_prompt == "Be brief." and settings.model.max_pixels == 9000
    assert arguments["tensor_parallel_size"] == 2 and arguments["dtype"] == "bfloat16"
    assert "enforce_eager" not in arguments and "reasoning_parser" not in arguments
    assert "OMP_NUM_THREADS" not in engine_environment(settings)


def test_an_endpoint_is_not_served_again() -> None:
    with pytest.raises(ModelError, match="served already"):
        settings_of(ServeConfig.model_validate({"policy": {"model": "http://localhost:1/v1"}}))
