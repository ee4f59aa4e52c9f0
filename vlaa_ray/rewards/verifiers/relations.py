"""What the words and marks beside a quantity make of it: a part of a range or date, a label, a bound, a denied number.

For example:

    merged(tokens, read_quantities(tokens))  # of "3 or 4": one quantity without a value
"""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from itertools import pairwise

from vlaa_ray.rewards.verifiers.number_words import text_at
from vlaa_ray.rewards.verifiers.quantities import Quantity
from vlaa_ray.rewards.verifiers.quantity_tokens import QuantityToken, TokenKind

_OPERATORS = frozenset("+ × * ** · ÷ / ± ^ x plus times minus".split())
_ALTERNATIVES = frozenset(
    "or to till until through versus vs past maybe perhaps possibly probably ~ 或 或者 还 还是 到 至 － — -".split()
)
_SOFT = frozenset("even about either just also 者 是 可 能".split())
_PAIRS = frozenset("and to 和 与 到 至 or".split())
_MONTHS = frozenset(
    "january february april june july august september october november december jan feb mar apr jun jul aug sep "
    "sept oct nov dec".split()
)
_WORDS_OR_MONTHS = frozenset(("march", "may"))
_SUBUNITS = frozenset(
    "hour hours hr hrs h minute minutes min mins second seconds sec secs s feet foot ft inch inches in pound pounds lb "
    "lbs ounce ounces oz dollars dollar cents cent euros euro m cm km mm kg g year years month months week weeks "
    "day days ° ' 年 月 日 号 点 時 时 分 秒 度 小时 分钟 元 角 米 厘米".split()
)
_CLOCK = frozenset("° ' 年 月 日 号 点 時 时 分 秒".split())
_LABELS = frozenset(
    "row rows column columns col image picture photo figure fig step question problem page table chart part no level "
    "line group grade class chapter section panel option choice item case example exercise slide frame room "
    "# 第 图 表 题 步 组 班".split()
)
_SINCE = frozenset("in since by year for during from until of after before".split())
_PLACES = frozenset("on in under inside within across with per".split())
_ARTICLES = frozenset("the these those all both its".split())
_DENIALS = frozenset(
    "not isn't aren't wasn't weren't never cannot can't don't doesn't ≠ without except besides".split()
)
_CHINESE_DENIALS = frozenset("不是 并非 没有 没 不 非".split())
_BOUND_WORDS = frozenset(
    "than over under above below exceeds exceeding twice double triple thrice < > ≤ 至少 至多 最多 最少 超过 大于 小于 "
    "多于 少于 不到 不足 不止 不少于 近于".split()
)
_BOUND_PHRASES = (
    ("at", "least"), ("at", "most"), ("up", "to"), ("half", "of"), ("root", "of"), ("square", "of"), ("cube", "of"),
    ("minimum", "of"), ("maximum", "of"), ("third", "of"), ("quarter", "of"), ("multiple", "of"),
    ("<", "="), (">", "="),
)  # fmt: skip
_MORE = frozenset("more less fewer greater above below higher lower over under".split())
_BOUND_SIGNS = frozenset("以上 以下".split())
TURNING_WORDS = _DENIALS | _BOUND_WORDS | _MORE | _MONTHS | _WORDS_OR_MONTHS
TURNING_WORDS |= frozenset("least most up root square cube minimum maximum multiple instead rather other".split())
"""The words without which no number is denied, a bound, or a part of a date."""
_REFERENCES = (("of", "the"), ("of", "these"), ("of", "all"), ("among", "the"))
_DENYING = (["instead", "of"], ["rather", "than"], ["other", "than"])
_CLAUSE_ENDS = frozenset(", ; : . ! ? ( but 但 而 \n".split(" "))
_ORDINAL_ENDS = frozenset("st nd rd th d".split())
_FUNCTION_WORDS = frozenset(
    "is are was were there it it's this that they the i we you he she and or but in on of to".split()
)
_ZERO_WORDS = frozenset("none nothing nobody nil nought naught".split())
_NOT_COUNTED = frozenset(
    "above idea answer way clue number numbers image picture information one's longer more less fewer sense need doubt "
    "problem such context question data matter options option choice choices".split()
)
_NOT_ABSENT = frozenset("答案 办 答 信 图 足 数 看 提 说 明 确".split())
_MAX_GAP = 6
_YEARS = range(1500, 2101)


def merged(tokens: Sequence[QuantityToken], quantities: Sequence[Quantity]) -> list[Quantity]:
    """Return the quantities; those that name one thing together (a range, a date, a sum) are one without a value."""
    result: list[Quantity] = []
    parts = 1
    for place, quantity in enumerate(quantities):
        if (
            result
            and text_at(tokens, quantity.first) == "zero"
            and text_at(tokens, quantity.first - 1) in ("below", "above")
        ):
            result[-1] = _from_zero(result[-1], text_at(tokens, quantity.first - 1) == "below")
            continue
        quantity = _dated(tokens, quantity)
        is_whole = result and _is_broken_down(tokens, result[-1], quantities[place : place + _MAX_GAP + 1])
        joined = _joined(tokens, result[-1], quantity, parts) if result and not is_whole else None
        parts = 1 if joined is None else parts + 1
        result[len(result) - (joined is not None) :] = [joined or quantity]
    return result


