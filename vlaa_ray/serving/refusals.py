"""Requests that are refused: the status, and a body in the form of OpenAI's API that says why."""

from __future__ import annotations

from typing import Any

from vlaa_ray.errors import VlaaRayError

STATUS_TYPES = {401: "authentication_error", 403: "permission_error", 404: "not_found_error", 503: "overloaded_error"}
"""The `type` of OpenAI's error body by status; any other status from 400 to 499 is an `invalid_request_error`."""


class RequestRefused(VlaaRayError):
    """A request that gets no answer from the model: `status` is the one of HTTP, `code` names the reason in one word.

    `param` is the field of the request that is wrong, such as "messages[1].content[0]"; None if it is no single one.
    """

    def __init__(
        self, message: str, *, status: int = 400, code: str, param: str | None = None, fix: str = "", **facts: Any
    ) -> None:
        super().__init__(message, fix=fix, status=status, code=code, param=param, **facts)
        self.status, self.code, self.param = status, code, param

    def body(self) -> dict[str, Any]:
        """Return the body of the response, as OpenAI's clients read it: {"error": {"message", "type", …}}."""
        kind = STATUS_TYPES.get(self.status) or ("invalid_request_error" if self.status < 500 else "server_error")
        message = f"{self.message}. {self.fix[:1].upper()}{self.fix[1:]}." if self.fix else self.message
        return {"error": {"message": message, "type": kind, "param": self.param, "code": self.code}}
