"""Several runs on one page, and the config of one against the defaults."""

import pytest
from pages import Page

from vlaa_ray.cli import main
from vlaa_ray.config import GrpoConfig, dump_config
from vlaa_ray.errors import VlaaRayError
from vlaa_ray.report.config_changes import REQUIRED, changes_of, differences
from vlaa_ray.report.runs_page import write_runs_page
from vlaa_ray.run.reader import RecordedRun

ROWS = (
    '{"step": 0, "eval/reward/mean": 0.25}',
    '{"step": 1, "reward/mean": 0.5}',
    '{"step": 2, "reward/mean": 0.625, "eval/reward/mean": 0.75}',
)


def config_of(name, **learner):
    values = {"run": {"name": name, "num_steps": 2}, "model": {"path": "builtin:tiny-base"}, "learner": learner}
    return GrpoConfig.model_validate(values)


def run_at(folder, name, rows=ROWS, **learner):
    folder.mkdir(parents=True)
    (folder / "config.yaml").write_text(dump_config(config_of(name, **learner)))
    (folder / "metrics.jsonl").write_text("".join(f"{row}\n" for row in rows))
    (folder / "run.json").write_text('{"state": "finished"}')
    return folder


def test_the_page_has_results_curves_and_the_keys_that_differ(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    run_at(tmp_path / "a", "first", num_ranks=1)
    run_at(tmp_path / "b", "second", num_ranks=2)
    assert main(["report", "a", "b"]) == 0
    assert "Page: runs.html" in capsys.readouterr().out
    html = (tmp_path / "runs.html").read_text()
    words = Page(html).words
    assert "1 · first finished 2 mean 0.250 0.750" in words and "learner.num_ranks 1 2" in words
    assert "run.name" not in words
    assert "1: 0.5 at step 1, 0.625 at step 2; 2: 0.5 at step 1, 0.625 at step 2" in html


def test_runs_of_one_name_are_called_by_their_folders_and_one_may_have_no_step(tmp_path):
    folders = [run_at(tmp_path / "a", "same"), run_at(tmp_path / "b", "same", rows=())]
    page = write_runs_page([RecordedRun.read(folder) for folder in folders], tmp_path / "page.html")
    words = Page(page.read_text()).words
    assert f"2 · {folders[1]} finished none yet" in words and "The runs have the same config" in words


def test_more_runs_than_colours_are_refused(tmp_path):
    runs = [RecordedRun.read(run_at(tmp_path / str(number), str(number))) for number in range(8)]
    with pytest.raises(VlaaRayError, match="at most 7 runs"):
        write_runs_page(runs, tmp_path / "page.html")


def test_options_of_one_run_are_refused_for_several(tmp_path):
    run_at(tmp_path / "a", "a")
    assert main(["report", str(tmp_path / "a"), str(tmp_path / "a"), "--follow"]) == 2


def test_what_differs_from_the_defaults_is_what_was_set():
    config = config_of("x", num_ranks=2, optim={"betas": [0.9, 0.99]}).model_dump(mode="json")
    changes = changes_of(config, "grpo")
    assert ("learner.num_ranks", 2, 1) in changes and ("run.name", "x", REQUIRED) in changes
    assert {key for key, _, _ in changes} <= {
        "run.name", "run.num_steps", "model.path", "learner.num_ranks", "learner.optim.betas",
    }  # fmt: skip


def test_a_key_that_only_one_config_has_differs():
    assert differences([{"a": {"b": 1}, "c": 2}, {"a": {"b": 1}}]) == [("c", [2, ""])]
    assert differences([{"a": 1}, {"a": 1}]) == []
