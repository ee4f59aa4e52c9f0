"""Secrets from the environment: keys of services, and the token of a reward server."""

from __future__ import annotations

import os
import re

from vlaa_ray.errors import ConfigError


def secret_in(variable: str | None, key: str) -> str:
    """Return the secret in an environment variable, without blanks around it; "" if it is unset or there is no name.

    `key` is where the variable's name comes from, such as "rewards.open_ended.service.api_key_env".

    Raises ConfigError, which does not show the secret, if it has characters that an HTTP header can't hold.
    """
    secret = os.environ.get(variable, "").strip() if variable else ""
    if not (secret.isascii() and secret.isprintable()):
        fix = f"put the secret alone into the environment variable that {key} names"
        raise ConfigError(
            "the secret holds characters that are not allowed in an HTTP header, such as a line end",
            variable=variable,
            fix=fix,
        )
    return secret


def without_credentials(url: str) -> str:
    """Return an address without the user and the password that it may hold, for files that are shown to others."""
    return re.sub(r"(?<=//)[^/@]*@", "", url, count=1)
