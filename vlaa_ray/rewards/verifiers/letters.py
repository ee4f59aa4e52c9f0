r"""letters: questions with several right options. The answer must name all of them and no other.

For example:

    verify_letters("A and C, not B", "AC").value == 1.0

An answer may be written as "AC", "A, C", "(a) and (c)", "选AC" or "A. a cat\nC. a dog".
"""

from __future__ import annotations

import re
from typing import Any

from vlaa_ray.records import RewardResult
from vlaa_ray.rewards.verifiers.boxed_parts import boxed_parts
from vlaa_ray.rewards.verifiers.option_letters import Options, answer_chain, read_options
from vlaa_ray.rewards.verifiers.option_mentions import Form, Mention, lead_of, mark_of
from vlaa_ray.rewards.verifiers.option_tokens import END, tokens_of
from vlaa_ray.rewards.verifiers.verdicts import invalid, scored, wrong
from vlaa_ray.text.answers import MAX_CHARS

_RUN = re.compile(r"[A-Z]{2,26}")
_SMALL_RUN = re.compile(r"[a-h]{2,8}")
_LAST_OF_A_RUN = "J"  # in a text, letters after it are rather a word's than an option's


def verify_letters(answer: str, gold: Any, *, partial_credit: bool = False) -> RewardResult:
    """Return 1.0 if the answer names exactly the gold's letters, in any order, else 0.0.

    With `partial_credit`, return the number of common letters / the number of all letters in gold or answer (Jaccard).
    Then an answer that names every letter earns little. Golds and answers may be written as "AC", "A, C" or
    "(A) and (C)", and golds as ["A", "C"]. Letters that are denied, as B in "A, not B", are not named. Invalid if the
    gold names no letter.
    """
    golds = gold if isinstance(gold, list | tuple) else [gold]
    target = frozenset[str]().union(*(read_letters(str(part)[:MAX_CHARS]) for part in golds[:MAX_CHARS]))
    if not target:
        return invalid(answer, f"gold names no option letters: {str(gold)[:80]!r}")
    named = read_letters(answer[-MAX_CHARS:])
    if named == target:
        return scored(1.0, answer)
    reason = f"{''.join(sorted(named)) or 'no letter'} is not {''.join(sorted(target))}"
    return (
        scored(len(named & target) / len(named | target), answer, reason) if partial_credit else wrong(answer, reason)
    )


def read_letters(text: str) -> frozenset[str]:
    r"""Return the option letters, in upper case, that the text names.

    The text "AC" names two. A word names none; a text such as "ALL" counts as a word, because a letter is repeated. If
    several boxes hold one letter each, all of them count; else the last box with letters does.
    """
    outside, boxes = boxed_parts(text)
    boxed = [letters for letters in map(_letters, boxes) if letters]
    if boxed:
        return frozenset[str]().union(*boxed) if all(len(letters) == 1 for letters in boxed) else boxed[-1]
    return _letters(outside)


def _letters(text: str) -> frozenset[str]:
    options = read_options(_spelled(tokens_of(text)))
    chain = answer_chain(options)
    if chain:
        named = _from_here(options, chain[0])
    elif options.items:
        named = options.items
    else:
        named = _alike(options, [m for m in options.chosen if m.start not in options.reasoned])
    return frozenset(mention.letter for mention in named) - options.denied


def _from_here(options: Options, first: Mention) -> list[Mention]:
    """Return the mentions from `first` to the end of its sentence or enumeration, without those of a reason."""
    words = options.words
    mark = mark_of(words, first)
    chosen = [m for m in options.chosen if m.start >= first.start and m.start not in options.reasoned]
    kept = [first]
    for mention in chosen[1:]:
        between = words[kept[-1].start + 1 : mention.start]
        is_item = mark and mark == mark_of(words, mention) and between[-1:] == ["\n"]
        if END.intersection(between) and between != ["\n"] and not is_item:
            break
        kept.append(mention)
    return _alike(options, kept)


def _alike(options: Options, mentions: list[Mention]) -> list[Mention]:
    """Return the mentions that are written as the first, or joined to such a one, if the first has a mark."""
    if not mentions or mentions[0].form is Form.BARE:
        return mentions
    form = mentions[0].form
    chains = [chain for chain in options.chains if any(mention.form is form for mention in chain)]
    alike = {mention.start for chain in chains for mention in chain}
    return [mention for mention in mentions if mention.start in alike]


def _spelled(tokens: list[str]) -> list[str]:
    """Return the tokens with runs of letters taken apart: "BD" becomes "B & D"."""
    if not any(1 < len(token) <= 26 and (_RUN.fullmatch(token) or _SMALL_RUN.fullmatch(token)) for token in tokens):
        return tokens
    words = [token.lower() for token in tokens]
    alone = sum(len(token) > 1 or token.isalnum() for token in tokens) == 1
    spelled: list[str] = []
    for at, token in enumerate(tokens):
        if _is_run(token, words, at, alone):
            spelled.extend(" & ".join(token.upper()).split())
        else:
            spelled.append(token)
    return spelled


def _is_run(token: str, words: list[str], at: int, alone: bool) -> bool:
    """Return whether the token is a run of option letters. It need not be in order if it stands alone."""
    is_small = bool(_SMALL_RUN.fullmatch(token))
    if len(set(token)) != len(token) or not (is_small or _RUN.fullmatch(token)):
        return False
    if alone:
        return not is_small or list(token) == sorted(token)
    ordered = list(token) == sorted(token) and token.upper()[-1] <= _LAST_OF_A_RUN
    announced = lead_of(words, at).announced
    return (ordered and (announced or not is_small)) or (announced and not is_small and max(token) <= _LAST_OF_A_RUN)
