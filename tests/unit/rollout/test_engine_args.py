"""The arguments that vLLM's engine gets."""

import pytest

from vlaa_ray.config import ModelSection, RolloutSection
from vlaa_ray.models.families.qwen2_5_vl import Qwen25VL
from vlaa_ray.rollout.engine_args import engine_arguments


def arguments(**rollout):
    section = RolloutSection.model_validate({"max_prompt_tokens": 2048, "max_completion_tokens": 1024, **rollout})
    return engine_arguments(Qwen25VL(), ModelSection(path="m"), section, "m")


@pytest.mark.parametrize(("num_seqs", "batch", "expected"), [(512, None, None), (512, 16384, 16384), (512, 64, 512)])
def test_a_gpu_engine_takes_the_given_tokens_a_pass_but_one_a_sequence(num_seqs, batch, expected):
    found = arguments(gpus_per_actor=1, max_num_seqs=num_seqs, max_num_batched_tokens=batch)
    assert found.get("max_num_batched_tokens") == expected and found["max_num_seqs"] == num_seqs


@pytest.mark.parametrize(("batch", "expected"), [(None, 3072), (100, 3072), (16384, 16384)])
def test_a_cpu_engine_always_takes_the_longest_sequence_in_one_pass(batch, expected):
    found = arguments(max_num_batched_tokens=batch)
    assert found["max_num_batched_tokens"] == expected and found["enable_chunked_prefill"] is False
