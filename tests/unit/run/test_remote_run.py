"""Runs whose folder is in a bucket, against real servers of s3 and gs."""

import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from bucket_runs import config_of, save

from vlaa_ray.errors import CheckpointError, ConfigError, OwnershipLost, StorageError
from vlaa_ray.run.checkpoints import verify
from vlaa_ray.run.mirror import _small_files
from vlaa_ray.run.parts import PartSender, bring_checkpoint, verify_for_ranks
from vlaa_ray.run.remote_checkpoints import MODEL_FILES, fetch_newest, list_remote
from vlaa_ray.run.run_json import read_run, run_path
from vlaa_ray.run.session import open_run
from vlaa_ray.storage.metrics_file import read_metrics
from vlaa_ray.storage.places import BucketPath


def content(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def until(happened, deadline_s=60):
    deadline = time.monotonic() + deadline_s
    while not (result := happened()):
        assert time.monotonic() < deadline
        time.sleep(0.1)
    return result


def test_a_run_goes_on_on_another_machine_with_an_empty_disk(bucket, tmp_path):
    runs = bucket.new_folder()
    first, second = config_of(runs, tmp_path / "a"), config_of(runs, tmp_path / "b")
    with pytest.raises(KeyboardInterrupt), open_run(first) as run:
        for step in range(5):
            save(run, step, 100_000)
        (run.path / "rollouts").mkdir(exist_ok=True)
        (run.path / "rollouts/step_000004.jsonl").write_text("{}\n")
        raise KeyboardInterrupt
    place = BucketPath.parse(runs) / "trial"
    finished = [remote for remote in list_remote(place / "checkpoints") if remote.is_finished]
    assert [(remote.step, remote.attempt) for remote in finished] == [(3, 1), (4, 1)]  # checkpoint.keep is 2
    assert json.loads((place / "run.json").read())["state"] == "interrupted"
    with open_run(second) as run:
        assert run.resume_from.step == 4 and run.resume_state == {"step": 4, "data": {}}
        there, here = (run_path(config) / "checkpoints/step_000004" for config in (first, second))
        assert content(there) == content(here)
        assert [row["step"] for row in read_metrics(run.path)] == [0, 1, 2, 3, 4]
        assert (run.path / "rollouts/step_000004.jsonl").is_file()
        save(run, 5, 100_000)
    assert [row["step"] for row in read_metrics(run_path(second))] == [0, 1, 2, 3, 4, 5]
    # the first machine comes back: its copy is old, and is moved aside
    with open_run(first) as run:
        assert run.resume_from.step == 5 and read_run(run.path)["resumed_from_step"] == 5
        assert run.path.with_name("trial.before-attempt-3").is_dir()


def test_the_local_copy_is_the_truth_while_the_bucket_lags(s3, tmp_path, monkeypatch):
    config = config_of(s3.new_folder(), tmp_path / "a", upload_s=1.0)
    monkeypatch.setattr("vlaa_ray.run.mirror.send", _refuse)
    with pytest.raises(KeyboardInterrupt), open_run(config) as run:
        save(run, 1, 1000)
        raise KeyboardInterrupt
    place = BucketPath.parse(config.run.dir) / "trial/checkpoints"
    assert not [remote for remote in list_remote(place) if remote.is_finished]
    monkeypatch.undo()
    with open_run(config) as run:
        assert run.resume_from.step == 1
    assert [remote.step for remote in list_remote(place) if remote.is_finished] == [1]


def _refuse(*arguments):
    raise StorageError("no way")


def test_a_run_whose_bucket_lacks_the_end_is_an_error_and_the_same_command_sends_it(s3, tmp_path, monkeypatch):
    config = config_of(s3.new_folder(), tmp_path / "a", num_steps=1, upload_s=1.0)
    monkeypatch.setattr("vlaa_ray.run.mirror.send", _refuse)
    with pytest.raises(StorageError, match="does not have all checkpoints"), open_run(config) as run:
        save(run, 1, 1000)
    monkeypatch.undo()
    with open_run(config) as run:
        assert run.finished
    assert fetch_newest(BucketPath.parse(config.run.dir) / "trial/checkpoints", tmp_path / "got")[0].step == 1


@pytest.mark.parametrize("kills", [4, pytest.param(20, marks=pytest.mark.acceptance)])
def test_kills_during_uploads_leave_a_checkpoint_that_loads(s3, tmp_path, kills):
    runs = s3.new_folder()
    place, newest = BucketPath.parse(runs) / "trial/checkpoints", 0
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(Path(__file__).parents[2] / "support"), *sys.path])}
    for kill in range(kills):
        command = [sys.executable, "-m", "bucket_runs", runs, str(tmp_path / f"machine-{kill // 5}")]
        process = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        process.stdout.readline()  # it has logged a step, and saves it now
        time.sleep(random.Random(kill).uniform(0.0, 2.0))
        process.send_signal(signal.SIGKILL)
        process.communicate()
        found = fetch_newest(place, tmp_path / f"copy-{kill}")
        if found:
            remote, path = found
            assert verify(path) == remote.step and remote.step >= newest
            newest = remote.step
            metrics = (place.parent / "metrics.jsonl").read().decode().splitlines()  # they were there before it
            assert {json.loads(line)["step"] for line in metrics} >= set(range(1, remote.step + 1))
    assert newest >= kills // 4  # it got on nevertheless


