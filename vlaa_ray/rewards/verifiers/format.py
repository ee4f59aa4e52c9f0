"""format: 1 if a response is a thought and then an answer, in their tags, else 0. Used only if a weight names it.

For example:

    verify_format("<think>I see 3.</think><answer>3</answer>").value == 1.0
"""

from __future__ import annotations

from vlaa_ray.records import RewardResult
from vlaa_ray.rewards.verifiers.verdicts import scored, wrong

_TAGS = ("<think>", "</think>", "<answer>", "</answer>")


def verify_format(response: str) -> RewardResult:
    """Return 1.0 if the response is one thought and then one answer in their tags, with no other text; else 0.0."""
    text = response.strip()
    places = []
    for tag in _TAGS:
        if text.count(tag) != 1:
            return wrong(None, f"{text.count(tag)} times {tag}, expected once")
        places.append(text.index(tag))
    if places != sorted(places):
        return wrong(None, "the tags are in the wrong order")
    between = text[places[1] + len(_TAGS[1]) : places[2]]
    if places[0] or between.strip() or not text.endswith(_TAGS[3]):
        return wrong(None, "there is text outside the tags")
    return scored(1.0, None)
