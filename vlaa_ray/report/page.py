"""`report.html`: everything that a run folder holds, on one page that needs no network.

The template escapes every value except the charts, which are made here. A content security policy in the page
forbids scripts and requests, so that text of a model can't start any.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from vlaa_ray.report.breakdown import breakdown
from vlaa_ray.report.config_changes import changes_of
from vlaa_ray.report.curves import chart_svg, charts_of, figure_svg, kind_of
from vlaa_ray.report.headline import difference, headline, number, verdict
from vlaa_ray.report.html import safe, write_page
from vlaa_ray.report.role_times import draw_roles, role_times
from vlaa_ray.report.rollouts_page import write_rollouts_page
from vlaa_ray.report.samples import samples_of
from vlaa_ray.report.study import Sought, study_of
from vlaa_ray.report.timing import draw_phases, draw_timeline, phase_colors, totals
from vlaa_ray.run.reader import RecordedRun
from vlaa_ray.storage.mapping_file import flat
from vlaa_ray.text.durations import duration

_SUMMARY = {
    "model.path": "Model",
    "data.train": "Training data",
    "data.heldout": "Held-out data",
    "run.num_steps": "Steps planned",
    "run.num_epochs": "Epochs planned",
    "run.seed": "Seed",
    "rollout.prompts_per_step": "Prompts a step",
    "rollout.group_size": "Samples a prompt",
    "rollout.temperature": "Temperature",
    "rollout.max_completion_tokens": "Tokens a completion, at most",
    "grpo.advantage": "Advantage",
    "grpo.aggregation": "Aggregation",
    "grpo.kl.coefficient": "KL coefficient",
    "learner.optim.learning_rate": "Learning rate",
    "learner.updates_per_step": "Updates a step",
    "learner.num_ranks": "Learner ranks",
    "learner.zero_stage": "ZeRO stage",
    "max_staleness": "Staleness, at most",
}


def write_report(run_dir: Path, sought: Sought | None = None) -> Path:
    """Write `report.html` into the run folder and return its path; partial and failed runs have a report too.

    What is `sought` is looked for in the rollouts on disk. A run with rollouts gets `rollouts.html`, too.
    """
    run = RecordedRun.read(run_dir)
    rollouts_page = write_rollouts_page(run)
    filters = {"number": number, "difference": difference, "verdict": verdict, "duration": duration}
    filters["percent"] = lambda share: "" if share is None else f"{share:.1%}"
    return write_page(run.path / "report.html", "page.html.jinja", _content(run, sought, rollouts_page), filters)


def _content(run: RecordedRun, sought: Sought | None, rollouts_page: Path | None) -> dict[str, Any]:
    charts, missing = charts_of(run)
    shares, whole_s = totals(run)
    config = flat(run.config)
    study, roles = study_of(run, sought), role_times(run)
    return {
        "name": run.name,
        "state": _state(run),
        "remarks": run.remarks,
        "headline": headline(run),
        "kind": kind_of(run.config),
        "breakdown": breakdown(run),
        "study": study,
        "study_figures": [(chart, safe(svg)) for chart, svg in study.figures],
        "charts": [(chart, safe(chart_svg(run, chart))) for chart in charts],
        "charts_missing": missing,
        "shares": shares,
        "whole_s": whole_s,
        "phase_colors": phase_colors(),
        "phases_svg": _timing_svg(run, "phases", "Seconds of each step by phase", draw_phases) if shares else "",
        "timeline_svg": _timing_svg(run, "timeline", "Phases along the clock", draw_timeline) if shares else "",
        "roles": roles,
        "roles_svg": _timing_svg(run, "roles", "Busy share of each role along the clock", draw_roles) if roles else "",
        "samples": samples_of(run),
        "rollouts_page": rollouts_page.name if rollouts_page else "",
        "summary": [(title, config[key]) for key, title in _SUMMARY.items() if config.get(key) is not None],
        "changes": changes_of(run.config, kind_of(run.config)) if run.config else [],
        "config": config,
    }


def _timing_svg(run: RecordedRun, key: str, description: str, paint: Any) -> Any:
    size = (11.5, 2.6) if key in ("timeline", "roles") else (11.5, 3.0)
    return safe(figure_svg(key, f"{description}; the table has the totals.", lambda axes: paint(axes, run), size))


def _state(run: RecordedRun) -> dict[str, Any]:
    """Return what `run.json` says: the state, the cause of a failure as lines of (name, text), and everything else."""
    known = dict(run.state)
    cause = known.pop("cause", None) or known.pop("error", None)
    versions = known.pop("versions", None)
    return {
        "name": str(known.pop("state", "unknown")),
        "cause": _lines(cause if isinstance(cause, dict) else {"message": cause} if cause else {}),
        "versions": _lines(versions) if isinstance(versions, dict) else [],
        "others": _lines(known),
        "last_step": run.last_step,
    }


def _lines(mapping: dict[str, Any]) -> list[tuple[str, str]]:
    lines = {key: "\n".join(map(str, value)) if isinstance(value, list) else value for key, value in mapping.items()}
    return [(str(key), str(value)) for key, value in lines.items() if value not in (None, "", {}, [])]
