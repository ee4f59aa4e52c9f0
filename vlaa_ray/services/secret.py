"""Secrets from the environment and from files: keys of services, and the token of a reward server.

A job is sent only the names of its secrets. `take_secrets` finds them on the node of each process.
"""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from vlaa_ray.errors import ConfigError

SECRETS = "VLAA_RAY_SECRETS"
"""The environment variable of a job with the references to its secrets, separated by commas."""
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_SECRET_NAME = re.compile(r"(KEY|TOKEN|SECRET|PASSWORD)S?(_ID)?$")
_SHORTEST = 8  # shorter values are found in innocent texts


@dataclass(frozen=True)
class Reference:
    """Where a secret is found: in the environment variable `name` of the node, or in a file there."""

    name: str
    file: str = ""

    @classmethod
    def parse(cls, text: str) -> Reference:
        """Return the reference that `NAME` or `NAME=FILE` stands for.

        Raises:
            ConfigError: it has another form. The message does not show what stands behind the name: it may be a secret.

        """
        name, is_file, file = text.partition("=")
        if not _NAME.fullmatch(name) or (is_file and not os.path.isabs(file)) or "," in file:
            fix = "give NAME, or NAME=FILE with an absolute path on the nodes; a secret itself is never given"
            raise ConfigError(f"--secret {name[:40]}… is no reference to a secret", fix=fix)
        return cls(name, file)

    def __str__(self) -> str:
        return f"{self.name}={self.file}" if self.file else self.name


def take_secrets() -> None:
    """Put the secrets of this job into the environment of this process; outside a job with secrets, do nothing.

    Raises:
        ConfigError: a secret is not on this node; the message names the variable, and the file if there is one.

    """
    for text in filter(None, os.environ.get(SECRETS, "").split(",")):
        reference = Reference.parse(text)
        if not reference.file:
            if not os.environ.get(reference.name):
                fix = "set it on every node before `ray start`, or from a Kubernetes secret in the pod's environment"
                raise ConfigError(f"the secret {reference.name} is not in the environment of this node", fix=fix)
            continue
        try:
            os.environ[reference.name] = Path(reference.file).read_text(encoding="utf-8").strip()
        except (OSError, ValueError) as error:
            cause = error.strerror if isinstance(error, OSError) else "it is not text"
            fix = "put the file on every node, or mount the Kubernetes secret there"
            message = f"the file of the secret {reference.name} can't be read: {cause}"
            raise ConfigError(message, file=reference.file, fix=fix) from None


def refuse_secrets(texts: Sequence[str]) -> None:
    """Check that no text holds the value of a secret in this environment, or a user and a password in an address.

    Raises:
        ConfigError: one does; the message names the variable, and never shows the value.

    """
    fix = "give it by reference: vlaa-ray submit --secret NAME, and in the config the name of the variable"
    for name, value in os.environ.items():
        if len(value) >= _SHORTEST and _SECRET_NAME.search(name) and any(value in text for text in texts):
            raise ConfigError(f"the command holds the value of {name}; a job's command is shown to others", fix=fix)
    if any(without_credentials(text) != text for text in texts):
        raise ConfigError("the command holds a user and a password in an address", fix=fix)


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
