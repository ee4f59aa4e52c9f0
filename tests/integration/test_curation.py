"""The pipeline on Ray Data against a real server that fails, stalls and talks nonsense; killed, and gone on with."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest
import yaml

from vlaa_ray.curation.scripted import ScriptedTeacher
from vlaa_ray.services.call_store import recorded

pytestmark = pytest.mark.integration
QUICKSTART = Path(__file__).parents[2] / "configs/curate_quickstart.yaml"
NUM_SAMPLES = int(os.environ.get("CURATION_SAMPLES", "150"))
NUM_KILLS = int(os.environ.get("CURATION_KILLS", "3"))
FAULTS = {"errors": 0.1, "stalls": 0.02, "garbage": 0.02, "stall_s": 7.0, "latency_s": 0.02}
OUTPUTS = ("sft.json", "rl.json", "dropped.jsonl", "sft.parquet", "rl.parquet")
DEADLINE_S = 400


def written(folder: Path, url: str) -> Path:
    """The quickstart's config with this teacher, small, and impatient."""
    values = yaml.safe_load(QUICKSTART.read_text())
    values["run"] = {"name": "trial", "dir": str(folder)}
    values["sources"] = [{"path": "builtin:train", "max_samples": NUM_SAMPLES}]
    values["teachers"]["scripted"] |= {"url": url, "timeout_s": 5.0}
    file = folder / "config.yaml"
    file.write_text(yaml.safe_dump(values))
    return file


def start(config: Path) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "vlaa_ray", "data", "curate", "--config", str(config)]
    with (config.parent / "out.log").open("ab") as out:
        return subprocess.Popen(command, stdout=out, stderr=out, start_new_session=True)


def served(log: Path) -> int:
    return log.read_bytes().count(b"\n") if log.exists() else 0


def test_a_killed_run_pays_for_nothing_twice_and_ends_alike(tmp_path: Path) -> None:
    folders = [tmp_path / name for name in ("whole", "killed")]
    logs = [folder / "served.log" for folder in folders]
    for folder, log in zip(folders, logs, strict=True):
        folder.mkdir()
        teacher = ScriptedTeacher(**FAULTS, log=log)
        config = written(folder, teacher.url)
        rng, kills = random.Random(1), NUM_KILLS if folder.name == "killed" else 0
        for _ in range(kills):
            before, more = served(log), rng.randrange(1, NUM_SAMPLES // 2)
            process, end = start(config), time.monotonic() + DEADLINE_S
            while process.poll() is None and served(log) < before + more and time.monotonic() < end:
                time.sleep(0.01)
            process.kill()
            process.wait(30)
        process = start(config)
        assert process.wait(DEADLINE_S) == 0, (folder / "out.log").read_text()[-3000:]
        teacher.close()
    whole, killed = (folder / "trial" for folder in folders)
    for name in OUTPUTS:
        assert (killed / name).read_bytes() == (whole / name).read_bytes(), name
    assert json.loads((killed / "run.json").read_text())["state"] == "finished"

    ids = [row["id"] for name in ("sft.json", "rl.json") for row in json.loads((whole / name).read_text())]
    ids += [json.loads(line)["id"] for line in (whole / "dropped.jsonl").read_text().splitlines()]
    assert len(ids) == len(set(ids)) == NUM_SAMPLES  # each in exactly one state

    for log in logs:
        assert max(Counter(log.read_text().split()).values()) == 1  # no reply was asked for a second time


def test_a_teacher_without_an_address_is_served_by_vllm(tmp_path: Path) -> None:
    """The small model's captions never end, and so none can be used: that they came is what counts."""
    config = written(tmp_path, "builtin:scripted")
    values = yaml.safe_load(config.read_text())
    values["sources"][0]["max_samples"] = 2
    values["teachers"]["seeing"] = {"model": "builtin:tiny-base", "concurrency": 2, "max_model_tokens": 2048}
    values["steps"]["caption"] = {"teacher": "seeing", "max_tokens": 16, "temperature": 0}
    config.write_text(yaml.safe_dump(values))
    process = start(config)
    assert process.wait(DEADLINE_S) == 1
    assert "no sample is left" in (tmp_path / "out.log").read_text()
    assert recorded(tmp_path / "trial")["caption"].calls == 2 * values["steps"].get("max_replies", 3)
    rows = [json.loads(line) for line in (tmp_path / "trial/dropped.jsonl").read_text().splitlines()]
    assert [(row["step"], row["detail"]) for row in rows] == [
        ("caption", "the reply was cut off at steps.caption.max_tokens")
    ] * 2


def test_a_used_up_budget_is_the_runs_typed_error(tmp_path: Path) -> None:
    config = written(tmp_path, "builtin:scripted")
    values = yaml.safe_load(config.read_text())
    config.write_text(yaml.safe_dump(values | {"budget": {"calls": 5}}))
    assert start(config).wait(DEADLINE_S) == 1
    error = json.loads((tmp_path / "trial/run.json").read_text())["error"]
    assert (error["type"], error["calls"]) == ("TeacherError", {"caption": 5})
    assert "budget.calls" in error["fix"] and "Traceback" not in (tmp_path / "out.log").read_text()
