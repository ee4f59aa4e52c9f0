"""The memory plan of the published models, at full depth, against torch's MemTracker on fake tensors: no GPU is needed.

Two minutes a model. `tests/unit/planning/test_micro_batch.py` does the same with a few layers.
"""

import pytest
import torch
from memory_peaks import fake_peak

from vlaa_ray.config import GrpoConfig
from vlaa_ray.models.dimensions import KNOWN_MODELS
from vlaa_ray.planning.memory import memory_estimate

pytestmark = [pytest.mark.acceptance, pytest.mark.timeout(900)]
_OF_A_PASS = {
    "weights",
    "pixels and embeddings",
    "saved for the backward pass",
    "working values",
    "gradient of the head",
}


@pytest.mark.parametrize(
    "name, images, answer_tokens",
    [("3B", 12, 8), ("3B", 2, 1024), ("7B", 6, 8)],
    ids=["3B, images", "3B, long answers", "7B, images"],
)
def test_a_pass_takes_what_is_planned(name: str, images: int, answer_tokens: int) -> None:
    dimensions = KNOWN_MODELS[f"Qwen/Qwen2.5-VL-{name}-Instruct"]
    groups = [(1300, [answer_tokens] * 4)] * images  # 1,260 tokens of an image
    tokens = sum(prompt + sum(answers) for prompt, answers in groups)
    config = GrpoConfig.model_validate(
        {
            "run": {"name": "x", "num_steps": 1},
            "model": {"path": "m", "dtype": "bf16"},
            "rollout": {"group_size": 4},
            "learner": {
                "micro_batch_tokens": tokens,
                "gpus_per_rank": 1,
                "zero_stage": 2,
                "gradient_checkpointing": True,
            },
        }
    )
    rows = memory_estimate(config, dimensions)
    planned = sum(row.num_bytes for row in rows if row.role == "learner" and row.item in _OF_A_PASS)
    peak = fake_peak(dimensions, groups, torch.tensor([[1, 60, 84]] * images), checkpointing=True)
    print(f"{name}, {tokens:,} tokens: planned {planned / 2**30:.2f} GiB, measured {peak / 2**30:.2f} GiB")
    assert peak <= planned <= 1.5 * peak