def test_a_second_owner_is_refused_and_takes_over_when_the_first_one_is_dead(bucket, tmp_path, capsys):
    runs = bucket.new_folder()
    first, second = config_of(runs, tmp_path / "a"), config_of(runs, tmp_path / "b")
    with pytest.raises(OwnershipLost, match="has taken over"), open_run(first) as run:
        save(run, 1, 1000)
        until(lambda: fetch_newest(BucketPath.parse(runs) / "trial/checkpoints", tmp_path / "seen"))
        with pytest.raises(ConfigError, match="another process uses this run folder") as refused, open_run(second):
            pass
        assert refused.value.facts["attempt"] == 1
        run._folder.remote._mirror.stop()  # as if its machine had been frozen
        with open_run(second) as other:
            assert other.resume_from.step == 1
            save(other, 2, 1000)
        save(run, 2, 999)  # its thread has not seen yet that it is not the owner: the file stays on its own disk
        run._folder.remote._mirror._owner.renew()
    found = list_remote(BucketPath.parse(runs) / "trial/checkpoints")
    assert [(remote.step, remote.attempt) for remote in found if remote.is_finished] == [(1, 1), (2, 2)]


def test_an_owner_that_lost_its_folder_can_not_commit(s3, tmp_path):
    config = config_of(s3.new_folder(), tmp_path / "a")
    with pytest.raises(OwnershipLost), open_run(config) as run:
        owner = BucketPath.parse(config.run.dir) / "trial/owner.json"
        owner.write(json.dumps(json.loads(owner.read()) | {"attempt": 2, "holder": "another"}).encode())
        save(run, 1, 1000)
        until(lambda: run._folder.remote._mirror._owner._lost)
        save(run, 2, 1000)
    assert not (run.path / "checkpoints/step_000002").exists()


@pytest.mark.parametrize("seconds", [3, pytest.param(10, marks=pytest.mark.acceptance)])
def test_an_outage_is_shown_and_survived(s3, tmp_path, capsys, seconds):
    config = config_of(s3.new_folder(), tmp_path / "a", lease_s=60.0)
    with open_run(config) as run:
        save(run, 1, 1000)
        s3.stop()
        start, step = time.monotonic(), 1
        while time.monotonic() - start < seconds:
            step += 1
            save(run, step, 1000)
            time.sleep(1)
        until(lambda: run._folder.remote.metrics()["storage/failures"])
        run.log(step + 1, {"reward/mean": 1.0})
        s3.start()
    printed = " ".join(capsys.readouterr().out.split())
    assert "storage: " in printed and "the run goes on" in printed and "again, after" in printed
    row = read_metrics(run.path)[-1]
    assert row["storage/behind_s"] > seconds / 2 and row["storage/failures"] >= 1
    remote, path = fetch_newest(BucketPath.parse(config.run.dir) / "trial/checkpoints", tmp_path / "copy")
    assert remote.step == step and content(path) == content(run.path / f"checkpoints/{path.name}")


