"""What runs inside vLLM's worker processes: our receiving end, and questions about what it received.

vLLM imports this module in each worker, because the engine's `worker_extension_cls` names `WorkerExtension`;
the import registers the backend. Nothing else imports it.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import Any

from torch import nn
from vllm.distributed.weight_transfer.base import WeightTransferEngine, WeightTransferInitInfo
from vllm.distributed.weight_transfer.factory import WeightTransferEngineFactory
from vllm.model_executor.layers.vocab_parallel_embedding import VocabParallelEmbedding
from vllm.model_executor.model_loader.mtp_validation import disable_mtp_completeness_check
from vllm.model_executor.model_loader.reload import finalize_layerwise_reload, initialize_layerwise_reload
from vllm.model_executor.model_loader.reload.layerwise import get_layerwise_info
from vllm.model_executor.model_loader.reload.utils import get_tensor_load_numel

from vlaa_ray.models.dtypes import dtype_name
from vlaa_ray.weight_sync.manifest import Manifest, TensorEntry
from vlaa_ray.weight_sync.shared_memory import Bucket, read_bucket

BACKEND = "vlaa_shm"


@dataclass
class NoInitInfo(WeightTransferInitInfo):
    """There is nothing to agree on beforehand."""


class SharedMemoryWeightTransferEngine(WeightTransferEngine[NoInitInfo, Any]):
    """Loads buckets from shared memory through vLLM's layerwise reload, as its NCCL engine does with broadcasts."""

    init_info_cls = NoInitInfo
    update_info_cls = Bucket

    def init_transfer_engine(self, init_info: NoInitInfo) -> None:
        pass

    def start_weight_update(self) -> None:
        initialize_layerwise_reload(self.model)

    def receive_weights(self, update_info: Bucket) -> None:
        tensors = list(read_bucket(update_info))  # all checksums first: a bad bucket changes nothing
        with disable_mtp_completeness_check():
            self.model.load_weights(tensors)

    def finish_weight_update(self) -> None:
        finalize_layerwise_reload(self.model, self.model_config)

    def shutdown(self) -> None:
        pass


class WorkerExtension:
    """Methods that the worker gains; called with `collective_rpc`. Plain values in and out."""

    def vlaa_manifest_difference(self, wire: list[Any]) -> str:
        """What the learner's manifest and this model's parameters don't share; "" if all is there, in one dtype.

        Names are compared one to one: vLLM's fused parameters count as the parts they are loaded from.
        """
        model = self.model_runner.model  # type: ignore[attr-defined]
        return manifest_difference(Manifest.from_wire(wire), model)

    def vlaa_unwritten_weights(self) -> list[str]:
        """Parameters that the running update has not written in full; to be asked before it is finished."""
        return unwritten_weights(self.model_runner.model)  # type: ignore[attr-defined]

    def vlaa_num_cached_images(self) -> int:
        """Image embeddings that this worker holds for reuse."""
        return len(self.model_runner.encoder_cache)  # type: ignore[attr-defined]


def manifest_difference(manifest: Manifest, model: Any) -> str:
    """See `WorkerExtension.vlaa_manifest_difference`."""
    mapper = model.hf_to_vllm_mapper
    prefixes = mapper.orig_to_new_prefix
    sent = {mapper.map_name(entry.name): entry for entry in manifest}
    expected, packed = [], _packed_modules(model)
    for fused, parameter in model.named_parameters(remove_duplicate=False):
        for name in _parts(fused, packed):
            entry = sent.get(name)
            hf_name = entry.name if entry else _unmapped(name, prefixes)
            shape = entry.shape if entry else tuple(parameter.shape)  # the loaders check shapes, shards and padding
            expected.append(TensorEntry(hf_name, dtype_name(parameter.dtype), shape))
    return manifest.difference(Manifest(tuple(expected)))


def unwritten_weights(model: nn.Module) -> list[str]:
    """See `WorkerExtension.vlaa_unwritten_weights`."""
    unwritten = []
    for prefix, layer in model.named_modules():
        info = get_layerwise_info(layer)
        if not info.can_load():  # complete: vLLM has put it back in place
            continue
        parameters = {name: one for name, one in layer.named_parameters(recurse=False)}
        written = {name for name, _ in info.loaded_weights}
        unwritten += [f"{prefix}.{name}" for name in parameters if name not in written]
        wanted = sum(get_tensor_load_numel(one) for one in parameters.values())
        padded = isinstance(layer, VocabParallelEmbedding)  # its padding rows are never sent
        if parameters.keys() <= written and info.load_numel < wanted and not padded:
            unwritten.append(f"{prefix} ({info.load_numel} of {wanted} elements)")
    return unwritten


def _packed_modules(model: nn.Module) -> dict[str, list[str]]:
    """Fused modules to their parts: the model's own, and those that only its language model names."""
    packed: dict[str, list[str]] = {}
    for module in reversed(list(model.modules())):  # the model itself comes last, and wins
        packed |= getattr(module, "packed_modules_mapping", {})
    return packed


def _parts(fused: str, packed: dict[str, list[str]]) -> list[str]:
    for segment in fused.split("."):
        if segment in packed:
            return [fused.replace(f".{segment}.", f".{part}.") for part in packed[segment]]
    return [fused]


def _unmapped(name: str, prefixes: dict[str, str]) -> str:
    for ours, theirs in prefixes.items():
        if name.startswith(theirs):
            return ours + name.removeprefix(theirs)
    return name


# It warns of every layer that has no weights at all; `unwritten_weights` is the check.
logging.getLogger("vllm.model_executor.model_loader.reload.layerwise").setLevel(logging.ERROR)

if BACKEND not in WeightTransferEngineFactory._registry:  # the module may be imported more than once
    WeightTransferEngineFactory.register_engine(BACKEND, SharedMemoryWeightTransferEngine)
