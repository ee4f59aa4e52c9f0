r"""Reads forms that Math-Verify's grammar would take for something else: dates, ratios, sets, recurring decimals.

For example:

    read_date("2024-01-05") -> "date 2024 1 5"
    ratio_terms("1 : 2 : 3") -> ["1", "2", "3"]
    rewrite_shapes(r"0.1\overline{6}") -> r"\frac{15}{90}"
"""

from __future__ import annotations

import math
import re
from fractions import Fraction

_MONTHS = "jan feb mar apr may jun jul aug sep oct nov dec".split()
_DATES = tuple(
    re.compile(pattern, re.IGNORECASE)
    for pattern in [
        r"(?P<y>[12]\d{3})\s?(?:-|/|\.|年)\s?(?P<m>\d{1,2})\s?(?:-|/|\.|月)\s?(?P<d>\d{1,2})\s?日?",
        r"(?P<y>[12]\d{3})-(?P<m>0[1-9]|1[0-2])(?P<d>)",
        r"(?P<a>\d{1,2})(?:-|/|\.)(?P<b>\d{1,2})(?:-|/|\.)(?P<y>[12]\d{3})",
        r"(?P<name>[a-z]{3,9})\.? (?P<d>\d{1,2})(?:st|nd|rd|th)?,? (?P<y>[12]\d{3})",
        r"(?P<d>\d{1,2})(?:st|nd|rd|th)? (?:of )?(?P<name>[a-z]{3,9}),? (?P<y>[12]\d{3})",
    ]
)
_COLON = re.compile(r"\s*(?::|\\colon(?![A-Za-z])|\\ratio(?![A-Za-z]))\s*")
_TERM = re.compile(r"[-+]?[\w.\\{}^()+\-/ √]{1,60}")
_LETTERS = re.compile(r"[A-Za-z]{2,}")
_COMMANDS = re.compile(r"\\[A-Za-z]+")
_BAR = r"\\(?:overline|bar|dot|overset\{\.\})"
_RECURRING = re.compile(
    r"(?<![\d.])(?P<whole>\d*)\.(?P<fixed>\d*)(?:" + _BAR + r"\s*(?:\{(?P<bar>\d+)\}|(?P<one>\d))"
    r"(?:(?P<middle>\d*)\\dot\s*(?:\{(?P<last>\d)\}|(?P<end>\d)))?|\((?P<round>\d+)\)|(?P<above>[\u0305\u0307])|(?P<dots>\\ldots|\\dots|\\cdots|\.{3,}|…))"
)
_TAIL = re.compile(r"^\d*?(\d{1,6}?)\1+$")
_SET_BUILDER = re.compile(
    r"^\\?\{\s*(?:\(?\s*)([A-Za-z])\s*(?:\\in\s*(?:\\mathbb\s*\{?\s*[RNZQ]\s*\}?|R|Z|N)\s*)?(?:\\mid|\\vert|\||:|\\middle\s*\|)(?P<condition>.{1,400}?)\\?\}$",
    re.DOTALL,
)
_EMPTY = re.compile(
    r"^(?:∅|\\(?:emptyset|varnothing|O)|\\?\{\s*\\?\}|\\\{\s*\\\}|(?:the |an )?empty set|null set"
    r"|空集|无解|方程无解|无实数解"
    r"|(?:there (?:is|are) |has |have )?no (?:real )?(?:solutions?|roots?|real roots?)(?: exists?)?|没有(?:实数)?解)$",
    re.IGNORECASE,
)
_ALL_REAL = re.compile(
    r"^(?:[A-Za-z]\s*(?:\\in|in|is|∈|can be|为)\s*)?(?:\\mathbb\s*\{?\s*R\s*\}?|ℝ"
    r"|(?:the )?(?:set of )?(?:all|any|every)?\s?(?:the )?"
    r"(?:R(?=$)|real(?:s| numbers?))|全体实数|所有实数|一切实数|任意实数|实数集|实数)"
    r"(?P<but>\s*(?:except(?: for)?|but|other than|excluding|\\setminus|\\backslash|且)\s*(?P<out>.{1,60}))?$",
    re.IGNORECASE | re.DOTALL,
)
_OUT = re.compile(r"[A-Za-z]\s*(?:=|\\neq?(?![A-Za-z])|≠|!=)|[\\{}$]+(?=[\s{}\d-])|[\\}$]+$")
_COUNT = r"(?:\{\s*(\d{1,3})\s*\}|(\d))"
_CHOOSE = tuple(
    re.compile(pattern)
    for pattern in [
        rf"(?:\\mathrm\s*\{{\s*(?P<k>[CAP])\s*\}}|\\(?:mathrm|rm|text)\s+(?P<l>[CAP])|(?<![A-Za-z\\])(?P<m>[CAP]))\s*_\s*{_COUNT}\s*\^\s*{_COUNT}",
        rf"(?:\\mathrm\s*\{{\s*(?P<k>[CAP])\s*\}}|(?<![A-Za-z\\])(?P<m>[CAP]))\s*\^\s*{_COUNT}\s*_\s*{_COUNT}",
    ]
)
_CHOOSE_PLAIN = re.compile(
    r"(?:\{\s*\}\s*)?(?:[_^]\s*\{?\s*(?P<n>\d{1,3})\s*\}?|(?<![\w.])(?P<o>\d{1,3}))\s*(?:\\(?:mathrm|text)\s*\{\s*)?(?P<kind>[CP])\s*\}?\s*_?\s*\{?\s*(?P<r>\d{1,3})\s*\}?(?!\w)"
)
_INDEX = r"(?:\{\s*(?P<n>\d{0,2}[nmN](?:\s?[+-]\s?\d{1,2})?)\s*\}|(?P<o>[nmN]))"
_TAKEN = r"(?:\{\s*(?P<k>\d|[nmkr](?:\s?[+-]\s?\d{1,2})?)\s*\}|(?P<l>[\dnmkr]))"
_CHOOSE_LETTERS = tuple(
    re.compile(rf"(?<![A-Za-z\\])(?P<kind>[CAP])\s*{places}(?![\w^])")
    for places in (rf"_\s*{_INDEX}\s*\^\s*{_TAKEN}", rf"\^\s*{_TAKEN}\s*_\s*{_INDEX}")
)
_CHOOSE_WORDS = re.compile(r"(?:\{\s*)?(?<![\w.])(\d{1,3})\s+\\?choose\s+(\d{1,3})(?!\w)(?:\s*\})?")
_CHOOSE_CALL = re.compile(r"(?<![A-Za-z\\])(?:nCr|nPr|binom|comb|perm|choose)\s*\(\s*(\d{1,3})\s*,\s*(\d{1,3})\s*\)")
_TWO_DIGITS = (
    (re.compile(r"\\(frac|binom|[dt]binom)\s*(\d)\s*(\d)"), r"\\\1{\2}{\3}"),
    (re.compile(r"\\(frac|binom)\s*(\d)\s*(?=\{)"), r"\\\1{\2}"),
    (re.compile(r"\\(frac)\s*(\{[^{}]*\})\s*(\d|[a-z])(?![}])"), r"\\\1\2{\3}"),
    (re.compile(r"\\(frac)\s*(\d)\s*([a-z])(?![A-Za-z])"), r"\\\1{\2}{\3}"),
    (re.compile(r"\\(frac)\s+([a-z])\s+([a-z]|\d)(?![A-Za-z])"), r"\\\1{\2}{\3}"),
    (re.compile(r"\\log\s*_\s*\{?\s*(\d+|[a-z])\s*\}?\s*(\d+(?:\.\d+)?)(?![\d}^])"), r"\\log_{\1}(\2)"),
    (re.compile(r"\\log\s*_\s*(\d+|[a-z])\s+(?=[a-z\\(])"), r"\\log_{\1} "),
    (re.compile(r"(?:\\lg|(?<![A-Za-z\\])lg)(?![A-Za-z])\s*(?:\{(\d+)\}|(\d+(?:\.\d+)?)(?!\^))"), r"\\log_{10}(\1\2)"),
    (re.compile(r"(?:\\lg|(?<![A-Za-z\\])lg)(?![A-Za-z])"), r"\\log_{10} "),
    (re.compile(r"\\sqrt\s*\[\s*(\d+)\s*\]\s*(\d)"), r"\\sqrt[\1]{\2}"),
)
_BASED = re.compile(
    r"^\(?\s*(?P<n>-?[0-9A-F]+)\s*\)?\s*(?:_\s*\{?\s*(?:\(?(?P<b>\d{1,2})\)?|\\?(?:text|mathrm)?\s*\{?\s*(?P<w>two|eight|ten|sixteen|three|four|five|six|seven|nine|twelve)\s*\}?)\s*\}?"
    r"|\s\(?\s*(?:in )?base[\s-](?P<c>\d{1,2}|two|eight|ten|sixteen)\s*\)?)$"
)
_BASES = {
    word: number for number, word in enumerate("two three four five six seven eight nine ten eleven twelve".split(), 2)
}
_INDIAN = re.compile(r"(?<![\d.,])\d{1,2}(?:,\d{2})+,\d{3}(?![\d,])")


