"""The rules for retries of requests to services and to image hosts: what is tried again, and after which pause."""

from __future__ import annotations

import random

RETRYABLE_STATUSES = {408, 409, 425, 429, 500, 502, 503, 504}
"""HTTP statuses after which the same request may succeed later."""
TOO_MANY_REQUESTS = 429
OVERLOAD_STATUSES = {TOO_MANY_REQUESTS, 503}
"""HTTP statuses with which a server asks for fewer requests at a time."""
FIRST_WAIT_S, MAX_WAIT_S = 0.25, 8.0


class TryAgain(Exception):
    """One attempt failed, but a later one may succeed.

    `reason` says how it failed, and `after_s` is the pause in seconds that the server asks for (0 if it names no
    pause). `overloaded` means that the server has too many requests: the failure is not the fault of this request.
    """

    def __init__(self, reason: str, after_s: float = 0.0, *, overloaded: bool = False) -> None:
        super().__init__(reason)
        self.reason, self.after_s, self.overloaded = reason, after_s, overloaded


def backoff_s(attempt: int) -> float:
    """Return the pause in seconds after a number of failed attempts.

    It is random, between 0 and a limit that doubles with each attempt, up to 8 s. The randomness keeps clients that
    fail at the same time from coming back at the same time.
    """
    return random.uniform(0, min(MAX_WAIT_S, FIRST_WAIT_S * 2 ** min(attempt, 16)))
