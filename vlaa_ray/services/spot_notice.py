"""The notice of a cloud that it takes a spot machine away, from the metadata service that each machine can ask.

    wait_for_notice(CLOUDS["aws"], endpoint=None, poll_s=2.0) -> Notice(leave_s=118.0, reason="…")

AWS tells two minutes before, Google about half a minute before.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import NamedTuple

import httpx

from vlaa_ray.errors import VlaaRayError

_ANSWER_S = 2.0
_FIRST_ANSWER_S = 60.0
_TOKEN_S = "21600"
_GOOGLE_LEAVE_S = 30.0


class Notice(NamedTuple):
    """The end of a machine."""

    leave_s: float
    """The seconds that are left."""
    reason: str


@dataclass(frozen=True)
class Cloud:
    """A cloud's metadata service."""

    endpoint: str
    look: Callable[[httpx.Client], Notice | None]
    """A function that asks once; it returns None while the machine stays."""


def wait_for_notice(cloud: Cloud, endpoint: str | None, poll_s: float) -> Notice:
    """Ask the metadata service every `poll_s` seconds, and return its notice.

    Raises:
        VlaaRayError: it does not answer within a minute after the start, for instance since this is no such machine.

    """
    with httpx.Client(base_url=endpoint or cloud.endpoint, timeout=_ANSWER_S) as client:
        start, has_answered = time.monotonic(), False
        while True:
            try:
                if notice := cloud.look(client):
                    return notice
                has_answered = True
            except httpx.HTTPError as error:
                if not has_answered and time.monotonic() - start > _FIRST_ANSWER_S:
                    fix = "start this command on machines of that cloud only, or name the right one with --cloud"
                    message = "the metadata service doesn't answer"
                    raise VlaaRayError(message, fix=fix, address=str(client.base_url), got=str(error)) from error
            time.sleep(poll_s)


def _look_at_amazon(client: httpx.Client) -> Notice | None:
    # the answer is 404 until the machine is to be stopped or terminated; a token is asked for, as IMDSv2 wants it
    token = client.put("/latest/api/token", headers={"X-aws-ec2-metadata-token-ttl-seconds": _TOKEN_S})
    token.raise_for_status()
    answer = client.get("/latest/meta-data/spot/instance-action", headers={"X-aws-ec2-metadata-token": token.text})
    if answer.status_code == httpx.codes.NOT_FOUND:
        return None
    told = answer.raise_for_status().json()
    end = datetime.fromisoformat(told["time"].replace("Z", "+00:00"))
    left_s = (end - datetime.now(UTC)).total_seconds()
    return Notice(max(0.0, left_s), f"AWS spot: {told['action']}")


def _look_at_google(client: httpx.Client) -> Notice | None:
    answer = client.get("/computeMetadata/v1/instance/preempted", headers={"Metadata-Flavor": "Google"})
    is_preempted = answer.raise_for_status().text.strip() == "TRUE"
    return Notice(_GOOGLE_LEAVE_S, "Google spot: preempted") if is_preempted else None


CLOUDS: Mapping[str, Cloud] = {
    "aws": Cloud("http://169.254.169.254", _look_at_amazon),
    "gcp": Cloud("http://metadata.google.internal", _look_at_google),
}
"""The clouds by their names on the command line."""
