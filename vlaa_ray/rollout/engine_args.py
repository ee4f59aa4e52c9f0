"""vLLM's arguments and environment, made from the run's config, for a CPU or for GPUs."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Literal

from vlaa_ray.config import ModelSection, SamplerSection
from vlaa_ray.models.dtypes import TORCH_NAMES
from vlaa_ray.models.families import Family

_BACKENDS = {"shared_memory": "vlaa_shm", "nccl": "nccl"}
_MAX_IMAGES = 8  # in one prompt
_IMAGE_CACHE_GB = 0.5  # processed pixels, kept in each of two processes; few prompts are sampled twice
_MIN_BATCH_TOKENS = 2048  # of one forward pass, on a CPU


def engine_arguments(
    family: Family,
    model: ModelSection,
    rollout: SamplerSection,
    model_path: str,
    transport: Literal["shared_memory", "nccl"] = "shared_memory",
    *,
    sleeps: bool = False,
) -> dict[str, Any]:
    """Return the arguments for vLLM's `AsyncEngineArgs`.

    Logprobs are those of the distribution that is sampled from: after temperature and bans
    (`processed_logprobs`). Sampling settings come from the run alone, not from the checkpoint's generation config.
    """
    longest = rollout.max_prompt_tokens + rollout.max_completion_tokens
    shared = {
        "model": model_path,
        "dtype": TORCH_NAMES[model.dtype],
        "max_model_len": longest,
        "max_num_seqs": rollout.max_num_seqs,
        "logprobs_mode": "processed_logprobs",
        "generation_config": "vllm",
        "enable_prefix_caching": True,
        **family.engine_arguments(model, _MAX_IMAGES),
        "mm_processor_cache_gb": _IMAGE_CACHE_GB,
        "worker_extension_cls": "vlaa_ray.weight_sync.vllm_worker.WorkerExtension",
        "weight_transfer_config": {"backend": _BACKENDS[transport]},
        "disable_log_stats": True,
        "trust_remote_code": False,
        "seed": 0,
    }
    batch_tokens = rollout.max_num_batched_tokens
    if rollout.gpus_per_actor:
        if batch_tokens is not None:
            shared["max_num_batched_tokens"] = max(batch_tokens, rollout.max_num_seqs)  # vLLM wants one a sequence
        return shared | {
            "distributed_executor_backend": "mp",  # inside a Ray actor vLLM would ask Ray for more actors
            "tensor_parallel_size": rollout.tensor_parallel_size,
            "gpu_memory_utilization": rollout.gpu_memory_share,
            "enable_sleep_mode": sleeps,  # only on GPUs: vLLM refuses it on a CPU
        }
    return shared | {
        "distributed_executor_backend": "uni",  # a second process would keep another core busy with waiting
        "enforce_eager": True,  # compiled code would keep the packed weights from before an update
        "enable_chunked_prefill": False,  # on a CPU a seeded request fails if its prefill is split
        "max_num_batched_tokens": max(longest, rollout.max_num_seqs, batch_tokens or _MIN_BATCH_TOKENS),
        "kv_cache_memory_bytes": rollout.kv_cache_bytes,
    }


@contextmanager
def engine_environment(rollout: SamplerSection) -> Iterator[None]:
    """Set the environment in which vLLM's processes are started, and restore this process's own afterwards.

    vLLM puts LD_PRELOAD and more into `os.environ` for its children. Without the restoring, all later children of
    this process would get them too.
    """
    before = dict(os.environ)
    os.environ["VLLM_NO_USAGE_STATS"] = "1"
    os.environ["VLLM_WORKER_MULTIPROC_METHOD"] = "spawn"
    if not rollout.gpus_per_actor:
        os.environ["VLLM_ENABLE_V1_MULTIPROCESSING"] = "0"  # otherwise vLLM replaces "uni" by "mp" on a CPU
        os.environ["VLLM_CPU_OMP_THREADS_BIND"] = "nobind"  # the default binds every engine to the same cores
        os.environ["OMP_NUM_THREADS"] = str(max(1, int(rollout.cpus_per_actor)))
        os.environ["TORCH_COMPILE_DISABLE"] = "1"  # compiling one small function takes 5 to 25 s at the first batch
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)
