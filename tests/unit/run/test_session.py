"""The shell around a run: what it writes, what it tells, how signals and errors end it."""

import asyncio
import json
import logging
import os
import signal
import time
from pathlib import Path

import pytest

from vlaa_ray.config import CurationConfig, GrpoConfig, load_config
from vlaa_ray.curation.progress import CurationProgress
from vlaa_ray.data.builtin import BuiltinData
from vlaa_ray.data.fingerprint import fingerprint
from vlaa_ray.errors import DataError, DeadlineExceeded, LearnerError, PlacementError, RunInterrupted
from vlaa_ray.monitoring.sinks import Sink
from vlaa_ray.records import Defect
from vlaa_ray.run.checkpoints import Checkpoint
from vlaa_ray.run.repeating import repeating
from vlaa_ray.run.run_json import read_run
from vlaa_ray.run.session import open_run, open_shell
from vlaa_ray.storage.layout import NOTES
from vlaa_ray.storage.metrics_file import read_metrics


def config_of(folder) -> GrpoConfig:
    return GrpoConfig.model_validate(
        {
            "run": {"name": "trial", "num_steps": 2, "dir": str(folder)},
            "model": {"path": "m"},
            "tracking": {"tensorboard": False, "wandb": "disabled"},
        }
    )


@pytest.mark.parametrize("changed", [False, True])
def test_changed_data_is_noticed_on_resume(tmp_path, capsys, changed) -> None:
    data = [BuiltinData("train")[index] for index in range(10)]
    with open_run(config_of(tmp_path)) as run:
        state = {"step": 1, "data": fingerprint(data)}
        run.resume_from = Checkpoint(step=1, path=tmp_path, state=state)
        run.use_data(data[:-1] if changed else data)
    assert ("10 prompts then, 9 now" in capsys.readouterr().out) == changed


def test_what_is_left_out_is_listed(tmp_path, capsys) -> None:
    defects = [Defect("a", "data.json", 3, "no image"), Defect("b", "data.json", 7, "no gold")]
    with open_run(config_of(tmp_path)) as run:
        run.use_data([BuiltinData("train")[0]], defects)
    printed = " ".join(capsys.readouterr().out.split())
    assert "2 records can't be used and are left out, the first in row 3 of data.json: no image" in printed
    lines = (tmp_path / "trial/quarantine.jsonl").read_text().splitlines()
    assert [json.loads(line)["row"] for line in lines] == [3, 7]


def test_the_one_typed_cause_is_in_run_json_and_in_the_log(tmp_path) -> None:
    with pytest.raises(LearnerError), open_run(config_of(tmp_path)):
        raise LearnerError("rank 1 died", rank=1)
    end = read_run(tmp_path / "trial")
    assert (end["state"], end["error"]["type"], end["error"]["rank"]) == ("failed", "LearnerError", 1)
    assert "rank 1 died" in (tmp_path / "trial/logs/driver.log").read_text()


def test_a_missed_deadline_names_the_folder_of_the_logs(tmp_path) -> None:
    with pytest.raises(DeadlineExceeded) as caught, open_run(config_of(tmp_path)):
        raise DeadlineExceeded("no answer within 5 s: rollout actors to start")
    logs = str(tmp_path / "trial/logs")
    assert caught.value.facts["logs"] == logs and logs in str(caught.value)
    assert read_run(tmp_path / "trial")["error"]["logs"] == logs


def test_an_interrupted_run_says_so(tmp_path) -> None:
    with pytest.raises(RunInterrupted) as caught, open_run(config_of(tmp_path)):
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(5)  # the signal raises here
    assert caught.value.exit_code == 143
    assert read_run(tmp_path / "trial")["state"] == "interrupted"


def test_a_stoppable_wait_ends_with_the_signal(tmp_path) -> None:
    async def wait(run) -> None:
        asyncio.get_running_loop().call_later(0.1, os.kill, os.getpid(), signal.SIGINT)
        await run.stoppable(asyncio.sleep(30))

    start = time.monotonic()
    with (
        pytest.raises(RunInterrupted, match="SIGINT; the finished steps are saved"),
        open_run(config_of(tmp_path)) as run,
    ):
        asyncio.run(wait(run))
    assert time.monotonic() - start < 10


def test_code_between_two_waits_is_not_interrupted(tmp_path) -> None:
    """What saves the state must run to its end: the signal waits for the next stoppable wait."""
    done = []

    async def work(run) -> None:
        assert await run.stoppable(asyncio.sleep(0, "first")) == "first"
        os.kill(os.getpid(), signal.SIGTERM)
        await asyncio.sleep(0.1)
        done.append("saved")
        await run.stoppable(asyncio.sleep(30))

    with pytest.raises(RunInterrupted), open_run(config_of(tmp_path)) as run:
        asyncio.run(work(run))
    assert done == ["saved"]


