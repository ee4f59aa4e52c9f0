"""`vlaa-ray submit` to a Ray cluster of two nodes, with token authentication on and without the project installed."""

import contextlib
import json
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import sysconfig
import tempfile
import time
import urllib.request
import venv
from pathlib import Path

import psutil
import pytest
import torch
from browser import BROWSER
from devtools import tab
from formats import png
from quickstart import ROOT, SMALL, metrics, run_json

from vlaa_ray.learner import extensions

pytestmark = [pytest.mark.integration, pytest.mark.timeout(900)]
# a PYTHONPATH with a checkout of the project would give it to the cluster
PLANTED = "planted-" + secrets.token_hex(16)
WITHOUT_PROJECT = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}


def free_ports(count: int) -> list[int]:
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]


@pytest.fixture(scope="module")
def foreign_python(tmp_path_factory):
    """The folder of an interpreter that has all that the project needs, but not the project."""
    folder = tmp_path_factory.mktemp("python")
    venv.create(folder, with_pip=False, symlinks=True)
    (there,) = folder.glob("lib/python*/site-packages")
    for package in Path(sysconfig.get_path("purelib")).iterdir():
        if "vlaa_ray" not in package.name:
            (there / package.name).symlink_to(package)
    (folder / "bin/ninja").symlink_to(Path(sysconfig.get_path("scripts")) / "ninja")
    command = [folder / "bin/python", "-c", "import torch, vlaa_ray"]
    gone = subprocess.run(command, cwd=folder, env=WITHOUT_PROJECT, capture_output=True, text=True)
    assert "No module named 'vlaa_ray'" in gone.stderr
    return folder / "bin"


@pytest.fixture(scope="module")
def cluster(tmp_path_factory, foreign_python):
    """(address of the dashboard, environment with the token) of two nodes with two CPUs each."""
    folder = tmp_path_factory.mktemp("ray")
    environment = WITHOUT_PROJECT | {
        extensions.FOLDER_KEY: str(extensions.extension_folder(torch.__version__)),  # built once, not in every HOME
        "PATH": os.pathsep.join([str(foreign_python), os.environ["PATH"]]),
        "RAY_AUTH_MODE": "token",
        "RAY_AUTH_TOKEN": secrets.token_hex(32),
        "PLANTED_TOKEN": PLANTED,  # as a pod gets it from a Kubernetes secret
        "HOME": str(folder),
    }
    port, dashboard, *agents = free_ports(4)  # another Ray of this machine may have the default ones
    address = f"http://127.0.0.1:{dashboard}"
    with contextlib.ExitStack() as stack:
        # nodes of one machine would unpack the job into the same folder at once
        own = stack.enter_context(tempfile.TemporaryDirectory(prefix="ray-", ignore_cleanup_errors=True))
        places = [["--head", f"--port={port}", f"--dashboard-port={dashboard}"]]
        places += [[f"--address=127.0.0.1:{port}", f"--temp-dir={own}"]]
        for number, (place, agent) in enumerate(zip(places, agents, strict=True)):
            command = [str(foreign_python / "python"), "-m", "ray.scripts.scripts", "start", "--block", *place]
            command += ["--node-ip-address=127.0.0.1", f"--dashboard-agent-listen-port={agent}"]
            command += ["--num-cpus=2", "--object-store-memory=300000000"]
            log = stack.enter_context((folder / f"node{number}.log").open("w"))
            node = stack.enter_context(ended(subprocess.Popen(command, env=environment, stdout=log, stderr=log)))
            deadline = time.monotonic() + 120
            while not answers(f"{address}/api/version", environment["RAY_AUTH_TOKEN"]):
                assert node.poll() is None and time.monotonic() < deadline, Path(log.name).read_text()[-3000:]
                time.sleep(0.5)
        yield address, environment


@contextlib.contextmanager
def ended(node: subprocess.Popen):
    """Whatever happens, the node is gone afterwards, with all that it started."""
    try:
        yield node
    finally:
        family = psutil.Process(node.pid).children(recursive=True)
        node.send_signal(signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            node.wait(30)
        for process in [*family, psutil.Process(node.pid)] if node.poll() is None else family:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()


def answers(url: str, token: str) -> bool:
    request = urllib.request.Request(url, headers={"Authorization": f"Bearer {token}"})
    try:
        with urllib.request.urlopen(request, timeout=5) as response:
            return response.status == 200
    except OSError:
        return False


def submit(
    address: str, environment: dict[str, str], *arguments: str, folder: Path = ROOT, options: tuple[str, ...] = ()
) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "vlaa_ray", "submit", "--address", address, *options, "--", *arguments]
    environment = environment | {"PYTHONPATH": str(ROOT)}
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=600)


@pytest.fixture
def checkout(tmp_path) -> Path:
    """A copy of the project, to be edited and sent."""
    for part in ("vlaa_ray", "actors", "configs"):
        shutil.copytree(ROOT / part, tmp_path / part, ignore=shutil.ignore_patterns("__pycache__"))
    return tmp_path


