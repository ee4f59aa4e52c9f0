"""Numbers in English and Chinese words, read whole or not at all.

For example:

    read_words(tokens_of("a hundred and five cubes"), 0) -> WordNumber(Fraction(105), end=5, …)
    chinese_number("一百零五") -> 105

A word that is only a part of another expression is no number: "three-legged", "twenty-first", "the blue one", "一共".
"""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from typing import NamedTuple

from vlaa_ray.rewards.verifiers.quantity_tokens import QuantityToken, TokenKind

UNITS = {
    word: number
    for number, word in enumerate(
        "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen "
        "seventeen eighteen nineteen".split()
    )
}
TENS = {
    word: 10 * number for number, word in enumerate("twenty thirty forty fifty sixty seventy eighty ninety".split(), 2)
}
SCALES = {"hundred": 100, "thousand": 10**3, "million": 10**6, "billion": 10**9, "trillion": 10**12}
SCALES |= {"lakh": 10**5, "crore": 10**7, "dozen": 12}
PLURAL_SCALES = SCALES | {f"{word}s": scale for word, scale in SCALES.items()}
PARTS = {
    "half": 2,
    "third": 3,
    "quarter": 4,
    "fourth": 4,
    "fifth": 5,
    "sixth": 6,
    "seventh": 7,
    "eighth": 8,
    "ninth": 9,
}
PARTS |= {"tenth": 10, "twelfth": 12, "twentieth": 20, "hundredth": 100, "thousandth": 1000}
PLURAL_PARTS = {"halves": 2} | {f"{word}s": part for word, part in PARTS.items()}
_GROUPS = {"couple": Fraction(2), "pair": Fraction(2), "single": Fraction(1)}
_ORDINALS = frozenset(PARTS) | {"first", "second"}
_STARTS = (
    UNITS.keys() | TENS.keys() | {"hundred", "thousand", "million", "billion", "dozen", "half", "a", "an", "single"}
)
NUMBER_WORDS = UNITS.keys() | TENS.keys() | PLURAL_SCALES.keys() | PARTS.keys() | PLURAL_PARTS.keys() | _GROUPS.keys()
"""The words of which numbers are made."""

# What may stand before "one" where it is a number, and what stands after it where it is a pronoun.
_BEFORE_ONE = frozenset(
    "only just exactly is are was be has have had see saw count counted counts find found contains contain shows show "
    "there about approximately equals than answer number total and or to s it's there's least most minus negative into "
    "with of by not between from text times plus , : = ( { [ . ; ! - \n".split(" ")
)
_PRONOUN_OF = frozenset("the this that which each every another any other last first no some either neither".split())
_AFTER_PRONOUN = frozenset("can could should must may might would will needs sees another by of".split())
_LABELLED = frozenset("side hand more way end row corner part".split())

_DIGITS = {**{sign: number for number, sign in enumerate("零一二三四五六七八九")}, "〇": 0, "两": 2, "兩": 2}
_TIMES = {"十": 10, "百": 100, "千": 1000, "廿": 20, "卅": 30}
CHINESE_SCALES = {"十": 10, "百": 100, "千": 1000, "万": 10**4, "萬": 10**4, "亿": 10**8, "億": 10**8}
_MYRIADS = (("亿", 10**8), ("万", 10**4))
_MEASURES = frozenset(
    "个個只隻条條张張位名件颗顆辆輛头頭匹本台臺块塊片朵根把双雙支枝座间間层層家所盏杯瓶碗盘架艘棵株粒串对對副套群排列行点點分元"
    "岁歲年月日天时時小米厘毫公米人口つ枚冊册羽足軒階階円円号度倍次种種样様部栋棟幅顶頂扇道束滴步歩门門级級圈堆筐箱袋盒包封组組队隊"
)
_NOT_COUNTED = frozenset("第每另这這那某同唯统統之其初周星期")
_CUE_SIGNS = frozenset("是为為有共于於得负負约約要剩数數")
_MAX_WORDS = 40


class WordNumber(NamedTuple):
    """A number in words. `value` is None for words that name several numbers, or a part of another expression."""

    value: Fraction | None
    end: int
    """The index after the last token."""
    weak: bool = False
    """Whether the words may mean something other than a number ("one", "half", "a pair")."""


def read_words(tokens: Sequence[QuantityToken], start: int) -> WordNumber | None:
    """Return the English number whose first word is the token at `start`, or None if no number begins there."""
    word = tokens[start].text
    if word not in _STARTS:
        return None
    if word in ("a", "an", "half", "single"):
        return _with_article(tokens, start)
    if word == "one" and _is_pronoun(tokens, start):
        return WordNumber(None, start + 1, weak=True)
    value, end = _whole(tokens, start)
    part = _part(tokens, end, value)
    if part is not None:
        return WordNumber(*part)
    value, end = _point(tokens, end, value)
    if end > start + 1 or word not in SCALES:
        value, end = add_half(tokens, end, value)
        if value.denominator > 1 and text_at(tokens, end) in SCALES:
            value, end = value * SCALES[text_at(tokens, end)], end + 1
    if _goes_on(tokens, end):
        return WordNumber(None, end + 1, weak=True)
    return WordNumber(value, end, weak=word == "one" and end == start + 1 and text_at(tokens, end) in _LABELLED)


