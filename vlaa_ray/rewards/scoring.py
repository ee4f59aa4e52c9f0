"""score(): one response, its gold and the verifier type in, a reward out.

    score("<think>…</think><answer>3</answer>", 3, "digit").value == 1.0

For batches and for limits of one's own there is `Sandbox.score_batch`; both give the same verdicts.
"""

from __future__ import annotations

import atexit
import os
import threading
from typing import Any

from vlaa_ray.records import RewardResult
from vlaa_ray.rewards.dispatch import SandboxTask, verify_or_dispatch
from vlaa_ray.rewards.sandbox.sandbox import Sandbox

_shared: tuple[int, Sandbox] | None = None
_shared_lock = threading.Lock()


def score(response: str, gold: Any, verifier_type: str, **params: Any) -> RewardResult:
    """The verdict: value in [0, 1]; None and `valid=False` where the sample can't be judged.

    `params` are the verifier's own, and `extraction`: "last" (complete answer) or "exactly_one" (the paper's
    rule). An answer that can't be extracted is worth 0. RewardError for an unknown type or parameter; no text
    raises. math runs in one sandbox of the process, started at the first call.
    """
    planned = verify_or_dispatch(response, gold, verifier_type, params)
    if isinstance(planned, SandboxTask):
        return _shared_sandbox().score_batch([(response, gold, verifier_type, params)])[0]
    return planned


def _shared_sandbox() -> Sandbox:
    """The process's own sandbox; a forked child starts another, since the sockets belong to its parent."""
    global _shared
    with _shared_lock:
        if _shared is None or _shared[0] != os.getpid():
            sandbox = Sandbox()
            atexit.register(sandbox.close)
            _shared = (os.getpid(), sandbox)
        return _shared[1]
