"""The files of Ray's cluster launcher pass Ray's own checks; the other files of `cluster/` say what is so."""

import copy
import importlib.util
import json
import re
import shlex
from pathlib import Path

import pytest
import yaml
from ray.autoscaler._private.util import prepare_config, validate_config

from vlaa_ray.cli import app
from vlaa_ray.config import GrpoConfig, load_config

ROOT = Path(__file__).parents[3]
FOLDER = ROOT / "cluster"
LAUNCHERS = {name: yaml.safe_load((FOLDER / f"{name}.yaml").read_text()) for name in ("aws", "gcp")}
TEXTS = {path.relative_to(FOLDER).as_posix(): path.read_text() for path in FOLDER.rglob("*") if path.is_file()}
COMMANDS = {command.name or command.callback.__name__.replace("_", "-") for command in app.registered_commands}
for group in app.registered_groups:
    names = [command.name or command.callback.__name__ for command in group.typer_instance.registered_commands]
    COMMANDS |= {group.name} if group.name else {name.replace("_", "-") for name in names}


@pytest.mark.parametrize("name", LAUNCHERS)
def test_ray_takes_the_file(name):
    validate_config(prepare_config(copy.deepcopy(LAUNCHERS[name])))


@pytest.mark.parametrize("name", LAUNCHERS)
@pytest.mark.parametrize(
    "place",
    [
        "max_workers",
        "docker.run_options",
        "available_node_types.head.labels",
        "head_start_ray_commands",
        "idle_timeout_minutes",
    ],
)
def test_ray_finds_a_planted_typo(name, place):
    config = copy.deepcopy(LAUNCHERS[name])
    *above, last = place.split(".")
    part = config
    for key in above:
        part = part[key]
    part[last + "x"] = part.pop(last)
    with pytest.raises(Exception, match=r"Additional properties|is not allowed|does not match"):
        validate_config(prepare_config(config))


@pytest.mark.parametrize("name", LAUNCHERS)
def test_the_head_and_the_learner_are_on_demand_and_engines_on_spot_machines_first(name):
    types = LAUNCHERS[name]["available_node_types"]
    assert LAUNCHERS[name]["head_node_type"] == "head" and types["head"]["resources"] == {"CPU": 0}
    assert sum(kind["max_workers"] for kind in types.values()) == LAUNCHERS[name]["max_workers"]
    for label, kind in types.items():
        market = kind["labels"]["ray.io/market-type"]
        assert (market == "spot") == ("spot" in label)
        text = yaml.safe_dump(kind["node_config"]).lower()
        assert ("spot" in text) == (market == "spot")
        assert all(isinstance(value, int) for value in kind["resources"].values())


@pytest.mark.parametrize("name", LAUNCHERS)
def test_nothing_but_ssh_is_open_and_the_token_is_asked_for(name):
    config = LAUNCHERS[name]
    (head,) = [command for command in config["head_start_ray_commands"] if "--head" in command]
    (worker,) = [command for command in config["worker_start_ray_commands"] if "--address=" in command]
    assert "--dashboard-host=127.0.0.1" in head and "RAY_enable_autoscaler_v2=1" in head
    assert "RAY_AUTH_MODE=token" in head and "RAY_AUTH_MODE=token" in worker
    assert config["file_mounts"]["~/.ray/auth_token"] == "~/.ray/auth_token"
    for text in (head, worker):
        assert not re.search(r"RAY_AUTH_TOKEN=", text)
    if name == "aws":  # Ray would make a group that opens ssh to everybody
        groups = [kind["node_config"]["SecurityGroupIds"] for kind in config["available_node_types"].values()]
        assert groups == [["SECURITY_GROUP"]] * 4 and "security_group" not in config["provider"]


@pytest.mark.parametrize("name", LAUNCHERS)
def test_a_lost_machine_is_noticed_within_fifteen_seconds(name):
    (head,) = [command for command in LAUNCHERS[name]["head_start_ray_commands"] if "--head" in command]
    period, timeout, failures = (
        float(re.search(rf"RAY_health_check_{key}=(\d+)", head)[1])
        for key in ("period_ms", "timeout_ms", "failure_threshold")
    )
    assert failures * max(period, timeout) + period <= 15_000


@pytest.mark.parametrize("name", TEXTS)
def test_each_file_begins_with_what_it_is_for(name):
    if name.endswith(".json"):  # it can hold no comment
        assert len(json.loads(TEXTS[name])["description"]) > 30
    elif name != "README.md":
        first = TEXTS[name].splitlines()[0]
        assert first.startswith(("# ", '"""')) and len(first) > 30


@pytest.mark.parametrize("name", TEXTS)
def test_each_command_of_ours_is_one(name):
    found = re.findall(r"vlaa-ray ([a-z][a-z-]+)(?=[ \n`])", TEXTS[name])
    found += re.findall(r"vlaa-ray submit [^\n]*-- ([a-z][a-z-]+) ", TEXTS[name])
    assert set(found) <= COMMANDS


@pytest.mark.parametrize("name", TEXTS)
def test_each_config_key_of_a_command_is_one(name):
    text = TEXTS[name].replace("\\\n", " ").replace("# ", " ")
    found = re.findall(r"train --config (\S+)((?:\s+[a-z_]+(?:\.[a-z_]+)+=\S+)+)", text)
    for file, changes in found:
        keys = [change.rstrip("`") for change in shlex.split(changes)]
        config = load_config(ROOT / file.removeprefix("/app/"), keys, GrpoConfig)
        assert name == "README.md" or config.run.dir.startswith(("s3://", "gs://", "$BUCKET"))


def test_the_cost_is_the_formula():
    spec = importlib.util.spec_from_file_location("cost", FOLDER / "cost.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    # 10 h · 1.1 · (1 + 40 + 4 · 2 + (730 GB · 0.1 + 1460 GB · 0.05) / 730)
    prices = {"head": 1, "learner": 40, "rollout": 2, "rollouts": 4, "lost_share": 0.1}
    storage = {"disk_gb": 730, "disk": 0.1, "bucket_gb": 1460, "bucket": 0.05}
    assert module.cost(hours=10, **prices, **storage) == pytest.approx(10 * 1.1 * (49 + 0.2))


def test_the_image_is_pinned_runs_without_root_and_copies_no_secret():
    lines = TEXTS["Dockerfile"].splitlines()
    (base,) = [line.split()[1] for line in lines if line.startswith("FROM")]
    assert re.fullmatch(r"nvidia/cuda:\d+\.\d+\.\d+-devel-ubuntu24\.04", base)
    users = [line.split()[1] for line in lines if line.startswith("USER")]
    assert users[-1] == "1000:1000"  # by number, so that Kubernetes sees that it is not root
    assert "'ray[default]==2.60.0'" in TEXTS["Dockerfile"]
    copied = [line for line in lines if line.startswith("COPY")]
    assert all((ROOT / part).exists() for line in copied for part in line.split()[2:-1])
    assert not any("COPY . " in line or "--chown" not in line for line in copied)
