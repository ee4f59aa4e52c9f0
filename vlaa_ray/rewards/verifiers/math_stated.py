r"""Finds the part of a text that states the result: after "final answer is", or in the last box, or the whole text.

For example:

    stated_part(r"First \boxed{3}. Checking again, \boxed{5}") -> "5"
    stated_part(r"\boxed{3}, \boxed{5}") -> "3, 5"
"""

from __future__ import annotations

import re

from vlaa_ray.rewards.verifiers.latex import strip_wrappers
from vlaa_ray.rewards.verifiers.math_spans import find_spans
from vlaa_ray.text.answers import closed_boxes

MAX_RESULT_CHARS = 1_500
_CHAT_MARK = re.compile(r"<\|[^|<>]{0,40}\|>")
_FINAL = re.compile(r"\bfinal answer\b(?:\s+is\b)?\s*:?(?:\s*the final answer is)?", re.IGNORECASE)
_OPEN_BOX = re.compile(r"\\f?boxed\s*\{?|\\boxed\s+(?=\w)")
# Between two boxes that are parts of one answer: a separator, perhaps with the name of the second part.
_BETWEEN_BOXES = re.compile(
    r"(?:,|;|、|\+{2,9}|and|or|&|或者?|和|与|以及|且)?\s?(?:and|or)?\s?(?:[A-Za-z]\w{0,2}\s?=)?\s?"
)
_BOX_LAYOUT = re.compile(
    r"[\s$]+|\\$|\\[()\[\],;:! ]|\\q?quad(?![A-Za-z])|\\text\s*\{\s*(?=(?:and|or)\s*\})|(?<=and)\s*\}|(?<=or)\s*\}"
)
_SETTLES = re.compile(
    r"\b(?:answer|so|therefore|thus|hence|then|final|finally)\b|⇒|=>|\\boxed|所以|因此|故", re.IGNORECASE
)
_CONCLUDES = re.compile(r"∴|⇒|⟹|\\(?:therefore|Rightarrow|implies|Longrightarrow)(?![A-Za-z])")
_REMARK = re.compile(
    r"(?:[\s,;(]|\\text\s*\{\s?\(?)\s*(?:since|because|where"
    r"|for (?:all|every|any|each|some)|for (?=[a-z]\s*(?:[<>=≥≤]|\\|in ))"
    r"|given that|when(?:ever)?|whenever|if|with|provided|assuming|as required|as desired|in total|因为|其中|由于)"
    r"(?![A-Za-z])[^\n]*$|,\s?(?:\\text\s?\{\s?for\s?\}\s?)?[a-zA-Z]\s?(?:\\in(?![A-Za-z])|∈|in R\b)[^\n=]*$",
    re.IGNORECASE,
)
_BRACKET_REMARK = re.compile(
    r"\s\((?:(?!sin|cos|tan|log|exp|sqrt|mod|base)[^()\\]){0,30}[A-Za-z]{4,}[^()\\]{0,60}\)\s*[.$]*$"
)
_VALUE = re.compile(r"[\d=\\<>]|^[\s$({\[]*[A-Za-z][\s$)}\]]*$")
_TEXT_COMMAND = re.compile(r"\\(?:text(?:bf|rm|it|normal)?|mathrm|mathbf|mbox)\s*\{([^{}]*)\}")
_NOT_TEXT = re.compile(r"\\(?:left|right)(?![A-Za-z])|\\[,;:!]|(?<!\d)\s|\s(?!\d)|\$|\\[()\[\]]")


def stated_part(text: str) -> str:
    """Return the part of the text that states the result."""
    text = _CHAT_MARK.sub(" ", text)
    final = list(_FINAL.finditer(text))
    if final:
        tail = text[final[-1].end() :].partition("I hope")[0]
        text = tail if find_spans(tail) else text
    text = _concluded(_boxed(text) if "box" in text else text)
    return text if len(text) <= MAX_RESULT_CHARS else _last_lines(text)


def _concluded(text: str) -> str:
    """Return what stands after the last sign of a conclusion, such as "⇒", if a value stands there."""
    signs = list(_CONCLUDES.finditer(text))
    tail = text[signs[-1].end() :].strip() if signs else ""
    if not _VALUE.search(tail):
        return _CONCLUDES.sub(" ", text) if signs else text
    return tail.rstrip("$") if tail.count("$") % 2 else tail


def too_long(stated: str) -> str:
    """Return in words that the stated result is too long to be parsed, or an empty text."""
    return (
        f"a result of {len(stated)} characters, more than {MAX_RESULT_CHARS}" if len(stated) > MAX_RESULT_CHARS else ""
    )


def _last_lines(text: str) -> str:
    """Return the last lines of a text that is longer than a result may be; the text itself if it has one line."""
    start = text.find("\n", len(text) - MAX_RESULT_CHARS)
    return text[start + 1 :] if start >= 0 and text[start + 1 :].strip() else text


def without_remark(text: str) -> str:
    """Return the text without a reason or a condition at its end: "x = 7, since x > 0" is "x = 7"."""
    for pattern in (_REMARK, _BRACKET_REMARK):
        match = pattern.search(text)
        if match and _VALUE.search(text[: match.start()]) and not _SETTLES.search(match.group()):
            kept = text[: match.start()]
            text = kept + "$" if kept.count("$") % 2 and text.endswith("$") else kept
    return text


def unwrapped(text: str) -> str:
    """Return the text without delimiters around it and without text commands in it."""
    return _TEXT_COMMAND.sub(r"\1", strip_wrappers(text)).strip()


def bare_text(text: str) -> str:
    """Return the text without delimiters, blanks and text commands, to compare it as text."""
    return _NOT_TEXT.sub("", unwrapped(text))


def _boxed(text: str) -> str:
    """Return the content of the last box, after those of the boxes that only separators divide from it."""
    boxes: list[tuple[int, int, str]] = []
    for start, inside, end in sorted(closed_boxes(text)):
        if not (boxes and start < boxes[-1][1]):
            boxes.append((start, end, text[inside:end].strip()))
    if not boxes:
        opened = list(_OPEN_BOX.finditer(text))
        return text[opened[-1].end() :].strip() if opened else text
    contents = [boxes[-1][2]]
    for (_, end, content), (start, _, _) in zip(reversed(boxes[:-1]), reversed(boxes[1:]), strict=True):
        between = text[end + 1 : start]
        if len(between) > 60 or not _BETWEEN_BOXES.fullmatch(" ".join(_BOX_LAYOUT.sub(" ", between).split())):
            break
        if content != contents[-1]:
            contents.append(content)
    last = contents[0]
    # A box in a box, such as one around "the answer is \boxed{5}", is read from the inside.
    return ", ".join(reversed(contents)) if len(contents) > 1 or not closed_boxes(last) else _boxed(last)
