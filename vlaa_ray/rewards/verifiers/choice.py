r"""mcq: 1 if the answer names the gold's option letter, else 0 (arXiv 2504.11468, 4.1).

    verify_choice("The answer is (B).", "B").value == 1.0

Golds and answers may be written as "B", "(b)", "B)", "B: 50°", "Answer: B" or "\boxed{B}". The same rules read both.
"""

from __future__ import annotations

import re
from typing import Any

from vlaa_ray.records import RewardResult
from vlaa_ray.rewards.verifiers.verdicts import invalid, scored, wrong
from vlaa_ray.text.answers import MAX_CHARS, unboxed

_MARKUP = re.compile(r"\\(?:text|mathrm|mathbf|textbf)\s*\{([^{}]*)\}|[*$`]")
_ALONE = re.compile(r"[\s(\[{<\"']*([A-Za-z])[\s)\]}>\"'.:,。]*")
# "I" before a word in lower case is the pronoun.
_LETTER = r"(?<![A-Za-z'’\\])(?!I\s+[a-z])([A-Z])(?![A-Za-z'’])"
_NAMED = re.compile(
    r"(?i:\b(?:answer|option|choice|réponse|respuesta|antwort)\b|答案)(?:[^.\n]{0,60}?|\s*:\s*)"
    + _LETTER
    + r"(?!\s[a-z]*\s?think)"
)
_NAMED_SMALL = re.compile(r"(?i:\b(?:answer|option|choice)\b(?:\s+is)?\s*:?\s*)\(?([a-z])\)?[\s.]*$")
_LEADING = re.compile(
    r"[\s(\[]*(?!I\s+[a-z])([A-Z])(?:[)\].:。、]|\s+(?![A-Z]\b|or\b|and\b|\W))(?!\s*\(?[A-Z]\s*(?:[).:,]|$))"
)
_BRACKETED = re.compile(r"\(([A-Z])\)")
_STANDING = re.compile(_LETTER)


def verify_choice(answer: str, gold: Any) -> RewardResult:
    """Return 1.0 if the option letters agree, else 0.0.

    An answer earns 0.0, too, if it names no letter, or several without a choice among them. Invalid if the gold does
    not name exactly one letter.
    """
    target = read_letter(str(gold))
    if target is None:
        return invalid(answer, f"gold names no single option letter: {str(gold)[:80]!r}")
    letter = read_letter(answer[-MAX_CHARS:])
    if letter is None:
        return wrong(answer, "no single option letter in the answer")
    return scored(1.0, answer) if letter == target else wrong(answer, f"{letter} is not {target}")


def read_letter(text: str) -> str | None:
    """Return the option letter that the text chooses, in upper case, or None."""
    text = _MARKUP.sub(lambda match: match.group(1) or "", unboxed(text)).strip()
    alone = _ALONE.fullmatch(text)
    if alone:
        return alone.group(1).upper()
    named = _NAMED.findall(text) or _NAMED_SMALL.findall(text)
    if named:
        return str(named[-1]).upper()
    leading = _LEADING.match(text)
    if leading:
        return leading.group(1)
    bracketed = set(_BRACKETED.findall(text))
    if bracketed:
        return bracketed.pop() if len(bracketed) == 1 else None
    standing = set(_STANDING.findall(text))
    return standing.pop() if len(standing) == 1 else None
