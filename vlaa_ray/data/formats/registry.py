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
from functools import lru_cache
from typing import Any, NamedTuple

from vlaa_ray.data.formats.context import placed_in_turns, with_context
from vlaa_ray.data.formats.dialogues import (
    instruction_output,
    is_query_response,
    messages,
    paired_turns,
    query_response,
    vlm_r1,
)
from vlaa_ray.data.formats.drafts import derived, fields_of, grounded, worked
from vlaa_ray.data.formats.fields import (
    field_of,
    final,
    folder_of,
    identity_of,
    json_list,
    literal,
    mapping,
    path_of,
    text_of,
    untagged,
)
from vlaa_ray.data.formats.messages import asked, last_exchange
from vlaa_ray.data.formats.options import read_options, with_options
from vlaa_ray.data.formats.pictures import images_of, refuse_media, refuse_unread_picture, with_pictures
from vlaa_ray.data.formats.tracked_row import TrackedRow, is_missing
from vlaa_ray.data.reading_notes import TOOLS
from vlaa_ray.records import Turn
from vlaa_ray.text.words import num_words

_SECTION = re.compile(r"<(SUMMARY|CAPTION|REASONING|CONCLUSION)>(.*?)</\1>", re.DOTALL)
_PROSE_WORDS = 3  # an answer of this many words is prose
_QUESTIONS = ("question", "problem")
_GOLDS = ("gt", "answer", "ground_truth", "solution", "response")
_TOOL_COLUMNS = ("tools", "functions")
_OTHER_NAMES = dict.fromkeys(("conversation", "dialog", "dialogue", "dialogs", "dialogues"), "conversations")
_KNOWN_NAMES = {
    *("question", "problem", "answer", "solution", "image", "images", "conversations", "messages", "query", "response"),
    *("prompt", "instruction", "input", "output", "system", "tools", "history"),
}
_NEEDED = (
    ("a question", ("question", "problem", "query", "prompt", "instruction", "messages", "conversations")),
    ("a gold", ("gt", "answer", "solution", "ground_truth", "response", "output")),
    ("a picture", ("image", "images", "image_path")),
)
_VIDEO_R1_TYPES = {
    "multiple choice": "mcq",
    "numerical": "number",
    "regression": "number",
    "ocr": "ocr",
    "free-form": "open_ended",
}
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


@dataclass(frozen=True, kw_only=True)
class Draft:
    """A record that has been parsed, but whose images have not been read: `images` holds them as in the record.

    The other fields are those of `Prompt`.
    """

    record_format: str
    question: str
    gold: Any
    images: tuple[Any, ...]
    source: str
    verifier_type: str | None = None
    verifier_params: dict[str, Any] = field(default_factory=dict)
    system: str | None = None
    history: tuple[Turn, ...] = ()
    solution: str | None = None
    record_id: str | None = None
    unseen: tuple[str, ...] = ()
    """The parts of `reading_notes.UNSEEN` that the record has."""
    unread: tuple[str, ...] = ()
    """The columns with a value at which no reader has looked."""


class Format(NamedTuple):
    """A record format: `matches` recognises a row by its keys, and `read` returns the fields of its `Draft`."""

    name: str
    matches: Callable[[TrackedRow], bool]
    read: Callable[[TrackedRow], dict[str, Any]]


def read_record(row: dict[str, Any], verifier_type: str | None = None) -> Draft | None:
    """Return the draft of a row in any of FORMATS, or None if no format has the row's keys.

    A row that names no verifier type gets `verifier_type`, or else the type of its format. Options in columns of their
    own are put into the question, and placeholders of pictures are written as `<image>`.

    Raises ValueError, TypeError, LookupError or AttributeError if the row is damaged.
    """
    tracked = TrackedRow(_renamed(row))
    refuse_media(tracked)
    tracked = with_pictures(tracked)
    for record_format in FORMATS:
        if record_format.matches(tracked):
            return _finished(record_format, record_format.read(tracked), tracked, verifier_type)
    return None


