"""Verifiable rewards: digit, mcq, math, iou and open_ended, each judged by a function of its own.

score("<think>…</think><answer>3</answer>", 3, "digit") -> RewardResult(value=1.0, valid=True, …)
"""

from vlaa_ray.records import RewardResult
from vlaa_ray.rewards.sandbox.sandbox import Sandbox
from vlaa_ray.rewards.scoring import score
from vlaa_ray.rewards.verifiers.open_ended import relative_reward

__all__ = ["RewardResult", "Sandbox", "relative_reward", "score"]
