"""Extracts the answer from a response, and passes it to the verifier of the prompt's verifier type.

    verdict_or_task("<answer>3</answer>", 3, "digit", {}) -> RewardResult(value=1.0, …)

The limits of golds and answers are held here, for all verifiers: a gold beyond one (`rewards/limits.py`) makes the
sample invalid, and an answer of more than 20,000 characters is wrong.

Most built-in verifiers are pure functions that take microseconds, so they judge at once. `math` and users' functions
may take long. For these the result is a `SandboxTask`, which the sandbox runs in a process that can be killed.
"""

from __future__ import annotations

import inspect
import itertools
import json
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

from vlaa_ray.data.prompt_checks import says_nothing
from vlaa_ray.errors import RewardError
from vlaa_ray.records import FORMAT, RewardResult
from vlaa_ray.rewards.limits import gold_excess
from vlaa_ray.rewards.verifiers.boxes import verify_boxes
from vlaa_ray.rewards.verifiers.choice import verify_choice
from vlaa_ray.rewards.verifiers.digit import verify_digit
from vlaa_ray.rewards.verifiers.format import verify_format
from vlaa_ray.rewards.verifiers.grounding import verify_box
from vlaa_ray.rewards.verifiers.letters import verify_letters
from vlaa_ray.rewards.verifiers.lists import verify_list
from vlaa_ray.rewards.verifiers.math_limits import excess as math_excess
from vlaa_ray.rewards.verifiers.number import verify_number
from vlaa_ray.rewards.verifiers.open_ended import verify_open_ended
from vlaa_ray.rewards.verifiers.points import verify_points
from vlaa_ray.rewards.verifiers.text import verify_ocr, verify_text
from vlaa_ray.rewards.verifiers.verdicts import invalid, wrong
from vlaa_ray.rewards.verifiers.yes_no import verify_yes_no
from vlaa_ray.text.answers import chars_excess, extract_answer, why_no_answer

Verifier = Callable[..., RewardResult]
"""A function that is called as `verifier(answer, gold, **params)`.

A built-in verifier raises no error for any answer or gold.
"""

EXTRACTIONS = ("last", "exactly_one")
_ABOUT_GOLDS = ("gold", "the gold")
"""How reasons begin that blame a gold: a gold that is tried may not suit the parameters, but the records' golds may."""
_TRIED_ANSWERS = ("<answer>2</answer>", "<answer>[0.2, 0.2, 0.6, 0.6]</answer>", "<answer>[0.2, 0.2]</answer>")
_TRIED_GOLDS = ("1", "A", "yes", [0.1, 0.1, 0.5, 0.5], [[0.1, 0.1]], ["a", "b"])
_NONE: Mapping[str, str] = MappingProxyType({})


class SandboxTask(NamedTuple):
    """A verification for the sandbox. `gold` and `params` are JSON; `answer` is None if the response has no answer."""

    function: str
    """`math`, or the import path of a user's function."""
    answer: str | None
    gold: str
    params: str = "{}"


def verdict_or_task(
    response: str, gold: Any, verifier_type: str, params: Mapping[str, Any], functions: Mapping[str, str] = _NONE
) -> RewardResult | SandboxTask:
    """Return the verdict, or the task with which the sandbox finds the verdict.

    `params` holds the verifier's parameters and the extraction rule. `functions` maps the users' verifier types to the
    import paths of their functions.

    Raises RewardError for an unknown verifier type, parameter or extraction rule. No text of a response or a gold makes
    it raise.
    """
    verifier_params = dict(params)
    rule = verifier_params.pop("extraction", "last")
    if rule not in EXTRACTIONS:
        raise RewardError(f"unknown extraction rule {rule!r}", fix="use 'last' or 'exactly_one'")
    if verifier_type == FORMAT:
        return verify_format(response)
    if verifier_type in functions:
        return _plan_function(functions[verifier_type], extract_answer(response, rule), gold, verifier_params)
    if verifier_type not in _PARAMETERS or not verifier_params.keys() <= _PARAMETERS[verifier_type]:
        raise _unknown(verifier_type, verifier_params, functions)
    answer = extract_answer(response, rule)
    if excess := gold_excess(gold):
        return invalid(answer, f"the gold has {excess}")
    if verifier_type == "math":
        return _plan_math(answer, gold)
    return _judge(VERIFIERS[verifier_type], response, answer, gold, verifier_params)


def takes(verifier_type: str, parameter: str) -> bool:
    """Return whether the built-in verifier of this type has a parameter of this name."""
    return parameter in _PARAMETERS.get(verifier_type, ())


