"""Errors of records that say what to change: the columns, the verifier type."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from vlaa_ray.errors import DataError


def no_verifier(verifier_type: str | None, source: str, known: Collection[str], **facts: Any) -> DataError:
    """Return the error for a record without a verifier type, or with one that there is not."""
    if verifier_type is None:
        message = "no verifier for this record: it names no verifier type, and its format has none of its own"
        fix = (
            "name the type of all records that have none: --verifier-type TYPE for `vlaa-ray data check`, "
            "data.verifier_type in a config; or set `verifier_type` in the record"
        )
    else:
        message = "no verifier for this record: its verifier type is unknown"
        fix = "set `verifier_type` in the record to one of these types, or define the type in rewards.verifiers"
    return DataError(message, **facts, got=verifier_type or source, expected=list(known), fix=fix)
