"""DeepSpeed's config for each ZeRO stage and dtype."""

import pytest

from vlaa_ray.config import LearnerSection
from vlaa_ray.learner.deepspeed import engine_config


def config(stage, dtype):
    return engine_config(LearnerSection.model_validate({"zero_stage": stage, "optim": {"max_grad_norm": 0.5}}), dtype)


@pytest.mark.parametrize("stage", [0, 1, 2, 3])
def test_bf16_gradients_are_added_up_in_fp32_where_deepspeed_can(stage):
    expected = {"grad_accum_dtype": "fp32"} if stage else None
    assert config(stage, "bf16").get("data_types") == expected
    assert "data_types" not in config(stage, "fp32")


@pytest.mark.parametrize("stage", [0, 1, 2, 3])
def test_only_zero_3_gathers_beside_computing(stage):
    assert config(stage, "bf16")["zero_optimization"]["overlap_comm"] == (stage == 3)


def test_the_limit_of_the_gradient_is_left_to_deepspeed_but_for_stage_0_in_fp32():
    assert config(0, "fp32")["gradient_clipping"] == 0.0
    assert config(0, "bf16")["gradient_clipping"] == config(2, "fp32")["gradient_clipping"] == 0.5