def test_a_run_can_be_ended_with_an_error_after_its_phase(tmp_path) -> None:
    done = []

    async def work(run) -> None:
        run.end(PlacementError("the cluster is gone"))
        run.end(PlacementError("it is still gone"))
        done.append("saved")
        await run.stoppable(asyncio.sleep(30))

    with pytest.raises(PlacementError, match="the cluster is gone"), open_run(config_of(tmp_path)) as run:
        asyncio.run(work(run))
    state = read_run(tmp_path / "trial")
    assert done == ["saved"] and (state["state"], state["error"]["type"]) == ("failed", "PlacementError")


def test_handlers_are_given_back(tmp_path) -> None:
    before = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM), list(logging.getLogger().handlers)
    with open_run(config_of(tmp_path)):
        assert signal.getsignal(signal.SIGINT) != before[0]
    after = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM), list(logging.getLogger().handlers)
    assert after == before


def test_a_finished_run_has_nothing_left_to_do(tmp_path) -> None:
    with open_run(config_of(tmp_path)) as run:
        assert not run.finished
        run.log(2, {"policy/loss": 0.5})
    with open_run(config_of(tmp_path)) as again:
        assert again.finished
    assert read_run(tmp_path / "trial")["state"] == "finished"


def test_what_another_process_writes_is_shown(tmp_path, capsys) -> None:
    config = config_of(tmp_path)
    with open_run(config) as run, run.following():
        (run.path / NOTES).write_text("2 samples dropped\n")
        (run.path / "metrics.jsonl").write_text('{"step": 1, "policy/loss": 0.25}\n')
    out = capsys.readouterr().out
    assert "2 samples dropped" in out and "step 1/2" in out and "loss 0.25" in out
    assert read_run(tmp_path / "trial")["step"] == 1


def test_a_run_without_steps_has_the_same_shell(tmp_path) -> None:
    file = Path(__file__).parents[3] / "configs/curate_quickstart.yaml"
    config = load_config(file, [f"run.dir={tmp_path}"], CurationConfig)
    with pytest.raises(DataError), open_shell(config, CurationProgress()) as run:
        run.note("reading")
        raise DataError("no sample is left")
    end = read_run(run.path)
    assert (end["state"], end["error"]["type"]) == ("failed", "DataError") and "step" not in end
    with open_shell(config, CurationProgress()) as again:  # it goes on where it was
        assert not again.finished
    assert read_run(run.path)["state"] == "finished"


def test_what_is_shown_repeatedly_is_shown_a_last_time_at_the_end(monkeypatch) -> None:
    monkeypatch.setattr("vlaa_ray.run.repeating._REPEAT_S", 0.05)
    seen, done = [], []
    with repeating(lambda: seen.append(len(done))):
        while not seen:
            time.sleep(0.01)
        done.append(1)
    count = len(seen)
    assert (seen[0], seen[-1]) == (0, 1)
    time.sleep(0.2)
    assert len(seen) == count


def test_logprobs_that_are_apart_are_an_alarm(tmp_path, capsys) -> None:
    with open_run(config_of(tmp_path)) as run:
        run.log(1, {"logprob_diff/max_abs": 5e-5})
        run.log(2, {"logprob_diff/max_abs": 0.2})
    printed = " ".join(capsys.readouterr().out.split())
    assert "step 2: logprob_diff/max_abs is 0.2, above its limit of 0.001" in printed
    assert printed.count("above its limit") == 1
    assert "above its limit" in (tmp_path / "trial/logs/driver.log").read_text()


class Copies(Sink):
    """A sink of the test's own, which breaks at a step."""

    def __init__(self, steps, breaks_at=None):
        self._steps, self._breaks_at = steps, breaks_at

    def write(self, row):
        if row["step"] == self._breaks_at:
            raise RuntimeError("the metrics agent is gone")
        self._steps.append(row["step"])


def test_another_sink_begins_with_the_last_step_and_gets_each_one_until_its_block_ends(tmp_path) -> None:
    seen = []
    with open_run(config_of(tmp_path)) as run:
        run.log(0, {"policy/loss": 1.0})
        with run.copying("the copies", lambda: Copies(seen)):
            run.log(1, {"policy/loss": 1.0})
        run.log(2, {"policy/loss": 1.0})
    assert seen == [0, 1]


def test_a_sink_that_fails_changes_no_step(tmp_path, caplog) -> None:
    seen = []
    with open_run(config_of(tmp_path)) as run, run.copying("the copies", lambda: Copies(seen, breaks_at=1)):
        for step in range(4):
            run.log(step, {"policy/loss": 1.0})
    assert [row["step"] for row in read_metrics(tmp_path / "trial")] == [0, 1, 2, 3] and seen == [0]
    assert "the copies is switched off for this run" in caplog.text
    assert read_run(tmp_path / "trial")["state"] == "finished"
