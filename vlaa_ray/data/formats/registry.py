"""The published record formats, and a function for each that turns a row into a draft of a prompt.

    draft = read_record({"problem": "<image>How many?", "answer": "3", "images": ["a.png"]})
    draft.record_format == "easyr1"

A format is recognised by its keys. Golds keep their type, and files are not converted. A record that names no verifier
type gets the one that its format's documentation gives. If that gives none either, `verifier_type` is None.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from vlaa_ray.data.formats.fields import (
    Row,
    asked,
    field_of,
    final,
    first_turn,
    folder_of,
    identity_of,
    images_of,
    json_list,
    literal,
    mapping,
    path_of,
    text_of,
    untagged,
)

_SECTION = re.compile(r"<(SUMMARY|CAPTION|REASONING|CONCLUSION)>(.*?)</\1>", re.DOTALL)
_THOUGHT = re.compile(r"\s*<think>(.*?)</think>", re.DOTALL)
_DETECTION = re.compile(r"```json.*?bbox", re.DOTALL)
_WORD = re.compile(r"(?<![\\\w])[^\W\d_]{2,}")  # but not a LaTeX command
_PROSE_WORDS = 3  # an answer of this many words is prose
_NUMBER = re.compile(r"\d+(?:\.\d+)?|nan", re.IGNORECASE)
_SOURCES = {
    "clevr_math": "digit",
    "geoqa170k": "mcq",
    "arxivqa": "mcq",
    "synthesis": "math",
    "docvqa": "open_ended",
    "chartqa": "open_ended",
    "vizwiz": "open_ended",
    "allava_laion": "open_ended",
    "coco": "iou",
    "vg": "iou",
}
"""The verifier type of each source of the paper (arXiv 2504.11468, figure 4); the image's folder names the source.
The RL set has no record of `chartqa`. In the SFT set, COCO and VG also have questions whose answer is not a box."""
_VERO_TYPES = {
    **dict.fromkeys(("exact_match", "string_match", "string", "list_string_match", "search"), "text"),
    **dict.fromkeys(("multiple_choice", "mcq"), "mcq"),
    **dict.fromkeys(("list_match", "list", "number_list", "ordering"), "list"),
    **dict.fromkeys(("llm_judge", "instruction_following_llm_judge", "instruction"), "open_ended"),
    "numeric": "number",
    "counting": "digit",
    "grounding": "boxes",
    "clicking": "points",
    "math": "math",
}
"""The verifier type for each reward type of Vero, by the names in its data's description and in its reward router."""
_VERO_UNJUDGED = ("web_action", "instruction_following")  # reward types for which there is no verifier here
_VERO_ORDERED = ("number_list", "ordering")
_VLM_R1_METHODS = {"mcq": "mcq", "yes_no": "yes_no", "math": "math", "llm": "open_ended"}
_VLM_R1_METHODS |= dict.fromkeys(("detection", "map", "odLength", "od_ap", "od_ap50", "weighted_sum"), "boxes")


@dataclass(frozen=True, kw_only=True)
class Draft:
    """A record that has been parsed, but whose images have not been read: `images` holds them as in the record."""

    record_format: str
    question: str
    gold: Any
    images: tuple[Any, ...]
    source: str
    verifier_type: str | None = None
    verifier_params: dict[str, Any] = field(default_factory=dict)
    solution: str | None = None
    record_id: str | None = None


class Format(NamedTuple):
    """A record format: `matches` recognises a row by its keys, and `read` returns the fields of its `Draft`."""

    name: str
    matches: Callable[[Row], bool]
    read: Callable[[Row], dict[str, Any]]


def read_record(row: Row, verifier_type: str | None = None) -> Draft | None:
    """Return the draft of a row in any of FORMATS, or None if no format has the row's keys.

    A row that names no verifier type gets `verifier_type`, or else the type of its format.

    Raises ValueError, TypeError, LookupError or AttributeError if the row is damaged.
    """
    row = _with_image(row)
    if row.get("videos"):
        raise ValueError("videos are not supported")
    for record_format in FORMATS:
        if record_format.matches(row):
            values = record_format.read(row)
            if wanted_type := row.get("verifier_type") or verifier_type:
                values["verifier_type"] = wanted_type
            if (params := mapping(row.get("verifier_params"))) is not None:
                values["verifier_params"] = {  # a table has null for parameters that only other rows have
                    name: value for name, value in params.items() if value is not None
                }
            return Draft(record_format=record_format.name, record_id=identity_of(row), **values)
    return None


