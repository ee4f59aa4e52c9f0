r"""Drops units of measure at the end of a quantity, because a comparison of numbers ignores them.

    drop_units("4cm^{2}") -> "4"
    drop_units(r"63\pi x^3 litres") -> r"63\pi x^3"

A single letter is a unit only where a variable is unlikely: "m" after a number; s, g, h, l or L after a blank.
"""

from __future__ import annotations

import re

_UNIT_WORDS = (
    "mm cm dm km nm inch inches ft foot feet yd yard yards mile miles mi meter meters metre metres "
    "centimeter centimeters  centimetre centimetres millimeter millimeters kilometer kilometers kilometre "
    "kilometres unit units square sq cubic  squareinches squareunits squarefeet mL ml cl liter liters "
    "litre litres mg kg gram grams kilogram kilograms ton tons lb lbs  pound pounds ounce ounces oz sec "
    "secs second seconds min mins minute minutes hr hrs hour hours day days week weeks month  months year "
    "years mph kmh kph dollar dollars cent cents yuan euro euros rupees degree degrees deg radians rad "
    "people person  ways times points point Hz kHz MHz kW kWh Pa kPa kJ mol "
).split()
_CJK_UNITS = (
    "平方厘米 平方米 立方厘米 立方米 厘米 毫米 分米 千米 公里 海里 米 小时 分钟 秒 "
    "天 年 岁 元 度 个 人 公斤 千克 克 升 毫升 吨"
).split()
_TEXT_UNIT = (
    r"\\(?:text(?:bf|rm|it|normal)?|mbox)\s*\{[^{}]*\}"
    r"|\\(?:mathrm|rm|operatorname)\s*\{\s*(?:[A-Za-z./ ]{2,}|[msghLlNJWVAK])\s*(?:\^\s*\{?[23]\}?)?\s*\}"
)
_UNIT = (
    r"(?:(?<![A-Za-z\\])(?:" + "|".join(sorted(map(re.escape, _UNIT_WORDS), key=len, reverse=True)) + r")(?![A-Za-z])"
    r"|(?<![A-Za-z\\])m(?:/s|/h)?(?![A-Za-z])|(?<=\s)[sghLl](?![A-Za-z])"
    r"|" + "|".join(_CJK_UNITS) + "|" + _TEXT_UNIT + r")"
)
_RAISED_UNIT = r"(?:\s*\^\s*(?:[23]|\{\s*[23]\s*\}))?"
_UNITS = r"(?:" + _UNIT + r"\s*" + _RAISED_UNIT + r"\s*/?\s*){1,4}"
_TRAILING_UNITS = re.compile(r"(?<=[\d})\]π.a-z\s])\s*\.?\s*(?:" + _UNITS + r"|\{\s*" + _UNITS + r"\})\s*$")
_ENDS_IN_QUANTITY = re.compile(r"(?:[\d})\]]|\\pi|\\%|\\infty|(?<![A-Za-z])[a-z])\s*\.?\s*$")


def drop_units(text: str) -> str:
    """Return the quantity without the units that follow it. A text of units alone is returned unchanged."""
    match = _TRAILING_UNITS.search(text)
    if match and match.start() and _ENDS_IN_QUANTITY.search(text[: match.start()]):
        return text[: match.start()]
    return text
