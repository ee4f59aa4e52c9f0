"""Finds the letters of a text that are mentions of options, and what the words before them say about them.

For example:

    mentions_of(["A", "dog", "so", "B"], ["a", "dog", "so", "b"]) == [Mention("B", 3, 4, Form.BARE)]

A letter is a mention of an option if it stands alone: a capital one that is no article, pronoun or part of mathematics,
or a small one with a mark ("(b)", "b)") or after a word that announces it ("option b").
"""

from __future__ import annotations

from enum import IntEnum
from typing import NamedTuple

from vlaa_ray.rewards.verifiers import option_tokens as say

REACH = 8
"""The number of words before or after a letter among which a cue or a denial is looked for."""
MAX_MENTIONS = 1_000
"""The number of mentions of a text that count at most. They are its last ones."""


class Form(IntEnum):
    """How a letter is written: "B", "B)" or "(B)"."""

    BARE = 0
    MARKED = 1
    BRACKETED = 2


class Mention(NamedTuple):
    """A letter, in upper case, and the range of tokens that it takes with its bracket or mark."""

    letter: str
    start: int
    end: int
    form: Form


class Lead(NamedTuple):
    """What the words before a mention say about it."""

    denied: bool = False
    direct: bool = False
    """A word such as "so", "choose" or "it's" leads to the letter."""
    announced: bool = False
    """The word "answer", "option" or "choose" leads to the letter, so that a small letter counts."""


def mentions_of(tokens: list[str], words: list[str]) -> list[Mention]:
    """Return the mentions of options in their order. `words` are the tokens in lower case."""
    listed = len(tokens) < 60 and all(len(word) == 1 or word in say.JOINS for word in words)
    mentions: list[Mention] = []
    depth = 0
    for at in [at for at, token in enumerate(tokens) if len(token) == 1]:
        token = tokens[at]
        if token == "(":
            depth += 1
        elif token == ")":
            depth = max(depth - 1, 0)
        elif token.isascii() and token.isalpha():
            if token.islower() and not listed and at + 1 < len(words) and words[at + 1] not in say.AFTER_A_SMALL_LETTER:
                continue
            follows = bool(mentions) and mentions[-1].end == at - 1 and words[at - 1] in say.JOINS
            mention = _mention(tokens, words, at, depth, listed, follows)
            if mention:
                mentions.append(mention)
    return mentions[-MAX_MENTIONS:]


def lead_of(words: list[str], start: int) -> Lead:
    """Return what the words before `start` say about the mention that begins there."""
    direct = announced = linked = colon = False
    for at in range(start - 1, max(start - 1 - REACH, -1), -1):
        word = words[at]
        if word in say.DENY or word.endswith("n't") or (at and (words[at - 1], word) in say.DENY_IN_TWO):
            about_another = colon and any(len(other) == 1 and other.isalpha() for other in words[max(at - 2, 0) : at])
            return Lead(not about_another, direct, announced)  # "B isn't right: A" denies B
        if word in say.HEDGES:
            return Lead(False, False, announced)
        if word in say.CONCLUSIONS or (word == "," and at and words[at - 1] in say.CONCLUSIONS):
            return Lead(False, True, announced)
        if word in say.NAMES:
            announced = True
        elif word in say.ANSWERS or word in say.DIRECT:
            announced = announced or word in say.ANSWERS or word in say.CHOOSING
            direct = direct or word in say.DIRECT
        elif word == "\n":
            if not linked and not announced:
                break
        elif word not in say.FILLERS:
            break
        direct = direct or (linked and word in say.PRAISE)  # "the best is B"
        linked = linked or word in say.COPULAS
        colon = colon or word == ":"
    return Lead(False, direct, announced)


def mark_of(words: list[str], mention: Mention) -> str:
    """Return the sign after a letter that marks it, ")", ".", ":" or another bracket, or an empty text."""
    if mention.form is not Form.BARE:
        return words[mention.end - 1]
    after = words[mention.end] if mention.end < len(words) else ""
    return after if after in (".", ":") else ""


def _mention(tokens: list[str], words: list[str], at: int, depth: int, listed: bool, follows: bool) -> Mention | None:
    letter = tokens[at].upper()
    before = words[at - 1] if at else ""
    after = words[at + 1] if at + 1 < len(words) else ""
    if before in say.OPENING and before and after in say.CLOSING and after:
        if before == "{" and at > 1 and words[at - 2][0] in "\\}^_":  # "\frac{A}{2}"
            return None
        return Mention(letter, at - 1, at + 2, Form.BRACKETED)
    begins = not before or before in say.END or before in say.JOINS
    if after == ")" and not depth:
        return Mention(letter, at, at + 2, Form.MARKED)
    if after and after in ".:" and begins and (before != "." or tokens[at] == letter):
        return Mention(letter, at, at + 2, Form.MARKED)
    if tokens[at] != letter and not at and letter not in "AI" and after in say.SETTLES - {""}:
        return Mention(letter, at, at + 1, Form.BARE)
    if tokens[at] != letter and not listed:
        return Mention(letter, at, at + 1, Form.BARE) if _is_announced(words, at, after, follows) else None
    return None if _is_no_option(tokens, words, at) else Mention(letter, at, at + 1, Form.BARE)


def _is_announced(words: list[str], at: int, after: str, follows: bool) -> bool:
    """Return whether the words around a small letter make it an option. `follows`: it is joined to a mention."""
    ends = not after or after in say.END or after in say.JOINS or after in say.CLOSING or after == ":"
    if not (ends or after in say.VERBS or after in say.REASONS):
        return False
    return follows or lead_of(words, at).announced


def _is_no_option(tokens: list[str], words: list[str], at: int) -> bool:
    """Return whether the capital letter is an article, the pronoun, or part of a formula."""
    before = words[at - 1] if at else ""
    after = words[at + 1] if at + 1 < len(words) else ""
    if at > 1 and (before in say.MATHS_BEFORE or before[:1] == "\\"):
        return before != "=" or words[at - 2] not in say.ANSWERS
    if (after in say.MATHS_AFTER or after[:1] == "\\") and after:
        return True
    if words[at] not in ("a", "i") or not (after.isascii() and after[:1].isalpha() and tokens[at + 1] == after):
        return False
    if words[at] == "i":
        return after not in say.AFTER_I
    if after in say.LIMITS_A:
        return at + 2 < len(words) and words[at + 2][:1].isalpha() and words[at + 2] not in say.AFTER_A
    return len(after) > 1 and after not in say.AFTER_A and not after.endswith("n't")