def test_parts_of_ranks_on_another_node_are_listed_and_come_back(bucket, tmp_path):
    runs = bucket.new_folder()
    config = config_of(runs, tmp_path / "driver")
    elsewhere = config.model_copy(update={"run": config.run.model_copy(update={"local_dir": str(tmp_path / "node")})})
    node_folder = run_path(elsewhere) / "checkpoints"
    sender = PartSender(config, 2, 30)
    with open_run(config) as run:
        run.log(1, {"reward/mean": 1.0})
        partial = node_folder / run.begin_checkpoint(1).name  # the same path, on another disk
        sender.prepare(partial)
        (partial / "hf").mkdir()
        (partial / "hf/config.json").write_text("{}")
        (partial / "rank_0.pt").write_bytes(b"0" * 10_000)
        (partial / "rank_1.pt").write_bytes(b"1" * 10_000)
        sender.hand_over(partial, 2)
        sender.hand_over(partial, 2)  # the other rank of the node
        run.commit_checkpoint(1, {"step": 1})
        local = run.path / "checkpoints/step_000001"
        assert not (local / "rank_1.pt").exists() and not partial.exists()
        until(lambda: any(remote.is_finished for remote in list_remote(BucketPath.parse(runs) / "trial/checkpoints")))
        verify_for_ranks(config, local)  # ranks that start again can fetch what is not here
    remote, path = fetch_newest(BucketPath.parse(runs) / "trial/checkpoints", tmp_path / "copy")
    assert remote.step == 1 and (path / "rank_1.pt").read_bytes() == b"1" * 10_000
    with open_run(config) as run:  # on the driver's node again: what lay elsewhere is brought
        assert run.resume_from.step == 1 and (local / "rank_1.pt").is_file()
        bring_checkpoint(elsewhere, node_folder / "step_000001")
        assert content(node_folder / "step_000001") == content(local)
    (local / "rank_1.pt").unlink()
    (BucketPath.parse(runs) / "trial/checkpoints/step_000001.1/manifest.json").delete()
    with pytest.raises(CheckpointError, match="the bucket does not have all of them yet"):
        verify_for_ranks(config, local)


def test_parts_that_do_not_come_cost_this_checkpoint(s3, tmp_path):
    config = config_of(s3.new_folder(), tmp_path / "a")
    config = config.model_copy(update={"deadlines": config.deadlines.model_copy(update={"checkpoint_s": 2.0})})
    with open_run(config) as run:
        run.begin_checkpoint(1)
        with pytest.raises(CheckpointError, match="ranks on other nodes have not sent their files"):
            run.commit_checkpoint(1, {"step": 1})


def test_a_model_can_be_fetched_without_what_only_training_needs(s3, tmp_path):
    config = config_of(s3.new_folder(), tmp_path / "a")
    with open_run(config) as run:
        save(run, 1, 1000)
    _, path = fetch_newest(BucketPath.parse(config.run.dir) / "trial/checkpoints", tmp_path / "copy", MODEL_FILES)
    assert {name for name in content(path)} == {
        *("config.yaml", "state.json", "manifest.json"),
        *("hf/config.json", "hf/model.safetensors"),
    }
    assert verify(path) == 1


def test_a_checkpoint_that_was_altered_in_the_bucket_does_not_exist(s3, tmp_path, caplog):
    config = config_of(s3.new_folder(), tmp_path / "a")
    with open_run(config) as run:
        save(run, 1, 1000)
        save(run, 2, 1000)
    folder = BucketPath.parse(config.run.dir) / "trial/checkpoints"
    (folder / "step_000002.1/optimizer/rank_0.pt").write(b"x" * 1000)
    remote, _ = fetch_newest(folder, tmp_path / "copy")
    assert remote.step == 1 and "another sha256" in caplog.text
    (folder / "step_000001.1/manifest.json").delete()
    with pytest.raises(CheckpointError, match="none of the 1 checkpoints is sound"):
        fetch_newest(folder, tmp_path / "copy")


def test_two_threads_of_a_process_do_not_both_become_the_owner(s3, tmp_path):
    runs, opened, refused = s3.new_folder(), [], []

    def begin(number):
        from vlaa_ray.run.ownership import OWNER, Ownership

        try:
            opened.append(Ownership.claim(BucketPath.parse(runs) / OWNER, f"copy-{number}", 2.0, print))
        except ConfigError:
            refused.append(number)

    threads = [threading.Thread(target=begin, args=(number,)) for number in range(4)]
    [thread.start() for thread in threads]
    opened and opened[0].renew()
    [thread.join(60) for thread in threads]
    assert len(opened) + len(refused) == 4 and len({owner.attempt for owner in opened}) == len(opened)


def test_what_is_sent_has_its_place_and_what_belongs_to_this_machine_is_not_sent(tmp_path):
    for name in ("run.json", "rollouts/a.jsonl", "logs/driver.log", "logs/deep/x.log", ".copy", "rollouts/.part"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("x")
    for name in ("checkpoints/step_000001/hf", "checkpoints/.sending", "heldout_model", "ray_train"):
        (tmp_path / name).mkdir(parents=True)
        (tmp_path / name / "f").write_text("x")
    (tmp_path / "link").symlink_to(tmp_path / "run.json")
    found = dict(_small_files(tmp_path, 3))
    places = {"run.json", "rollouts/a.jsonl", "logs/attempt_3/driver.log", "logs/attempt_3/deep/x.log"}
    assert set(found) == places and found["run.json"][1][0] == 1