def _from_zero(quantity: Quantity, below: bool) -> Quantity:
    """Return the quantity of "3 degrees below zero"."""
    return quantity._replace(value=-abs(quantity.value)) if below and quantity.value is not None else quantity


def worth(quantity: Quantity) -> Fraction | None:
    """Return the value of a quantity; 0.25 for 25%."""
    return quantity.value / 100 if quantity.percent and quantity.value is not None else quantity.value


def _is_broken_down(tokens: Sequence[QuantityToken], whole: Quantity, rest: Sequence[Quantity]) -> bool:
    """Return whether a dash between blanks stands before the parts of a whole: "9 - 4 red and 5 blue"."""
    gap = tokens[whole.end : rest[0].first]
    if (
        len(gap) != 1
        or gap[0].text not in ("-", "—")
        or gap[0].glued
        or not 2 <= len(rest) <= _MAX_GAP
        or whole.value is None
    ):
        return False
    return sum(part.value or 0 for part in rest) == whole.value


def _joined(tokens: Sequence[QuantityToken], left: Quantity, right: Quantity, parts: int) -> Quantity | None:
    """Return the quantity that two neighbours are together, or None if they are two. `left` holds `parts` of them."""
    gap = tokens[left.end : right.first]
    if not gap or len(gap) > _MAX_GAP:
        return None
    if worth(left) == worth(right) and left.value is not None and gap[-1].text in ("or", "或"):
        return None
    whole = Quantity(None, left.first, right.end)
    last, dashed = gap[-1], gap[-1].text in ("-", "—", "/") and len(gap) == 1
    if last.text == ":":
        glued = last.glued == tokens[right.first].glued
        return whole._replace(aside=True) if len(gap) == 1 and glued else None
    if dashed or (len(gap) == 1 and last.text in _OPERATORS):
        return whole._replace(aside=dashed and (parts == 2 or (_is_year(left) and _is_year(right))))
    if _is_compound(tokens, gap, right):
        return whole._replace(aside=gap[0].text in _CLOCK)
    is_ratio = len(gap) == 1 and last.text == "in"
    if is_ratio or (len(gap) > 1 and all(token.text == "." for token in gap)):
        return whole
    if last.text in ("-", "—") and not (last.glued or tokens[right.first].glued):
        return None
    before, after = text_at(tokens, left.first - 1), [token.text for token in tokens[right.end : right.end + 4]]
    if last.text in _PAIRS and _is_plain(gap[:-1]) and (before in ("between", "介于") or "之间" in after):
        return whole
    words = [token for token in gap if token.text not in (",", "(")]
    while len(words) > 1 and words[-1].text in _SOFT:
        words.pop()
    is_choice = bool(words) and words[-1].text in _ALTERNATIVES and _is_plain(words[:-1])
    return whole._replace(aside=_is_year(left) and _is_year(right)) if is_choice else None


def _is_plain(gap: Sequence[QuantityToken]) -> bool:
    """Return whether the tokens can name what is counted: at most three words, no "and", no mark but a comma."""
    words = [token for token in gap if token.text != ","]
    return len(words) <= 3 and all(token.kind is not TokenKind.MARK and token.text not in _PAIRS for token in words)


def _is_compound(tokens: Sequence[QuantityToken], gap: Sequence[QuantityToken], right: Quantity) -> bool:
    """Return whether two numbers are one quantity in two units: "5 feet 3 inches", "3点40分"."""
    if gap[0].text not in _SUBUNITS or len(gap) > 2 or (len(gap) == 2 and gap[1].text not in ("and", ",", "零")):
        return False
    return gap[0].text in _CLOCK or text_at(tokens, right.end) in _SUBUNITS


def _is_year(quantity: Quantity) -> bool:
    value = quantity.value
    return value is not None and value.denominator == 1 and value.numerator in _YEARS


def _dated(tokens: Sequence[QuantityToken], quantity: Quantity) -> Quantity:
    """Return the quantity, without a value if it is the day beside a month, or the year after such a day."""
    before, after = text_at(tokens, quantity.first - 1), text_at(tokens, quantity.end)
    is_ordinal = after in ("th", "st", "nd", "rd")
    at = quantity.end + is_ordinal
    at += text_at(tokens, at) == "of"
    is_day = before in _MONTHS or text_at(tokens, at) in _MONTHS
    if before in _WORDS_OR_MONTHS:
        is_day = is_ordinal or (after == "," and text_at(tokens, quantity.end + 1).isdigit())
    if before == "," and _is_year(quantity):
        is_day = text_at(tokens, quantity.first - 3) in _MONTHS | _WORDS_OR_MONTHS
    return quantity._replace(value=None, aside=True) if is_day else quantity