def text_at(tokens: Sequence[QuantityToken], index: int) -> str:
    """Return the text of the token at an index, or an empty text outside the tokens."""
    return tokens[index].text if 0 <= index < len(tokens) else ""


def _with_article(tokens: Sequence[QuantityToken], start: int) -> WordNumber | None:
    """Return the number of "a dozen", "half a dozen", "a hundred and five", "a pair", "half", "single"."""
    first, second, third = (text_at(tokens, start + step) for step in range(3))
    if first == "half" and second in ("a", "an") and third in SCALES:
        return WordNumber(Fraction(SCALES[third], 2), start + 3)
    if second == "half" and third in SCALES:
        return WordNumber(Fraction(SCALES[third], 2), start + 3)
    if first in ("half", "single"):
        return WordNumber(Fraction(1, 2) if first == "half" else Fraction(1), start + 1, weak=True)
    if second in _GROUPS:
        return WordNumber(_GROUPS[second], start + 2, weak=True)
    if second == "half" or (second in PARTS and third in ("of", "to", "past")):
        return WordNumber(Fraction(1, PARTS[second]), start + 2, weak=True)
    if second not in SCALES:
        return None
    value, end = _whole(tokens, start + 1)
    return WordNumber(value, end)


def _is_pronoun(tokens: Sequence[QuantityToken], index: int) -> bool:
    """Return whether the "one" at an index stands for a thing ("the blue one", "one can see") and is no number."""
    before, after = text_at(tokens, index - 1), text_at(tokens, index + 1)
    if after in UNITS or after in PLURAL_SCALES or after in PARTS or after in ("-", "half"):
        return False
    if before in _PRONOUN_OF or after in _AFTER_PRONOUN - {"of"}:
        return True
    follows_noun = index + 1 < len(tokens) and tokens[index + 1].kind is TokenKind.WORD
    return index > 0 and before not in _BEFORE_ONE and not (follows_noun and after not in _FUNCTION_WORDS)


_FUNCTION_WORDS = frozenset("is are was were in on at of to and or with that which has have from by as for".split())


def _whole(tokens: Sequence[QuantityToken], start: int) -> tuple[Fraction, int]:
    """Return (value, index after it) of the whole number whose first word is at `start`."""
    total, block, last, index = 0, None, 10**18, start
    while index < min(len(tokens), start + _MAX_WORDS):
        word = tokens[index].text
        at = index + 1 if word in ("-", "and") and index > start else index
        if (word == "and" and not (block is None or block % 100 == 0)) or at >= len(tokens):
            break
        word, hyphened = tokens[at].text, at > index
        if word in UNITS and _fits(block, UNITS[word], 1):
            block = (block or 0) + UNITS[word]
        elif word in TENS and _fits(block, TENS[word], 100) and not (hyphened and tokens[index].text == "-"):
            block = (block or 0) + TENS[word]
        elif word == "hundred" and (block or 1) < 100:
            block = (block or 1) * 100
        elif word == "dozen" and total == 0 and not (hyphened and tokens[index].text == "and"):
            return Fraction((block or 1) * 12), at + 1
        elif PLURAL_SCALES.get(word, last) < last and word not in ("hundreds", "dozens") and (block or index == start):
            last = PLURAL_SCALES[word]
            total, block = total + (block or 1) * last, None
        else:
            break
        index = at + 1
    return Fraction(total + (block or 0)), index


def _fits(block: int | None, value: int, least: int) -> bool:
    """Return whether a word may follow in the block below a thousand: a hundred before anything, tens before 1 to 9."""
    if block is None:
        return True
    return block > 0 and (block % 100 == 0 or (least == 1 and 20 <= block % 100 and block % 10 == 0 and 0 < value < 10))


def _part(tokens: Sequence[QuantityToken], end: int, value: Fraction) -> tuple[Fraction, int] | None:
    """Return the fraction whose numerator ends at `end` ("two thirds", "three-quarters", "one half"), or None."""
    at = end + 1 if text_at(tokens, end) == "-" else end
    word = text_at(tokens, at)
    part = PARTS.get(word) if value == 1 else PLURAL_PARTS.get(word)
    return None if part is None else (value / part, at + 1)


def _point(tokens: Sequence[QuantityToken], end: int, value: Fraction) -> tuple[Fraction, int]:
    """Return the number with its decimals in words ("three point one four"), and the index after it."""
    if text_at(tokens, end) != "point" or text_at(tokens, end + 1) not in UNITS:
        return value, end
    scale, index = Fraction(1), end + 1
    while index < min(len(tokens), end + _MAX_WORDS) and UNITS.get(tokens[index].text, 10) < 10:
        scale /= 10
        value, index = value + scale * UNITS[tokens[index].text], index + 1
    return value, index


