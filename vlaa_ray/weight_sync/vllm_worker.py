"""The part that runs inside vLLM's worker processes: it receives weights and checks what it received.

vLLM imports this module in each worker, because the engine's `worker_extension_cls` names `WorkerExtension`. The
import registers the backend. No other module imports it.
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
    """The empty arguments of the start: both ends need no agreement."""


class SharedMemoryWeightTransferEngine(WeightTransferEngine[NoInitInfo, Any]):
    """The backend that loads buckets from shared memory through vLLM's layerwise reload.

    vLLM's own NCCL backend does the same with broadcasts.
    """

    init_info_cls = NoInitInfo
    update_info_cls = Bucket

    def init_transfer_engine(self, init_info: NoInitInfo) -> None:
        """Do nothing: each bucket names its file."""

    def start_weight_update(self) -> None:
        """Prepare every layer to receive new weights."""
        initialize_layerwise_reload(self.model)

    def receive_weights(self, update_info: Bucket) -> None:
        """Load the tensors of one bucket.

        Raises:
            WeightSyncError: the bucket can't be read or a checksum is wrong; then no tensor of it was loaded.

        """
        tensors = list(read_bucket(update_info))  # all checksums first: a bad bucket changes nothing
        with disable_mtp_completeness_check():
            self.model.load_weights(tensors)

    def finish_weight_update(self) -> None:
        """Put the new weights in place in every layer."""
        finalize_layerwise_reload(self.model, self.model_config)

    def shutdown(self) -> None:
        """Do nothing: no file stays open."""


class WorkerExtension:
    """Methods that vLLM adds to its worker, for `collective_rpc`; arguments and results are plain values."""

    def vlaa_manifest_difference(self, wire: list[Any]) -> str:
        """Return a sentence on how the learner's manifest and this model's parameters differ, or "" if they agree.

        A fused parameter of vLLM is compared as the parts that it is loaded from.
        """
        model = self.model_runner.model  # type: ignore[attr-defined]
        return manifest_difference(Manifest.from_wire(wire), model)

    def vlaa_unwritten_weights(self) -> list[str]:
        """Return the parameters that the running update has not written in full; call it before the update ends."""
        return unwritten_weights(self.model_runner.model)  # type: ignore[attr-defined]

    def vlaa_num_cached_images(self) -> int:
        """Return the number of image embeddings that this worker holds for reuse."""
        return len(self.model_runner.encoder_cache)  # type: ignore[attr-defined]


def manifest_difference(manifest: Manifest, model: Any) -> str:
    """Return what `WorkerExtension.vlaa_manifest_difference` returns, for a given model."""
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
    """Return what `WorkerExtension.vlaa_unwritten_weights` returns, for a given model."""
    unwritten = []
    for prefix, layer in model.named_modules():
        info = get_layerwise_info(layer)
        if not info.can_load():  # the layer is complete: vLLM has put it back in place
            continue
        parameters = dict(layer.named_parameters(recurse=False))
        written = {name for name, _ in info.loaded_weights}
        unwritten += [f"{prefix}.{name}" for name in parameters if name not in written]
        wanted = sum(get_tensor_load_numel(parameter) for parameter in parameters.values())
        padded = isinstance(layer, VocabParallelEmbedding)  # its padding rows are never sent
        if parameters.keys() <= written and info.load_numel < wanted and not padded:
            unwritten.append(f"{prefix} ({info.load_numel} of {wanted} elements)")
    return unwritten


def _packed_modules(model: nn.Module) -> dict[str, list[str]]:
    """Return the parts of each fused module, as the model names them and, for the rest, its language model."""
    packed: dict[str, list[str]] = {}
    for module in reversed(list(model.modules())):  # the model itself comes last and overrides the others
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


# vLLM warns about every layer without weights; `unwritten_weights` does the check instead.
logging.getLogger("vllm.model_executor.model_loader.reload.layerwise").setLevel(logging.ERROR)

if BACKEND not in WeightTransferEngineFactory._registry:  # the module may be imported more than once
    WeightTransferEngineFactory.register_engine(BACKEND, SharedMemoryWeightTransferEngine)