def _with_image(row: Row) -> Row:
    """Return the row with `image` or `images`, which an imagefolder names `file_name` or `file_names`."""
    if "image" in row or "images" in row:
        return row
    named = (("image", row.get("file_name")), ("images", row.get("file_names")))
    return {**row, **{key: value for key, value in named if value is not None}}


def _has(*keys: str) -> Callable[[Row], bool]:
    return lambda row: all(key in row for key in keys)


def _vlaa_thinking(row: Row) -> dict[str, Any]:
    name = path_of(row["image"]).lstrip("/").removeprefix("images/")
    source = next((part for part in name.split("/") if part in _SOURCES), folder_of(name) or "vlaa-thinking")
    verifier_type = row.get("verifier_type") or _SOURCES.get(source)
    gold = json.loads(row["gt_json"]) if row.get("gt_json") else row.get("gt")
    if gold is None:
        gold = final(row.get("answer"))
    if verifier_type == "iou" and not row.get("verifier_type") and len(_NUMBER.findall(str(gold))) < 4:  # not a box
        verifier_type = "open_ended"
    texts = (row.get("answer"), row.get("ds_answer"))
    solution = next((text for text in texts if isinstance(text, str) and "<answer>" in text), None)
    if solution is None and gold is not None:  # the published SFT answers end in prose, without answer tags
        thoughts = (_THOUGHT.match(text) for text in texts if isinstance(text, str))
        solution = next((f"<think>{match[1]}</think><answer>{gold}</answer>" for match in thoughts if match), None)
    return {
        "question": text_of(row["question"]),
        "gold": gold,
        "images": images_of(row),
        "source": source,
        "verifier_type": verifier_type,
        "verifier_params": {"frame": "unit"} if verifier_type == "iou" else {},
        "solution": solution,
    }


def _record(row: Row, question: Any, gold: Any, source: Any, verifier_type: str | None = "math") -> dict[str, Any]:
    """Return the draft's fields that most formats share, with the row's images."""
    return {
        "question": text_of(question),
        "gold": gold,
        "images": images_of(row),
        "source": str(source),
        "verifier_type": verifier_type,
    }


def _verl(row: Row) -> dict[str, Any]:
    reward_model = mapping(row["reward_model"])
    if reward_model is None or "ground_truth" not in reward_model:
        raise ValueError("reward_model has no ground_truth")
    reward_type = ""
    with suppress(ValueError):  # extra_info is damaged, but only records of Vero need it
        reward_type = str(field_of(row, "extra_info.reward_type")).strip().lower()
    if reward_type in _VERO_TYPES or reward_type in _VERO_UNJUDGED:  # a record of Vero, as its scripts write it
        return _vero({**row, "reward_type": reward_type, "answer": reward_model["ground_truth"]})
    question, images = asked(row["prompt"])
    record = _record(row, question, reward_model["ground_truth"], row.get("data_source") or "verl")
    return record | {"images": record["images"] or images}


def _vero(row: Row) -> dict[str, Any]:
    """Read a record of Vero. Gold boxes are in pixels of the original; answers in thousandths if the record says so."""
    reward_type = str(row["reward_type"]).strip().lower()
    verifier_type, gold = _VERO_TYPES.get(reward_type), row["answer"]
    params: dict[str, Any] = {}
    if verifier_type == "number" and isinstance(tolerance := field_of(row, "extra_info.tolerance"), int | float):
        params = {"rel_tol": tolerance}
    elif verifier_type in ("boxes", "points"):
        in_thousandths = field_of(row, "extra_info.normalize_bbox_to_1000")
        params = {"frame": "rel1000", "gold_frame": "original_px"} if in_thousandths else {"frame": "original_px"}
        gold = json_list(gold)
    elif reward_type in _VERO_ORDERED:
        params = {"ordered": True}
    elif reward_type == "list_string_match":
        gold = literal(gold)
    question, images = asked(row["prompt"])
    source = row.get("data_source") or "vero"
    record = _record(row, question, gold, source, verifier_type or reward_type)
    return record | {"verifier_params": params, "images": record["images"] or images}


def _easyr1(row: Row) -> dict[str, Any]:
    return _record(row, row["problem"], row["answer"], row.get("source") or row.get("data_source") or "easyr1")


