"""A short fingerprint of the training data: a resumed run compares it to notice that the data has changed.

For example:

    fingerprint(prompts)  -> {"num_prompts": 25195, "sha256": "…"}
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any

import numpy as np

from vlaa_ray.records import Preference, Prompt, prompt_of
from vlaa_ray.text.conversation import context_key

_SAMPLED = 1024


class Digest:
    """A running SHA-256 of prompts; `str(digest)` is its hexadecimal value.

    Written answers are part of the hash only if the run learns from them: the answers of preferences always, the
    solutions of prompts if `solved`.
    """

    def __init__(self, solved: bool) -> None:
        self._solved = solved
        self._hash = hashlib.sha256()

    def add(self, item: Prompt | Preference) -> None:
        """Add the next item to the hash; the order of the items counts."""
        prompt = prompt_of(item)
        answers = item.answers if isinstance(item, Preference) else (prompt.solution or "",) if self._solved else ()
        hashed = [
            prompt.prompt_id,
            prompt.question,
            repr(prompt.gold),
            prompt.verifier_type,
            repr(prompt.verifier_params),
            *(image.sha256 for image in prompt.images),
            *context_key(prompt),
            *answers,
        ]
        self._hash.update("\0".join([*hashed, ""]).encode("utf-8", "surrogatepass"))

    def __str__(self) -> str:
        return self._hash.hexdigest()


def fingerprint(items: Sequence[Prompt] | Sequence[Preference], *, solved: bool = False) -> dict[str, Any]:
    """Return the number of prompts and a hash: {"num_prompts": …, "sha256": …}, and "sources" if they come from files.

    "sources" has the hash of each source by its path. If the items are made only when they are asked for, the hash
    covers at most 1,024 of them, spread evenly over all.
    """
    digests = getattr(items, "stored_fingerprint", None) or {"sha256": _digest_of(items, solved)}
    return {"num_prompts": len(items), **digests}


def mixed(paths: Sequence[str], digests: Sequence[str], weights: Sequence[float]) -> dict[str, Any]:
    """Return the hashes of a mixture: "sha256" for all of it, and "sources" with the hash of each path."""
    digest = hashlib.sha256(repr((digests, weights)).encode()).hexdigest()
    return {"sha256": digest, "sources": dict(zip(paths, digests, strict=True))}


def _digest_of(items: Sequence[Prompt] | Sequence[Preference], solved: bool) -> str:
    digest, places = Digest(solved), np.arange(len(items))
    if len(items) > _SAMPLED and not isinstance(items, list):
        places = np.linspace(0, len(items) - 1, _SAMPLED).astype(int)
    for place in places:
        digest.add(items[int(place)])
    return str(digest)


def change_of(before: dict[str, Any] | None, now: dict[str, Any]) -> str | None:
    """Return a warning for users if the two fingerprints differ, or None.

    `before` is the fingerprint in the checkpoint. It may be None; then no warning is possible.
    """
    if not before or before.get("sha256") == now["sha256"]:
        return None
    then = before.get("sources", {}).values()
    changed = [path for path, digest in now.get("sources", {}).items() if digest not in then]
    named = f" ({', '.join(changed)})" if changed else ""
    return (
        f"the training data has changed since the checkpoint{named}: "
        f"{before.get('num_prompts')} prompts then, {now['num_prompts']} now, with different content; "
        "the run continues with the data as it is now"
    )
