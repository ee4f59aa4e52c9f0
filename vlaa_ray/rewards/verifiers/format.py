"""format: whether a response has the asked form, a thought and then an answer. Off unless a weight asks for it.

verify_format("<think>I see 3.</think><answer>3</answer>").value == 1.0
"""

from __future__ import annotations

from vlaa_ray.records import RewardResult
from vlaa_ray.rewards.verifiers.verdicts import scored, wrong

_TAGS = ("<think>", "</think>", "<answer>", "</answer>")


def verify_format(response: str) -> RewardResult:
    """1.0 if the response is one thought and one answer in their tags and nothing else, else 0.0 with the reason."""
    text = response.strip()
    places = []
    for tag in _TAGS:
        if text.count(tag) != 1:
            return wrong(None, f"{text.count(tag)} times {tag}, where one is asked for")
        places.append(text.index(tag))
    if places != sorted(places):
        return wrong(None, "the tags are not in their order")
    between = text[places[1] + len(_TAGS[1]) : places[2]]
    if places[0] or between.strip() or not text.endswith(_TAGS[3]):
        return wrong(None, "text outside the tags")
    return scored(1.0, None)
