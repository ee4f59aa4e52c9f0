"""The function score(): the reward of one response, by its gold and verifier type.

    score("<think>…</think><answer>3</answer>", 3, "digit").value == 1.0

`Sandbox.score_batch` gives the same verdicts for a whole batch, with time and memory limits that you choose.
"""

from __future__ import annotations

import atexit
import os
import threading
from typing import Any

from vlaa_ray.records import RewardResult
from vlaa_ray.rewards.dispatch import SandboxTask, verdict_or_task
from vlaa_ray.rewards.sandbox.sandbox import Sandbox

_shared: tuple[int, Sandbox] | None = None
_shared_lock = threading.Lock()


def score(response: str, gold: Any, verifier_type: str, **params: Any) -> RewardResult:
    """Return the verdict: a `value` in [0, 1], or None with `valid=False` if the sample can't be judged.

    `params` holds the verifier's parameters and `extraction`, which is "last" (the last complete answer counts) or
    "exactly_one" (the paper's rule). A response without an answer is worth 0. `math` runs in the process's own sandbox,
    which starts at the first call.

    Raises RewardError for an unknown verifier type or parameter, or if the sandbox can't start. No text of a response
    or a gold makes it raise.
    """
    planned = verdict_or_task(response, gold, verifier_type, params)
    if isinstance(planned, SandboxTask):
        return _shared_sandbox().score_batch([(response, gold, verifier_type, params)])[0]
    return planned


def _shared_sandbox() -> Sandbox:
    """Return the process's own sandbox. A forked child starts another, because the sockets belong to its parent."""
    global _shared
    with _shared_lock:
        if _shared is None or _shared[0] != os.getpid():
            sandbox = Sandbox()
            atexit.register(sandbox.close)
            _shared = (os.getpid(), sandbox)
        return _shared[1]
