"""Records as they are in the wild, each format's row to one draft; nothing is converted on disk.

    draft = read_record({"problem": "<image>How many?", "answer": "3", "images": ["a.png"]})
    draft.format == "easyr1"

A format is recognised by its keys. Golds keep their type. Where a record doesn't say which verifier it wants, its
format's documentation does; `verifier_type` is None where neither does.
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
_WORD = re.compile(r"(?<![\\\w])[^\W\d_]{2,}")  # no LaTeX command
_PROSE_WORDS = 3
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
"""The paper's reward of each of its sources (arXiv 2504.11468, figure 4); the image's folder names the source. Of
`chartqa` there is nothing in the RL set; in the SFT set COCO and VG have questions without boxes, too."""
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
"""By the names of its data's description and of its reward router."""
_VERO_UNJUDGED = ("web_action", "instruction_following")  # by no verifier here
_VERO_ORDERED = ("number_list", "ordering")
_VLM_R1_METHODS = {"mcq": "mcq", "yes_no": "yes_no", "math": "math", "llm": "open_ended"}
_VLM_R1_METHODS |= dict.fromkeys(("detection", "map", "odLength", "od_ap", "od_ap50", "weighted_sum"), "boxes")


@dataclass(frozen=True, kw_only=True)
class Draft:
    """A record before its images are looked up; `images` are as the record has them."""

    format: str
    question: str
    gold: Any
    images: tuple[Any, ...]
    source: str
    verifier_type: str | None = None
    verifier_params: dict[str, Any] = field(default_factory=dict)
    solution: str | None = None
    record_id: str | None = None


class Format(NamedTuple):
    """A record layout: the keys that it is known by, and what makes a draft of a row."""

    name: str
    known_by: Callable[[Row], bool]
    read: Callable[[Row], dict[str, Any]]


def read_record(row: Row, verifier_type: str | None = None) -> Draft | None:
    """The draft of a row in any of FORMATS; None where its keys are no format's, ValueError where it is damaged.

    `verifier_type` is for rows that don't name one; without it they get their format's.
    """
    row = _with_image(row)
    if row.get("videos"):
        raise ValueError("videos are not read")
    for layout in FORMATS:
        if layout.known_by(row):
            values = layout.read(row)
            if named := row.get("verifier_type") or verifier_type:
                values["verifier_type"] = named
            if (params := mapping(row.get("verifier_params"))) is not None:
                values["verifier_params"] = {  # a table fills what others name with nulls
                    name: value for name, value in params.items() if value is not None
                }
            return Draft(format=layout.name, record_id=identity_of(row), **values)
    return None


def _with_image(row: Row) -> Row:
    """The row with `image` or `images`, where it names them as the metadata of an imagefolder does."""
    if "image" in row or "images" in row:
        return row
    named = (("image", row.get("file_name")), ("images", row.get("file_names")))
    return {**row, **{key: value for key, value in named if value is not None}}


def _has(*keys: str) -> Callable[[Row], bool]:
    return lambda row: all(key in row for key in keys)


def _vlaa_thinking(row: Row) -> dict[str, Any]:
    name = path_of(row["image"]).lstrip("/").removeprefix("images/")
    source = next((part for part in name.split("/") if part in _SOURCES), folder_of(name) or "vlaa-thinking")
    kind = row.get("verifier_type") or _SOURCES.get(source)
    gold = json.loads(row["gt_json"]) if row.get("gt_json") else row.get("gt")
    if gold is None:
        gold = final(row.get("answer"))
    if kind == "iou" and not row.get("verifier_type") and len(_NUMBER.findall(str(gold))) < 4:  # no box
        kind = "open_ended"
    texts = (row.get("answer"), row.get("ds_answer"))
    solution = next((text for text in texts if isinstance(text, str) and "<answer>" in text), None)
    if solution is None and gold is not None:  # the published answers of SFT end in prose
        thoughts = (_THOUGHT.match(text) for text in texts if isinstance(text, str))
        solution = next((f"<think>{found[1]}</think><answer>{gold}</answer>" for found in thoughts if found), None)
    return {
        "question": text_of(row["question"]),
        "gold": gold,
        "images": images_of(row),
        "source": source,
        "verifier_type": kind,
        "verifier_params": {"frame": "unit"} if kind == "iou" else {},
        "solution": solution,
    }


def _record(row: Row, question: Any, gold: Any, source: Any, verifier_type: str | None = "math") -> dict[str, Any]:
    """What most formats have in common: the draft's fields, with the row's images."""
    return {
        "question": text_of(question),
        "gold": gold,
        "images": images_of(row),
        "source": str(source),
        "verifier_type": verifier_type,
    }


