"""Checkpoints: complete and proven, or not there. Kills and full disks are real, in child processes."""

import errno
import hashlib
import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vlaa_ray.errors import CheckpointError
from vlaa_ray.run.checkpoints import CheckpointStore, verify
from vlaa_ray.storage.atomic import write_whole
from vlaa_ray.storage.layout import MANIFEST

# FIPS 180-4's example: SHA-256 of the three bytes "abc".
ABC_SHA256 = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"

SAVES_IN_A_LOOP = """
import hashlib, os, sys
from pathlib import Path
from vlaa_ray.run.checkpoints import CheckpointStore

store = CheckpointStore(Path(sys.argv[1]), keep=2)
last = store.latest()
step = last.step if last else 0
print("ready", flush=True)
while True:
    step += 1
    folder = store.begin(step)
    (folder / "hf").mkdir()
    data = step.to_bytes(8, "big") * 50_000
    with (folder / "hf" / "weights").open("wb") as file:
        for start in range(0, len(data), 50_000):
            file.write(data[start : start + 50_000])
            file.flush()
    (folder / "optimizer").write_bytes(data[::-1])
    store.commit(step, {"step": step, "digest": hashlib.sha256(data).hexdigest()})
    print(step, flush=True)
"""

FILLS_THE_DISK = """
import resource, signal, sys
from pathlib import Path
from vlaa_ray.run.checkpoints import CheckpointStore
from vlaa_ray.errors import CheckpointError

signal.signal(signal.SIGXFSZ, signal.SIG_IGN)  # a write past the limit is then an OSError, as on a full disk
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
store = CheckpointStore(Path(sys.argv[1]), keep=2)
store.begin(20)
try:
    store.commit(20, {"much": "x" * 200_000})
except CheckpointError as error:
    print(error)
    sys.exit(7)
"""


def save(store: CheckpointStore, step: int, data: bytes = b"abc", **state: object) -> Path:
    folder = store.begin(step)
    (folder / "hf").mkdir()
    (folder / "hf" / "weights").write_bytes(data)
    return store.commit(step, {"cursor": step, **state})


@pytest.fixture
def store(tmp_path: Path) -> CheckpointStore:
    return CheckpointStore(tmp_path / "checkpoints", keep=2, config="run: {}\n")


def test_a_checkpoint_comes_back_as_it_was_saved(store: CheckpointStore) -> None:
    path = save(store, 10, learning_rate=1e-6, random=[1 << 80, 3])
    assert path.name == "step_000010"
    latest = store.latest()
    assert latest is not None and (latest.step, latest.path) == (10, path)
    assert latest.state == {"cursor": 10, "learning_rate": 1e-6, "random": [1 << 80, 3]}
    assert sorted(file.name for file in path.iterdir()) == ["config.yaml", "hf", "manifest.json", "state.json"]
    entry = json.loads((path / MANIFEST).read_text())["files"]["hf/weights"]
    assert entry == {"sha256": ABC_SHA256, "size_bytes": 3}


def test_no_checkpoint_is_none_and_not_an_error(tmp_path: Path) -> None:
    assert CheckpointStore(tmp_path / "nothing", keep=1).latest() is None


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@settings(max_examples=25, deadline=None)
@given(state=st.dictionaries(st.text(), json_values, max_size=4))
def test_any_json_state_survives(tmp_path_factory: pytest.TempPathFactory, state: dict) -> None:
    store = CheckpointStore(tmp_path_factory.mktemp("any"), keep=1)
    store.begin(1)
    store.commit(1, state)
    assert store.latest().state == state


def flip_a_byte(path: Path) -> None:
    data = bytearray((path / "hf/weights").read_bytes())
    data[1] ^= 1
    (path / "hf/weights").write_bytes(data)


def rewrite_manifest(path: Path, **changes: object) -> None:
    manifest = json.loads((path / MANIFEST).read_text())
    (path / MANIFEST).write_text(json.dumps(manifest | changes))


def list_a_file_outside(path: Path, name: str) -> None:
    (path.parent / "outside").write_bytes(b"abc")
    files = json.loads((path / MANIFEST).read_text())["files"]
    rewrite_manifest(path, files=files | {name: {"sha256": ABC_SHA256, "size_bytes": 3}})


