"""Placement and memory: counts against transformers' own models, bytes against sums done by hand."""

import json
from pathlib import Path

import pytest

from vlaa_ray.config import GrpoConfig, SftConfig
from vlaa_ray.errors import ModelError
from vlaa_ray.models.dimensions import KNOWN_MODELS, count_parameters, model_dimensions
from vlaa_ray.planning.memory import kv_bytes_per_token, memory_estimate
from vlaa_ray.planning.placement import parts, plan

QWEN_3B = KNOWN_MODELS["Qwen/Qwen2.5-VL-3B-Instruct"]
QWEN_7B = KNOWN_MODELS["Qwen/Qwen2.5-VL-7B-Instruct"]
TINY = {
    "model_type": "qwen2_5_vl",
    "text_config": {
        "hidden_size": 128,
        "intermediate_size": 512,
        "num_hidden_layers": 3,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "vocab_size": 300,
        "tie_word_embeddings": True,
    },
    "vision_config": {
        "depth": 2,
        "hidden_size": 96,
        "intermediate_size": 256,
        "num_heads": 4,
        "out_hidden_size": 128,
    },
}


def make(**sections: dict) -> GrpoConfig:
    return GrpoConfig.model_validate({"run": {"name": "x", "num_steps": 1}, "model": {"path": "m"}, **sections})


def rows(config: GrpoConfig | SftConfig, dimensions: dict, role: str) -> dict[str, int]:
    return {row.item: row.num_bytes for row in memory_estimate(config, dimensions) if row.role == role}


@pytest.mark.parametrize("untied", [False, True])
@pytest.mark.parametrize("dimensions", [TINY, *KNOWN_MODELS.values()], ids=["tiny", *KNOWN_MODELS])
def test_parameters_are_counted_as_transformers_builds_them(dimensions: dict, untied: bool) -> None:
    import torch
    from transformers import AutoConfig, AutoModelForImageTextToText

    if untied:
        text = {**dimensions.get("text_config", {}), "tie_word_embeddings": False}
        dimensions = {**dimensions, "tie_word_embeddings": False} | ({"text_config": text} if len(text) > 1 else {})
    config = AutoConfig.for_model(**dimensions)
    with torch.device("meta"):
        model = AutoModelForImageTextToText.from_config(config)
    sizes = {name: parameter.numel() for name, parameter in model.named_parameters()}
    count = count_parameters(dimensions)
    assert count.total == sum(sizes.values())
    assert count.merger == sum(size for name, size in sizes.items() if ".merger." in name)
    assert count.vision == sum(s for name, s in sizes.items() if ".visual." in name and ".merger." not in name)
    assert count.largest == max(sizes.values())
    assert count_parameters(json.loads(config.to_json_string())) == count  # the layout that transformers saves


def test_the_published_sizes() -> None:
    assert count_parameters(QWEN_3B).total == 3_754_622_976  # "3.75B" and "8.29B" on the models' pages
    assert count_parameters(QWEN_7B).total == 8_292_166_656


def test_keys_and_values_of_a_token() -> None:
    assert kv_bytes_per_token(QWEN_3B, "bf16") == 2 * 36 * 2 * 128 * 2  # K and V, layers, heads, width, bytes
    assert kv_bytes_per_token(QWEN_7B, "bf16") == 57_344
    assert kv_bytes_per_token(QWEN_7B, "fp32") == 114_688


def test_every_actor_has_a_bundle() -> None:
    config = make(
        rollout={"num_actors": 3, "cpus_per_actor": 2, "gpus_per_actor": 2, "prompts_per_step": 8},
        rewards={"num_actors": 2, "cpus_per_actor": 0.5},
        learner={"num_ranks": 4, "cpus_per_rank": 1.5, "gpus_per_rank": 1},
    )
    placement = plan(config)
    assert placement.bundles == {
        "learner": [{"CPU": 1.5, "GPU": 1}] * 4,
        "rollout": [{"CPU": 2, "GPU": 2}] * 3,
        "reward": [{"CPU": 0.5}] * 2,
    }
    assert (placement.total_cpus, placement.total_gpus) == (4 * 1.5 + 3 * 2 + 2 * 0.5, 10)


def test_a_supervised_run_has_only_a_learner() -> None:
    config = SftConfig.model_validate({"run": {"name": "x", "num_steps": 1}, "model": {"path": "m"}})
    assert plan(config).bundles == {"learner": [{"CPU": 1}]}
    assert {row.role for row in memory_estimate(config, TINY)} == {"learner"}


PARAMETERS = 3_754_622_976


