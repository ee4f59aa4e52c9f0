r"""mcq: 1 if the answer names the gold's option letter, else 0 (arXiv 2504.11468, 4.1).

For example:

    verify_choice("The answer is (B).", "B").value == 1.0

Golds and answers may be written as "B", "(b)", "B)", "B: 50°", "Answer: B", "选B" or "\boxed{B}". The same rules read
both. A letter that is denied is not chosen ("The answer is not B"), and neither is the article A or the pronoun I.
"""

from __future__ import annotations

import re
from typing import Any

from vlaa_ray.records import RewardResult
from vlaa_ray.rewards.verifiers.boxed_parts import boxed_parts
from vlaa_ray.rewards.verifiers.option_letters import Options, answer_chain, opener, read_choice, read_options
from vlaa_ray.rewards.verifiers.option_mentions import Form, Mention, lead_of
from vlaa_ray.rewards.verifiers.option_tokens import ANSWERS, COPULAS, REVISIONS, tokens_of
from vlaa_ray.rewards.verifiers.verdicts import invalid, scored, wrong
from vlaa_ray.text.answers import MAX_CHARS

_ALONE = re.compile(
    r"[\s(\[{<\"'*$`]*+(?:(?:the |my )?(?:final |correct |right |best )?answer(?: is)?[\s:(*]++)?"
    r"([A-Za-z])[\s)\]}>\"'.:,。*$`]*+",
    re.IGNORECASE,
)
# Most texts that begin with a marked letter say nothing else about options, so they need no closer reading.
_OPENS = re.compile(r"\(?([A-Za-z])[.:)] ")
_MORE = re.compile(
    r"(?<![A-Za-z])(?:[A-Z]|[a-z]\))(?![A-Za-z])|[^ -~]|[\\*]|n't"
    r"|\b(?:not|answer|option|choice|wait|actually|correction|is|are|be|was|were|looks?|seems?)\b"
)


def verify_choice(answer: str, gold: Any) -> RewardResult:
    """Return 1.0 if the option letters agree, else 0.0.

    An answer earns 0.0, too, if it names no letter, or several without a choice among them. Invalid if the gold does
    not name exactly one letter.
    """
    target = read_letter(str(gold)[:MAX_CHARS])
    if target is None:
        return invalid(answer, f"gold names no single option letter: {str(gold)[:80]!r}")
    letter = read_letter(answer[-MAX_CHARS:])
    if letter is None:
        return wrong(answer, "no single option letter in the answer")
    return scored(1.0, answer) if letter == target else wrong(answer, f"{letter} is not {target}")


def read_letter(text: str) -> str | None:
    r"""Return the option letter that the text chooses, in upper case, or None.

    The last box with a letter counts. A box without one hides nothing: then the text beside the boxes is read.
    """
    outside, boxes = boxed_parts(text)
    for box in reversed(boxes):
        letter = _letter(box, boxed=True)
        if letter:
            return letter
    return _letter(outside)


def _letter(text: str, boxed: bool = False) -> str | None:
    """Return the letter that the text settles on. A letter amid the words of a box is part of a formula."""
    alone = _ALONE.fullmatch(text)
    if alone:
        return alone.group(1).upper()
    opened = _OPENS.match(text)
    if opened and not _MORE.search(text, opened.end()):
        return opened.group(1).upper()
    tokens = tokens_of(text)
    options = read_options(tokens) if boxed else read_choice(tokens)
    return options if isinstance(options, str) else _settled(options, boxed)


def _settled(options: Options, boxed: bool) -> str | None:
    """Return the letter on which the rules settle, asked in turn."""
    first, settled = opener(options)
    chain = answer_chain(options)
    led = chain and options.words[chain[0].start - 1] in COPULAS | REVISIONS | ANSWERS
    if chain and (led or not settled):
        return _single(chain) or (first.letter if first and settled else None)
    if first and settled:
        return first.letter
    items = set(options.items)
    for direct in reversed(options.directs):
        if len(direct) == 1 and direct[0] not in items:
            return direct[0].letter
    if first:
        return first.letter
    chosen = [mention for mention in options.chosen if mention.start not in options.reasoned]
    bracketed = [mention for mention in chosen if mention.form is Form.BRACKETED]
    if boxed:
        return _single(bracketed or [m for m in chosen if lead_of(options.words, m.start).announced])
    if bracketed:
        return _single(bracketed)
    return _single(chosen) or _single([m for chain in options.chains for m in chain if not _is_asked(options, chain)])


def _is_asked(options: Options, chain: list[Mention]) -> bool:
    return options.words[chain[-1].end : chain[-1].end + 1] == ["?"]


def _single(mentions: list[Mention]) -> str | None:
    letters = {mention.letter for mention in mentions}
    return letters.pop() if len(letters) == 1 else None
