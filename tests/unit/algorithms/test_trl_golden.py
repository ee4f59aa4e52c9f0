"""Against TRL 1.16's GRPOTrainer: values that make_trl_golden.py stored, with their origin in the file."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from vlaa_ray.algorithms.advantages import group_advantages
from vlaa_ray.algorithms.losses import grpo_loss, token_weights, truncated_importance_weights

GOLDEN = json.loads(Path(__file__).with_name("golden").joinpath("trl_1_16_0.json").read_text(encoding="utf-8"))
BATCH, CASES = GOLDEN["batch"], GOLDEN["cases"]
LENGTHS = torch.tensor(BATCH["lengths"])


def our_advantages(settings):
    kind = "mean_only" if settings.get("scale_rewards") == "none" else "std"
    rewards = np.array(BATCH["rewards"], dtype=np.float64).reshape(-1, BATCH["group_size"])
    return np.concatenate([group_advantages(group, ~np.isnan(group), kind) for group in rewards])


def our_result(case, dtype):
    settings = case["settings"]
    tensors = {
        name: torch.tensor(BATCH[f"{name}_logprobs"], dtype=dtype) for name in ("policy", "old", "ref", "rollout")
    }
    policy = tensors["policy"].requires_grad_()
    old = tensors["old"] if settings.get("old") else policy.detach()
    kept = torch.tensor(BATCH["truncated"]).logical_not() | (not settings.get("mask_truncated_completions", False))
    weights = token_weights(
        LENGTHS, case["loss_type"], kept=kept, dtype=dtype, num_sequences=len(LENGTHS),
        num_tokens=int(LENGTHS[kept].sum()), max_completion_tokens=BATCH["max_completion_tokens"],
    )  # fmt: skip
    importance = None
    if "importance_cap" in settings:
        importance = truncated_importance_weights(old, tensors["rollout"], settings["importance_cap"])
    result = grpo_loss(
        policy, old, torch.tensor(our_advantages(settings), dtype=dtype).repeat_interleave(LENGTHS), weights,
        clip_low=0.2, clip_high=settings.get("epsilon_high", 0.2), importance_weights=importance,
        ref_logprobs=tensors["ref"] if "beta" in settings else None, kl_coefficient=settings.get("beta", 0.0),
        kl_ratio_weighted=settings.get("use_bias_correction_kl", False),
    )  # fmt: skip
    result.loss.backward()
    return result, policy.grad


def test_golden_file_says_where_it_is_from():
    assert GOLDEN["origin"]["trl"] == "1.16.0"
    assert "GRPOTrainer._compute_loss" in GOLDEN["origin"]["functions"]
    assert len(CASES) == 33


@pytest.mark.parametrize("name", CASES)
def test_advantages(name):
    # TRL computes them in float32.
    np.testing.assert_allclose(our_advantages(CASES[name]["settings"]), CASES[name]["advantages"], atol=1e-6)


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_loss_and_gradient(name, dtype):
    case = CASES[name]
    result, gradient = our_result(case, dtype)
    assert result.loss.item() == pytest.approx(case["loss"], abs=1e-6)
    np.testing.assert_allclose(gradient, case["gradient"], atol=1e-6)


@pytest.mark.parametrize("name", CASES)
def test_clip_shares_and_kl(name):
    case = CASES[name]
    result, _ = our_result(case, torch.float64)
    assert (result.num_clipped_low / result.num_tokens).item() == pytest.approx(case["clip_low_share"], abs=1e-6)
    assert (result.num_clipped_high / result.num_tokens).item() == pytest.approx(case["clip_high_share"], abs=1e-6)
    if case["kl"] is not None and not case["settings"]["use_bias_correction_kl"]:  # TRL reports KL times the ratio
        assert (result.kl_sum / result.num_tokens).item() == pytest.approx(case["kl"], abs=1e-6)


def test_the_cases_exercise_what_they_name():
    """Each variant moves the loss or its gradient, so that equality with TRL says something."""
    for kind in ("grpo", "dapo", "dr_grpo"):
        base = CASES[f"{kind}/off_policy"]
        assert base["clip_low_share"] > 0.05 and base["clip_high_share"] > 0.05
        for variant in ("off_policy_mean_only", "clip_higher", "overlong", "kl", "importance", "on_policy"):
            assert not np.allclose(CASES[f"{kind}/{variant}"]["gradient"], base["gradient"], atol=1e-4), variant
        plain, weighted = (CASES[f"{kind}/on_policy_kl{suffix}"]["gradient"] for suffix in ("", "_weighted"))
        assert not np.allclose(plain, weighted, atol=1e-5)
