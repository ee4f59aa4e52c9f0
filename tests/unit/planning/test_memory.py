"""The memory plan: sums done by hand, from ZeRO's table and from the buffers that DeepSpeed allocates."""

import pytest
from plans import QWEN_3B, QWEN_7B, TINY, make

from vlaa_ray.config import GrpoConfig
from vlaa_ray.models.dimensions import count_parameters
from vlaa_ray.planning.gpu_phases import asleep_ram_bytes, gpu_phases
from vlaa_ray.planning.memory import (
    GIB,
    MemoryRow,
    Moment,
    held_bytes,
    kv_bytes_per_token,
    memory_estimate,
    optimizer_ram_bytes,
    peak_bytes,
)

PARAMETERS = 3_754_622_976
EMBEDDING = 151_936 * 2048


def rows(config: GrpoConfig, dimensions: dict, role: str) -> dict[str, int]:
    return {row.item: row.num_bytes for row in memory_estimate(config, dimensions) if row.role == role}


def test_keys_and_values_of_a_token() -> None:
    assert kv_bytes_per_token(QWEN_3B, "bf16") == 2 * 36 * 2 * 128 * 2  # K and V, layers, heads, width, bytes
    assert kv_bytes_per_token(QWEN_7B, "bf16") == 57_344
    assert kv_bytes_per_token(QWEN_7B, "fp32") == 114_688


def test_a_peak_is_what_is_always_held_and_the_largest_moment() -> None:
    plan = [
        MemoryRow("learner", "weights", 100),
        MemoryRow("learner", "states", 50),
        MemoryRow("learner", "activations", 30, moment=Moment.PASS),
        MemoryRow("learner", "buckets", 20, moment=Moment.PASS),
        MemoryRow("learner", "copy", 40, moment=Moment.STEP),
    ]
    assert held_bytes(plan) == 150 and held_bytes(plan, Moment.PASS) == 50
    assert peak_bytes(plan) == 200


