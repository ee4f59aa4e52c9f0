"""A relative run folder is made where the user is, never in the copy that Ray makes for a job."""

from pathlib import Path

import pytest

from vlaa_ray.config import GrpoConfig
from vlaa_ray.errors import ConfigError
from vlaa_ray.run.base_folder import BASE_FOLDER
from vlaa_ray.run.run_json import run_path


def config_of(folder: str) -> GrpoConfig:
    return GrpoConfig.model_validate({"run": {"name": "n", "num_steps": 1, "dir": folder}, "model": {"path": "m"}})


@pytest.fixture
def job(tmp_path, monkeypatch) -> Path:
    """The current folder is Ray's copy of a job's working folder."""
    copy = tmp_path / "session/runtime_resources/working_dir_files/_ray_pkg_0123456789abcdef"
    copy.mkdir(parents=True)
    monkeypatch.chdir(copy)
    monkeypatch.delenv(BASE_FOLDER, raising=False)
    return tmp_path


def test_outside_a_job_it_is_the_current_folder(tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert run_path(config_of("runs")) == tmp_path / "runs/n"


def test_in_a_job_it_is_the_senders_folder(job, monkeypatch) -> None:
    monkeypatch.setenv(BASE_FOLDER, str(job))
    assert run_path(config_of("runs")) == job / "runs/n"


def test_an_absolute_folder_is_taken_as_it_is(job) -> None:
    assert run_path(config_of("/data/runs")) == Path("/data/runs/n")


def test_a_job_that_does_not_say_where_is_refused(job) -> None:
    with pytest.raises(ConfigError, match="temporary copy") as caught:
        run_path(config_of("runs"))
    assert "absolute path" in caught.value.fix


def test_a_senders_folder_that_is_not_here_is_named(job, monkeypatch) -> None:
    monkeypatch.setenv(BASE_FOLDER, "/laptop/project")
    with pytest.raises(ConfigError, match="not on this node") as caught:
        run_path(config_of("runs"))
    assert caught.value.facts["folder"] == "/laptop/project"