def replace_by_link(path: Path) -> None:
    (path / "hf/weights").rename(path.parent / "outside")
    (path / "hf/weights").symlink_to(path.parent / "outside")  # the same bytes, but from elsewhere


def replace_folder_by_link(path: Path) -> None:
    (path / "hf").rename(path.parent / "outside")
    (path / "hf").symlink_to(path.parent / "outside")


DAMAGES = {
    "flipped": (flip_a_byte, "hf/weights has another sha256"),
    "truncated": (lambda path: os.truncate(path / "hf/weights", 1), "hf/weights has another size"),
    "deleted": (lambda path: (path / "hf/weights").unlink(), "hf/weights is missing"),
    "added": (lambda path: (path / "hf/pytorch_model.bin").touch(), "hf/pytorch_model.bin is not in the manifest"),
    "link": (replace_by_link, "hf/weights is a link"),
    "link to a folder": (replace_folder_by_link, "hf is a link"),
    "pipe": (lambda path: os.mkfifo(path / "pipe"), "pipe is a link or a device"),
    "parent": (lambda path: list_a_file_outside(path, "../outside"), "names '../outside'"),
    "absolute": (lambda path: list_a_file_outside(path, "/etc/passwd"), "names '/etc/passwd'"),
    "state": (lambda path: (path / "state.json").write_text("{}"), "state.json has another size"),
    "no manifest": (lambda path: (path / MANIFEST).unlink(), "manifest.json is missing"),
    "half a manifest": (lambda path: os.truncate(path / MANIFEST, 20), "manifest.json can't be read"),
    "deep manifest": (lambda path: (path / MANIFEST).write_text("[" * 100_000), "manifest.json can't be read"),
    "list for manifest": (lambda path: (path / MANIFEST).write_text("[]"), "is not a JSON object"),
    "manifest of text": (lambda path: rewrite_manifest(path, files="all"), "manifest.json is not a manifest"),
    "stateless": (lambda path: rewrite_manifest(path, files={}), "does not list state.json"),
}


@pytest.mark.parametrize("damage, says", DAMAGES.values(), ids=DAMAGES)
def test_damage_is_found_named_and_stepped_over(store: CheckpointStore, caplog, damage, says: str) -> None:
    save(store, 10)
    newest = save(store, 20)
    assert verify(newest) == 20
    damage(newest)
    with pytest.raises(CheckpointError, match=says) as caught:
        verify(newest)
    assert caught.value.facts["checkpoint"] == str(newest) and caught.value.fix
    assert store.latest().step == 10
    assert says in caplog.text and str(newest) in caplog.text


def test_a_linked_checkpoint_folder_is_refused(store: CheckpointStore, caplog) -> None:
    save(store, 10).rename(store.folder / "elsewhere")
    (store.folder / "step_000010").symlink_to(store.folder / "elsewhere")
    assert store.latest() is None
    assert "step_000010 is a link" in caplog.text


def test_the_keep_newest_stay(store: CheckpointStore) -> None:
    for step in (10, 20, 30):
        save(store, step)
    assert [path.name for path in store.paths()] == ["step_000020", "step_000030"]


def test_a_short_checkpoint_does_not_count_as_kept(store: CheckpointStore) -> None:
    save(store, 10)
    os.truncate(save(store, 20) / "hf/weights", 1)
    save(store, 30)
    assert [path.name for path in store.paths()] == ["step_000010", "step_000020", "step_000030"]
    save(store, 40)  # now two whole ones are newer
    assert [path.name for path in store.paths()] == ["step_000030", "step_000040"]


def test_the_one_just_saved_is_never_deleted(tmp_path: Path) -> None:
    store = CheckpointStore(tmp_path, keep=1)
    save(store, 30)
    save(store, 20)  # a step below: retention must not take it for old
    assert [path.name for path in store.paths()] == ["step_000020", "step_000030"]


def test_what_a_crash_left_is_removed(store: CheckpointStore) -> None:
    (store.begin(10) / "half").write_bytes(b"x")
    again = store.begin(20)
    assert [path.name for path in store.folder.iterdir()] == [".step_000020.partial"]
    assert list(again.iterdir()) == []


