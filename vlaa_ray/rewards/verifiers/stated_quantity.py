"""The quantity that an answer states, out of all that it mentions.

For example:

    stated_quantity("9 in total: 4 red and 5 blue").value -> Fraction(9)
    stated_quantity("3 or 4") -> "the answer names several numbers, …"

An answer that mentions one number states it. Otherwise what doesn't count is left out first: denied and bounded
numbers, labels ("row 2"), dates and times, and what stands in brackets. Then these rules are asked in turn: what
"answer" introduces, what "in total" marks, what follows the last "=", what "so" introduces, the number that is the sum
of all others, what stands before a breakdown, the only number after "is" or "are", the only number of the last
sentence. If none of them names one number, the answer states no number.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from fractions import Fraction
from functools import lru_cache

from vlaa_ray.rewards.verifiers.number_words import text_at
from vlaa_ray.rewards.verifiers.plain_quantity import plain_quantity
from vlaa_ray.rewards.verifiers.quantities import MAX_QUANTITIES, Quantity, read_quantities
from vlaa_ray.rewards.verifiers.quantity_tokens import QuantityToken, TokenKind, tokens_of
from vlaa_ray.rewards.verifiers.relations import (
    is_bounded,
    is_denied,
    is_label,
    is_list_number,
    merged,
    worth,
    zero_in_words,
)
from vlaa_ray.text.answers import MAX_CHARS, unboxed

MAX_NUMBERS = 8
NO_NUMBER = "no number in the answer"
SEVERAL = "the answer names several numbers, or a range, and states none of them"
_BARE = re.compile(r"-?\d{1,20}(?:\.\d{1,20})?")
_ANSWERS = frozenset("answer answers 答案 答".split())
_TOTALS = frozenset("total totals altogether overall combined 总共 一共 合计 总计 共计 共 总数 sum".split())
_EQUALS = frozenset("= ≈ equals equal equalling 等于".split())
_CONCLUSIONS = frozenset("so therefore thus hence finally 所以 因此 故 ∴".split())
_BREAKS = frozenset(
    ": ( [ — because since including includes include consisting comprising comprised composed made namely where which "
    "with 其中 包括 包含 因为".split()
)
_COPULAS = frozenset("is are was were be has have contains contain shows 's 是 为 有 was: 得".split())
_NO_WORDS = (TokenKind.MARK, TokenKind.NUMBER, TokenKind.NUMERAL)
_TAKEN_AWAY = frozenset("left leaves leaving remain remains remaining away minus fewer less difference 剩 减".split())
_FILLERS = frozenset("only just exactly about approximately roughly around a of total : ( an 约 大 仅 只".split())
_SENTENCE_ENDS = frozenset(". ! ? ; \n".split(" "))
_CACHED = 200
_BETWEEN_BOXES = (",", ";", "or", "and", "/", "或", "和", "、")
_MAX_CUES = 20
Rule = Callable[[Sequence[QuantityToken], Sequence[Quantity]], Sequence[Quantity]]


def stated_quantity(text: str, *, counts: bool = False) -> Quantity | str:
    """Return the quantity that a text states, or the reason in words why it states none.

    The content of the last box counts, if there is one. With `counts`, "none" and "no cats" state 0. Text of more than
    20,000 characters states nothing. The result always has a value.
    """
    if len(text) > MAX_CHARS:
        return f"the answer has {len(text)} characters, more than {MAX_CHARS}"
    text = _boxed(text).strip().removesuffix(".")
    if _BARE.fullmatch(text):
        return Quantity(Fraction(text), 0, 1)
    plain = plain_quantity(text)
    if plain is not None:
        return Quantity(plain, 0, 1)
    return _stated_cached(text, counts) if len(text) <= _CACHED else _stated(text, counts)


def only_quantity(text: str) -> Quantity | str:
    """Return the only quantity of a gold, or the reason in words why there is no such quantity."""
    if len(text) > MAX_CHARS:
        return f"it has {len(text)} characters, more than {MAX_CHARS}"
    text = _boxed(text).strip()
    if _BARE.fullmatch(text):
        return Quantity(Fraction(text), 0, 1)
    tokens = tokens_of(text)
    quantities = _strong(merged(tokens, read_quantities(tokens)))
    if len({(quantity.value, quantity.percent) for quantity in quantities}) != 1 or quantities[0].value is None:
        return "it is not one number"
    places = range(len(quantities))
    if any(is_denied(tokens, quantities, place) or is_bounded(tokens, quantities, place) for place in places):
        return "its words deny the number, or make it a bound"
    return quantities[0]


def _boxed(text: str) -> str:
    """Return the content of the last box with the percent sign behind it, or the whole text if it offers several boxes.

    Boxes are offered together if only "or", "and" or a comma stands between them.
    """
    if "box" not in text:
        return text
    head = text[: max(text.rfind("\\boxed"), text.rfind("\\fbox"), 0)].rstrip(" $\n")
    separator = next((mark for mark in _BETWEEN_BOXES if head.endswith(mark)), "")
    if separator and "box" in head and head.removesuffix(separator).rstrip(" $\n,").endswith("}"):
        return text
    content, tail = unboxed(text), text[text.rfind("}") + 1 :].lstrip(" $\\")
    return f"{content}%" if tail.startswith("%") and content is not text else content


def _stated(text: str, counts: bool) -> Quantity | str:
    tokens = tokens_of(text)
    quantities = merged(tokens, read_quantities(tokens))
    if counts and all(quantity.weak for quantity in quantities) and zero_in_words(tokens):
        return Quantity(Fraction(0), 0, len(tokens))
    if not quantities:
        return NO_NUMBER
    if len(quantities) > MAX_QUANTITIES:
        return f"more than {MAX_QUANTITIES} numbers in the answer"
    different = len({worth(quantity) for quantity in quantities}) if len(quantities) > 1 else 1
    if different > MAX_NUMBERS:
        return f"{different} different numbers in the answer, more than {MAX_NUMBERS}"
    usable = _usable(tokens, _strong(quantities))
    if not usable:
        return "the words beside the number deny it, or make it a bound or a part of another number"
    return _chosen(tokens, usable)


_stated_cached = lru_cache(maxsize=4096)(_stated)


def _strong(quantities: Sequence[Quantity]) -> Sequence[Quantity]:
    return [quantity for quantity in quantities if not quantity.weak] or quantities


def _usable(tokens: Sequence[QuantityToken], quantities: Sequence[Quantity]) -> list[Quantity]:
    """Return the quantities that may be stated: no denied one, no bound, and an aside only if there is no other."""
    places = range(len(quantities))
    stated = [n for n in places if not is_denied(tokens, quantities, n) and not is_bounded(tokens, quantities, n)]
    if len(stated) < 2:
        return [quantities[place] for place in stated]
    named = [quantities[place] for place in stated]
    if is_list_number(tokens, named[0]) and (total := _summed(tokens, named)):
        return [*total]
    depths = _depths(tokens)
    outer = min(depths[quantities[place].first] for place in stated)
    first_outer = next(place for place in stated if depths[quantities[place].first] == outer)
    main = [
        place
        for place in stated
        if not (quantities[place].aside or is_label(tokens, quantities, place))
        and not (place > first_outer and depths[quantities[place].first] > outer)
    ]
    return [quantities[place] for place in main or stated]


def _depths(tokens: Sequence[QuantityToken]) -> list[int]:
    """Return for each token the number of brackets that are open before it."""
    depth, depths = 0, []
    for token in tokens:
        depths.append(depth)
        depth = max(0, depth + (token.text in ("(", "[")) - (token.text in (")", "]")))
    return depths


def _chosen(tokens: Sequence[QuantityToken], quantities: Sequence[Quantity]) -> Quantity | str:
    """Return the quantity on which the rules agree. Each rule leaves out quantities, or leaves all as they are."""
    for rule in (None, *_RULES):
        quantities = (rule(tokens, quantities) if rule else quantities) or quantities
        if len(quantities) == 1 or len({worth(quantity) for quantity in quantities}) == 1:
            return quantities[-1] if quantities[-1].value is not None else SEVERAL
    return SEVERAL


def _after_last(
    tokens: Sequence[QuantityToken], quantities: Sequence[Quantity], cues: frozenset[str]
) -> Sequence[Quantity]:
    """Return the quantities after the last cue that has any after it, in the sentence of the first of them."""
    last = max((index for index in range(quantities[-1].first) if tokens[index].text in cues), default=-1)
    start = next(quantity.end for quantity in quantities if quantity.first > last)
    end = next((index for index in range(start, len(tokens)) if tokens[index].text in _SENTENCE_ENDS), len(tokens))
    return [quantity for quantity in quantities if last < quantity.first < end] if last >= 0 else ()


def _answered(tokens: Sequence[QuantityToken], quantities: Sequence[Quantity]) -> Sequence[Quantity]:
    return _after_last(tokens, quantities, _ANSWERS)


def _totalled(tokens: Sequence[QuantityToken], quantities: Sequence[Quantity]) -> Sequence[Quantity]:
    """Return the quantity that "total" or "in all" marks: the one before "in total", else the one after the word."""
    cues = [
        index
        for index, token in enumerate(tokens)
        if token.text in _TOTALS or (token.text == "all" and text_at(tokens, index - 1) == "in")
    ]
    for cue in cues[: -_MAX_CUES - 1 : -1]:
        before = [
            q
            for q in quantities
            if q.value is not None and 0 <= cue - q.end <= 4 and not _has_mark(tokens[q.end : cue])
        ][-1:]
        after = [
            q
            for q in quantities
            if q.value is not None and 0 < q.first - cue <= 6 and not _ends_sentence(tokens[cue : q.first])
        ][:1]
        is_behind = text_at(tokens, cue - 1) == "in" or tokens[cue].text in ("altogether", "overall", "combined")
        found = (before or after) if is_behind else (after or before)
        if found:
            return found
    return ()


def _has_mark(tokens: Sequence[QuantityToken]) -> bool:
    return any(token.kind is TokenKind.MARK for token in tokens)


def _ends_sentence(tokens: Sequence[QuantityToken]) -> bool:
    return any(token.text in _SENTENCE_ENDS for token in tokens)


def _equalled(tokens: Sequence[QuantityToken], quantities: Sequence[Quantity]) -> Sequence[Quantity]:
    """Return the quantity after the last "=", or the one before it if an expression stands after it."""
    last = max((index for index, token in enumerate(tokens) if token.text in _EQUALS), default=-1)
    if last < 0:
        return ()
    after = [quantity for quantity in quantities if 0 < quantity.first - last <= 2][:1]
    before = [quantity for quantity in quantities if 0 <= last - quantity.end <= 1][-1:]
    parts = [quantity.value for quantity in quantities if quantity.first > last]
    if not before or before[0].value is None:
        return after
    if not after or after[0].value is None or (len(parts) > 1 and None not in parts and _sum(parts) == before[0].value):
        return before
    return after


def _sum(values: Sequence[Fraction | None]) -> Fraction:
    return sum((value for value in values if value is not None), Fraction(0))


def _concluded(tokens: Sequence[QuantityToken], quantities: Sequence[Quantity]) -> Sequence[Quantity]:
    return _after_last(tokens, quantities, _CONCLUSIONS)


def _summed(tokens: Sequence[QuantityToken], quantities: Sequence[Quantity]) -> Sequence[Quantity]:
    """Return the first or the last quantity, if it is the sum of two or more others and words stand between them.

    Where something is taken away, the first number is no total.
    """
    values = [quantity.value for quantity in quantities if quantity.value is not None]
    between = tokens[quantities[0].end : quantities[-1].first]
    if len(values) < max(3, len(quantities)) or all(token.kind in _NO_WORDS for token in between):
        return ()
    if sum(values[1:]) == values[0] and _TAKEN_AWAY.isdisjoint(token.text for token in tokens):
        return quantities[:1]
    return quantities[-1:] if sum(values[:-1]) == values[-1] else ()


def _before_breakdown(tokens: Sequence[QuantityToken], quantities: Sequence[Quantity]) -> Sequence[Quantity]:
    """Return the quantities before the first word or mark that explains or lists: ":", "because", "including"."""
    for index in range(quantities[0].end, quantities[-1].first):
        text = tokens[index].text
        is_dash = text == "-" and not tokens[index].glued and not tokens[index + 1].glued
        if text in _BREAKS or is_dash:
            return [quantity for quantity in quantities if quantity.end <= index]
    return ()


def _said(tokens: Sequence[QuantityToken], quantities: Sequence[Quantity]) -> Sequence[Quantity]:
    """Return the last quantity, if it is the only one that "is", "are" or "has" introduces."""
    said = []
    for quantity in quantities:
        index = quantity.first - 1
        while index > 0 and tokens[index].text in _FILLERS and index > quantity.first - 4:
            index -= 1
        if text_at(tokens, index) in _COPULAS:
            said.append(quantity)
    return said if len(said) == 1 and said[0] is quantities[-1] else ()


def _last_sentence(tokens: Sequence[QuantityToken], quantities: Sequence[Quantity]) -> Sequence[Quantity]:
    return _after_last(tokens, quantities, _SENTENCE_ENDS)


_RULES: tuple[Rule, ...] = (
    _answered,
    _totalled,
    _equalled,
    _concluded,
    _summed,
    _before_breakdown,
    _said,
    _last_sentence,
)
