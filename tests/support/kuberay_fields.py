"""The fields of KubeRay's resources that our files use, strictly: any other field is a fault.

It is written from the documentation of the resources, and is much smaller than their own schemas. Pod templates are
checked by `kubernetes-validate`.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import kubernetes_validate
from jsonschema import Draft202012Validator

kubernetes_validate.utils.schema_contents = cache(kubernetes_validate.utils.schema_contents)  # they are megabytes
KUBERNETES = "1.33"
TEXT: dict[str, Any] = {"type": "string", "minLength": 1}
NUMBER: dict[str, Any] = {"type": "integer", "minimum": 0}
TEXTS: dict[str, Any] = {"type": "object", "additionalProperties": TEXT}
TEMPLATE: dict[str, Any] = {"type": "object"}


def _object(required: str, **properties: Any) -> dict[str, Any]:
    names = {name.rstrip("_"): schema for name, schema in properties.items()}
    return {"type": "object", "properties": names, "required": required.split(), "additionalProperties": False}


def _one_of(*values: str) -> dict[str, Any]:
    return {"enum": list(values)}


def _list(item: dict[str, Any]) -> dict[str, Any]:
    return {"type": "array", "items": item, "minItems": 1}


_RESOURCES = _object("requests", requests=TEXTS, limits=TEXTS)
_HEAD = _object("rayStartParams template", rayStartParams=TEXTS, labels=TEXTS, template=TEMPLATE)
_GROUP = _object(
    "groupName replicas minReplicas maxReplicas rayStartParams template",
    groupName=TEXT,
    replicas=NUMBER,
    minReplicas=NUMBER,
    maxReplicas=NUMBER,
    priority=NUMBER,
    idleTimeoutSeconds=NUMBER,
    rayStartParams=TEXTS,
    labels=TEXTS,
    template=TEMPLATE,
)
CLUSTER = _object(
    "rayVersion headGroupSpec workerGroupSpecs authOptions enableInTreeAutoscaling",
    rayVersion=TEXT,
    enableInTreeAutoscaling={"type": "boolean"},
    autoscalerOptions=_object("version", version=_one_of("v1", "v2"), idleTimeoutSeconds=NUMBER, resources=_RESOURCES),
    authOptions=_object("mode secretName", mode=_one_of("token"), secretName=TEXT),
    headGroupSpec=_HEAD,
    workerGroupSpecs=_list(_GROUP),
)
_RULE = _object(
    "policy condition",
    policy=_one_of("DeleteCluster", "DeleteWorkers", "DeleteSelf", "DeleteNone"),
    condition=_object("jobStatus", jobStatus=_one_of("SUCCEEDED", "FAILED"), ttlSeconds=NUMBER),
)
JOB = _object(
    "entrypoint rayClusterSpec backoffLimit deletionStrategy",
    entrypoint=TEXT,
    runtimeEnvYAML=TEXT,
    submissionMode=_one_of("K8sJobMode", "HTTPMode", "InteractiveMode", "SidecarMode"),
    submitterConfig=_object("backoffLimit", backoffLimit=NUMBER),
    backoffLimit=NUMBER,
    preRunningDeadlineSeconds=NUMBER,
    activeDeadlineSeconds=NUMBER,
    deletionStrategy=_object("deletionRules", deletionRules=_list(_RULE)),
    rayClusterSpec=CLUSTER,
)
SERVICE = _object(
    "serveConfigV2 rayClusterConfig",
    serviceUnhealthySecondThreshold=NUMBER,
    deploymentUnhealthySecondThreshold=NUMBER,
    rayClusterDeletionDelaySeconds=NUMBER,
    serveConfigV2=TEXT,
    rayClusterConfig=CLUSTER,
)
SPECS = {"RayCluster": CLUSTER, "RayJob": JOB, "RayService": SERVICE}


def faults(document: dict[str, Any]) -> list[str]:
    """Return what is wrong with a document: a resource of KubeRay, or any of Kubernetes itself."""
    kind = str(document.get("kind"))
    if kind not in SPECS:
        return _core_faults(document)
    schema = _object(
        "apiVersion kind metadata spec",
        apiVersion=_one_of("ray.io/v1"),
        kind=_one_of(kind),
        metadata=_object("name", name=TEXT),
        spec=SPECS[kind],
    )
    found = [error.message for error in Draft202012Validator(schema).iter_errors(document)]
    for number, template in enumerate(_templates(document)):
        named = {"name": f"pod-{number}", **template.get("metadata", {})}
        found += _core_faults({"apiVersion": "v1", "kind": "Pod", **template, "metadata": named})
    return found


def cluster_of(document: dict[str, Any]) -> dict[str, Any]:
    """Return the part of a KubeRay resource that describes its cluster."""
    spec: dict[str, Any] = document.get("spec", {})
    return spec.get("rayClusterSpec") or spec.get("rayClusterConfig") or spec


def _templates(document: dict[str, Any]) -> list[dict[str, Any]]:
    cluster = cluster_of(document)
    groups = [cluster.get("headGroupSpec", {}), *cluster.get("workerGroupSpecs", [])]
    return [group["template"] for group in groups if "template" in group]


def _core_faults(document: dict[str, Any]) -> list[str]:
    if missing := {"apiVersion", "kind"} - set(document):
        return [f"{missing} is missing"]
    try:
        kubernetes_validate.validate(document, KUBERNETES, strict=True)
    except (kubernetes_validate.ValidationError, kubernetes_validate.utils.SchemaNotFoundError) as error:
        return [str(error)]
    return []
