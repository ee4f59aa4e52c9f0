"""Shorthands for the three kinds of verdict, so that every verifier words them alike."""

from __future__ import annotations

from vlaa_ray.records import RewardResult


def scored(value: float, extracted: str | None, reason: str = "") -> RewardResult:
    """A judged answer, `value` in [0, 1]."""
    return RewardResult(value=value, valid=True, extracted=extracted, reason=reason)


def wrong(extracted: str | None, reason: str) -> RewardResult:
    """A judged answer worth 0."""
    return RewardResult(value=0.0, valid=True, extracted=extracted, reason=reason)


def invalid(extracted: str | None, reason: str) -> RewardResult:
    """A sample that can't be judged; it never enters a mean."""
    return RewardResult(value=None, valid=False, extracted=extracted, reason=reason)