def _renamed(row: dict[str, Any]) -> dict[str, Any]:
    """Return the row with the names of columns that the formats know, for those that are written in another way."""
    renamed = _names_of(tuple(row))
    return {renamed.get(name, name): value for name, value in row.items()} if renamed else row


@lru_cache(maxsize=256)
def _names_of(names: tuple[str, ...]) -> dict[str, str]:
    """Return the known name of each column that has another: `Question` is `question`, `dialogue` `conversations`."""
    found: dict[str, str] = {}
    for name in names:
        known = _OTHER_NAMES.get(name.lower(), name.lower())
        if known != name and known in _KNOWN_NAMES and known not in (*names, *found.values()):
            found[name] = known
    return found


def _finished(record_format: Format, values: dict[str, Any], row: TrackedRow, verifier_type: str | None) -> Draft:
    """Return the draft with these fields, and with what all formats share."""
    values = with_context(row, values)
    own_type = row.get("verifier_type")
    wanted_type = (None if is_missing(own_type) else own_type) or verifier_type
    if options := read_options(row):
        values["question"], values["gold"], chosen = with_options(
            values["question"], options, values["gold"], wanted_type
        )
        values["verifier_type"] = chosen or values.get("verifier_type")
    if wanted_type:
        values["verifier_type"] = wanted_type
    values["history"], values["question"], values["images"] = placed_in_turns(
        values.get("history", ()), values["question"], values["images"]
    )
    if (params := mapping(row.get("verifier_params"))) is not None:
        values["verifier_params"] = {  # a table has null for parameters that only other rows have
            name: value for name, value in params.items() if value is not None
        }
    if any(not is_missing(row[name]) for name in _TOOL_COLUMNS if name in row):
        values["unseen"] = tuple(dict.fromkeys((*values.get("unseen", ()), TOOLS)))
    identity = identity_of(row)
    if not values["images"]:
        refuse_unread_picture(row)
    record_id = values.pop("record_id", None) if identity is None else identity
    return Draft(record_format=record_format.name, **values | {"record_id": record_id}, unread=row.unread())


def missing_in(row: Mapping[str, Any]) -> list[str]:
    """Return in words what a row lacks to be a record of any format: a question, a gold, a picture."""
    return [f"{what} ({', '.join(names)})" for what, names in _NEEDED if not any(name in row for name in names)]


def _has(*keys: str) -> Callable[[TrackedRow], bool]:
    return lambda row: all(key in row for key in keys)


def _vlaa_thinking(row: TrackedRow) -> dict[str, Any]:
    name = path_of(row["image"]).lstrip("/").removeprefix("images/")
    source = next((part for part in name.split("/") if part in _SOURCES), folder_of(name) or "vlaa-thinking")
    verifier_type = row.get("verifier_type") or _SOURCES.get(source)
    gold = json.loads(row["gt_json"]) if row.get("gt_json") else row.get("gt")
    if is_missing(gold):
        gold = final(row.get("answer"))
    if verifier_type == "iou" and not row.get("verifier_type") and len(_NUMBER.findall(str(gold))) < 4:  # not a box
        verifier_type = "open_ended"
    texts = (row.get("answer"), row.get("ds_answer"))
    solution = next((text for text in texts if isinstance(text, str) and "<answer>" in text), None)
    if solution is None:  # the published SFT answers end in prose, without answer tags
        solution = next((made for text in texts if (made := worked(text, gold))), None)
    return {
        "question": text_of(row["question"]),
        "gold": gold,
        "images": images_of(row),
        "source": source,
        "verifier_type": verifier_type,
        "verifier_params": {"frame": "unit"} if verifier_type == "iou" else {},
        "solution": solution,
    }


