"""The MODEL argument: each thing a user may name, and what is refused."""

import json
from pathlib import Path

import pytest

from vlaa_ray.errors import CheckpointError, ModelError
from vlaa_ray.models.paths import BUILTIN_MODELS
from vlaa_ray.run.checkpoints import CheckpointStore
from vlaa_ray.run.model_source import resolve_model

CONFIG = (
    "run: {name: demo, num_steps: 4}\nmodel: {path: base, system_prompt: Think., min_pixels: 800, max_pixels: 900}\n"
)


def save(run: Path, step: int) -> Path:
    store = CheckpointStore(run / "checkpoints", keep=9, config=CONFIG)
    folder = store.begin(step)
    (folder / "hf").mkdir()
    (folder / "hf/config.json").write_text(json.dumps({"step": step}))
    (folder / "optimizer").write_bytes(b"moments")
    return store.commit(step, {})


@pytest.fixture
def runs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    save(tmp_path / "runs/demo", 2)
    save(tmp_path / "runs/demo", 4)
    return tmp_path / "runs"


def test_a_run_is_its_newest_checkpoint_with_the_settings_of_its_training(runs):
    source = resolve_model("demo", Path("runs"))
    assert (source.kind, source.name, source.weight_version) == ("checkpoint", "demo-step_000004", 4)
    assert source.path == str(runs / "demo/checkpoints/step_000004/hf")
    assert (source.system_prompt, source.min_pixels, source.max_pixels) == ("Think.", 800, 900)
    assert source.run_dir == runs / "demo"
    section = source.section()
    assert (section.path, section.system_prompt, section.min_pixels) == (source.path, "Think.", 800)


def test_the_run_folder_the_checkpoint_and_its_hf_folder_name_the_same(runs):
    newest = resolve_model("demo", runs)
    assert resolve_model("runs/demo", Path("elsewhere")) == newest
    assert resolve_model(str(runs / "demo/checkpoints/step_000004"), runs) == newest
    assert resolve_model("demo/checkpoints/step_000004/hf", runs) == newest
    assert resolve_model("demo/checkpoints/step_000002", runs).weight_version == 2


def test_an_altered_checkpoint_is_passed_over_in_a_run_and_refused_by_name(runs):
    altered = runs / "demo/checkpoints/step_000004/hf/config.json"
    altered.write_text(json.dumps({"step": 5}))  # the same size
    assert resolve_model("demo", runs).weight_version == 2
    with pytest.raises(CheckpointError, match=r"hf/config\.json has another sha256"):
        resolve_model(str(altered.parents[1]), runs)


def test_of_the_optimizer_only_the_size_is_compared(runs):
    optimizer = runs / "demo/checkpoints/step_000004/optimizer"
    optimizer.write_bytes(b"MOMENTS")
    assert resolve_model("demo", runs).weight_version == 4
    optimizer.write_bytes(b"cut")
    assert resolve_model("demo", runs).weight_version == 2


def test_a_torn_checkpoint_and_a_run_without_one_are_refused(runs):
    (runs / "demo/checkpoints/step_000004/manifest.json").unlink()
    with pytest.raises(CheckpointError, match="no manifest"):
        resolve_model(str(runs / "demo/checkpoints/step_000004"), runs)
    (runs / "young/checkpoints").mkdir(parents=True)
    with pytest.raises(CheckpointError, match="the run has no checkpoint"):
        resolve_model("young", runs)


def test_the_builtin_model_has_the_limits_of_its_processor_and_no_system_prompt(runs):
    source = resolve_model("builtin:tiny-base", runs)
    assert (source.kind, source.path) == ("builtin", str(BUILTIN_MODELS / "tiny-base"))
    assert (source.system_prompt, source.min_pixels, source.max_pixels) == (None, 3136, 12544)


def test_a_plain_folder_and_an_exported_one(runs, tmp_path):
    folder = tmp_path / "exported"
    folder.mkdir()
    (folder / "config.json").write_text("{}")
    (folder / "preprocessor_config.json").write_text(json.dumps({"min_pixels": 1000, "max_pixels": 2000}))
    plain = resolve_model("exported", runs)
    assert (plain.kind, plain.system_prompt, plain.min_pixels, plain.max_pixels) == ("folder", None, 1000, 2000)
    (folder / "vlaa_ray.json").write_text(json.dumps({"system_prompt": "Think.", "weight_version": 7}))
    exported = resolve_model(str(folder), runs)
    assert (exported.system_prompt, exported.weight_version) == ("Think.", 7)


@pytest.mark.parametrize(
    ("text", "name", "path", "served"),
    [
        ("http://127.0.0.1:8000/v1/", "127.0.0.1-8000", "http://127.0.0.1:8000/v1", None),
        ("https://api.example.org/v1#org/large", "large", "https://api.example.org/v1", "org/large"),
        ("https://api.example.org/v1", "api.example.org", "https://api.example.org/v1", None),
    ],
)
def test_endpoints(runs, text, name, path, served):
    source = resolve_model(text, runs)
    assert (source.kind, source.name, source.path, source.served_name) == ("endpoint", name, path, served)
    with pytest.raises(ModelError, match="can't be loaded"):
        source.section()


def test_a_hub_id_is_not_looked_up_and_keeps_the_defaults(runs):
    source = resolve_model("Qwen/Qwen2.5-VL-3B-Instruct", runs)
    assert (source.kind, source.name, source.max_pixels) == ("hub", "Qwen2.5-VL-3B-Instruct", None)
    assert source.section("bf16").dtype == "bf16"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("demmo", "did you mean 'demo'"),
        ("runs/nothing", "no model of this name"),
        ("builtin:huge", "no built-in model"),
        ("builtin:tiny-reward", "reward model"),
        ("builtin:tiny-untrained", "has no folder"),
        ("http:///v1", "names no host"),
        ("http://foo:bar:baz/v1", "can't be read"),
        ("http://127.0.0.1:99999/v1", "can't be read"),
        ("http://[::1/v1", "can't be read"),
        ("empty", "neither a model's folder"),
    ],
)
def test_what_is_no_model_is_refused(runs, tmp_path, text, message):
    (tmp_path / "empty").mkdir()
    with pytest.raises(ModelError, match=message):
        resolve_model(text, runs)
