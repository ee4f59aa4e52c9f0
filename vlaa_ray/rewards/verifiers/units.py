r"""Drops units of measure at the end of a quantity, because a comparison of numbers ignores them.

    drop_units("4cm^{2}") -> "4"
    drop_units("9.8 m/s^2") -> "9.8"
    drop_units(r"63\pi x^3 litres") -> r"63\pi x^3"

After a bare number every unit of physics is one, with prefixes, powers and quotients; capital letters need a number
before them. After an expression a single letter is a unit only where a variable is unlikely: "m" after a number; s, g,
h, l or L after a blank.
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
    "newton newtons joule joules volt volts watt watts ampere amperes amp amps ohm ohms kelvin kelvins pascal pascals "
    "hertz coulomb coulombs tesla teslas mole moles farad farads henry celsius fahrenheit radian steradian candela per "
    "micrometers micrometres nanometers nanometres acre acres hectare hectares knots bytes bits USD RMB CNY EUR "
    "meters/second"
).split()
_CJK_UNITS = (
    "平方厘米 平方分米 平方毫米 平方千米 平方公里 平方米 立方厘米 立方分米 立方米 厘米 毫米 分米 千米 "
    "公里 海里 米 小时 分钟 秒 "
    "天 年 岁 元 度 个 人 公斤 千克 克 升 毫升 吨 "
    "牛顿 牛 焦耳 焦 伏特 伏 瓦特 瓦 安培 安 欧姆 欧 帕 摄氏度 次 种 条 块 张 本 只 名 "
    "倍 角 分 件 支 枚 颗 棵 位 颗 组 页 箱 套 辆 斤 亩 公顷 弧度 每"
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

_NUMBER = re.compile(
    r"\s*(?:(?:[-+=~]|\\(?:approx|pm)(?![A-Za-z]))\s*)*(?:[A-Za-z](?:_(?:\w|\{\w{1,5}\}))?\s*=\s*[-+]?\s*)?"
    r"(?:\\(?:[dt]?frac|sqrt)(?=\s*[\d{[]\s*[-\d\\])|\\(?:pi|cdot|times)(?![A-Za-z])|[\d.,/+*^()×·-]|\{[\d.\s-]*\}|(?<=\d)\s+(?=\\(?:cdot|times|frac)|[×*/+])|(?<=\}|t|s|×|\*)\s+(?=[\d\\]))+"
)
_PREFIX = r"(?:da|[kMGTmuμµnpcdhf]|\\mu\s*)?"
_BASE = r"(?:mol|Hz|Pa|Wb|bar|eV|lm|lx|cd|rad|sr|Bq|cal|ppm|[msgNJWVACFHTKLlΩ]|\\Omega)"
_LETTERS = (
    rf"(?:{_PREFIX}{_BASE}|min|hr?|°\s*[CFK]?|Å|kph|mph|rpm|atm|mmHg|kWh|Ah|dB|yd|ft|in|lb|oz|amu"
    r"|\\(?:AA|degree|ohm|micro|celsius))"
)
_ATOM = re.compile(
    rf"(?:(?:\\mu\s*|[kMGmμµnpcdf])?\\(?:text(?:rm|bf|it|normal)?|mathrm|mbox|rm|operatorname|unit|si)\s*\{{\s*(?P<inner>[^{{}}]{{1,40}})\}}"
    rf"|(?P<plain>{_LETTERS})(?![A-Za-z]))"
    r"(?:\s*\^\s*(?:-?\d|\{\s*-?\d\s*\})|(?<=[a-zA-Z])[23](?!\d))?"
)
_JOIN = re.compile(
    r"\s*(?:\}\s*\^\s*\{?\s*-?\d\s*\}?|/|\\cdot(?![A-Za-z])|\\times(?![A-Za-z])|[*·⋅×]"
    r"|[{}()]|\\[,;:! ]|~|\\frac(?=\{))?\s*"
)
_INNER = re.compile(rf"(?:{_LETTERS}(?![A-Za-z])|[\s/*·⋅^().,~-]|\\cdot|\\,|[23](?!\d)|-\d)+")
_CAPITAL_UNITS = frozenset("NJWVΩAK")


def drop_units(text: str) -> str:
    """Return the quantity without the units that follow it. A text of units alone is returned unchanged."""
    match = _TRAILING_UNITS.search(text)
    if match and match.start() and _ENDS_IN_QUANTITY.search(text[: match.start()]):
        return text[: match.start()]
    return text


def drop_physics_units(text: str) -> str:
    r"""Return a bare number without the units of physics after it: "20 m/s^2" and r"20\,\Omega" are "20".

    A text in which anything but one number stands before the units is returned unchanged.
    """
    match = _NUMBER.match(text)
    if not match or match.end() == len(text) or not any(char.isdigit() for char in match.group()):
        return text
    number, end = match.group(), match.end()
    while number.endswith(("\\cdot", "\\times", "(", "{", "*", "×", "·")):
        number = re.sub(r"(?:\\cdot|\\times|[({*×·])$", "", number).rstrip()
    return number.strip() if _is_unit(text, len(number), end) else text


def is_unit(text: str) -> bool:
    r"""Return whether the text is a unit alone: "cm^2" and r"\text{m}", but not the letter "m"."""
    return len(text) > 1 and _is_unit(text, 0, -1)


def _is_unit(text: str, start: int, number_end: int) -> bool:
    """Return whether the text from `start` on is a product and quotient of units."""
    position, units = _skip(text, start), 0
    touches = position == start and start == number_end
    while position < len(text):
        atom = _ATOM.match(text, position)
        if not atom:
            return False
        if atom["inner"] is not None and not _INNER.fullmatch(atom["inner"].strip()):
            return False
        if touches and not units and not _may_touch(atom):
            return False
        units += 1
        position = _skip(text, atom.end())
    return units > 0


def _may_touch(atom: re.Match[str]) -> bool:
    """Return whether a unit may follow its number without a blank: "20N" and "5kPa", but "5t" is a product."""
    plain = atom["plain"]
    return plain is None or len(plain) > 1 or plain in _CAPITAL_UNITS or plain in ("m", "°", "Å")


def _skip(text: str, position: int) -> int:
    while (match := _JOIN.match(text, position)) and match.end() > position:
        position = match.end()
    return position