def _verl(row: TrackedRow) -> dict[str, Any]:
    reward_model = mapping(row["reward_model"])
    if reward_model is None or "ground_truth" not in reward_model:
        raise ValueError("reward_model has no ground_truth")
    reward_type = ""
    with suppress(ValueError):  # extra_info is damaged, but only records of Vero need it
        reward_type = str(field_of(row, "extra_info.reward_type")).strip().lower()
    if reward_type in _VERO_TYPES or reward_type in _VERO_UNJUDGED:  # a record of Vero, as its scripts write it
        return _vero(row.with_values(reward_type=reward_type, answer=reward_model["ground_truth"]))
    prompt = asked(row["prompt"])
    record = fields_of(row, prompt.question, reward_model["ground_truth"], row.get("data_source") or "verl")
    return prompt.fields() | record | ({} if record["images"] else {"images": prompt.images})


def _vero(row: TrackedRow) -> dict[str, Any]:
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
    prompt = asked(row["prompt"])
    source = row.get("data_source") or "vero"
    record = fields_of(row, prompt.question, gold, source, verifier_type or reward_type)
    images = record["images"] or prompt.images
    return prompt.fields() | record | {"verifier_params": params, "images": images}


def _easyr1(row: TrackedRow) -> dict[str, Any]:
    record = fields_of(row, row["problem"], row["answer"], row.get("source") or row.get("data_source") or "easyr1")
    return record | {"solution": derived(row.get("solution"), row["answer"])}


def _vlm_r1_evaluation(row: TrackedRow) -> dict[str, Any]:
    return fields_of(row, row["problem"], row["solution"], "vlm-r1") | grounded(row["solution"], row)


def _llava_cot(row: TrackedRow) -> dict[str, Any]:
    asked, answer = last_exchange(row, "conversations")
    sections = dict(_SECTION.findall(str(answer)))
    if "CONCLUSION" not in sections:
        raise ValueError("the answer has no <CONCLUSION>")
    conclusion = sections.pop("CONCLUSION").strip()
    thought = "\n".join(text.strip() for text in sections.values())
    source = folder_of(path_of(row.get("image"))) or "llava-cot"
    record = fields_of(row, asked.question, conclusion, source, "open_ended") | asked.fields()
    return record | {
        "images": asked.images,
        "solution": f"<think>{thought}</think><answer>{conclusion}</answer>",
    }


def _llava_cot_r1(row: TrackedRow) -> dict[str, Any]:
    """Read a record of LLaVA-CoT's RL data, or of EasyR1 with a caption.

    A gold in prose becomes `open_ended`, a short one `math`.
    """
    gold = untagged(row["answer"])
    verifier_type = "open_ended" if num_words(str(gold)) >= _PROSE_WORDS else "math"
    return fields_of(row, row["problem"], gold, "llava-cot", verifier_type)


def _mmk12(row: TrackedRow) -> dict[str, Any]:
    verifier_type = "mcq" if "subject" in row else "math"  # only the test set has subjects, with four options
    return fields_of(row, row["question"], row["answer"], "mmk12", verifier_type)


def _virl39k(row: TrackedRow) -> dict[str, Any]:
    return fields_of(row, row["question"], row["answer"], row.get("source") or "virl39k")


def _mm_eureka(row: TrackedRow) -> dict[str, Any]:
    message = asked(row["message"])
    return fields_of(row, message.question, row["answer"], "mm-eureka") | message.fields()


def _r1v(row: TrackedRow) -> dict[str, Any]:
    """Read a record of R1-V, or of Video-R1 with a picture, whose thoughts stand in `process`."""
    kind = _VIDEO_R1_TYPES.get(str(row.get("problem_type")).strip().lower(), "math")
    process = row.get("process")
    thoughts = process if isinstance(process, str) and "<think>" in process else ""
    record = fields_of(row, row["problem"], untagged(row["solution"]), "r1-v", kind)
    return record | {"solution": thoughts + row["solution"], "record_id": _text_or_none(row.get("problem_id"))}


