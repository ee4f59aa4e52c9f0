r"""Tokens of a text that may state a quantity: numbers, words, CJK signs and marks, without their layout.

For example:

    [token.text for token in tokens_of(r"**5** \text{ cm}^{2}")] -> ["5", "cm", "^", "2"]

LaTeX, Markdown and HTML are read as plain text, full-width signs as ASCII, "½" as " 1/2" and "²" as "^2". Every pattern
here reads a text once, from left to right.
"""

from __future__ import annotations

import re
from enum import Enum
from typing import NamedTuple


class TokenKind(Enum):
    """The kind of a token."""

    NUMBER = 1
    """A number in digits with its separators and its e-notation."""
    NUMERAL = 2
    """A run of Chinese numerals."""
    CJK = 3
    """One CJK sign, or several that mean something together ("以上")."""
    WORD = 4
    """A word of letters."""
    MARK = 5
    """A sign that is neither letter nor digit, or the end of a line."""


class QuantityToken(NamedTuple):
    """A token. `text` is in lower case; `raw` is as it was written, with the sign of the currency before it."""

    kind: TokenKind
    text: str
    raw: str
    glued: bool
    """Whether no blank stands between the token and the one before it."""


FRACTION = "\u27cc"
"""The mark that stands for the LaTeX macro for a fraction."""
NUMERALS = "零〇一二两兩三四五六七八九十百千万萬亿億廿卅"
_CJK = "\u3005-\u3007\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af"
# Signs that mean something together. Those that begin like a numeral come before the numerals.
_CJK_UNITS = "千米|千克|千瓦|千卡|千帕|千赫|百分之|百分点|分之|小时|分钟|厘米|毫米|公里|公斤|毫升|年级"
_CJK_WORDS = (
    "一共|一些|一样|一起|一直|一定|一般|一下|一致|一旦|一半|万一|零下|总共|总数|合计|总计|共计|答案|所以|因此|等于|不是|并非|"
    "至少|至多|最多|最少|超过|大于|小于|多于|少于|不到|不足|不止|以上|以下|没有|或者|还是|介于|之间|左右|其中|包括|包含|因为|只有"
)
_TOKEN = re.compile(
    r"(?P<NUMBER>(?:(?<![A-Za-z0-9_.])\.)?\d+(?:[.,'_]\d+)*(?:[eE][-+]?\d{1,9}(?![A-Za-z0-9_]))?)"
    rf"|(?P<CJK>{_CJK_UNITS}|{_CJK_WORDS})|(?P<NUMERAL>[{NUMERALS}]+)|(?P<CJK_SIGN>[{_CJK}])"
    rf"|(?P<WORD>[^\W\d_{_CJK}]+(?:'[^\W\d_{_CJK}]+)*)|(?P<MARK>\*\*|[^\w\s]|_|\n)"
)
_KINDS = {kind.name: kind for kind in TokenKind} | {"CJK_SIGN": TokenKind.CJK}
_LAYOUT = frozenset('`$€£¥₹₩"“”«»\\')
"""Marks that never change a number: quotes, currencies, code."""

