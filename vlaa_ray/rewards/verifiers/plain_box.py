"""The box of a text that names one in a usual form, read several times as quickly as `shapes.py` reads it.

For example:

    plain_box("The box is [10, 20, 30, 40].") == (10.0, 20.0, 30.0, 40.0)
    plain_box('{"bbox_2d": [10, 20, 30, 40], "label": "cat"}') == (10.0, 20.0, 30.0, 40.0)
    plain_box("[10, 20, 30, 40] or [1, 2, 3, 4]") is None

The usual forms are four numbers in brackets, two corners in brackets, the models' box tags, the object with `bbox_2d`,
x1= y1= x2= y2=, and four bare numbers. Around them may stand words that give numbers no other meaning. `shapes.py`
finds the same box in these texts, and reads all others.
"""

from __future__ import annotations

import re

_N = r"(-?\d{1,9}+(?:\.\d{1,9}+)?+)"
_COMMA = ",[ ]?"
_TWO = rf"{_N}{_COMMA}{_N}"
_FOUR = rf"{_TWO}{_COMMA}{_TWO}"
_TEXT = r'"[^"\\\n]{0,200}+"'
# A word that is a number, or that may name the coordinates in another order, needs the closer reader.
_LETTERS = r"(?!(?i:nan|inf|xywh|cxcywh|width|height|[wh]\b|c[xy]\b|xmax|ymin|ymax|(?:top|right|bottom|y),))[A-Za-z]++"
_PROSE = rf"(?:{_LETTERS}(?:['-]{_LETTERS})*+|[ ,.;:=!?*`\n]++)*+"
_CORNERS = rf"\({_TWO}\),?+[ ]?\({_TWO}\)"
_FORMS = (
    rf"\[{_FOUR}\]",
    rf"\({_FOUR}\)",
    _CORNERS,
    rf"<box>{_CORNERS}</box>",
    rf"<\|box_start\|>{_CORNERS}<\|box_end\|>",
    rf'\[?+\{{(?:"label":[ ]?{_TEXT}{_COMMA})?+"bbox_2d":[ ]?\[{_FOUR}\](?:{_COMMA}"label":[ ]?{_TEXT})?+\}}\]?+',
)
_AMONG_WORDS = re.compile(f"{_PROSE}(?:{'|'.join(_FORMS)}){_PROSE}")
_ALONE = re.compile(
    rf"{_N}[ ]{_N}[ ]{_N}[ ]{_N}|{_FOUR}|"
    + _COMMA.join(rf"{name}[ ]?[=:][ ]?{_N}" for name in ("x1", "y1", "x2", "y2"))
)


def plain_box(text: str) -> tuple[float, ...] | None:
    """Return x1, y1, x2, y2 of the only box of the text, or None if it stands in no usual form."""
    match = _AMONG_WORDS.fullmatch(text) or _ALONE.fullmatch(text)
    return tuple([float(number) for number in match.groups() if number is not None]) if match else None
