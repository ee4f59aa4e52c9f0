"""The parts of a draft that several formats share: its fields, boxes in golds, and worked answers."""

from __future__ import annotations

import re
from typing import Any

from vlaa_ray.data.formats.fields import Row, json_list, text_of
from vlaa_ray.data.formats.pictures import images_of

Fields = dict[str, Any]
_THOUGHT = re.compile(r"\s*<think>(.*?)</think>", re.DOTALL)
_DETECTION = re.compile(r"```json.*?bbox", re.DOTALL)
_VLM_R1_METHODS = {"mcq": "mcq", "yes_no": "yes_no", "math": "math", "llm": "open_ended"}
_VLM_R1_METHODS |= dict.fromkeys(("detection", "map", "odLength", "od_ap", "od_ap50", "weighted_sum"), "boxes")
_FEW_WORDS = 3  # a text of more words than this is a derivation, no result


def fields_of(row: Row, question: Any, gold: Any, source: Any, verifier_type: str | None = "math") -> Fields:
    """Return the draft's fields that most formats share, with the row's images."""
    return {
        "question": text_of(question),
        "gold": gold,
        "images": images_of(row),
        "source": str(source),
        "verifier_type": verifier_type,
    }


def grounded(gold: Any, row: Row) -> Fields:
    """Return the verifier type, its parameters and, if it holds boxes, the gold of a VLM-R1 record.

    Boxes may be JSON text, with or without a Markdown fence.
    """
    pixels = {"frame": "original_px"}
    gold = json_list(gold)
    method = row.get("accu_reward_method")
    verifier_type = _VLM_R1_METHODS.get(str(method), "text")
    if gold == "None" and (verifier_type == "boxes" or method is None):
        gold = []
    if isinstance(gold, list) and len(gold) == 4 and all(isinstance(edge, int | float) for edge in gold):
        return {"gold": gold, "verifier_type": "iou", "verifier_params": pixels}
    if isinstance(gold, list) or (isinstance(gold, str) and _DETECTION.search(gold)):
        return {"gold": gold, "verifier_type": "boxes", "verifier_params": pixels}
    return {"verifier_type": verifier_type, "verifier_params": pixels if verifier_type == "boxes" else {}}


def worked(text: Any, gold: Any) -> str | None:
    """Return the worked answer that a text holds, with thoughts and answer in tags; None if it holds none.

    A text with answer tags is one as it is. Thoughts without answer tags behind them get the gold as their answer.
    """
    if not isinstance(text, str) or gold is None:
        return None
    if "<answer>" in text:
        return text
    match = _THOUGHT.match(text)
    return _with_answer(match[1], gold) if match else None


def derived(text: Any, gold: Any) -> str | None:
    """Return the worked answer that a derivation and the gold make: its text becomes the thoughts."""
    if (own := worked(text, gold)) is not None or not isinstance(text, str) or gold is None:
        return own
    return _with_answer(text.strip(), gold) if len(text.split()) > _FEW_WORDS else None


def behind_thoughts(answer: Any) -> Any:
    """Return the text behind the thoughts of an answer that begins with them; any other value unchanged."""
    match = _THOUGHT.match(answer) if isinstance(answer, str) else None
    return answer[match.end() :].strip() if match else answer


def _with_answer(thoughts: str, gold: Any) -> str:
    return f"<think>{thoughts}</think><answer>{gold}</answer>"