def _before(tokens: Sequence[QuantityToken], quantities: Sequence[Quantity], place: int) -> list[str]:
    """Return the texts of the tokens directly before a quantity, four at most, up to the quantity before it."""
    first = quantities[place].first
    start = max(first - 4, quantities[place - 1].end if place else 0)
    return [token.text for token in tokens[start:first]]


def _after(tokens: Sequence[QuantityToken], quantities: Sequence[Quantity], place: int) -> list[str]:
    end = quantities[place].end
    stop = min(end + 4, quantities[place + 1].first if place + 1 < len(quantities) else len(tokens))
    return [token.text for token in tokens[end:stop]]


def is_denied(tokens: Sequence[QuantityToken], quantities: Sequence[Quantity], place: int) -> bool:
    """Return whether the words before a quantity deny it: "not 3", "instead of 3", "不是3"."""
    before = _before(tokens, quantities, place)
    clause = next((n for n in range(len(before), 0, -1) if before[n - 1] in _CLAUSE_ENDS), 0)
    if before[-2:] in _DENYING or (before and before[-1] in _CHINESE_DENIALS):
        return True
    return any(text in _DENIALS for text in before[clause:])


def is_bounded(tokens: Sequence[QuantityToken], quantities: Sequence[Quantity], place: int) -> bool:
    """Return whether the words beside a quantity make another one of it: "at least 3", "3 or more", "half of 3"."""
    before, after = _before(tokens, quantities, place), _after(tokens, quantities, place)
    last = before[-1] if before else ""
    is_arrow = last == ">" and before[-2:-1] in (["-"], ["="])
    if (last in _BOUND_WORDS and not is_arrow) or tuple(before[-2:]) in _BOUND_PHRASES or last == "几":
        return True
    is_more = any(text == "or" and more in _MORE for text, more in pairwise(after))
    is_open = after[:1] == ["+"] and tokens[quantities[place].end].glued
    return is_more or is_open or after[:1] in (["多"], ["余"], ["餘"], ["几"]) or not _BOUND_SIGNS.isdisjoint(after[:3])


def is_label(tokens: Sequence[QuantityToken], quantities: Sequence[Quantity], place: int) -> bool:
    """Return whether a quantity numbers something or is the whole that others are a part of, and is no count.

    Examples are "row 2", "3rd", "in 2015", "第3", the number of a line of a list, and the 10 of "3 out of 10".
    """
    quantity, before = quantities[place], _before(tokens, quantities, place)
    if before[-1:] == ["."]:
        before.pop()
    last = before[-1] if before else ""
    after = tokens[quantity.end] if quantity.end < len(tokens) else None
    if last in _LABELS or (after and after.glued and after.text in _ORDINAL_ENDS):
        return True
    if _is_year(quantity) and (last in _SINCE or (after and after.text == "年")):
        return True
    if is_list_number(tokens, quantity):
        return True
    following = [token.text for token in tokens[quantity.end : quantity.end + 2]]
    is_share = place > 0 and following[:1] == ["of"] and following[-1] in ("which", "them", "these", "those", "whom")
    if is_share or last in _PLACES or (before[-2:-1] and before[-2] in _PLACES and last in _ARTICLES):
        return True
    is_part = place > 0 and quantity.first - quantities[place - 1].end <= 4
    return (
        last == "among"
        or before[-2:] == ["out", "of"]
        or before[-3:] == ["out", "of", "the"]
        or ((is_part and tuple(before[-2:]) in _REFERENCES) or (is_part and before[-1:] == ["of"]))
    )


def is_list_number(tokens: Sequence[QuantityToken], quantity: Quantity) -> bool:
    """Return whether the quantity opens a line and is followed by "." or ")", and then by words."""
    opens = text_at(tokens, quantity.first - 1) in ("", "\n") and text_at(tokens, quantity.end) in (".", ")")
    return opens and text_at(tokens, quantity.end + 1) not in ("", "\n")


def zero_in_words(tokens: Sequence[QuantityToken]) -> bool:
    """Return whether a text without numbers says that there is nothing: "none", "no cats", "not any", "没有"."""
    denied = False
    for index, token in enumerate(tokens):
        text, after = token.text, text_at(tokens, index + 1)
        denied = denied or text in _DENIALS
        if text in _ZERO_WORDS or (denied and text in ("any", "single")):
            return _NOT_COUNTED.isdisjoint(near.text for near in tokens[index + 1 : index + 4])
        if text in ("not", "没有") and after in ("one", "一"):
            return True
        if text == "no" and _is_counted(tokens, index + 1):
            return True
        is_absent = text == "没有" or (text == "无" and index == 0)
        if is_absent and after not in _NOT_ABSENT:
            return True
    return False


def _is_counted(tokens: Sequence[QuantityToken], index: int) -> bool:
    """Return whether the word at an index, or the one after it if this one is an adjective, can be counted."""
    near = tokens[index : index + 3]
    if not near or near[0].kind is not TokenKind.WORD or near[0].text in _FUNCTION_WORDS:
        return False
    return _NOT_COUNTED.isdisjoint(token.text for token in near)
