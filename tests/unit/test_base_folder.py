"""Relative paths in a Ray job: results go to the sender's folder, files are looked for in Ray's copy and in it."""

from pathlib import Path

import pytest

from vlaa_ray.cli import main
from vlaa_ray.config import CurationConfig, DataSection, GrpoConfig, ModelSection, OpenEndedSection, load_config
from vlaa_ray.config.base_folder import BASE_FOLDER, find_checkpoint, find_data, find_input
from vlaa_ray.errors import ConfigError
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


@pytest.fixture
def sender(job, monkeypatch) -> Path:
    """The folder that the job was sent from, with a data file, an image folder and a model that were not uploaded."""
    folder = job / "project"
    for part in ("pictures", "runs/sft/checkpoints/step_000002/hf", "small"):
        (folder / part).mkdir(parents=True)
    (folder / "large.jsonl").touch()
    (job / "outside.jsonl").touch()
    monkeypatch.setenv(BASE_FOLDER, str(folder))
    return folder


def test_a_file_in_rays_copy_is_taken_first(sender) -> None:
    Path("large.jsonl").touch()
    assert find_input("large.jsonl") == "large.jsonl"


def test_a_file_that_rays_copy_lacks_is_read_in_the_senders_folder(sender) -> None:
    assert find_input("large.jsonl") == f"{sender}/large.jsonl"
    assert Path(find_input("../outside.jsonl")).samefile(sender.parent / "outside.jsonl")


def test_an_absolute_path_and_what_is_outside_a_job_stay_as_they_are(sender, monkeypatch) -> None:
    assert find_input("/nowhere/a.jsonl") == "/nowhere/a.jsonl"
    monkeypatch.chdir(sender.parent)  # no copy of Ray's
    assert find_input("large.jsonl") == "large.jsonl"


def test_a_path_that_leads_nowhere_names_both_folders_and_what_to_do(sender) -> None:
    with pytest.raises(ConfigError) as caught:
        find_input("larg.jsonl")
    assert "larg.jsonl is not in" in caught.value.message
    assert str(Path.cwd()) in caught.value.message and f"nor in {sender}" in caught.value.message
    assert "absolute path on storage that all nodes see" in caught.value.fix


def test_the_message_says_if_the_senders_folder_is_not_known_or_not_here(job, monkeypatch) -> None:
    with pytest.raises(ConfigError) as caught:
        find_input("large.jsonl")
    assert "vlaa-ray submit" in caught.value.fix
    monkeypatch.setenv(BASE_FOLDER, "/laptop/project")
    with pytest.raises(ConfigError, match=r"/laptop/project, the folder .* is not on this node"):
        find_input("large.jsonl")


def test_names_of_built_in_data_and_of_the_hub_are_no_paths(sender) -> None:
    for name in ("builtin:train", "hub:owner/name@train", "hub:name"):
        assert find_data(name) == name
    assert find_data("hub:pictures@train") == f"hub:{sender}/pictures@train"
    for name in ("builtin:tiny-base", "Qwen/Qwen2.5-VL-3B-Instruct", "gpt2"):
        assert find_checkpoint(name) == name
    assert find_checkpoint("small") == f"{sender}/small"
    for path in ("runs/sft/checkpoints/step_000004/hf", "./small-one", "../small"):
        with pytest.raises(ConfigError, match="nor in"):
            find_checkpoint(path)


def test_a_config_finds_its_data_images_and_models_in_the_senders_folder(sender) -> None:
    model = "runs/sft/checkpoints/step_000002/hf"
    data = {"train": [{"path": "large.jsonl", "image_root": "pictures"}], "heldout": "large.jsonl"}
    (sender / "run.yaml").write_text("{run: {name: n, num_steps: 1}, model: {path: m}}")  # not uploaded either
    config = load_config("run.yaml", [f"model.path={model}", f"data={data}", "data.image_root=pictures"])
    assert config.model.path == f"{sender}/{model}"
    assert config.data.heldout == f"{sender}/large.jsonl" and config.data.image_root == f"{sender}/pictures"
    (source,) = config.data.train
    assert (source.path, source.image_root) == (f"{sender}/large.jsonl", f"{sender}/pictures")
    assert GrpoConfig.model_validate(config.model_dump()) == config


def test_all_paths_that_lead_nowhere_are_reported_together(sender) -> None:
    Path("run.yaml").write_text("{run: {name: n, num_steps: 1}, model: {path: ./m}, data: {heldout: none.jsonl}}")
    with pytest.raises(ConfigError, match="2 problem") as caught:
        load_config("run.yaml")
    assert "model.path: ./m is not in" in caught.value.message
    assert "data.heldout: none.jsonl is not in" in caught.value.message


def test_the_name_of_a_model_at_an_endpoint_is_no_path(sender) -> None:
    judge = {"scorer": "judge", "service": {"url": "http://localhost:1/v1"}}
    assert OpenEndedSection(model="small", **judge).model == "small"
    assert OpenEndedSection(model="accounts/a/models/b", **judge).model == "accounts/a/models/b"
    assert OpenEndedSection(model="small", scorer="reward_model").model == f"{sender}/small"
    step = {"teacher": "t", "template": "large.jsonl"}
    config = CurationConfig.model_validate(
        {
            "run": {"name": "n"},
            "sources": [{"path": "large.jsonl", "image_root": "pictures"}],
            "teachers": {"t": {"model": "small", "url": "http://localhost:1/v1"}, "own": {"model": "small"}},
            "steps": dict.fromkeys(("caption", "distill", "rewrite", "verify"), step),
            "perplexity": {"models": ["small", "Qwen/Qwen2-VL-2B-Instruct"]},
        }
    )
    assert config.teachers["t"].model == "small" and config.teachers["own"].model == f"{sender}/small"
    assert config.sources[0].path == config.steps.verify.template == f"{sender}/large.jsonl"
    assert config.perplexity.models == (f"{sender}/small", "Qwen/Qwen2-VL-2B-Instruct")


def test_the_defaults_of_a_config_lead_nowhere_in_the_file_system(job) -> None:
    assert DataSection().train == "builtin:train" and ModelSection(path="m").path == "m"


def test_the_command_line_looks_in_both_folders(sender, capsys) -> None:
    (sender / "rows.jsonl").write_text('{"response": "<answer>4</answer>", "gold": "4", "verifier_type": "digit"}\n')
    assert main(["score", "rows.jsonl"]) == 0
    assert "digit" in capsys.readouterr().out
    assert main(["data", "check", "none.jsonl"]) == 2
    assert "none.jsonl is not in" in capsys.readouterr().err
