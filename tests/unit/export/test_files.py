"""The exported folder, and what is refused. The checkpoint holds the built-in model; nothing is trained."""

import errno
import hashlib
import json
import shutil
from pathlib import Path

import pytest
from trained import make_run
from transformers import AutoModelForImageTextToText, AutoProcessor, GenerationConfig

from vlaa_ray.errors import CheckpointError, ConfigError, ModelError
from vlaa_ray.export.files import export_model
from vlaa_ray.models.paths import BUILTIN_MODELS
from vlaa_ray.run.checkpoints import verify
from vlaa_ray.run.model_source import resolve_model

PIXELS = ("model.min_pixels=4000", "model.max_pixels=9000", "model.system_prompt=Think.")


def bytes_below(folder):
    return {path.relative_to(folder): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    runs = tmp_path_factory.mktemp("runs")
    make_run(runs, *PIXELS)
    return runs


@pytest.fixture(scope="module")
def exported(runs):
    return export_model(resolve_model("trained", runs), runs / "exports/model")


def test_weights_are_copied_and_the_checkpoint_stays_as_it_was(runs, exported):
    copied, original = exported / "model.safetensors", runs / "trained/checkpoints/step_000004/hf/model.safetensors"
    assert hashlib.sha256(copied.read_bytes()).digest() == hashlib.sha256(original.read_bytes()).digest()
    assert copied.stat().st_ino != original.stat().st_ino  # a tool that changes the copy leaves the checkpoint alone
    assert verify(original.parents[1]) == 4


def test_it_loads_in_transformers_with_the_pixel_limits_of_the_run(exported):
    processor = AutoProcessor.from_pretrained(exported)
    assert dict(processor.image_processor.size) == {"shortest_edge": 4000, "longest_edge": 9000}
    older = json.loads((exported / "preprocessor_config.json").read_text())
    assert (older["min_pixels"], older["max_pixels"]) == (4000, 9000)
    model = AutoModelForImageTextToText.from_pretrained(exported)
    assert model.generation_config.use_cache is not False
    assert "use_cache" not in json.loads((exported / "config.json").read_text())
    assert sum(parameter.numel() for parameter in model.parameters()) > 1_000_000


def test_the_template_has_the_system_prompt(exported):
    processor = AutoProcessor.from_pretrained(exported)
    text = processor.apply_chat_template([{"role": "user", "content": "?"}], tokenize=False, add_generation_prompt=True)
    assert text.startswith("<|im_start|>system\nThink.<|im_end|>\n<|im_start|>user\n?")


def test_generation_is_that_of_the_evaluation_with_the_checkpoints_end_tokens(exported):
    config = GenerationConfig.from_pretrained(exported)
    base = GenerationConfig.from_pretrained(BUILTIN_MODELS / "tiny-base")
    assert (config.eos_token_id, config.pad_token_id) == (base.eos_token_id, base.pad_token_id)
    assert config.temperature == 0.01  # eval.temperature is 0


def test_the_export_is_resolved_with_the_settings_of_its_training(exported):
    source = resolve_model(str(exported))
    assert (source.kind, source.system_prompt, source.weight_version) == ("folder", "Think.", 4)
    assert (source.min_pixels, source.max_pixels) == (4000, 9000)
    assert json.loads((exported / "vlaa_ray.json").read_text())["frame"] == "unit"


def test_an_empty_folder_is_taken_and_a_full_one_refused(runs, tmp_path):
    source = resolve_model("trained", runs)
    (tmp_path / "empty").mkdir()
    assert (export_model(source, tmp_path / "empty") / "README.md").is_file()
    before = bytes_below(tmp_path / "empty")
    with pytest.raises(ConfigError, match="exists and is not empty"):
        export_model(source, tmp_path / "empty")
    assert bytes_below(tmp_path / "empty") == before
    (tmp_path / "file").write_text("mine")
    with pytest.raises(ConfigError, match="is a file"):
        export_model(source, tmp_path / "file")


def test_a_folder_inside_the_checkpoint_is_refused(runs):
    source = resolve_model("trained", runs)
    with pytest.raises(ConfigError, match="inside the checkpoint"):
        export_model(source, source.checkpoint / "export")
    assert verify(source.checkpoint) == 4


@pytest.mark.parametrize("text", ["builtin:tiny-base", "owner/model"])
def test_only_checkpoints_are_exported(runs, tmp_path, text):
    with pytest.raises(ModelError, match="only a checkpoint of a run"):
        export_model(resolve_model(text, runs), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_torn_checkpoint_is_refused_before_anything_is_written(tmp_path):
    run = make_run(tmp_path)
    (run / "checkpoints/step_000004/hf/model.safetensors").write_bytes(b"cut")
    with pytest.raises(CheckpointError, match="no checkpoint of the run is sound"):
        export_model(resolve_model("trained", tmp_path), tmp_path / "out")


def test_a_full_disk_leaves_nothing_behind(runs, tmp_path, monkeypatch):
    def full(source, target):
        Path(target).write_bytes(b"a part")
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(shutil, "copyfile", full)
    with pytest.raises(ConfigError, match="No space left"):
        export_model(resolve_model("trained", runs), tmp_path / "out/model")
    assert list((tmp_path / "out").iterdir()) == []


def test_relative_folders_lead_from_the_current_one(runs, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert export_model(resolve_model("trained", runs), Path("new/model")) == tmp_path / "new/model"