def add_half(tokens: Sequence[QuantityToken], end: int, value: Fraction) -> tuple[Fraction, int]:
    """Return the number with "and a half" or "and three quarters" added, if these words follow, and the index after."""
    if text_at(tokens, end) != "and":
        return value, end
    word = text_at(tokens, end + 1)
    if word in ("a", "an", "one") and text_at(tokens, end + 2) in PARTS:
        return value + Fraction(1, PARTS[text_at(tokens, end + 2)]), end + 3
    if word in UNITS and (part := _part(tokens, end + 2, Fraction(UNITS[word]))):
        return value + part[0], part[1]
    return value, end


def _goes_on(tokens: Sequence[QuantityToken], end: int) -> bool:
    """Return whether the words are a part of another one: "twenty-first", "three-legged", "ten-ish"."""
    if text_at(tokens, end) in _ORDINALS and text_at(tokens, end - 1) in TENS:
        return True
    if text_at(tokens, end) != "-" or end + 1 >= len(tokens) or not tokens[end].glued:
        return False
    after = tokens[end + 1]
    return after.glued and after.kind is TokenKind.WORD and after.text not in UNITS and after.text not in TENS


def chinese_at(tokens: Sequence[QuantityToken], index: int) -> WordNumber | None:
    """Return the Chinese number that the token at an index is, or None if the signs are a part of a word."""
    run, before, after = tokens[index].text, text_at(tokens, index - 1), text_at(tokens, index + 1)
    end = index + 1
    if before in _NOT_COUNTED or (run in ("千", "百", "万", "亿", "两两", "一一")):
        return None
    if len(run) == 1 and run != "十":
        is_cued = not before or before in _CUE_SIGNS or not _is_cjk(tokens, index - 1)
        is_counted = after[:1] in _MEASURES or (after in ("到", "至", "或") and _is_numeral(tokens, end + 1))
        if not is_counted and not (is_cued and not _is_cjk(tokens, end)):
            return None
    value = chinese_number(run)
    if after == "点" and end + 1 < len(tokens) and tokens[end + 1].kind is TokenKind.NUMERAL and value is not None:
        decimals = [_DIGITS.get(sign, -1) for sign in tokens[end + 1].text]
        if min(decimals) >= 0 and text_at(tokens, end + 2) != "分":
            fraction = Fraction(int("".join(map(str, decimals[:_MAX_WORDS]))), 10 ** len(decimals[:_MAX_WORDS]))
            return WordNumber(value + fraction, end + 2)
    return WordNumber(value, end, weak=run == "一" and after[:1] in _MEASURES)


def _is_numeral(tokens: Sequence[QuantityToken], index: int) -> bool:
    return index < len(tokens) and tokens[index].kind in (TokenKind.NUMERAL, TokenKind.NUMBER)


def _is_cjk(tokens: Sequence[QuantityToken], index: int) -> bool:
    return 0 <= index < len(tokens) and tokens[index].kind in (TokenKind.CJK, TokenKind.NUMERAL)


def chinese_number(run: str) -> Fraction | None:
    """Return the value of a run of Chinese numerals, or None if it names several numbers ("三四") or none."""
    if len(run) > _MAX_WORDS:
        return None
    digits = [_DIGITS.get(sign, -1) for sign in run]
    if min(digits) >= 0:
        if len(run) == 2 and digits[1] == digits[0] + 1 and digits[0]:
            return None
        return Fraction(int("".join(map(str, digits))))
    value = _sections(run.replace("萬", "万").replace("億", "亿"), _MYRIADS)
    return None if value is None else Fraction(value)


def _sections(run: str, scales: Sequence[tuple[str, int]]) -> int | None:
    """Return the value of a run: what stands before 亿 and 万 times these, and what follows them."""
    if not scales:
        return _below_myriad(run)
    (sign, scale), *smaller = scales
    head, found, tail = run.rpartition(sign)
    if not found:
        return _sections(run, smaller)
    left = _sections(head, smaller) if head else None
    colloquial = len(tail) == 1 and _DIGITS.get(tail, 0) > 0
    right = _DIGITS[tail] * (scale // 10) if colloquial else _sections(tail, smaller) if tail else 0
    return None if left is None or right is None else left * scale + right


def _below_myriad(run: str) -> int | None:
    """Return the value of a run without 万 and 亿, or None if its signs don't stand as in a number."""
    total, digit, last = 0, None, 10**4
    for position, sign in enumerate(run):
        if sign in _TIMES:
            unit = _TIMES[sign]
            if (
                unit >= last
                or digit == 0
                or (digit is None and (unit > 30 or (position and run[position - 1] not in "零〇")))
            ):
                return None
            total, digit, last = total + (1 if digit is None else digit) * unit, None, 10 if unit in (20, 30) else unit
        elif sign not in _DIGITS or (digit is not None and digit != 0):
            return None
        else:
            digit = _DIGITS[sign]
    if digit and last in (100, 1000) and len(run) > 1 and run[-2] not in "零〇":
        digit *= last // 10
    return total + (digit or 0)
