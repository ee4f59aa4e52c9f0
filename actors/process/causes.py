"""The search for the project's own error inside Ray's errors."""

from __future__ import annotations

from ray.exceptions import RayError, RayTaskError

from vlaa_ray.errors import PlacementError, VlaaRayError

UNREACHABLE = (ConnectionError, RuntimeError, ValueError, RayError)
"""What Ray raises where no cluster answers at an address."""


def typed_cause(error: BaseException) -> VlaaRayError | None:
    """Return the outermost VlaaRayError in `error`, in the errors that it wraps, or in those of its workers, else None.

    An error that Ray wraps has two types: RayTaskError and that of its cause. Only the cause itself has the facts.
    """
    if isinstance(error, VlaaRayError) and not isinstance(error, RayError):
        return error
    inner = [getattr(error, name, None) for name in ("cause", "_base_exc", "controller_failure", "__cause__")]
    inner += [failure for _, failure in sorted(getattr(error, "worker_failures", {}).items())]
    wrapped = (item for item in inner if isinstance(item, BaseException) and item is not error)
    causes = (typed_cause(item) for item in wrapped)
    return next((cause for cause in causes if cause), None)


def first_line(error: BaseException) -> str:
    """Return an error in one line: the last line of a remote traceback, the first line of any other error."""
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return lines[-1] if isinstance(error, RayTaskError) else lines[0]


def unreachable(error: BaseException, address: str | None, example: str) -> PlacementError:
    """Return the error to raise where no cluster answers at `address`; `example` shows the form of an address."""
    fix = f"start one with `ray start --head`, or give --address {example} (and RAY_AUTH_TOKEN)"
    return PlacementError(f"can't reach a Ray cluster: {first_line(error)}", address=address, fix=fix)