@pytest.mark.parametrize(
    "stage, weights, gradients, states",
    [  # bf16; ZeRO table 1 with N = 4. Gradients: bf16 at stage 0, beside their fp32 sum at stage 1, fp32 above
        (0, 2 * PARAMETERS, 2 * PARAMETERS, 12 * PARAMETERS),
        (1, 2 * PARAMETERS, 6 * PARAMETERS, 3 * PARAMETERS),
        (2, 2 * PARAMETERS, PARAMETERS, 3 * PARAMETERS),
        (3, PARAMETERS // 2, PARAMETERS, 3 * PARAMETERS),
    ],
)
def test_zero_shares_states_then_gradients_then_weights(stage, weights, gradients, states) -> None:
    config = make(model={"path": "m", "dtype": "bf16"}, learner={"num_ranks": 4, "zero_stage": stage})
    found = rows(config, QWEN_3B, "learner")
    assert (found["weights"], found["gradients"], found["optimizer states"]) == (weights, gradients, states)


def test_one_rank_shares_with_nobody_and_only_stage_0_has_no_masters_in_fp32() -> None:
    found = rows(make(learner={"zero_stage": 3}), QWEN_3B, "learner")
    assert found["weights"] == found["gradients"] == 4 * PARAMETERS
    assert found["optimizer states"] == 12 * PARAMETERS
    assert rows(make(), QWEN_3B, "learner")["optimizer states"] == 8 * PARAMETERS


def test_a_frozen_vision_tower_has_no_gradients() -> None:
    frozen = rows(make(model={"path": "m", "freeze_vision_tower": True}), QWEN_3B, "learner")
    assert frozen["gradients"] == 4 * (PARAMETERS - 631_975_680)
    assert frozen["weights"] == 4 * PARAMETERS


def test_a_reference_policy_costs_its_weights_and_only_where_there_is_a_kl_term() -> None:
    assert "reference policy" not in rows(make(), QWEN_3B, "learner")
    config = make(model={"path": "m", "dtype": "bf16"}, grpo={"preset": "paper"})
    assert rows(config, QWEN_3B, "learner")["reference policy"] == 2 * PARAMETERS


def test_gradients_are_reduced_in_deepspeeds_buckets() -> None:
    # DeepSpeed's reduce_bucket_size is 5e8 numbers; the largest tensor, the embedding, is smaller than it
    bf16 = {"path": "m", "dtype": "bf16"}
    found = rows(make(model=bf16, learner={"num_ranks": 4, "zero_stage": 2}), QWEN_3B, "learner")
    assert found["gradient reduction"] == 2 * 500_000_000 * 2
    found = rows(make(model=bf16, learner={"num_ranks": 4, "zero_stage": 3}), QWEN_7B, "learner")
    embedding = 152_064 * 3584  # larger than a bucket: it is reduced alone
    assert found["gradient reduction"] == 2 * (500_000_000 + embedding) + 4 * embedding // 4
    assert found["gathered weights"] == 2 * (1_000_000_000 + 2 * embedding)  # stage3_max_live_parameters
    assert "gathered weights" not in rows(make(learner={"zero_stage": 2}), QWEN_7B, "learner")
    assert rows(make(learner={"zero_stage": 2}), TINY, "learner")["gradient reduction"] == 8 * (
        count_parameters(TINY).total
    )


def test_a_step_takes_the_norm_in_fp64_and_copies_of_gradients() -> None:
    bf16, gpu = {"path": "m", "dtype": "bf16"}, {"gpus_per_rank": 1}
    found = rows(make(model=bf16, learner={"zero_stage": 2, **gpu}), QWEN_3B, "learner")
    assert found["norm of the gradient"] == 8 * EMBEDDING
    assert "AdamW" not in found and "gradients in fp32" not in found
    assert rows(make(model=bf16, learner=gpu), QWEN_3B, "learner")["gradients in fp32"] == 4 * PARAMETERS
    found = rows(make(model=bf16, learner={"zero_stage": 3, **gpu}), QWEN_3B, "learner")
    assert found["gradient of a sub-group"] == 4 * 10**9  # DeepSpeed's sub_group_size
    assert rows(make(), QWEN_3B, "learner")["AdamW"] == 2 * 4 * EMBEDDING  # on a CPU it is not fused


def test_a_gpu_process_has_a_margin_of_a_twentieth() -> None:
    config = make(model={"path": "m", "dtype": "bf16"}, learner={"zero_stage": 2, "gpus_per_rank": 1})
    plan = [row for row in memory_estimate(config, QWEN_3B) if row.role == "learner"]
    without = [row for row in plan if row.item not in {"margin", "process"}]
    assert peak_bytes(plan) == int(0.05 * peak_bytes(without)) + peak_bytes(without) + int(1.5 * GIB)


def test_an_optimizer_in_ram_leaves_weights_and_a_pass_on_the_gpu() -> None:
    learner = {"zero_stage": 2, "gpus_per_rank": 1, "optimizer_in_ram": True}
    config = make(model={"path": "m", "dtype": "bf16"}, learner=learner)
    plan = [row for row in memory_estimate(config, QWEN_3B) if row.role == "learner"]
    assert {row.item for row in plan if row.moment is Moment.ALWAYS} == {"weights", "process", "margin"}
    assert next(row.num_bytes for row in plan if row.item == "gradient on its way to RAM") == 2 * EMBEDDING
    assert optimizer_ram_bytes(config, QWEN_3B) == (12 + 4 + 2) * PARAMETERS


def test_a_cpu_engine_holds_its_cache_and_a_gpu_engine_a_share_of_the_weights() -> None:
    cpu = rows(make(rollout={"kv_cache_bytes": 1 << 28}), QWEN_3B, "rollout")
    assert cpu["KV cache"] == 1 << 28 and cpu["weights"] == 4 * PARAMETERS
    gpu = rows(make(model={"path": "m", "dtype": "bf16"}, rollout={"gpus_per_actor": 2}), QWEN_3B, "rollout")
    assert gpu["weights"] == PARAMETERS and "KV cache" not in gpu
    # 2,048 tokens of a pass, 4 widths and 3 halves of the inner width; logits of 256 sequences in fp32, three times
    assert gpu["activations"] == 2 * 2048 * (4 * 2048 + 3 * 11008 // 2) + 3 * 4 * 256 * 151_936


def test_a_bucket_holds_the_largest_tensor_and_no_more_than_all() -> None:
    config = make(model={"path": "m", "dtype": "bf16"}, weight_sync={"bucket_bytes": 1 << 20})
    assert rows(config, QWEN_3B, "rollout")["weight sync"] == 2 * EMBEDDING
    assert rows(config, TINY, "rollout")["weight sync"] == 1 << 20
    roomy = make(weight_sync={"bucket_bytes": 1 << 30})
    assert rows(roomy, TINY, "rollout")["weight sync"] == 4 * count_parameters(TINY).total  # all of it in one


PLAN = [
    MemoryRow("learner", "weights", 20),
    MemoryRow("learner", "margin", 1),
    MemoryRow("learner", "process", 2),
    MemoryRow("learner", "activations", 30, moment=Moment.PASS),
    MemoryRow("learner", "weight sync", 3, moment=Moment.SYNC),
    MemoryRow("rollout", "weights", 10),
    MemoryRow("rollout", "weight sync", 4),
    MemoryRow("rollout", "process", 5),
]


def test_each_gpu_shows_what_it_uses_and_leaves_free_in_each_phase() -> None:
    gpus = make(rollout={"gpus_per_actor": 1, "gpu_memory_share": 0.6}, learner={"gpus_per_rank": 1})
    found = {(phase.gpus, phase.phase): (phase.used_bytes, phase.free_bytes) for phase in gpu_phases(gpus, PLAN, 100)}
    assert found == {
        ("engine", "sampling and learning"): (60, 40),
        ("learner", "sampling"): (23, 77),
        ("learner", "learning"): (53, 47),
    }
    assert gpu_phases(make(), PLAN, 100) == []


def test_an_engine_and_a_rank_share_a_gpu_in_turn() -> None:
    on_gpus = {"rollout": {"gpus_per_actor": 1, "gpu_memory_share": 0.6}, "learner": {"gpus_per_rank": 1}}
    gpus = make(placement="colocated", **on_gpus)
    found = {phase.phase: phase.used_bytes for phase in gpu_phases(gpus, PLAN, 100)}
    # asleep, either keeps its process; new weights are sent while the learner is awake and the engine has its weights
    assert found == {"sampling": 60 + 2, "learning": 53 + 5, "sending weights": 20 + 1 + 2 + 3 + 10 + 4 + 5}
    # never both asleep: all that the learner holds (20), or the engine's weights (10)
    assert asleep_ram_bytes(gpus, PLAN) == 20
    assert asleep_ram_bytes(make(**on_gpus), PLAN) == asleep_ram_bytes(make(placement="colocated"), PLAN) == 0
