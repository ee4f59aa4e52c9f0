"""Verifiers of users: plain functions that the config names by their import path.

    # my_rewards.py                                    # in the config
    def chart(answer, gold, *, tolerance=0.05):        rewards:
        return abs(float(answer) - gold) <= tolerance    verifiers: {chart: {function: my_rewards:chart}}

A function is called with the extracted answer (never None), the gold and the sample's parameters. It returns a number
in [0, 1], a bool or a RewardResult, or None if the sample can't be judged. If it raises an error, the sample is
invalid.
"""

from __future__ import annotations

import functools
import importlib
from typing import Any

from vlaa_ray.errors import RewardError
from vlaa_ray.records import RewardResult
from vlaa_ray.rewards.dispatch import Verifier
from vlaa_ray.rewards.verifiers.verdicts import invalid, scored, wrong


def load_function(path: str) -> Verifier:
    """Return the function at `package.module:function` as a verifier. Raises RewardError if it can't be imported."""
    module_name, _, name = path.partition(":")
    try:
        function = getattr(importlib.import_module(module_name), name)
    except Exception as error:
        raise RewardError(f"{path}: {type(error).__name__}: {error}") from error
    if not callable(function):
        raise RewardError(f"{path}: not a function, but a {type(function).__name__}")
    return functools.partial(_call, path, function)


def _call(path: str, function: Any, answer: str | None, gold: Any, **params: Any) -> RewardResult:
    if answer is None:
        return wrong(None, "no answer")
    returned = function(answer, gold, **params)
    value, reason, parts = (
        (returned.value, returned.reason, returned.parts) if isinstance(returned, RewardResult) else (returned, "", {})
    )
    if value is None:
        return invalid(answer, reason or f"{path} can't judge this sample")
    if not isinstance(value, bool | int | float) or not 0 <= value <= 1:
        return invalid(answer, f"{path} returned {value!r:.80}, expected a number in [0, 1]")
    result = scored(float(value), answer, reason)
    return RewardResult(**(vars(result) | {"parts": dict(parts)}))