_SUPERSCRIPTS = dict(zip("⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻", "0123456789+-", strict=True))
_RAISED = re.compile("[" + "".join(_SUPERSCRIPTS) + "]+")
# Not math_layout's table: there "½" is a LaTeX fraction, "⁄" a slash inside one, and "，" part of a tuple.
_PLAIN: dict[int, str] = {
    **{code: chr(code - 0xFEE0) for code in range(0xFF01, 0xFF5F)},
    **{start + digit: str(digit) for start in (0x660, 0x6F0, 0x966, 0x9E6, 0xE50) for digit in range(10)},
    **{0x1D7CE + number: str(number % 10) for number in range(50)},
    **{ord(char): " " for char in "\u00a0\u2000\u2002\u2003\u2005\u2007\u2008\u2009\u200a\u202f\u3000\t\r"},
    **{ord(char): "" for char in "\u200b\u200c\u200d\u2060\ufeff"},
    **{ord(char): "-" for char in "\u2010\u2011\u2012\u2013\u2212\ufe63"},
    **dict(zip(map(ord, "’‘′⁄∕∙⋅•∼〜。壹贰叁肆伍陆柒捌玖拾佰仟"), "'''//··*~~.一二三四五六七八九十百千", strict=True)),
    ord("、"): " , ",
    **{ord(char): f" {value}" for char, value in zip("½⅓⅔¼¾⅕⅖⅗⅘⅙⅚⅛⅜⅝⅞", (
        "1/2 1/3 2/3 1/4 3/4 1/5 2/5 3/5 4/5 1/6 5/6 1/8 3/8 5/8 7/8".split()), strict=True)},
}  # fmt: skip
_MACROS = {
    **dict.fromkeys("frac dfrac tfrac cfrac".split(), f" {FRACTION} "),
    **dict.fromkeys("times ast".split(), " × "),
    **dict.fromkeys("le leq leqslant lt ge geq geqslant gt ne neq".split(), " ≤ "),
    **dict.fromkeys("approx sim simeq".split(), " ≈ "),
    **dict.fromkeys(", ; : > quad qquad space left right displaystyle ( ) [ ]".split(), " "),
    **dict.fromkeys("text textbf textit textrm mathrm mathbf mathit mathsf boldsymbol bm mbox".split(), " "),
    "!": "", "%": "%", "$": "$", "{": "{", "}": "}", "\\": "\n", "~": "~", " ": " ", "&": " ", "#": "#",
    "cdot": " · ", "div": " ÷ ", "pm": " ± ", "circ": "°", "degree": "°", "sqrt": "√", "pi": "π",
    "textsuperscript": "^", "percent": "%", "infty": " ∞ ", "to": " to ", "rightarrow": " to ", "hline": " ",
}  # fmt: skip
_MACRO = re.compile(r"\\([A-Za-z]+|[^A-Za-z])")
_TAG = re.compile(r"<(/?)([A-Za-z]{1,10})[^<>]{0,60}>")
_NUMBER_ENDS = frozenset({TokenKind.NUMBER, TokenKind.NUMERAL})


def tokens_of(text: str) -> list[QuantityToken]:
    """Return the tokens of a text in their order, without marks that are only layout."""
    plain = plain_text(text)
    tokens, end, currency = [], 0, ""
    is_money = plain.count("$") == 1
    for match in _TOKEN.finditer(plain):
        raw, start = match.group(), match.start()
        if raw in _LAYOUT:
            end = match.end() if start == end else end
            currency = raw if raw in "€£¥₹₩" or (raw == "$" and is_money) else ""
            continue
        kind = _KINDS[match.lastgroup or "MARK"]
        tokens.append(QuantityToken(kind, raw.lower() if kind is TokenKind.WORD else raw, currency + raw, start == end))
        end, currency = match.end(), ""
    return _without_emphasis(tokens)


def plain_text(text: str) -> str:
    r"""Return the text without the layout of LaTeX, Markdown and HTML, and with ASCII signs where these exist."""
    if not text.isascii():
        text = _RAISED.sub(_raised, text).translate(_PLAIN)
    if "<" in text:
        text = _TAG.sub(_tag, text)
    if "{" in text:
        text = text.replace("{,}", ",").replace("{.}", ".").replace("{}", "")
    return _MACRO.sub(_macro, text).replace("{ }", " ") if "\\" in text else text


def _raised(match: re.Match[str]) -> str:
    return "^{" + "".join(_SUPERSCRIPTS[char] for char in match.group()) + "}"


def _tag(match: re.Match[str]) -> str:
    closes, name = match.groups()
    if name.lower() == "sup":
        return "}" if closes else "^{"
    return "\n" if name.lower() in ("br", "p", "div", "li") else ""


def _macro(match: re.Match[str]) -> str:
    return _MACROS.get(match.group(1), f" {match.group(1)} ")


def _without_emphasis(tokens: list[QuantityToken]) -> list[QuantityToken]:
    """Return the tokens without emphasis. A blank before it is one before the token that follows it."""
    kept, is_glued = [], True
    for index, token in enumerate(tokens):
        if _is_layout(tokens, index):
            is_glued = is_glued and token.glued
        else:
            kept.append(token if is_glued else token._replace(glued=False))
            is_glued = True
    return kept


def _is_layout(tokens: list[QuantityToken], index: int) -> bool:
    """Return whether the token is an emphasis: "*", "**" or "_" that doesn't stand between two operands."""
    text = tokens[index].text
    if text == "_":
        return not (index and tokens[index].glued and tokens[index - 1].kind is TokenKind.WORD)
    if text not in ("*", "**"):
        return False
    between = 0 < index < len(tokens) - 1
    return not (between and tokens[index - 1].kind in _NUMBER_ENDS and tokens[index + 1].kind in _NUMBER_ENDS)
