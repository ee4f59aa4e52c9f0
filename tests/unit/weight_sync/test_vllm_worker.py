"""The worker's checks on vLLM's own reload machinery, with a small module instead of a model."""

from typing import ClassVar

import pytest
import torch
from torch import nn

pytest.importorskip("vllm")

from vllm.distributed.weight_transfer.factory import WeightTransferEngineFactory
from vllm.model_executor.model_loader.reload import initialize_layerwise_reload, record_metadata_for_reloading
from vllm.model_executor.models.utils import WeightsMapper

from vlaa_ray.weight_sync import vllm_worker
from vlaa_ray.weight_sync.manifest import Manifest, TensorEntry


class Fused(nn.Module):
    """q, k and v in one parameter, loaded part by part."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(6, 2), requires_grad=False)
        self.weight.weight_loader = self.load_part

    def load_part(self, param: torch.Tensor, loaded_weight: torch.Tensor, part: int) -> None:
        param.data[2 * part : 2 * part + 2].copy_(loaded_weight)


class Model(nn.Module):
    packed_modules_mapping: ClassVar = {"qkv_proj": ["q_proj", "k_proj", "v_proj"]}
    hf_to_vllm_mapper = WeightsMapper(
        orig_to_new_prefix={"model.language_model.": "language_model.model.", "lm_head.": "language_model.lm_head."}
    )

    def __init__(self) -> None:
        super().__init__()
        self.language_model = nn.Module()
        self.language_model.model = nn.Module()
        self.language_model.model.qkv_proj = Fused()
        self.language_model.lm_head = nn.Linear(2, 3, bias=False)
        self.rotary = nn.Module()
        self.rotary.register_buffer("cache", torch.zeros(4), persistent=False)


SENT = Manifest(
    (
        *(TensorEntry(f"model.language_model.{part}_proj.weight", "float32", (2, 2)) for part in "qkv"),
        TensorEntry("lm_head.weight", "float32", (3, 2)),
    )
)


def test_the_learners_names_count_as_the_parts_of_fused_parameters():
    assert vllm_worker.manifest_difference(SENT, Model()) == ""


def test_missing_and_unknown_names_are_the_checkpoints():
    without = Manifest((*SENT.entries[1:3], TensorEntry("model.language_model.bias", "float32", (1,))))
    assert vllm_worker.manifest_difference(without, Model()) == (
        "the engine lacks 1: model.language_model.bias; "
        "the learner lacks 2: model.language_model.q_proj.weight, lm_head.weight"
    )


def test_another_dtype_is_a_difference():
    halves = Manifest(tuple(TensorEntry(entry.name, "bfloat16", entry.shape) for entry in SENT))
    assert "the learner bfloat16[3, 2], the engine float32[3, 2]" in vllm_worker.manifest_difference(halves, Model())


def test_a_parameter_counts_as_written_when_all_of_its_parts_are():
    model = Model()
    fused, head = model.language_model.model.qkv_proj, model.language_model.lm_head
    record_metadata_for_reloading(model)
    initialize_layerwise_reload(model)
    names = ["language_model.model.qkv_proj.weight", "language_model.lm_head.weight"]
    assert vllm_worker.unwritten_weights(model) == names

    for part in (0, 2):
        fused.weight.weight_loader(fused.weight, torch.ones(2, 2), part)
    assert vllm_worker.unwritten_weights(model) == ["language_model.model.qkv_proj (8 of 12 elements)", names[1]]

    fused.weight.weight_loader(fused.weight, torch.ones(2, 2), 1)
    assert vllm_worker.unwritten_weights(model) == [names[1]]
    head.weight.weight_loader(head.weight, torch.ones(3, 2))
    assert vllm_worker.unwritten_weights(model) == []
    assert fused.weight.sum() == 12


def test_the_backend_is_registered_once():
    import importlib

    importlib.reload(vllm_worker)
    assert vllm_worker.BACKEND in WeightTransferEngineFactory._registry
