"""What changed in the arms since the experiment was last started: `arms.json` in its folder.

A changed arm has jobs of other keys, so it is run again by itself; here it is named.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from vlaa_ray.experiments.jobs import shown_keys
from vlaa_ray.experiments.plan import ArmPlan, ExperimentPlan
from vlaa_ray.storage.atomic import write_whole
from vlaa_ray.storage.mapping_file import read_mapping

ARMS = "arms.json"
_MOST_SHOWN = 6


def changed_arms(plan: ExperimentPlan) -> dict[str, str]:
    """Return by arm, in words, what differs from the last start of the experiment; {} at its first."""
    stored = read_mapping(plan.folder / ARMS, json.loads)[0]
    if not stored:
        return {}
    now = _described(plan)
    changes = {name: _change(stored.get(name), arm) for name, arm in now.items()}
    return {name: text for name, text in changes.items() if text}


def remember_arms(plan: ExperimentPlan) -> None:
    """Write what the arms are now; arms that are not in this plan stay as they were."""
    stored = read_mapping(plan.folder / ARMS, json.loads)[0]
    write_whole(plan.folder / ARMS, json.dumps(stored | _described(plan), indent=1) + "\n")


def _described(plan: ExperimentPlan) -> dict[str, Any]:
    described = {}
    for name, arm in plan.arms.items():
        if not arm.problems:
            described[name] = {"start": _start(plan, arm), "stages": _stages(plan, arm), "evaluation": _asked(plan)}
    return json.loads(json.dumps(described).replace(str(plan.runs), ""))


def _start(plan: ExperimentPlan, arm: ArmPlan) -> str:
    return arm.section.start or plan.config.start_model


def _stages(plan: ExperimentPlan, arm: ArmPlan) -> list[dict[str, Any]]:
    first = arm.stages[plan.config.seeds[0]]
    return [shown_keys(plan.jobs[key].config) for key in first]


def _asked(plan: ExperimentPlan) -> dict[str, Any]:
    return shown_keys(plan.evaluation)


def _change(before: Mapping[str, Any] | None, now: Mapping[str, Any]) -> str:
    if before is None:
        return "new"
    parts = []
    if before.get("start") != now["start"]:
        parts.append(f"start model: {before.get('start')} -> {now['start']}")
    if len(before.get("stages", [])) != len(now["stages"]):
        parts.append(f"{len(before.get('stages', []))} -> {len(now['stages'])} stages")
    for number, (old, new) in enumerate(zip(before.get("stages", []), now["stages"], strict=False), start=1):
        parts += [f"stage {number}: {text}" for text in _differences(old, new)]
    parts += [f"evaluation: {text}" for text in _differences(before.get("evaluation", {}), now["evaluation"])]
    more = len(parts) - _MOST_SHOWN
    return "; ".join(parts[:_MOST_SHOWN]) + (f"; and {more} more" if more > 0 else "")


def _differences(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
    return [f"{key}: {old.get(key)!r} -> {new.get(key)!r}" for key in {**old, **new} if old.get(key) != new.get(key)]