def params_fault(verifier_type: str, params: Mapping[str, Any]) -> str:
    """Return why the built-in verifier of this type can't use the parameters, in words; an empty text if it can.

    Answers and golds of several kinds are tried with and without the parameters, because a verifier reads its gold
    first. What can be judged without them, but not with them, shows their fault.
    """
    of_records = {"frame": "unit", "image_size": [1, 1], "input_size": [1, 1]}
    given = {name: value for name, value in of_records.items() if takes(verifier_type, name)}
    for answer, gold in itertools.product(_TRIED_ANSWERS, _TRIED_GOLDS):
        try:
            verdict = verdict_or_task(answer, gold, verifier_type, given | dict(params))
        except RewardError as error:
            return f"{error.one_line()}; {error.fix}"
        if isinstance(verdict, SandboxTask) or verdict.valid or verdict.reason.startswith(_ABOUT_GOLDS):
            continue
        alone = verdict_or_task(answer, gold, verifier_type, given)
        if isinstance(alone, RewardResult) and alone.valid:
            return verdict.reason
    return ""


def without_answer(verdict: RewardResult, response: str) -> RewardResult:
    """Return the verdict on a response without an answer: 0.0 and the reason, or `verdict` itself if it is invalid."""
    return wrong(None, why_no_answer(response)) if verdict.valid else verdict


def _judge(verifier: Verifier, response: str, answer: str | None, gold: Any, params: Mapping[str, Any]) -> RewardResult:
    """Return the verdict of a verifier that judges at once. The gold's faults come before the answer's."""
    excess = chars_excess(answer or "")
    try:
        verdict = verifier("" if excess else answer or "", gold, **params)
    except (TypeError, ValueError, ArithmeticError, LookupError) as error:  # only parameters can be the cause
        return invalid(answer, f"the verifier's parameters can't be used: {error}")
    except RecursionError:
        if not answer or excess:
            return invalid(answer, "the gold has too many brackets inside one another")
        deep = _judge(verifier, response, "", gold, params)
        return wrong(answer, "the answer has too many brackets inside one another") if deep.valid else deep
    if excess and verdict.valid:
        return wrong(answer, f"the answer has {excess}")
    return without_answer(verdict, response) if answer is None else verdict


def _plan_function(
    function: str, answer: str | None, gold: Any, params: Mapping[str, Any]
) -> RewardResult | SandboxTask:
    try:
        task = SandboxTask(function, answer, json.dumps(gold), json.dumps(params, sort_keys=True))
    except (RecursionError, TypeError, ValueError) as error:
        return invalid(answer, f"the gold or the parameters can't be written as JSON: {error}")
    excess = chars_excess(answer or "")
    return wrong(answer, f"the answer has {excess}") if excess else task


def _plan_math(answer: str | None, gold: Any) -> RewardResult | SandboxTask:
    if isinstance(gold, bool) or not isinstance(gold, str | int | float) or not str(gold).strip():
        return invalid(answer, f"gold is neither text nor a number: {str(gold)[:80]!r}")
    if says_nothing(str(gold)):
        return invalid(answer, f"gold is missing: {gold!r} stands in its place")
    if excess := math_excess(str(gold)):
        return invalid(answer, f"the gold has {excess}")
    if excess := math_excess(answer or ""):
        return wrong(answer, f"the answer has {excess}")
    return SandboxTask("math", answer, json.dumps(str(gold)))


def _unknown(verifier_type: str, params: Mapping[str, Any], functions: Mapping[str, str]) -> RewardError:
    if verifier_type not in _PARAMETERS:
        types = ", ".join([*_PARAMETERS, *functions])
        return RewardError("unknown verifier type", verifier_type=verifier_type, fix=f"use one of {types}")
    unknown = sorted(params.keys() - _PARAMETERS[verifier_type])
    usable = ", ".join(sorted(_PARAMETERS[verifier_type] | {"extraction"}))
    fix = f"use only {usable}"
    return RewardError("unknown verifier parameters", verifier_type=verifier_type, got=unknown, fix=fix)


VERIFIERS: dict[str, Verifier] = {
    "digit": verify_digit,
    "mcq": verify_choice,
    "iou": verify_box,
    "open_ended": verify_open_ended,
    "boxes": verify_boxes,
    "points": verify_points,
    "letters": verify_letters,
    "number": verify_number,
    "text": verify_text,
    "list": verify_list,
    "yes_no": verify_yes_no,
    "ocr": verify_ocr,
}
"""The built-in verifiers that judge at once: the paper's first, then others that vision-language data needs.

`math` is not among them, because it runs in the sandbox.
"""

_PARAMETERS: dict[str, frozenset[str]] = {
    name: frozenset(
        parameter.name
        for parameter in inspect.signature(verifier).parameters.values()
        if parameter.kind is inspect.Parameter.KEYWORD_ONLY
    )
    for name, verifier in VERIFIERS.items()
} | {"math": frozenset()}
