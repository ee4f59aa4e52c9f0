"""The Kubernetes files: fields, ranges, references between them, and what they must not leave open."""

import copy
from pathlib import Path

import pytest
import yaml
from kuberay_fields import cluster_of, faults

from vlaa_ray.config import ServeConfig

FOLDER = Path(__file__).parents[3] / "cluster/kuberay"
FILES = sorted(FOLDER.glob("*.yaml"))
DOCUMENTS = {path.stem: yaml.safe_load(path.read_text()) for path in FILES}
RAY = [name for name in DOCUMENTS if name.startswith("ray")]
APPLIED = [name for name in DOCUMENTS if name != "kustomization"]


def pods(name):
    cluster = cluster_of(DOCUMENTS[name])
    groups = [cluster["headGroupSpec"], *cluster["workerGroupSpecs"]]
    return [(group, group["template"]["spec"]) for group in groups]


@pytest.mark.parametrize("name", APPLIED)
def test_each_file_has_known_fields_only(name):
    assert faults(DOCUMENTS[name]) == []


@pytest.mark.parametrize("name", APPLIED)
def test_a_planted_typo_is_found_at_every_place(name):
    places = {tuple(key for key in place if isinstance(key, str)): place for place in paths(DOCUMENTS[name])}
    assert len(places) > 3
    for place in places.values():  # one for all items of a list
        document = copy.deepcopy(DOCUMENTS[name])
        *above, last = place
        part = document
        for key in above:
            part = part[key]
        part[last + "x"] = part.pop(last)
        assert faults(document), place


def paths(part, above=()):
    """The places of all field names; free names, such as those of labels and resources, are no fields."""
    free = ("labels", "matchLabels", "annotations", "rayStartParams", "requests", "limits")
    for key, value in part.items() if isinstance(part, dict) else enumerate(part) if isinstance(part, list) else ():
        if isinstance(key, str) and (not above or above[-1] not in free):
            yield (*above, key)
        yield from paths(value, (*above, key))


def test_the_job_has_the_cluster_of_the_cluster_file():
    assert cluster_of(DOCUMENTS["rayjob"]) == cluster_of(DOCUMENTS["raycluster"])


@pytest.mark.parametrize("name", RAY)
def test_ray_asks_for_a_token_and_reads_labels(name):
    cluster = cluster_of(DOCUMENTS[name])
    assert cluster["authOptions"] == {"mode": "token", "secretName": "vlaa-ray-token"}
    assert cluster["autoscalerOptions"]["version"] == "v2" and cluster["enableInTreeAutoscaling"]
    assert cluster["rayVersion"] == "2.60.0"
    for group in cluster["workerGroupSpecs"]:
        assert group["minReplicas"] <= group["replicas"] <= group["maxReplicas"]
        assert group["labels"]["ray.io/market-type"] in ("spot", "on-demand")


@pytest.mark.parametrize("name", RAY)
def test_no_pod_runs_as_root_or_holds_a_secret(name):
    for _, pod in pods(name):
        assert pod["securityContext"]["runAsNonRoot"] and pod["serviceAccountName"] == "vlaa-ray"
        for container in [*pod["containers"], *pod.get("initContainers", [])]:
            assert container["securityContext"] == {
                "allowPrivilegeEscalation": False,
                "capabilities": {"drop": ["ALL"]},
            }
            assert container["image"] == "vlaa-ray"
            named = [variable for variable in container.get("env", []) if "KEY" in variable["name"].upper()]
            assert not named, "secrets come from the secret vlaa-ray-secrets"


@pytest.mark.parametrize("name", RAY)
def test_a_pod_may_live_longer_than_its_node_drains_and_saves(name):
    for group, pod in pods(name):
        variables = {item["name"]: item["value"] for item in pod["containers"][0]["env"]}
        drain_s = float(variables.get("RAY_GRACEFUL_SHUTDOWN_DRAIN_TIMEOUT_S", 30))
        assert pod["terminationGracePeriodSeconds"] > drain_s + 20, group.get("groupName")


@pytest.mark.parametrize("name", RAY)
def test_gpus_are_asked_for_as_ray_counts_them(name):
    for group, pod in pods(name)[1:]:
        resources = pod["containers"][0]["resources"]
        gpus = group["rayStartParams"]["num-gpus"]
        assert resources["requests"]["nvidia.com/gpu"] == resources["limits"]["nvidia.com/gpu"] == gpus


def test_only_known_pods_reach_the_ports_that_ask_for_no_token():
    policy = DOCUMENTS["networkpolicy"]["spec"]
    assert policy["policyTypes"] == ["Ingress"]
    every_port = [rule for rule in policy["ingress"] if "ports" not in rule]
    assert [rule["from"] for rule in every_port] == [[{"podSelector": policy["podSelector"]}]]
    open_to = {port["port"]: rule["from"] for rule in policy["ingress"] for port in rule.get("ports", [])}
    for port in (8080, 44217, 44227):
        assert all("monitoring" in str(peer) for peer in open_to[port])
    for name in RAY:
        for group, _ in pods(name):
            assert group["template"]["metadata"]["labels"].items() >= policy["podSelector"]["matchLabels"].items()


def test_the_kustomization_names_files_and_the_image_that_is_used():
    kustomization = DOCUMENTS["kustomization"]
    assert all((FOLDER / name).is_file() for name in kustomization["resources"])
    assert [image["name"] for image in kustomization["images"]] == ["vlaa-ray"]


def test_the_served_application_is_a_config_of_serve():
    application = yaml.safe_load(DOCUMENTS["rayservice"]["spec"]["serveConfigV2"])["applications"][0]
    module, _, function = application["import_path"].partition(":")
    assert (module, function) == ("actors.serving.policy_server", "build")
    ServeConfig.model_validate(application["args"])


def test_a_job_ends_and_is_removed():
    job = DOCUMENTS["rayjob"]["spec"]
    rules = {(rule["condition"]["jobStatus"], rule["policy"]) for rule in job["deletionStrategy"]["deletionRules"]}
    assert {("SUCCEEDED", "DeleteCluster"), ("FAILED", "DeleteCluster"), ("FAILED", "DeleteWorkers")} <= rules
    assert job["backoffLimit"] >= 1 and job["submitterConfig"]["backoffLimit"] == 0
    assert job["activeDeadlineSeconds"] > job["preRunningDeadlineSeconds"]