def write_heldout(folder: Path) -> None:
    """Four prompts with a picture, and the built-in base model, in a folder of the user's."""
    shutil.copytree(ROOT / "vlaa_ray/models/builtin/tiny-base", folder / "model")
    rows = [{"problem": f"<image>How many? {row}", "answer": "4", "images": ["a.png"]} for row in range(4)]
    (folder / "heldout.jsonl").write_text("".join(json.dumps(row | {"verifier_type": "digit"}) + "\n" for row in rows))
    (folder / "a.png").write_bytes(png())


def test_a_job_runs_on_two_nodes_and_one_that_is_sent_again_after_an_edit_continues(
    cluster, checkout, tmp_path_factory
):
    arguments = ["train", "--config", "configs/quickstart.yaml", "run.dir=results", *SMALL, "checkpoint.every_steps=1"]
    # the learner fills one node, so the engine is on the other, and weights travel by the object store
    arguments += ["learner.cpus_per_rank=2", "eval.num_prompts=4", "rewards.open_ended.scorer=words"]
    write_heldout(checkout / "runs")  # a folder that is not uploaded
    arguments += ["data.heldout=runs/heldout.jsonl", "model.path=runs/model"]
    result = submit(*cluster, *arguments, "run.num_steps=2", folder=checkout)
    assert result.returncode == 0, result.stdout[-4000:] + result.stderr[-2000:]
    assert "Held-out reward" in result.stdout and "step 2/2" in " ".join(result.stdout.split())
    jobs = [word for word in result.stdout.split() if word.startswith("raysubmit_")]
    rows = metrics(checkout / "results")  # where the sender said, not in the copy that Ray made
    assert [row["step"] for row in rows] == [0, 1, 2]
    assert all(row["logprob_diff/max_abs"] <= 1e-4 for row in rows[1:])
    (checkout / "configs/notes.txt").write_text("an edit gives Ray's copy another name")
    result = submit(*cluster, *arguments, "run.num_steps=3", folder=checkout)
    assert result.returncode == 0, result.stdout[-4000:] + result.stderr[-2000:]
    assert [row["step"] for row in metrics(checkout / "results")] == [0, 1, 2, 3]
    assert run_json(checkout / "results")["resumed_from_step"] == 2
    if BROWSER or "CI" in os.environ:
        assert str(checkout / "results") in job_page(cluster, jobs[0].strip(":;"), tmp_path_factory.mktemp("page"))


def job_page(cluster, job: str, folder: Path) -> str:
    """The text of Ray's own page of a job, as soon as the log's last step is there."""
    address, environment = cluster
    with tab("about:blank", folder) as page:
        token = environment["RAY_AUTH_TOKEN"]
        page.call("Network.setCookie", url=address, name="ray-authentication-token", value=token)
        page.open(f"{address}/#/jobs/{job}")
        return page.wait_for("document.body.innerText.includes('step 2/2') && document.body.innerText")


def test_the_doctor_asks_every_node(cluster):
    result = submit(*cluster, "doctor", "--cluster")
    assert "all 2 answer" in result.stdout and "speed between nodes" in result.stdout, result.stdout[-4000:]


def test_a_secret_is_sent_by_reference_and_is_in_no_answer_and_no_log(cluster):
    address, environment = cluster
    outside = {name: value for name, value in environment.items() if name != "PLANTED_TOKEN"}
    result = submit(address, outside, "config", "configs/quickstart.yaml", options=("--secret", "PLANTED_TOKEN"))
    assert result.returncode == 0, result.stdout[-3000:] + result.stderr[-2000:]
    result = submit(address, outside, "config", "configs/quickstart.yaml", options=("--secret", "NO_SUCH_TOKEN"))
    assert result.returncode == 2 and "NO_SUCH_TOKEN is not in the environment of this node" in result.stdout
    refused = submit(address, environment, "train", "--config", "c.yaml", f"tracking.wandb_project={PLANTED}")
    assert refused.returncode == 2 and "holds the value of PLANTED_TOKEN" in refused.stderr
    assert PLANTED not in refused.stderr
    headers = {"Authorization": f"Bearer {environment['RAY_AUTH_TOKEN']}"}
    with urllib.request.urlopen(urllib.request.Request(f"{address}/api/jobs/", headers=headers)) as response:
        jobs = response.read().decode()
    assert "PLANTED_TOKEN" in jobs and PLANTED not in jobs
    for file in Path("/tmp/ray").rglob("*"):
        if file.is_file() and file.suffix in (".log", ".out", ".err", ".json"):
            assert PLANTED not in file.read_text(errors="replace"), file


def test_a_job_that_fails_ends_with_its_own_exit_code_and_cause(cluster):
    result = submit(*cluster, "train", "--config", "configs/quickstart.yaml", "rollout.group_sise=4")
    assert result.returncode == 2, result.stdout[-4000:]
    assert "did you mean 'rollout.group_size'" in result.stdout


def test_a_wrong_token_is_refused(cluster):
    address, environment = cluster
    result = submit(address, environment | {"RAY_AUTH_TOKEN": "0" * 64}, "train", "--config", "configs/quickstart.yaml")
    assert result.returncode == 1
    assert "PlacementError" in result.stderr and "RAY_AUTH_TOKEN" in result.stderr, result.stderr[-2000:]
