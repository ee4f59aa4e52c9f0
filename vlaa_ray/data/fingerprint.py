"""What a run trains on in a few bytes, by which a resumed run notices that it has changed.

fingerprint(prompts)  -> {"num_prompts": 25195, "sha256": "…"}
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any

import numpy as np

from vlaa_ray.records import Preference, Prompt, prompt_of

_SAMPLED = 1024


class Digest:
    """A hash of prompts as they come. Written answers count where they are learned from: of pairs, and if `solved`."""

    def __init__(self, solved: bool) -> None:
        self._solved = solved
        self._hash = hashlib.sha256()

    def add(self, item: Prompt | Preference) -> None:
        """Take in the next one."""
        one = prompt_of(item)
        answers = item.answers if isinstance(item, Preference) else (one.solution or "",) if self._solved else ()
        told = [
            one.prompt_id,
            one.question,
            repr(one.gold),
            one.verifier_type,
            repr(one.verifier_params),
            *(image.sha256 for image in one.images),
            *answers,
        ]
        self._hash.update("\0".join([*told, ""]).encode("utf-8", "surrogatepass"))

    def __str__(self) -> str:
        return self._hash.hexdigest()


def fingerprint(items: Sequence[Prompt] | Sequence[Preference], *, solved: bool = False) -> dict[str, Any]:
    """The number of prompts, and a hash of all, with one for each source where they are from files.

    Of items that are made when asked for, 1,024 that are spread over all stand for the others.
    """
    known = getattr(items, "known", None) or {"sha256": _digest_of(items, solved)}
    return {"num_prompts": len(items), **known}


def mixed(paths: Sequence[str], digests: Sequence[str], weights: Sequence[float]) -> dict[str, Any]:
    """What is known of a mixture: the digest of each source, and one of them all."""
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
    """What people are told where a resumed checkpoint was made with data of another fingerprint."""
    if not before or before.get("sha256") == now["sha256"]:
        return None
    then = before.get("sources", {}).values()
    changed = [path for path, digest in now.get("sources", {}).items() if digest not in then]
    named = f" ({', '.join(changed)})" if changed else ""
    return (
        f"the training data has changed since the checkpoint{named}: "
        f"{before.get('num_prompts')} prompts then, {now['num_prompts']} now, and not the same ones; "
        "the run goes on, but not with the prompts that it would have had"
    )
