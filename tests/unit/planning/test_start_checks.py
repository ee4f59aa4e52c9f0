"""What a dry run finds without Ray: each thing that would end the run when it starts is named with its key."""

import json
import socket
from pathlib import Path

import pytest

from vlaa_ray.config import GrpoConfig
from vlaa_ray.errors import ConfigError
from vlaa_ray.planning.dry_run import examine, failed
from vlaa_ray.planning.start_checks import cluster_check
from vlaa_ray.rewards.dispatch import VERIFIERS, params_fault


def config_of(folder: Path, **sections: dict) -> GrpoConfig:
    run = {"name": "trial", "num_steps": 1, "dir": str(folder)} | sections.pop("run", {})
    model = sections.pop("model", {"path": "builtin:tiny-base"})
    return GrpoConfig.model_validate({"run": run, "model": model, **sections})


def verifier(name: str, **section: object) -> dict:
    return {"rewards": {"verifiers": {name: section}}}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty.json").touch()
    (tmp_path / "words.jsonl").write_text("hello\n")
    (tmp_path / "half").mkdir()
    (tmp_path / "half/config.json").write_text('{"model_type": "qwen2_5_vl"}')
    (tmp_path / "list").mkdir()
    (tmp_path / "list/config.json").write_text("[1]")
    return tmp_path


@pytest.mark.parametrize(
    ("sections", "says"),
    [
        ({"data": {"train": "builtin:x"}}, "data.train: builtin:x: no built-in split 'x'"),
        ({"data": {"heldout": [{"path": "builtin:x"}]}}, "data.heldout[0]: builtin:x: no built-in split"),
        ({"data": {"verifier_types": ["yes_no"]}}, "data.train: builtin:train holds no prompt of data.verifier_types"),
        ({"data": {"train": "empty"}}, "data.train: empty: the folder holds no records"),
        ({"data": {"train": "empty.json"}}, "data.train: empty.json holds no record"),
        ({"data": {"train": "words.jsonl"}}, "row 1: a line is not JSON"),
        ({"eval": {"benchmarks": [{"name": "Nosuch", "data": "empty"}]}}, "eval.benchmarks, Nosuch: "),
        (
            {"eval": {"benchmarks": [{"name": "MathVista", "data": "empty"}]}},
            "eval.benchmarks, MathVista: the folder holds no file of MathVista",
        ),
        ({"model": {"path": "builtin:nosuch"}}, "model: builtin:nosuch holds no model"),
        ({"model": {"path": "empty"}}, "model: empty holds no model"),
        ({"model": {"path": "half"}}, "the model's config lacks a dimension"),
        ({"model": {"path": "list"}}, "the model's config is not a JSON object"),
        (verifier("digit", params={"wrong": 1}), "rewards.verifiers.digit.params: unknown verifier parameters"),
        (verifier("digit", params={"extraction": "x"}), "unknown extraction rule 'x'"),
        (verifier("iou", params={"frame": "miles"}), "no size (width, height) for the frame 'miles'"),
        (verifier("number", params={"rel_tol": "x"}), "the verifier's parameters can't be used"),
        (verifier("points", params={"radius": "x"}), "the verifier's parameters can't be used"),
        (verifier("own", function="json:nosuch"), "json:nosuch: AttributeError"),
        (verifier("own", function="os:path"), "os:path: not a function, but a module"),
        ({"rewards": {"open_ended": {"scorer": "reward_model", "model": "builtin:no"}}}, "no built-in model"),
        ({"run": {"dir": "empty.json"}}, "run folder: "),
    ],
)
def test_what_would_end_the_run_is_found(folder: Path, sections: dict, says: str) -> None:
    error = failed(examine(config_of(folder, **sections)))
    assert isinstance(error, ConfigError) and says in error.message and error.fix


def test_what_this_machine_cannot_tell_comes_later(folder: Path) -> None:
    config = config_of(folder, data={"train": "there.json", "heldout": "hub:a/b@test"}, ray={"address": "auto"})
    report = examine(config)
    assert failed(report) is None
    later = {check.name for check in report.checks if check.ok is None}
    assert later == {"data.train", "data.heldout", "ray.address"}


def test_a_damaged_run_folder_is_found(folder: Path) -> None:
    (folder / "trial").mkdir()
    (folder / "trial/run.json").write_text(json.dumps([]))
    error = failed(examine(config_of(folder)))
    assert isinstance(error, ConfigError) and "run.json doesn't hold a mapping" in error.message


def test_a_cluster_that_answers_and_one_that_does_not() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"127.0.0.1:{server.getsockname()[1]}"
        assert cluster_check(address).ok is True
    assert cluster_check(address).ok is None and cluster_check("local").ok is True


@pytest.mark.parametrize("name", [*VERIFIERS, "math"])
def test_a_verifier_without_parameters_has_no_fault(name: str) -> None:
    assert params_fault(name, {}) == ""


@pytest.mark.parametrize("frame", ["unit", "rel1000", "resized_px", "original_px"])
@pytest.mark.parametrize("gold_frame", ["unit", "rel1000", "resized_px", "original_px"])
@pytest.mark.parametrize("name", ["iou", "boxes", "points"])
def test_frames_whose_sizes_the_records_give_are_right(name: str, frame: str, gold_frame: str) -> None:
    for more in ({}, {"image_size": [1000, 800]}, {"input_size": [448, 336]}):
        assert params_fault(name, {"frame": frame, "gold_frame": gold_frame, **more}) == ""


def test_parameters_of_the_documentation_are_right() -> None:
    assert params_fault("boxes", {"threshold": [[0.1, 0.85], [0.25, 0.95], [1, 0.99]]}) == ""
