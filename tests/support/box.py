"""Commands in a box of Linux namespaces: with processes, network, host name and temporary folders of its own.

What runs inside can't reach the outside, `ray stop` inside ends its own processes only, and nothing outlives the box.
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
HEALTH = {"period_ms": "1000", "timeout_ms": "3000", "failure_threshold": "3"}
"""Ray's health checks with which it sees within seconds that a node has vanished."""

_SET_UP = """
set -e
ip link set lo up
mount -t tmpfs -o size=2g tmpfs /dev/shm
mkdir -p /tmp/ray
mount -t tmpfs -o size=2g tmpfs /tmp/ray
mkdir /tmp/ray/home
export HOME=/tmp/ray/home
exec "$@"
"""


def why_not():
    """Why no box can be made here; an empty text if one can."""
    if sys.platform != "linux" or os.geteuid() != 0:
        return "boxes need root on Linux"
    if missing := [tool for tool in ("unshare", "ip", "mount") if shutil.which(tool) is None]:
        return f"boxes need {', '.join(missing)}"
    tried = run_in_box("true", timeout_s=20)
    return f"no box can be made here: {tried.stderr.strip()[-200:]}" if tried.returncode else ""


def run_in_box(*command, timeout_s, env=None):
    """Run a command in a box; return its completed process. Everything in the box ends with it, or after the time."""
    unshare = "unshare --mount --pid --fork --mount-proc --net --uts --ipc --kill-child bash -c".split()
    return subprocess.run(
        ["timeout", "--kill-after=5", str(timeout_s), *unshare, _SET_UP, "box", *command],
        env=os.environ | (env or {}),
        capture_output=True,
        text=True,
        timeout=timeout_s + 30,
    )


def run_script(name, *arguments, timeout_s):
    """Run a script of this folder in a box, with Ray's health checks set to seconds; return what it printed."""
    environment = {
        "PYTHONPATH": os.pathsep.join([str(ROOT), str(Path(__file__).parent)]),
        "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]),
        **{f"RAY_health_check_{name}": value for name, value in HEALTH.items()},
    }
    script = str(Path(__file__).parent / name)
    done = run_in_box(sys.executable, script, *map(str, arguments), timeout_s=timeout_s, env=environment)
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-6000:]
    return done.stdout