def read_date(text: str) -> str:
    """Return a date as a canonical text, or an empty text if the whole text is no date."""
    for pattern in _DATES:
        match = pattern.fullmatch(text.strip().strip(".$ "))
        if match:
            parts = match.groupdict()
            if "a" in parts:
                return f"date {parts['y']} {int(parts['a'])} {int(parts['b'])}"
            if "name" in parts and parts["name"][:3].lower() not in _MONTHS:
                continue
            month = _MONTHS.index(parts["name"][:3].lower()) + 1 if "name" in parts else int(parts["m"])
            if 1 <= month <= 12 and 1 <= int(parts["d"] or 1) <= 31:
                return f"date {parts['y']} {month} {parts['d'].lstrip('0')}"
    return ""


def ratio_terms(text: str) -> list[str]:
    """Return the terms of a ratio in their order, or an empty list if the whole text is no ratio."""
    if ":" not in text and "\\colon" not in text and "\\ratio" not in text:
        return []
    terms = _COLON.split(text.strip())
    if not 2 <= len(terms) <= 12 or not all(map(_TERM.fullmatch, terms)):
        return []
    plain = [_COMMANDS.sub("", term) for term in terms]
    return [] if any(map(_LETTERS.search, plain)) or not any(map(_has_digit, plain)) else terms


