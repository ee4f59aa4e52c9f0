"""Against TRL 1.16's GRPOTrainer: values that make_trl_golden.py stored, with their origin in the file."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from vlaa_ray.algorithms.advantages import ADVANTAGES
from vlaa_ray.algorithms.losses import (
    AGGREGATIONS,
    LOSSES,
    StepCounts,
    token_weights,
    truncated_importance_weights,
)
from vlaa_ray.config import GrpoSection

GOLDEN = json.loads(Path(__file__).with_name("golden").joinpath("trl_1_16_0.json").read_text(encoding="utf-8"))
BATCH, CASES = GOLDEN["batch"], GOLDEN["cases"]
CLIPPED = [name for name in CASES if CASES[name]["clip_low_share"] is not None and not name.startswith("gspo")]
LENGTHS = torch.tensor(BATCH["lengths"])


def our_section(name, settings):
    """The config that says the same as TRL's settings."""
    method = name.split("/")[0]
    clips = {"clip_low": settings.get("epsilon", 0.2), "clip_high": settings.get("epsilon_high", 0.2)}
    if method == "cispo":  # TRL's limit is the weight itself, and there is no lower one
        clips = {"clip_low": 1.0, "clip_high": settings["epsilon_high"] - 1}
    return GrpoSection(
        advantage="mean_only" if settings.get("scale_rewards") == "none" else "std",
        loss=method if method in LOSSES else "clipped",
        aggregation={"gspo": "grpo", "sapo": "grpo", "cispo": "dapo"}.get(method, method),
        **clips,
    )


def our_advantages(name, settings):
    rewards = np.array(BATCH["rewards"], dtype=np.float64)
    groups = np.arange(len(rewards)) // BATCH["group_size"]
    return ADVANTAGES[our_section(name, settings).advantage](rewards, ~np.isnan(rewards), groups)


def our_result(name, dtype):
    settings = CASES[name]["settings"]
    grpo = our_section(name, settings)
    policy, old, ref, rollout = (
        torch.tensor(BATCH[f"{which}_logprobs"], dtype=dtype) for which in ("policy", "old", "ref", "rollout")
    )
    policy = policy.requires_grad_()
    old = old if settings.get("old") else policy.detach()
    kept = torch.tensor(BATCH["truncated"]).logical_not() | (not settings.get("mask_truncated_completions", False))
    counts = StepCounts(
        num_sequences=len(LENGTHS),
        num_tokens=int(LENGTHS[kept].sum()),
        max_completion_tokens=BATCH["max_completion_tokens"],
    )
    weights = token_weights(LENGTHS, AGGREGATIONS[grpo.aggregation], counts, dtype)
    importance = None
    if "importance_cap" in settings:
        importance = truncated_importance_weights(old, rollout, settings["importance_cap"])
    result = LOSSES[grpo.loss].from_config(grpo)(
        policy,
        old,
        torch.tensor(our_advantages(name, settings), dtype=dtype).repeat_interleave(LENGTHS),
        weights * kept.repeat_interleave(LENGTHS),
        torch.arange(len(LENGTHS)).repeat_interleave(LENGTHS),
        importance_weights=importance,
        ref_logprobs=ref if "beta" in settings else None,
        kl_coefficient=settings.get("beta", 0.0),
    )
    result.loss.backward()
    return result, policy.grad


def test_golden_file_says_where_it_is_from():
    assert GOLDEN["origin"]["trl"] == "1.16.0"
    assert "GRPOTrainer._compute_loss" in GOLDEN["origin"]["functions"]
    assert len(CASES) == 36


@pytest.mark.parametrize("name", CASES)
def test_advantages(name):
    # TRL computes them in float32.
    np.testing.assert_allclose(our_advantages(name, CASES[name]["settings"]), CASES[name]["advantages"], atol=1e-6)


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_loss_and_gradient(name, dtype):
    case = CASES[name]
    result, gradient = our_result(name, dtype)
    assert result.loss.item() == pytest.approx(case["loss"], abs=1e-6)
    np.testing.assert_allclose(gradient, case["gradient"], atol=1e-6)


@pytest.mark.parametrize("name", CLIPPED)
def test_clip_shares_and_kl(name):
    case = CASES[name]
    result, _ = our_result(name, torch.float64)
    assert (result.num_clipped_low / result.num_tokens).item() == pytest.approx(case["clip_low_share"], abs=1e-6)
    assert (result.num_clipped_high / result.num_tokens).item() == pytest.approx(case["clip_high_share"], abs=1e-6)
    if case["kl"] is not None:
        assert (result.kl_sum / result.num_tokens).item() == pytest.approx(case["kl"], abs=1e-6)


def test_the_cases_exercise_what_they_name():
    """Each variant moves the loss or its gradient, so that equality with TRL says something."""
    for kind in ("grpo", "dapo", "dr_grpo"):
        base = CASES[f"{kind}/off_policy"]
        assert base["clip_low_share"] > 0.05 and base["clip_high_share"] > 0.05
        for variant in ("off_policy_mean_only", "clip_higher", "overlong", "kl", "importance", "on_policy"):
            assert not np.allclose(CASES[f"{kind}/{variant}"]["gradient"], base["gradient"], atol=1e-4), variant
    for method in ("gspo", "cispo", "sapo"):
        on_policy, off_policy = (CASES[f"{method}/{variant}"]["gradient"] for variant in ("on_policy", "off_policy"))
        assert not np.allclose(on_policy, off_policy, atol=1e-4)
        assert not np.allclose(off_policy, CASES["grpo/off_policy"]["gradient"], atol=1e-4)