def _vlm_r1(row: Row) -> dict[str, Any]:
    """Read a record of VLM-R1. Golds are boxes in pixels of the original; for detection, labelled boxes or None."""
    question, answer, images = first_turn(row)
    gold = untagged(answer)
    return _record(row, question, gold, "vlm-r1") | _grounded(gold, row) | {"images": images}


def _vlm_r1_evaluation(row: Row) -> dict[str, Any]:
    return _record(row, row["problem"], row["solution"], "vlm-r1") | _grounded(row["solution"], row)


def _llava_cot(row: Row) -> dict[str, Any]:
    question, answer, images = first_turn(row)
    sections = dict(_SECTION.findall(str(answer)))
    if "CONCLUSION" not in sections:
        raise ValueError("the answer has no <CONCLUSION>")
    conclusion = sections.pop("CONCLUSION").strip()
    thought = "\n".join(text.strip() for text in sections.values())
    source = folder_of(path_of(row.get("image"))) or "llava-cot"
    return _record(row, question, conclusion, source, "open_ended") | {
        "images": images,
        "solution": f"<think>{thought}</think><answer>{conclusion}</answer>",
    }


def _llava_cot_r1(row: Row) -> dict[str, Any]:
    """Read a record of LLaVA-CoT's RL data, or of EasyR1 with a caption.

    A gold in prose becomes `open_ended`, a short one `math`.
    """
    gold = untagged(row["answer"])
    verifier_type = "open_ended" if len(_WORD.findall(str(gold))) >= _PROSE_WORDS else "math"
    return _record(row, row["problem"], gold, "llava-cot", verifier_type)


def _mmk12(row: Row) -> dict[str, Any]:
    verifier_type = "mcq" if "subject" in row else "math"  # only the test set has subjects, with four options
    return _record(row, row["question"], row["answer"], "mmk12", verifier_type)


def _virl39k(row: Row) -> dict[str, Any]:
    return _record(row, row["question"], row["answer"], row.get("source") or "virl39k")


def _mm_eureka(row: Row) -> dict[str, Any]:
    question, images = asked(row["message"])
    record = _record(row, question, row["answer"], "mm-eureka")
    return record | {"images": images or record["images"]}


def _r1v(row: Row) -> dict[str, Any]:
    return _record(row, row["problem"], untagged(row["solution"]), "r1-v")


def _r1v_evaluation(row: Row) -> dict[str, Any]:
    return _record({"images": [row["image_path"]]}, row["question"], row["ground_truth"], "r1-v")


def _grounded(gold: Any, row: Row) -> dict[str, Any]:
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


def _is_vlaa_thinking(row: Row) -> bool:
    return "image" in row and "question" in row and ("gt" in row or "answer" in row)


def _is_r1v(row: Row) -> bool:
    return "problem" in row and isinstance(row.get("solution"), str) and "<answer>" in row["solution"]


def _is_llava_cot_r1(row: Row) -> bool:
    required = {"images", "problem", "answer", "caption"}
    return required <= row.keys() <= required | {"id", "verifier_type", "verifier_params"}


FORMATS = (
    Format("vero", _has("reward_type", "prompt", "answer"), _vero),
    Format("verl", _has("reward_model", "prompt"), _verl),
    Format("mm-eureka", _has("message", "answer"), _mm_eureka),
    Format("llava-cot", lambda row: "conversations" in row and "<CONCLUSION>" in str(row["conversations"]), _llava_cot),
    Format("vlm-r1", _has("conversations"), _vlm_r1),
    Format("r1-v", _is_r1v, _r1v),
    Format("r1-v evaluation", _has("image_path", "question", "ground_truth"), _r1v_evaluation),
    Format("vlm-r1 evaluation", _has("problem", "solution", "image"), _vlm_r1_evaluation),
    Format("llava-cot r1", _is_llava_cot_r1, _llava_cot_r1),
    Format("easyr1", _has("problem", "answer"), _easyr1),
    Format("virl39k", _has("question", "answer", "qid"), _virl39k),
    Format("mmk12", lambda row: _has("question", "answer")(row) and isinstance(row.get("image"), Mapping), _mmk12),
    Format("vlaa-thinking", _is_vlaa_thinking, _vlaa_thinking),
)
"""All formats, in the order in which they are tried: formats with more particular keys come first."""