def test_saving_a_step_again_replaces_it(store: CheckpointStore) -> None:
    save(store, 10, attempt=1)
    save(store, 10, attempt=2)
    assert [path.name for path in store.folder.iterdir()] == ["step_000010"]
    assert store.latest().state["attempt"] == 2


def test_a_kill_while_replacing_loses_nothing(store: CheckpointStore) -> None:
    save(store, 10).rename(store.folder / ".step_000010.replaced")  # the old one is out, the new one not yet in
    assert store.latest().state == {"cursor": 10}
    store.begin(20)
    assert store.latest().path.name == "step_000010"
    (store.folder / ".step_000010.replaced").mkdir()  # the new one is in, the old one not yet deleted
    store.begin(20)
    assert [path.name for path in store.paths()] == ["step_000010"]


def test_a_state_that_is_not_json_is_refused(store: CheckpointStore) -> None:
    save(store, 10)
    store.begin(20)
    with pytest.raises(CheckpointError, match="must be JSON"):
        store.commit(20, {"tensor": object()})
    assert store.latest().step == 10 and len(list(store.folder.iterdir())) == 1


def test_a_link_among_the_files_is_not_committed(store: CheckpointStore) -> None:
    (store.begin(10) / "weights").symlink_to("/etc/passwd")
    with pytest.raises(CheckpointError, match="weights is a link"):
        store.commit(10, {})
    assert store.paths() == []


def test_commit_without_begin_is_an_error(store: CheckpointStore) -> None:
    with pytest.raises(CheckpointError, match="can't save a checkpoint"):
        store.commit(10, {})


@pytest.mark.parametrize("call", ["fsync", "rename"])
def test_no_space_leaves_the_older_ones(store: CheckpointStore, monkeypatch, call: str) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    save(store, 10)
    store.begin(20)
    with monkeypatch.context() as patch:
        patch.setattr(*((os, "fsync") if call == "fsync" else (Path, "rename")), full)
        with pytest.raises(CheckpointError, match="No space left") as caught:
            store.commit(20, {})
    assert "untouched" in caught.value.fix
    assert [path.name for path in store.folder.iterdir()] == ["step_000010"]
    assert store.latest().step == 10


def test_a_real_write_failure_leaves_the_older_ones(store: CheckpointStore) -> None:
    save(store, 10)
    done = subprocess.run(
        [sys.executable, "-c", FILLS_THE_DISK, store.folder], capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 7 and "File too large" in done.stdout, done.stderr
    assert [path.name for path in store.folder.iterdir()] == ["step_000010"]
    assert store.latest().step == 10


def test_twenty_kills_in_the_middle_of_saving(tmp_path: Path) -> None:
    rng = random.Random(20)
    store = CheckpointStore(tmp_path, keep=2)
    interrupted = 0
    reported = 0
    for _ in range(20):
        child = subprocess.Popen(
            [sys.executable, "-c", SAVES_IN_A_LOOP, str(tmp_path)], stdout=subprocess.PIPE, text=True
        )
        assert child.stdout.readline() == "ready\n"
        time.sleep(rng.uniform(0.0, 0.15))
        child.send_signal(signal.SIGKILL)
        said = child.stdout.read().split()
        assert child.wait(timeout=10) == -signal.SIGKILL
        reported = max([reported, *map(int, said)])
        interrupted += any(path.name.endswith(".partial") for path in tmp_path.iterdir())
        newest = store.latest()
        assert newest is not None or reported == 0
        if newest is not None:
            assert newest.step >= reported  # what was reported as saved is never lost
            data = newest.step.to_bytes(8, "big") * 50_000
            assert newest.state == {"step": newest.step, "digest": hashlib.sha256(data).hexdigest()}
            assert (newest.path / "hf/weights").read_bytes() == data
            assert (newest.path / "optimizer").read_bytes() == data[::-1]
    assert reported >= 5  # saves did happen between the kills (how many depends on the machine),
    assert interrupted >= 3  # and the kills did hit saves


def test_a_durable_write_replaces_whole_files(tmp_path: Path, monkeypatch) -> None:
    file = tmp_path / "run.json"
    write_whole(file, "old")

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(OSError, match="No space"):
            write_whole(file, "new")
    assert file.read_text() == "old"
    write_whole(file, "new")
    assert file.read_text() == "new" and list(tmp_path.iterdir()) == [file]
