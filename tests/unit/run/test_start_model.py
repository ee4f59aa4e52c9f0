"""A run that starts from another run: what is chosen, that the choice is kept, and what is refused."""

import json
import logging

import pytest
from trained import make_run

from vlaa_ray.config import GrpoConfig, dump_config
from vlaa_ray.errors import CheckpointError, ConfigError, ModelError
from vlaa_ray.planning.start_checks import start_model_check
from vlaa_ray.run.folder import RunFolder
from vlaa_ray.run.run_json import read_run
from vlaa_ray.run.session import open_run

FRAME = {"system_prompt": None, "min_pixels": 3136, "max_pixels": 12544}


def second_stage(runs, path, **model):
    return GrpoConfig.model_validate(
        {"run": {"name": "second", "num_steps": 5, "dir": str(runs)}, "model": {"path": path, **FRAME, **model}}
    )


def hf(runs, step):
    return str(runs / f"first/checkpoints/step_{step:06d}/hf")


def start(config, *saved):
    """Start the run, save at some steps, and end it; return the folder of its model."""
    folder = RunFolder.open(config)
    for step in saved:
        (folder.checkpoints.begin(step) / "weights").write_bytes(b"abc")
        folder.checkpoints.commit(step, {"position": step})
    folder._unlock()
    return folder.config.model.path


@pytest.mark.parametrize("path", ["run:first", "{runs}/first", "{runs}/first/checkpoints/step_000004"])
def test_a_run_is_named_in_three_ways(tmp_path, path):
    make_run(tmp_path, name="first", step=4)
    config = second_stage(tmp_path, path.format(runs=tmp_path))
    assert start(config) == hf(tmp_path, 4)
    stored = (tmp_path / "second/config.yaml").read_text()
    assert stored == dump_config(config).replace(config.model.path, hf(tmp_path, 4))
    recorded = read_run(tmp_path / "second")["start_model"]
    assert (recorded["asked"], recorded["path"], recorded["step"]) == (config.model.path, hf(tmp_path, 4), 4)


def test_the_choice_is_kept_by_a_run_that_goes_on_and_made_again_by_one_that_has_saved_nothing(tmp_path):
    make_run(tmp_path, name="first", step=4)
    config = second_stage(tmp_path, "run:first")
    assert start(config) == hf(tmp_path, 4)
    make_run(tmp_path, name="first", step=8)
    assert start(config, 1) == hf(tmp_path, 8)
    make_run(tmp_path, name="first", step=12)
    folder = RunFolder.open(config)
    assert (folder.config.model.path, folder.config_changes) == (hf(tmp_path, 8), {})


def test_a_finished_run_needs_its_start_no_more_and_a_run_that_goes_on_needs_the_same_one(tmp_path):
    make_run(tmp_path, name="first", step=4)
    config = second_stage(tmp_path, "run:first")
    start(config, 1)
    manifest = tmp_path / "first/checkpoints/step_000004/manifest.json"
    manifest.write_text(manifest.read_text() + " ")
    with pytest.raises(CheckpointError, match="started from is another one now"):
        RunFolder.open(config)
    manifest.unlink()
    with pytest.raises(CheckpointError, match="started from is gone"):
        RunFolder.open(config)
    state = read_run(tmp_path / "second") | {"state": "finished", "step": 5}
    (tmp_path / "second/run.json").write_text(json.dumps(state))
    folder = RunFolder.open(config)
    assert folder.finished and folder.config.model.path == hf(tmp_path, 4)


def test_the_folder_of_a_model_and_a_hub_id_stay_as_they_are(tmp_path):
    make_run(tmp_path, name="first", step=4)
    for path in (hf(tmp_path, 4), "Qwen/Qwen2.5-VL-3B-Instruct", "builtin:tiny-base"):
        assert start(second_stage(tmp_path, path)) == path
        assert "start_model" not in read_run(tmp_path / "second")


def test_what_is_no_start(tmp_path):
    make_run(tmp_path, name="first", step=4)
    with pytest.raises(ModelError, match="did you mean 'first'"):
        start(second_stage(tmp_path, "run:frist"))
    with pytest.raises(ConfigError, match="its own start"):
        start(second_stage(tmp_path, "run:second"))
    (tmp_path / "first/checkpoints/step_000004/hf/config.json").write_text("{}")
    with pytest.raises(CheckpointError, match="no checkpoint of the run is sound"):
        start(second_stage(tmp_path, "run:first"))


def test_another_frame_than_that_of_the_first_run_is_named_in_the_log(tmp_path, caplog):
    make_run(tmp_path, "model.system_prompt=Think.", name="first", step=4)
    with caplog.at_level(logging.WARNING):
        start(second_stage(tmp_path, "run:first"))
    (warning,) = [record.getMessage() for record in caplog.records if "model." in record.getMessage()]
    assert warning == "model.system_prompt is None; first-step_000004 was trained with 'Think.'"


def test_a_session_gives_the_config_with_the_folder(tmp_path, capsys):
    make_run(tmp_path, name="first", step=4)
    config = second_stage(tmp_path, "run:first")
    with open_run(config) as run:
        assert run.resolved(config).model.path == hf(tmp_path, 4)
    assert f"run:first is {hf(tmp_path, 4)}" in capsys.readouterr().out
    assert json.loads((tmp_path / "second/run.json").read_text())["start_model"]["step"] == 4


def test_a_plan_takes_the_run_that_is_there_and_leaves_one_that_is_not_for_later(tmp_path):
    config = second_stage(tmp_path, "run:first")
    same, (check,) = start_model_check(config)
    assert same is config and check.ok is None and "no model of this name" in check.found
    make_run(tmp_path, name="first", step=4)
    found, (check,) = start_model_check(config)
    assert (found.model.path, check.ok) == (hf(tmp_path, 4), True)
