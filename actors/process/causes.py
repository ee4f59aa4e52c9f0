"""The one typed error below all that Ray puts around it."""

from __future__ import annotations

from ray.exceptions import RayError, RayTaskError

from vlaa_ray.errors import VlaaRayError


def typed_cause(error: BaseException) -> VlaaRayError | None:
    """The outermost error of ours in `error`, in what it wraps or in the failures of its workers; None without one.

    What Ray wraps has both types, RayTaskError and the cause's; only the cause itself carries the facts.
    """
    if isinstance(error, VlaaRayError) and not isinstance(error, RayError):
        return error
    inner = [getattr(error, name, None) for name in ("cause", "_base_exc", "controller_failure", "__cause__")]
    inner += [failure for _, failure in sorted(getattr(error, "worker_failures", {}).items())]
    causes = (typed_cause(one) for one in inner if isinstance(one, BaseException) and one is not error)
    return next((cause for cause in causes if cause), None)


def first_line(error: BaseException) -> str:
    """What an error says, in one line: the last line of a remote traceback, the first line of anything else."""
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return lines[-1] if isinstance(error, RayTaskError) else lines[0]