def _verl(row: Row) -> dict[str, Any]:
    judged = mapping(row["reward_model"])
    if judged is None or "ground_truth" not in judged:
        raise ValueError("reward_model has no ground_truth")
    named = ""
    with suppress(ValueError):  # of a damaged field that only Vero's records need
        named = str(field_of(row, "extra_info.reward_type")).strip().lower()
    if named in _VERO_TYPES or named in _VERO_UNJUDGED:  # Vero, as its scripts write it
        return _vero({**row, "reward_type": named, "answer": judged["ground_truth"]})
    question, images = asked(row["prompt"])
    record = _record(row, question, judged["ground_truth"], row.get("data_source") or "verl")
    return record | {"images": record["images"] or images}


def _vero(row: Row) -> dict[str, Any]:
    """Golds of boxes are in pixels of the original, and answers in thousandths where the record says so."""
    named = str(row["reward_type"]).strip().lower()
    kind, gold = _VERO_TYPES.get(named), row["answer"]
    params: dict[str, Any] = {}
    if kind == "number" and isinstance(tolerance := field_of(row, "extra_info.tolerance"), int | float):
        params = {"rel_tol": tolerance}
    elif kind in ("boxes", "points"):
        in_thousandths = field_of(row, "extra_info.normalize_bbox_to_1000")
        params = {"frame": "rel1000", "gold_frame": "original_px"} if in_thousandths else {"frame": "original_px"}
        gold = json_list(gold)
    elif named in _VERO_ORDERED:
        params = {"ordered": True}
    elif named == "list_string_match":
        gold = literal(gold)
    question, images = asked(row["prompt"])
    source = row.get("data_source") or "vero"
    record = _record(row, question, gold, source, kind or named)
    return record | {"verifier_params": params, "images": record["images"] or images}


def _easyr1(row: Row) -> dict[str, Any]:
    return _record(row, row["problem"], row["answer"], row.get("source") or row.get("data_source") or "easyr1")


def _vlm_r1(row: Row) -> dict[str, Any]:
    """Referring expressions: golds are boxes in pixels of the original; detection: labelled boxes, or None."""
    question, said, images = first_turn(row)
    gold = untagged(said)
    return _record(row, question, gold, "vlm-r1") | _grounded(gold, row) | {"images": images}


def _vlm_r1_evaluation(row: Row) -> dict[str, Any]:
    return _record(row, row["problem"], row["solution"], "vlm-r1") | _grounded(row["solution"], row)


def _llava_cot(row: Row) -> dict[str, Any]:
    question, said, images = first_turn(row)
    sections = dict(_SECTION.findall(str(said)))
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
    """Answers are prose, or as short as EasyR1's, whose records may have captions, too."""
    gold = untagged(row["answer"])
    kind = "open_ended" if len(_WORD.findall(str(gold))) >= _PROSE_WORDS else "math"
    return _record(row, row["problem"], gold, "llava-cot", kind)


def _mmk12(row: Row) -> dict[str, Any]:
    kind = "mcq" if "subject" in row else "math"  # only its test set has subjects, and four options
    return _record(row, row["question"], row["answer"], "mmk12", kind)


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
    """The verifier of a VLM-R1 record, and its gold; boxes may be JSON in a text, fenced or not."""
    pixels = {"frame": "original_px"}
    gold = json_list(gold)
    method = row.get("accu_reward_method")
    kind = _VLM_R1_METHODS.get(str(method), "text")
    if gold == "None" and (kind == "boxes" or method is None):
        gold = []
    if isinstance(gold, list) and len(gold) == 4 and all(isinstance(edge, int | float) for edge in gold):
        return {"gold": gold, "verifier_type": "iou", "verifier_params": pixels}
    if isinstance(gold, list) or (isinstance(gold, str) and _DETECTION.search(gold)):
        return {"gold": gold, "verifier_type": "boxes", "verifier_params": pixels}
    return {"verifier_type": kind, "verifier_params": pixels if kind == "boxes" else {}}


def _is_vlaa_thinking(row: Row) -> bool:
    return "image" in row and "question" in row and ("gt" in row or "answer" in row)


def _is_r1v(row: Row) -> bool:
    return "problem" in row and isinstance(row.get("solution"), str) and "<answer>" in row["solution"]


def _is_llava_cot_r1(row: Row) -> bool:
    named = {"images", "problem", "answer", "caption"}
    return named <= row.keys() <= named | {"id", "verifier_type", "verifier_params"}


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
"""In the order in which they are tried: the more particular ones first."""
