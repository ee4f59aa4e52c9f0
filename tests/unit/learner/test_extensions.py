"""The lock around DeepSpeed's extension: a stale file of torch's is removed, a live process is waited for."""

import shutil
import subprocess
import sys
import sysconfig
import time
from pathlib import Path

import pytest

from vlaa_ray.errors import DeadlineExceeded
from vlaa_ray.learner.extensions import baton_removed, extension_folder, load_built, note_built

HOLD = "import fcntl, sys, time; f = open(sys.argv[1], 'w'); fcntl.flock(f, fcntl.LOCK_EX); print(1, flush=True); "
HOLD += "time.sleep(60)"


def test_a_stale_lock_file_is_removed_at_once(tmp_path):
    stale = tmp_path / "op" / "lock"
    stale.parent.mkdir()
    stale.touch()
    start = time.monotonic()
    with baton_removed(tmp_path, "op"):
        assert not stale.exists()
    assert time.monotonic() - start < 1


def test_the_file_of_a_live_process_stays_and_is_free_once_it_is_killed(tmp_path):
    baton = tmp_path / "op" / "lock"
    baton.parent.mkdir()
    baton.touch()
    command = [sys.executable, "-c", HOLD, str(tmp_path / "op.flock")]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as holder:
        assert holder.stdout.readline()
        with pytest.raises(DeadlineExceeded, match="another process"), baton_removed(tmp_path, "op", 0.3):
            pass
        assert baton.exists()
        holder.kill()
    with baton_removed(tmp_path, "op", 5):
        assert not baton.exists()


def test_the_users_folder_is_used_and_else_one_for_each_environment_and_version(monkeypatch, tmp_path):
    monkeypatch.setenv("TORCH_EXTENSIONS_DIR", str(tmp_path))
    assert extension_folder("2.9.0") == tmp_path
    monkeypatch.delenv("TORCH_EXTENSIONS_DIR")
    assert extension_folder("2.9.0") != extension_folder("2.8.0")
    assert extension_folder("2.9.0").name.endswith("-torch2.9.0")
    here = extension_folder("2.9.0")
    monkeypatch.setattr(sys, "prefix", str(tmp_path))
    assert extension_folder("2.9.0") != here


def test_what_was_built_with_the_same_versions_is_loaded_as_it_is(tmp_path):
    library = next(Path(sysconfig.get_config_var("DESTSHARED")).glob("_bisect.*.so"))
    (tmp_path / "_bisect").mkdir()
    shutil.copy(library, tmp_path / "_bisect/_bisect.so")
    assert load_built(tmp_path, "_bisect", "torch 2.9.0") is None
    note_built(tmp_path, "_bisect", "torch 2.9.0")
    built = load_built(tmp_path, "_bisect", "torch 2.9.0")
    assert built.bisect_right([1, 2, 4], 3) == 2 and built.__file__ == str(tmp_path / "_bisect/_bisect.so")
    assert load_built(tmp_path, "_bisect", "torch 2.9.1") is None
    assert load_built(tmp_path, "_bisect", "torch 2.9.0") is None  # half of another build may be there by now