def _question_and_answer(row: TrackedRow) -> dict[str, Any]:
    """Read a question and its gold, under the names that most publishers give them."""
    question = next(name for name in _QUESTIONS if name in row)
    gold = next((row[name] for name in _GOLDS if name in row and not is_missing(row[name])), None)
    verifier_type = "math" if question == "problem" else None
    result = final(gold)
    source = row.get("source") or row.get("data_source") or "question"
    record = fields_of(row, row[question], result, source, verifier_type)
    return record | {"solution": worked(gold, result) or derived(row.get("solution"), result)}


def _vlmevalkit(row: TrackedRow) -> dict[str, Any]:
    """Read a row of a benchmark of VLMEvalKit: a hint stands before the question, options have columns A, B, C …."""
    texts = [row.get("hint"), row["question"]]
    question = "\n".join(str(text) for text in texts if not is_missing(text))
    record = fields_of(row, question, row["answer"], row.get("source") or "vlmevalkit", None)
    return record | {"record_id": _text_or_none(row["index"])}


def _text_or_none(value: Any) -> str | None:
    return None if is_missing(value) else str(value)


def _r1v_evaluation(row: TrackedRow) -> dict[str, Any]:
    return fields_of({"images": [row["image_path"]]}, row["question"], row["ground_truth"], "r1-v")


def _is_vlaa_thinking(row: TrackedRow) -> bool:
    return "image" in row and "question" in row and ("gt" in row or "answer" in row)


def _is_vlmevalkit(row: TrackedRow) -> bool:
    return _has("index", "question", "answer")(row) and ("image" in row or "images" in row)


def _is_instruction(row: TrackedRow) -> bool:
    return "instruction" in row and ("output" in row or "response" in row)


def _is_question_and_answer(row: TrackedRow) -> bool:
    asks = any(name in row for name in _QUESTIONS) and any(name in row for name in _GOLDS)
    return asks and ("images" in row or "image" in row)


def _is_r1v(row: TrackedRow) -> bool:
    return "problem" in row and isinstance(row.get("solution"), str) and "<answer>" in row["solution"]


def _is_llava_cot_r1(row: TrackedRow) -> bool:
    required = {"images", "problem", "answer", "caption"}
    return required <= row.keys() <= required | {"id", "verifier_type", "verifier_params"}


FORMATS = (
    Format("vero", _has("reward_type", "prompt", "answer"), _vero),
    Format("verl", _has("reward_model", "prompt"), _verl),
    Format("mm-eureka", _has("message", "answer"), _mm_eureka),
    Format("llava-cot", lambda row: "conversations" in row and "<CONCLUSION>" in str(row["conversations"]), _llava_cot),
    Format("vlm-r1", _has("conversations"), vlm_r1),
    Format("messages", _has("messages"), messages),
    Format("paired turns", _has("texts"), paired_turns),
    Format("r1-v", _is_r1v, _r1v),
    Format("r1-v evaluation", _has("image_path", "question", "ground_truth"), _r1v_evaluation),
    Format("vlm-r1 evaluation", _has("problem", "solution", "image"), _vlm_r1_evaluation),
    Format("llava-cot r1", _is_llava_cot_r1, _llava_cot_r1),
    Format("easyr1", _has("problem", "answer"), _easyr1),
    Format("virl39k", _has("question", "answer", "qid"), _virl39k),
    Format("mmk12", lambda row: _has("question", "answer")(row) and isinstance(row.get("image"), Mapping), _mmk12),
    Format("vlmevalkit", _is_vlmevalkit, _vlmevalkit),
    Format("vlaa-thinking", _is_vlaa_thinking, _vlaa_thinking),
    Format("instruction and output", _is_instruction, instruction_output),
    Format("query and response", is_query_response, query_response),
    Format("question and answer", _is_question_and_answer, _question_and_answer),
)
"""All formats, in the order in which they are tried: formats with more particular keys come first."""
