"""Verifiable rewards: for each verifier type, such as digit or mcq, a function judges an answer by the gold.

For example:

    score("<think>…</think><answer>3</answer>", 3, "digit") -> RewardResult(value=1.0, valid=True, …)
"""

from vlaa_ray.records import RewardResult
from vlaa_ray.rewards.sandbox.sandbox import Sandbox
from vlaa_ray.rewards.scoring import score
from vlaa_ray.rewards.verifiers.open_ended import relative_reward

__all__ = ["RewardResult", "Sandbox", "relative_reward", "score"]
