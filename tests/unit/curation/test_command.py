"""`vlaa-ray data curate`: its config's mistakes, and the dry run."""

import json
from pathlib import Path

import pytest
import yaml
from curating import STEPS
from PIL import Image

from vlaa_ray.cli import main
from vlaa_ray.config import CurationConfig, load_config
from vlaa_ray.data.builtin import BuiltinData
from vlaa_ray.errors import ConfigError
from vlaa_ray.services.call_store import CALLS, CallStore, Reply, Usage

QUICKSTART = Path(__file__).parents[3] / "configs/curate_quickstart.yaml"


@pytest.fixture
def config(tmp_path):
    """A function that writes a config with changes."""

    def write(**changes):
        values = {
            "run": {"name": "trial", "dir": str(tmp_path / "runs")},
            "sources": [{"path": "builtin:train", "max_samples": 5}],
            "teachers": {"t": {"url": "http://127.0.0.1:9/v1", "model": "m", "input_price": 1e6}},
            "steps": STEPS,
        }
        file = tmp_path / "curate.yaml"
        file.write_text(yaml.safe_dump(values | changes))
        return str(file)

    return write


def curate(file, *more):
    return main(["data", "curate", "--config", file, *more])


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"steps": STEPS | {"verify": {"teacher": "nobody"}}}, "steps.verify.teacher: no teacher 'nobody'; known: t"),
        ({"steps": STEPS | {"verify": {"teacher": "t", "max_token": 3}}}, "did you mean 'steps.verify.max_tokens'?"),
        ({"steps": {name: STEPS[name] for name in ("caption", "distill", "rewrite")}}, "steps.verify"),
        ({"sources": []}, "sources"),
        ({"sources": [{"path": "x", "use": "distil"}]}, "sources.0.use"),
        ({"teachers": {"t": {"url": "ftp://x", "model": "m"}}}, "teachers.t.url"),
        ({"split": {"max_rl_per_source": {"a": -1}}}, "greater than or equal to 0"),
        ({"budget": {"money": 3}}, "budget.money"),
    ],
)
def test_a_mistake_is_named_with_its_key(config, capsys, changes, says):
    assert curate(config(**changes), "--dry-run") == 2
    captured = capsys.readouterr()
    assert captured.err.startswith("ConfigError: ") and says in captured.err
    assert captured.out == "" and "Traceback" not in captured.err


def test_a_template_without_its_slot_is_named_before_anything_is_read(config, capsys, tmp_path):
    template = tmp_path / "distill.txt"
    template.write_text("Answer {question}")
    file = config(
        steps=STEPS | {"distill": {"teacher": "t", "template": str(template)}}, sources=[{"path": "/nowhere"}]
    )
    assert curate(file, "--dry-run") == 2
    error = capsys.readouterr().err
    assert "steps.distill.template lacks {caption}" in error and str(template) in error


def test_a_dry_run_asks_and_writes_nothing(config, capsys, monkeypatch, tmp_path, endpoint):
    monkeypatch.setenv("COLUMNS", "160")
    file = config()
    assert curate(file, "--dry-run", f"teachers.t.url={endpoint.url}") == 0
    rows = [line.replace("│", " ").split() for line in capsys.readouterr().out.splitlines()]
    assert [row[:2] for row in rows if row and row[0] in STEPS] == [[step, "5"] for step in STEPS]
    (total,) = [row for row in rows if row and row[0] == "total"]
    assert total[1] == "20" and total[3] == f"{5 * (64 + 128 + 128 + 4):,}"
    assert float(total[4].replace(",", "")) == int(total[2].replace(",", ""))  # 1e6 a million: one a token
    assert endpoint.bodies == [] and not (tmp_path / "runs").exists()


def test_a_dry_run_goes_by_what_was_recorded(config, capsys, monkeypatch, tmp_path):
    monkeypatch.setenv("COLUMNS", "160")
    store = CallStore(tmp_path / "runs/trial" / CALLS)
    for number in range(2):
        store.put(f"k{number}", "verify", Reply(text="Yes"), Usage(10, 1, 2.0, 0.1))
    file = config()
    assert curate(file, "--dry-run") == 1  # a run is at work
    assert "another process is recording calls here" in capsys.readouterr().err
    store.close()
    assert curate(file, "--dry-run") == 0
    (row,) = [line for line in capsys.readouterr().out.splitlines() if "verify" in line]
    assert "mean of 2 recorded" in row and "10.00" in row


def test_the_quickstart_reloads_equal(capsys, tmp_path):
    assert main(["config", str(QUICKSTART)]) == 0
    (tmp_path / "printed.yaml").write_text(capsys.readouterr().out)
    printed = load_config(tmp_path / "printed.yaml", kind=CurationConfig)
    assert printed == load_config(QUICKSTART, kind=CurationConfig)
    assert printed.steps.rewrite.max_length_gap_words == 15 and printed.split.match == "substring"  # the paper's


def test_other_commands_want_another_kind_of_config():
    with pytest.raises(ConfigError):
        load_config(QUICKSTART)
    assert main(["train", "--config", str(QUICKSTART), "--dry-run"]) == 2
    assert main(["doctor", "--config", str(QUICKSTART)]) == 2


def written(folder, **changes):
    picture = folder / "1.png"
    Image.new("RGB", (112, 84), "teal").save(picture)
    record = {"image": "1.png", "question": "How many squares?", "answer": "6", "verifier_type": "digit"} | changes
    (folder / "data.jsonl").write_text(json.dumps({name: value for name, value in record.items() if value}) + "\n")
    return [{"path": str(folder / "data.jsonl")}]


def test_records_that_cannot_be_used_are_refused_in_the_dry_run(config, capsys, tmp_path):
    file = config(sources=written(tmp_path, verifier_type=None))
    assert curate(file, "--dry-run") == 1
    error = capsys.readouterr().err
    assert "no record can be used" in error and "no verifier for this record" in error and "data.jsonl:1" in error
    assert "verifier_type" in error.partition("Fix:")[2]


def test_records_that_cannot_be_used_beside_others_are_named_in_the_dry_run(config, capsys, tmp_path):
    sources = [*written(tmp_path, image="none.png"), {"path": "builtin:train", "max_samples": 3}]
    assert curate(config(sources=sources), "--dry-run") == 0
    told = " ".join(capsys.readouterr().out.split())
    assert "1 of 4 records are left out: the record can't be read" in told and "none.png" in told


def test_the_scripted_teacher_refuses_pictures_that_are_not_built_in(config, capsys, tmp_path):
    teachers = {"t": {"url": "builtin:scripted", "model": "scripted"}}
    file = config(sources=written(tmp_path), teachers=teachers)
    assert curate(file, "--dry-run") == 1
    assert "the scripted teacher knows only the built-in pictures" in capsys.readouterr().err
    known = next(iter(BuiltinData("train"))).images[0]
    file = config(sources=written(tmp_path), teachers=teachers)
    (tmp_path / "1.png").write_bytes(known.data)
    assert curate(file, "--dry-run") == 0


def test_the_quickstart_is_within_its_own_budget(capsys):
    assert main(["data", "curate", "--config", str(QUICKSTART), "--dry-run"]) == 0
    assert "is below the estimate" not in capsys.readouterr().out