def _has_digit(text: str) -> bool:
    return any(char.isdigit() for char in text)


def rewrite_shapes(text: str) -> str:
    r"""Return the text with forms that the grammar can't read in forms that it reads, such as `C_5^2` as its value."""
    if _INDIAN.search(text):
        text = _INDIAN.sub(lambda match: match.group().replace(",", ""), text)
    if (
        "overline" in text
        or "\\bar" in text
        or "\\dot" in text
        or any(mark in text for mark in ("…", "...", "dots", "(", "\u0305", "\u0307"))
    ):
        text = _RECURRING.sub(_fraction, text)
    for pattern in _CHOOSE:
        text = pattern.sub(_choose, text)
    if "^" in text:
        for pattern in _CHOOSE_LETTERS:
            text = pattern.sub(_choose_letters, text)
    text = _CHOOSE_PLAIN.sub(_choose_plain, text)
    text = _CHOOSE_WORDS.sub(lambda match: _count("C", int(match[1]), int(match[2]), match.group()), text)
    text = _CHOOSE_CALL.sub(_choose_call, text)
    if "\\" in text or "lg" in text:
        for pattern, replacement in _TWO_DIGITS:
            text = pattern.sub(replacement, text)
    return text


def _choose_letters(match: re.Match[str]) -> str:
    r"""Return `C_n^2` as `\binom{n}{2}` and `A_n^2` as n (n - 1). Other letters than n and m may be coordinates."""
    whole, taken = match["n"] or match["o"], match["k"] or match["l"]
    if match["kind"] == "C":
        return f"\\binom{{{whole}}}{{{taken}}}"
    if not taken.isdigit() or taken == "0":
        return match.group()
    return "(" + "".join(f"({whole}-{step})" for step in range(int(taken))) + ")"


def rewrite_whole(text: str) -> str:
    """Return the whole text in another form if it is an empty set, all real numbers, a set builder or has a base."""
    text = text.strip()
    if _EMPTY.match(text):
        return "\\emptyset "
    real = _ALL_REAL.match(text)
    if real and text != "R":
        out = _OUT.sub(" ", real["out"] or "").strip(" {}\\$.")
        return f"\\mathbb{{R}}\\setminus\\{{{out}\\}}" if out else "(-\\infty,\\infty)"
    builder = _SET_BUILDER.match(text)
    if builder:
        return builder["condition"].strip()
    based = _BASED.match(text)
    if based and (based["b"] or based["w"] or based["c"]):
        base = based["b"] or based["w"] or based["c"]
        return f"\\text{{{based['n']}base{_BASES.get(base, base)}}}"
    return text


def _fraction(match: re.Match[str]) -> str:
    whole, fixed = match["whole"] or "0", match["fixed"]
    if match["above"]:
        fixed, block = fixed[:-1], fixed[-1:] or "0"
    elif match["dots"]:
        tail = _TAIL.match(fixed)
        if not tail or len(fixed) < 3:
            return match.group()
        block = tail.group(1)
        fixed = _without_repeats(fixed, block)
    else:
        block = (match["bar"] or match["one"] or match["round"] or "") + (match["middle"] or "")
        block += match["last"] or match["end"] or ""
    if len(whole) + len(fixed) + len(block) > 60:
        return match.group()
    start = int(whole + fixed)
    value = Fraction(int(whole + fixed + block) - start, (10 ** len(block) - 1) * 10 ** len(fixed))
    return f"\\frac{{{value.numerator}}}{{{value.denominator}}}"


def _without_repeats(digits: str, block: str) -> str:
    while digits.endswith(block):
        digits = digits[: -len(block)]
    return digits


def _choose(match: re.Match[str]) -> str:
    groups = match.groupdict()
    kind = next(groups[key] for key in ("k", "l", "m") if groups.get(key))
    numbers = [int(group) for group in match.groups() if group and group.isdigit()]
    return _count(kind, max(numbers), min(numbers), match.group()) if len(numbers) == 2 else match.group()


def _choose_plain(match: re.Match[str]) -> str:
    return _count(match["kind"], int(match["n"] or match["o"]), int(match["r"]), match.group())


def _choose_call(match: re.Match[str]) -> str:
    kind = "P" if match.group().startswith(("nPr", "perm")) else "C"
    return _count(kind, int(match[1]), int(match[2]), match.group())


def _count(kind: str, total: int, chosen: int, text: str) -> str:
    """Return the number of combinations (kind "C") or arrangements, or `text` if more are chosen than there are."""
    if chosen > total or total > 300:
        return text
    return f"({math.comb(total, chosen) if kind == 'C' else math.perm(total, chosen)})"
