"""The memory of a pass: against sums done by hand, and against what torch's MemTracker counts."""

from pathlib import Path
from typing import Any

import pytest
import torch
from memory_peaks import batch_of, fake_peak, tracked_peak

from vlaa_ray.config import GrpoConfig, ModelSection
from vlaa_ray.models.dimensions import KNOWN_MODELS, model_dimensions
from vlaa_ray.models.loading import load_model
from vlaa_ray.models.policy import Policy
from vlaa_ray.models.tiny import make_tiny_model
from vlaa_ray.planning.memory import memory_estimate
from vlaa_ray.planning.micro_batch import micro_batch_bytes

QWEN_3B = KNOWN_MODELS["Qwen/Qwen2.5-VL-3B-Instruct"]
QWEN_7B = KNOWN_MODELS["Qwen/Qwen2.5-VL-7B-Instruct"]


def make(dtype: str, tokens: int, *, group_size: int = 4, gpus: int = 1, **learner: Any) -> GrpoConfig:
    return GrpoConfig.model_validate(
        {
            "run": {"name": "x", "num_steps": 1},
            "model": {"path": "m", "dtype": dtype},
            "rollout": {"max_prompt_tokens": 64, "max_completion_tokens": 16, "group_size": group_size},
            "learner": {"micro_batch_tokens": tokens, "gpus_per_rank": gpus, **learner},
        }
    )


def planned(config: GrpoConfig, dimensions: dict[str, Any]) -> int:
    """Return the planned bytes of weights and of all that one pass creates, without sums of gradients."""
    wanted = {
        "weights",
        "pixels and embeddings",
        "saved for the backward pass",
        "working values",
        "gradient of the head",
    }
    rows = memory_estimate(config, dimensions)
    return sum(row.num_bytes for row in rows if row.role == "learner" and row.item in wanted)


def test_the_bytes_of_a_micro_batch_by_hand() -> None:
    found = micro_batch_bytes(make("bf16", 1000), QWEN_3B)
    # without checkpointing a language layer saves, for a token: two norms with their input in fp32 and two bf16 values;
    # queries and output; keys and values (2 heads of 128) five times; gate, activation, up, product
    token = 2 * 2048 * (4 + 4) + 2 * (2 * 2048 + 2 * 256 * 5) + 4 * 11008 * 2
    # a vision layer, for a patch: two norms; queries, keys and values, turned queries and keys, output; the four of MLP
    patch = 2 * 1280 * (4 + 4) + 6 * 1280 * 2 + 4 * 3420 * 2
    assert found.saved == 1000 * 36 * token + 4000 * 32 * patch
    assert found.saved_note == f"36 layers x 1,000 tokens x {token:,} bytes + 32 x 4,000 patches x {patch:,} bytes"
    # two embeddings of a token; 3 x 2 x 14 x 14 numbers of a patch, in fp32 and bf16
    assert found.inputs == 1000 * 2048 * 4 + 4000 * 1176 * 6
    merger = 4000 * 1280 * (4 + 12) + 1000 * 2048 * (4 + 8)
    logits, weight = 1000 * 151_936, 151_936 * 2048
    assert found.scoring == max(14 * logits, 12 * logits + 4 * weight, 6 * logits + 10 * weight) + merger
    assert found.vision_layer == 4000 * (2 * 3420 * 2 + 1280 * 16)


def test_checkpointing_keeps_the_inputs_of_layers_and_one_layers_values() -> None:
    whole, less = (
        micro_batch_bytes(make("bf16", 1000, gradient_checkpointing=kept), QWEN_3B) for kept in (False, True)
    )
    assert less.saved == 1000 * 36 * 2048 * 2 + 4000 * 32 * 1280 * 2
    patch = 2 * 1280 * (4 + 4) + 6 * 1280 * 2 + 4 * 3420 * 2
    assert less.vision_layer - whole.vision_layer == 4000 * patch
    assert less.working == max(less.scoring, less.language_layer, less.vision_layer)


def test_a_frozen_vision_tower_saves_nothing() -> None:
    config = make("bf16", 1000, gradient_checkpointing=True)
    frozen = config.model_copy(update={"model": config.model.model_copy(update={"freeze_vision_tower": True})})
    assert micro_batch_bytes(frozen, QWEN_3B).saved == 1000 * 36 * 2048 * 2


@pytest.mark.parametrize("checkpointing", [False, True])
@pytest.mark.parametrize("text_tokens, most", [(4, 1.5)])
def test_the_small_models_pass_takes_what_is_planned_on_a_cpu(
    tmp_path: Path, checkpointing: bool, text_tokens: int, most: float
) -> None:
    folder = make_tiny_model(tmp_path)
    model = load_model(ModelSection(path=str(folder)))
    if checkpointing:
        model.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
    policy = Policy(model, temperature=1.0, banned_token_ids=[])
    groups = [(64 + text_tokens, [text_tokens // 4] * 4)] * 16  # four images of 16 tokens; the plan: nothing else
    batch = batch_of(policy, groups, torch.tensor([[1, 8, 8]] * 64))
    config = make("fp32", batch.input_ids.shape[1], gpus=0, gradient_checkpointing=checkpointing)
    ratio = planned(config, model_dimensions(str(folder))) / tracked_peak(policy, batch)
    print(f"planned / measured = {ratio:.2f}")
    assert 1 <= ratio <= most


def with_layers(dimensions: dict[str, Any], number: int) -> dict[str, Any]:
    vision = {**dimensions["vision_config"], "depth": number, "fullatt_block_indexes": [0]}
    return {**dimensions, "num_hidden_layers": number, "vision_config": vision}


@pytest.mark.parametrize("name, dimensions", [("3B", QWEN_3B), ("7B", QWEN_7B)])
def test_layers_of_the_published_models_take_what_is_planned_on_a_gpu(name: str, dimensions: dict[str, Any]) -> None:
    """Four layers of each tower, at full width; tests/acceptance has them all. 1,300 tokens hold an image of 1,260."""
    few, groups = with_layers(dimensions, 4), [(1300, [1] * 4)] * 6
    peak = fake_peak(few, groups, torch.tensor([[1, 60, 84]] * 6), checkpointing=True)
    ratio = planned(make("bf16", 6 * 1304, zero_stage=2, gradient_checkpointing=True), few) / peak
    print(f"{name}: planned / measured = {ratio:.2f}")
    assert 1 <= ratio <= 1.5
