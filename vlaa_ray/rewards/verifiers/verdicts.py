"""Makes the three kinds of verdict: scored, wrong and invalid."""

from __future__ import annotations

from vlaa_ray.records import RewardResult


def scored(value: float, extracted: str | None, reason: str = "") -> RewardResult:
    """Return the verdict that an answer is worth `value`, in [0, 1]."""
    return RewardResult(value=value, valid=True, extracted=extracted, reason=reason)


def wrong(extracted: str | None, reason: str) -> RewardResult:
    """Return the verdict that an answer is worth 0, and why."""
    return RewardResult(value=0.0, valid=True, extracted=extracted, reason=reason)


def invalid(extracted: str | None, reason: str) -> RewardResult:
    """Return the verdict that a sample can't be judged, and why. Such a sample never enters a mean."""
    return RewardResult(value=None, valid=False, extracted=extracted, reason=reason)
