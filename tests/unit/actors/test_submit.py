"""What a job is sent with, and how its run is found again; the cluster is a list here."""

import sys
import types
from types import SimpleNamespace

import pytest

from actors.drivers import submit
from vlaa_ray.errors import ConfigError
from vlaa_ray.services.secret import SECRETS, Reference


@pytest.fixture
def cluster(monkeypatch):
    jobs: dict[str, dict] = {}

    class Client:
        def __init__(self, address):
            pass

        def submit_job(self, **job):
            jobs[f"raysubmit_{len(jobs)}"] = job
            return f"raysubmit_{len(jobs) - 1}"

        def get_job_info(self, job):
            if job not in jobs:
                raise RuntimeError("404")
            return SimpleNamespace(metadata=jobs[job]["metadata"])

    module = types.ModuleType("ray.job_submission")
    module.JobSubmissionClient, module.JobStatus = Client, SimpleNamespace(SUCCEEDED="SUCCEEDED")
    monkeypatch.setitem(sys.modules, "ray.job_submission", module)
    return jobs


def test_a_job_holds_the_names_of_its_secrets_and_the_address_of_its_run(cluster, tmp_path, monkeypatch):
    monkeypatch.setenv("HF_TOKEN", "hunter2-hunter2")
    references = [Reference("HF_TOKEN"), Reference("WANDB_API_KEY", "/etc/wandb")]
    assert submit.submit(None, ["train", "--config", "c"], tmp_path, False, references, "s3://b/runs/r") == 0
    job = cluster["raysubmit_0"]
    assert job["runtime_env"]["env_vars"][SECRETS] == "HF_TOKEN,WANDB_API_KEY=/etc/wandb"
    assert "hunter2" not in repr(job)
    assert submit.run_of_job(None, "raysubmit_0") == "s3://b/runs/r"


def test_a_job_without_a_known_run_and_no_job_at_all_are_told_apart(cluster, tmp_path):
    submit.submit(None, ["doctor"], tmp_path, False)
    with pytest.raises(ConfigError, match="not known to which run"):
        submit.run_of_job(None, "raysubmit_0")
    with pytest.raises(ConfigError, match="no job raysubmit_7"):
        submit.run_of_job(None, "raysubmit_7")
