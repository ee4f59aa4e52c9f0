"""Importance weights, learner over engine: in bf16 always, in fp32 only for rollouts that may be stale."""

import math
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from vlaa_ray.config import GrpoConfig
from vlaa_ray.learner.rl import Objective, _Sequence, _Sums

LOGPROBS = [-1.0, -2.0]
ENGINE = [-1.0 - math.log(1.5), -2.0 - math.log(4)]
"""The engine's logprobs of the same tokens: the weights are 1.5, and 4 that is cut to the cap of 2."""


@pytest.mark.parametrize(
    ("dtype", "max_staleness", "loss"),
    [("fp32", 0, -1.0), ("fp32", 1, -1.75), ("bf16", 0, -1.75), ("bf16", 1, -1.75)],
)
def test_tokens_are_weighted_in_bf16_and_where_rollouts_may_be_stale(dtype, max_staleness, loss):
    config = GrpoConfig.model_validate(
        {
            "run": {"name": "t", "num_steps": 1},
            "model": {"path": "none", "dtype": dtype},
            "max_staleness": max_staleness,
        }
    )
    sums = _Sums()
    objective = Objective(
        config,
        [_Sequence(np.array(ENGINE, dtype=np.float32), 1.0)],
        old_logprobs=None,
        ref_logprobs=None,
        kl_coefficient=0.0,
        sums=sums,
    )
    batch = SimpleNamespace(sequence_ids=torch.zeros(2, dtype=torch.long))
    found = objective((torch.tensor(LOGPROBS), torch.ones(2)), batch)
    assert float(found) == pytest.approx(loss)  # -(1.5 + 2) / 2 with weights, -(1 + 1) / 2 without
    sums.end_step(1)
    metrics = sums.metrics(lambda values: values, lambda values: values, 1)
    assert metrics.get("policy/importance_capped_share") == (None if loss == -1 else 0.5)