@pytest.mark.parametrize(
    "stage, weights, gradients, states",
    [  # bf16: 2 bytes, 2 bytes, and 4 + 4 + 4 for the fp32 master and Adam's moments; ZeRO table 1 with N = 4
        (0, 2 * PARAMETERS, 2 * PARAMETERS, 12 * PARAMETERS),
        (1, 2 * PARAMETERS, 2 * PARAMETERS, 3 * PARAMETERS),
        (2, 2 * PARAMETERS, PARAMETERS // 2, 3 * PARAMETERS),
        (3, PARAMETERS // 2, PARAMETERS // 2, 3 * PARAMETERS),
    ],
)
def test_zero_shares_states_then_gradients_then_weights(stage, weights, gradients, states) -> None:
    config = make(model={"path": "m", "dtype": "bf16"}, learner={"num_ranks": 4, "zero_stage": stage})
    found = rows(config, QWEN_3B, "learner")
    assert (found["weights"], found["gradients"], found["optimizer states"]) == (weights, gradients, states)


def test_one_rank_shares_with_nobody_and_fp32_has_no_masters() -> None:
    found = rows(make(learner={"zero_stage": 3}), QWEN_3B, "learner")
    assert found["weights"] == found["gradients"] == 4 * PARAMETERS
    assert found["optimizer states"] == 8 * PARAMETERS


def test_a_frozen_vision_tower_has_no_gradients() -> None:
    frozen = rows(make(model={"path": "m", "freeze_vision_tower": True}), QWEN_3B, "learner")
    assert frozen["gradients"] == 4 * (PARAMETERS - 631_975_680)
    assert frozen["weights"] == 4 * PARAMETERS


def test_a_reference_policy_costs_its_weights_and_only_where_there_is_a_kl_term() -> None:
    assert "reference policy" not in rows(make(), QWEN_3B, "learner")
    config = make(model={"path": "m", "dtype": "bf16"}, grpo={"preset": "paper"})
    assert rows(config, QWEN_3B, "learner")["reference policy"] == 2 * PARAMETERS


def test_activations_of_a_micro_batch() -> None:
    # One row of 1,000 tokens, fp32, TINY: a layer keeps 6*128 + 2*(2*32) + 4*512 = 2,944 numbers a token.
    config = make(
        model={"path": "m", "max_pixels": 784 * 10, "min_pixels": 784},
        rollout={"max_prompt_tokens": 200, "max_completion_tokens": 100, "group_size": 8},
        learner={"micro_batch_tokens": 1000},
    )
    text = 1000 * 3 * 2944
    vision = 40 * 2 * (8 * 96 + 4 * 256)  # 10 image tokens are 40 patches
    mask, logits = 1000 * 1000, 3 * 1000 * 300
    assert rows(config, TINY, "learner")["activations"] == 4 * (text + vision + mask + logits)
    less = config.model_copy(update={"learner": config.learner.model_copy(update={"gradient_checkpointing": True})})
    text, vision = 1000 * (3 * 128 + 2944), 40 * (2 * 96 + 8 * 96 + 4 * 256)
    assert rows(less, TINY, "learner")["activations"] == 4 * (text + vision + mask + logits)


def test_a_cpu_engine_holds_its_cache_and_a_gpu_engine_a_share_of_the_weights() -> None:
    cpu = rows(make(rollout={"kv_cache_bytes": 1 << 28}), QWEN_3B, "rollout")
    assert cpu["KV cache"] == 1 << 28 and cpu["weights"] == 4 * PARAMETERS
    gpu = rows(make(model={"path": "m", "dtype": "bf16"}, rollout={"gpus_per_actor": 2}), QWEN_3B, "rollout")
    assert gpu["weights"] == PARAMETERS and "KV cache" not in gpu


def test_a_bucket_holds_the_largest_tensor_and_no_more_than_all() -> None:
    config = make(model={"path": "m", "dtype": "bf16"}, weight_sync={"bucket_bytes": 1 << 20})
    assert rows(config, QWEN_3B, "rollout")["weight sync"] == 2 * 151_936 * 2048  # the embedding
    assert rows(config, TINY, "rollout")["weight sync"] == 1 << 20
    roomy = make(weight_sync={"bucket_bytes": 1 << 30})
    assert rows(roomy, TINY, "rollout")["weight sync"] == 4 * count_parameters(TINY).total  # all of it in one


def test_dimensions_come_from_the_folder_then_from_the_table(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps(TINY))
    assert model_dimensions(str(tmp_path)) == TINY
    assert model_dimensions("Qwen/Qwen2.5-VL-3B-Instruct") == QWEN_3B
    with pytest.raises(ModelError, match="dimensions are unknown") as caught:
        model_dimensions("someone/else")
    assert "download" in caught.value.fix
    (tmp_path / "config.json").write_text("{")
    with pytest.raises(ModelError, match="not a JSON object"):
        model_dimensions(str(tmp_path))


RANKS, ENGINES = [{"CPU": 2, "GPU": 1}] * 4, [{"CPU": 3, "GPU": 1}] * 4
NODE = {"CPU": 32, "GPU": 8, "memory": 1e11}


@pytest.mark.parametrize(
    ("learner", "nodes", "strategies"),
    [
        (RANKS, [NODE], ["PACK"]),  # one node holds everything: one reservation
        (RANKS, [NODE, NODE], ["STRICT_PACK", "PACK"]),
        (RANKS, [{"CPU": 32}, NODE], ["STRICT_PACK", "PACK"]),
        (RANKS, [{"CPU": 32, "GPU": 2}, {"CPU": 32, "GPU": 3}], ["PACK"]),  # no node has 4 GPUs
        (RANKS, [{"CPU": 7, "GPU": 8}] * 2, ["PACK"]),  # nor 8 CPUs
        (RANKS[:1], [NODE, NODE], ["PACK"]),
        (RANKS, [], ["PACK"]),  # an autoscaler has not made a node yet
    ],
)
def test_all_ranks_are_on_one_node_of_several_if_one_can_hold_them(learner, nodes, strategies) -> None:
    bundles = [{"CPU": 1}, *learner, *ENGINES]
    ranks = range(1, 1 + len(learner))
    found = parts(bundles, ranks, nodes)
    assert [part.strategy for part in found] == strategies
    assert sorted(number for part in found for number in part.numbers) == list(range(len(bundles)))
    assert len(found) == 1 or found[0].numbers == tuple(ranks)
