r"""The part of a prediction that states its answer.

    stated_answer("<think>…</think><answer> B </answer>")  -> Stated("B", marked=True)
    final_part(stated_answer("We add.\nSo the answer is 7."))  -> Stated("7", marked=True)

A model that was trained for it writes the answer between tags. Others end with a box, with "the answer is", or with a
last line. Each function here takes a time that grows with the length of its text, and reads at most 20,000 characters
of an answer: its last ones.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from vlaa_ray.text.answers import CLOSE, MAX_CHARS, OPEN, extract_answer, last_boxed, without_thoughts

_SHORT_CHARS = 120
_MAX_CUES = 5
_MAX_LINE_CHARS = 600
_ANSWER_IS = re.compile(
    r"(?:\banswers?\b|答案)(?: (?:to|for) [^.:\n]{1,80}?)?[*\"' ]{0,3}(?: is| are|:|：|=|是|为)"
    r"(?:[*\"': ]|\bis\b|\babout\b|\bapproximately\b){0,8}",
    re.IGNORECASE,
)
_DENIED = re.compile(r"(?:not|n['’]t|neither)\b", re.IGNORECASE)
_SENTENCE_END = re.compile(r"(?<=[.!?。])\s+(?=[A-Z(\\$*])|\n")
_REMARK = re.compile(
    r"(?<=[\w)}\]$%°])[\s,]+(?:with|because|since|as|which|where|for|so|given)\b.*", re.DOTALL | re.IGNORECASE
)
_REASON = re.compile(r"(?<=[\w)}\]$%°])[\s,]+(?:because|since)\b.*", re.DOTALL | re.IGNORECASE)
_COURTESY = re.compile(
    r"(?:I hope|(?:please )?let me know|is there anything|do you have|feel free|if you have|would you like|thank you"
    r"|please ask)\b[^\n]{0,200}",
    re.IGNORECASE,
)
_NEXT_QUESTION = re.compile(r"\n[ \t]{0,9}(?:#{1,4} )?(?:Question|Problem|Q)\s?\d{0,3}\s?:")
_EXPLANATION = re.compile(
    r"\n[ \t*#]{0,9}(?:Explanation|Reasoning|Rationale|Justification)\b[ *]{0,3}[:\n]", re.IGNORECASE
)
_CONCLUSION = re.compile(r"\W*(?:therefore|so|thus|hence|finally|in conclusion|in summary)\b", re.IGNORECASE)
_RESULT = re.compile(r"\d|(?<![A-Za-z])[A-H](?![A-Za-z])")
_TAG = re.compile(r"</?(?:answer|think)>")


class Stated(NamedTuple):
    """The text that states an answer, and whether the model marked it as its answer."""

    text: str
    marked: bool


def stated_answer(prediction: str) -> Stated:
    """Return the content of the last answer tags, or else all that follows the thought.

    The text after an `<answer>` that is never closed counts, because a limit of tokens or a stop text may have cut the
    end off. The text is empty if the model only thought, or said nothing.
    """
    tagged = extract_answer(prediction)
    if tagged is not None:
        return Stated(_TAG.sub(" ", tagged[-MAX_CHARS:]).strip(), True)
    said = without_thoughts(prediction)
    if OPEN in said and CLOSE not in said:
        opened = said.rpartition(OPEN)[2].strip()
        if opened:
            return Stated(_TAG.sub(" ", opened[-MAX_CHARS:]).strip(), True)
    own = _NEXT_QUESTION.split(said.strip(), maxsplit=1)[0].rstrip()  # some models go on with questions of their own
    return Stated(_TAG.sub(" ", own[-MAX_CHARS:]).strip(), False)


def final_part(stated: Stated) -> Stated:
    r"""Return the part of a longer text that gives the result: its last box, what "the answer is" leads to, its end.

    A sentence alone is returned whole. The end of a longer text is not marked as an answer: it is its last sentence or,
    if that has no result, one of the last three that concludes. Offers of further help are passed over.
    """
    text = _before_explanation(stated.text)
    if "\\boxed" in text or "\\fbox" in text:
        boxed = last_boxed(text)
        if boxed:
            return Stated(boxed, True)
    led = _led(text) if len(text) > 1 else ""
    if led or stated.marked:
        return Stated(led or text, True)
    sentences = _sentences(text)
    end = sentences[-1] if sentences else text
    concluded = [sentence for sentence in sentences[-3:] if _CONCLUSION.match(sentence)]
    if concluded and not _RESULT.search(end):
        end = concluded[-1]
    return Stated(end, len(sentences) < 2 and len(text) <= _SHORT_CHARS)


def without_remark(text: str) -> str:
    """Return a result without the reason or the circumstance behind it: "7 cm, because …" is "7 cm"."""
    return _REMARK.sub("", text, count=1) or text


def without_reason(text: str) -> str:
    """Return a result without the reason behind it: "8, because 3 + 4 = 7" is "8"."""
    return _REASON.sub("", text, count=1) or text


def _before_explanation(text: str) -> str:
    """Return the part of a text before the heading of an explanation, if that part has a result."""
    before = _EXPLANATION.split(text, maxsplit=1)[0].strip()
    return before if _RESULT.search(before) else text


def _led(text: str) -> str:
    """Return what the last "the answer is" leads to; an empty text if nothing does.

    The last one that leads to a number or a letter counts ("The answer is 5. This answer is correct."). What an answer
    is not, it isn't led to ("The answer is not B. It is C.").
    """
    lines = [_line(text[cue.end() :]) for cue in [*_ANSWER_IS.finditer(text)][-_MAX_CUES:]]
    led = [line for line in lines if not _DENIED.match(line)]
    results = [line for line in led if _RESULT.search(line)]
    return (results or led or [""])[-1]


def _line(rest: str) -> str:
    """Return the first sentence of a text, without the mark that ends it."""
    line = _SENTENCE_END.split(rest.lstrip(" \n*:").partition("\n")[0])[0].strip()
    return "" if len(line) > _MAX_LINE_CHARS else line.rstrip("*").removesuffix(".").rstrip("* ")


def _sentences(text: str) -> list[str]:
    """Return the last sentences of a text, without offers of further help at its end."""
    sentences = [sentence.strip() for sentence in _SENTENCE_END.split(text[-4 * _MAX_LINE_CHARS :]) if sentence.strip()]
    while len(sentences) > 1 and _COURTESY.match(sentences[-1]):
        sentences.pop()
    return sentences
