r"""The one reader of boxes and points, in whatever way a person or a model writes them.

    [shape.numbers for shape in read_shapes('{"bbox_2d": [10, 20, 110, 120], "label": "grid [0, 0, 5, 5]"}')]
    == [(10, 20, 110, 120)]

The rules, in order:

1. Brackets, quotes and the grounding models' tags group the text; JSON may be broken, or stand among words.
2. In an object, the box is what a key such as `bbox_2d`, or the keys x1, y1, x2 and y2, hold; a label holds no box.
3. Four numbers in one group are a box, two are a corner or a point; two corners beside each other are a box.
4. Numbers outside groups count only if there are no such groups: runs of four, or exactly four in the whole text.
"""

from __future__ import annotations

import json
import re
from typing import Any

from vlaa_ray.rewards.verifiers.frames import ANY_SIZE, Size
from vlaa_ray.rewards.verifiers.shape_names import (
    GROUP_KEYS,
    LABEL_KEYS,
    LINKS,
    SHAPE_KEYS,
    UNITS,
    Y_FIRST_KEYS,
    box_by_names,
    coordinate_name,
    plain_key,
)
from vlaa_ray.rewards.verifiers.shape_parts import (
    CORNERS,
    GROUP,
    RUN,
    Numeral,
    Placed,
    Shape,
    chunks,
    folded,
    labels_beside,
    named_shapes,
    shape_of,
    swapped,
)
from vlaa_ray.rewards.verifiers.shape_tokens import (
    ShapeToken,
    locations_as_objects,
    names_as_keys,
    number_of,
    tokens_of,
    unquoted,
)

_MAX_DEPTH = 40
_TAG_NAME = re.compile(r"[A-Za-z]\w*")
_ATTRIBUTE = re.compile(r"""([A-Za-z_]\w{0,30})=(?:"([^"]{0,200})"|'([^']{0,200})'|([^\s"'/>]{1,200}))""")
_NUMBERED = re.compile(r"[xy]\d{0,3}")
_ONLY_NUMBERS = re.compile(r"[\s\d.,;()\[\]+-]*")


def read_shapes(text: str, size: Size = ANY_SIZE, *, corners: bool = True, depth: int = 0) -> list[Shape]:
    """Return the boxes and points of a text in their order.

    With `corners`, two points beside each other are the corners of a box. `size` is the size of the frame that location
    tokens are turned into.
    """
    if text[:1] in ("[", "{") and (plain := _plain_json(text)):
        return plain
    text = names_as_keys(locations_as_objects(_out_of_json(text), size))
    groups = [_Group(text, "", 0, corners, depth)]
    for token in tokens_of(text):
        _take(groups, token)
    while len(groups) > 1:
        _close(groups, len(text), len(text))
    shapes = groups[0].finish(len(text))
    best = max((shape.rank for shape in shapes if not corners or len(shape.numbers) == 4), default=RUN)
    return [shape for shape in shapes if shape.rank == best]


def _plain_json(text: str) -> list[Shape]:
    """Return the boxes of whole JSON in its usual form, as the rules give them; none for all else.

    The usual form is a list of boxes of four numbers, or of objects with a box and a label. It is read several times
    as quickly so.
    """
    try:
        value = json.loads(text)
        items = value if isinstance(value, list) else [value]
        shapes = [_plain_shape(item) for item in items]
    except (ValueError, TypeError, KeyError, OverflowError, RecursionError):
        return []
    return shapes


def _plain_shape(item: Any) -> Shape:
    """Return the box of a list or an object.

    Raises ValueError, TypeError or KeyError if it is not of the usual form.
    """
    label = None
    if isinstance(item, dict):
        label = item.get("label")
        if item.keys() - {"bbox_2d", "label"} or not isinstance(label, str | None):
            raise KeyError("another form")
        item = item["bbox_2d"]
    if not isinstance(item, list) or not all(type(number) in (int, float) for number in item):
        raise TypeError("no list of numbers")
    x1, y1, x2, y2 = item
    return Shape((float(x1), float(y1), float(x2), float(y2)), label, label is not None)


def _from_numbers(text: str) -> list[Shape]:
    """Return the box or point of a text that holds nothing but its numbers. It is quicker than `read_shapes`."""
    numbers = [number_of(number) for number in text.strip(" ()[]").replace(",", " ").split()]
    sound = len(numbers) in (2, 4) and all(number == number for number in numbers)
    return [Shape(tuple(numbers))] if sound else []


def _only_one_point(placed: list[Placed]) -> bool:
    return len(placed) == 1 and len(placed[0].shape.numbers) == 2


def _out_of_json(text: str) -> str:
    """Return the text that stands inside a JSON text, such as an object with escaped quotes; else the text itself."""
    if '\\"' not in text:
        return text
    plain = text.replace('\\"', '"')
    if text.count('"') == text.count('\\"'):
        return plain
    whole = text.strip()
    return plain[1:-1] if whole == text and whole[:2] in ('"{', '"[') and whole[-2:] in ('}"', ']"') else text


def _take(groups: list[_Group], token: ShapeToken) -> None:
    group = groups[-1]
    if token.kind == "open" or (token.kind == "tag" and _opens(token.text)):
        if len(groups) < _MAX_DEPTH:
            groups.append(group.inner(token.text, token.start))
    elif token.kind == "close" or (token.kind == "tag" and _closes(token.text)):
        if len(groups) > 1:
            _close(groups, token.start, token.end)
    elif taken := _TAKERS.get(token.kind):
        taken(group, token)


def _close(groups: list[_Group], content_end: int, end: int) -> None:
    done = groups.pop()
    groups[-1].add_group(done, done.finish(content_end), end)


def _tag_name(tag: str) -> str:
    match = _TAG_NAME.search(tag)
    return plain_key(match[0]) if match else ""


def _is_coordinate(name: str) -> bool:
    return bool(_NUMBERED.fullmatch(name) or coordinate_name(name))


def _opens(tag: str) -> bool:
    return _tag_name(tag) in SHAPE_KEYS and "/" not in tag and not _closes(tag)


def _closes(tag: str) -> bool:
    name = _tag_name(tag)
    return (name in SHAPE_KEYS and "/" in tag) or name in ("boxend", "quadend", "pointend")


class _Group:
    """What one pair of brackets or tags, or the whole text, holds. It takes the tokens one by one, in their order."""

    def __init__(self, text: str, opener: str, start: int, corners: bool, depth: int) -> None:
        self.text, self.opener, self.start, self.corners, self.depth = text, opener, start, corners, depth
        self.numerals: list[Numeral] = []
        self.placed: list[Placed] = []
        self.texts: list[str] = []
        self.labels: list[str] = []
        self.label = ""
        self.reference: str | None = None  # the label that a tag before the box gives
        self.key: str | None = None
        self.last: ShapeToken | None = None  # the word or text that a colon would make a key
        self.name = ""  # of the coordinate whose number follows
        self.row = self.run = 0
        self.only_numbers = True
        self.in_braces = opener in ("{", "｛")

    def inner(self, opener: str, start: int) -> _Group:
        """Return an empty group for the brackets that open here."""
        return _Group(self.text, opener, start, self.corners, self.depth)

    def add_word(self, token: ShapeToken) -> None:
        """Take a word: a key if a colon follows, the name of a coordinate, a part of a label, or just a word."""
        self.settle()
        self.last = token
        if self.key in LABEL_KEYS:
            self.label = f"{self.label} {token.text}".strip()
            return
        name = coordinate_name(token.text)
        self.name = name or self.name
        word = token.text.lower()
        self.run += word not in UNITS
        self.only_numbers = self.only_numbers and (bool(name) or word in UNITS or word in LINKS)

    def add_string(self, token: ShapeToken) -> None:
        """Take a quoted text: the value of the key before it, or a key if a colon follows."""
        self.settle()
        if self.key is None:
            self.last = token
        else:
            self._add_value(unquoted(token.text), token)
            self.key = None

    def add_colon(self, token: ShapeToken) -> None:
        """Take a colon or an equals sign, which makes a key of the word before it."""
        self.run += 1
        if self.last is not None:
            key = self.last.text if self.last.kind == "word" else unquoted(self.last.text)
            self.key = plain_key(key) if plain_key(key) in _KNOWN_KEYS else key
            self.name = coordinate_name(key)
        self.last = None

    def add_comma(self, token: ShapeToken) -> None:
        """Take a comma, which ends the value of a key. The numbers around it are still one run."""
        self.settle()
        self.key = None

    def add_line(self, token: ShapeToken) -> None:
        """Take the end of a line, which ends a run of numbers. A key holds on: its value may stand on the next line."""
        self.settle()
        self.row, self.run = self.row + 1, self.run + 1
        if self.key in LABEL_KEYS and self.label:
            self.key = None

    def add_semicolon(self, token: ShapeToken) -> None:
        """Take a semicolon, which ends a run of numbers and the value of a key."""
        self.settle()
        self.row, self.run, self.key = self.row + 1, self.run + 1, None

    def add_reference(self, token: ShapeToken) -> None:
        """Take the label that a tag gives to the boxes behind it."""
        self.reference = token.text.strip()

    def add_number(self, token: ShapeToken) -> None:
        """Take a number, unless it is a part of a label, or the value of a key of an object that holds no box."""
        self.settle()
        if self.key in LABEL_KEYS:
            self.label = f"{self.label} {token.text}".strip()
        elif self.key is None or self.name or self.key in SHAPE_KEYS or not self.in_braces:
            numeral = Numeral(number_of(token.text), self.name, self.row, self.run, token.start, token.end)
            self.numerals.append(numeral)
        self.name = ""

    def add_junk(self, token: ShapeToken) -> None:
        """Take a word that begins with a digit, such as 2nd."""
        self.settle()
        self.run += 1
        self.only_numbers = False

    def add_attributes(self, token: ShapeToken) -> None:
        """Take a tag such as `<point x="10" y="20" alt="cat">`."""
        self.settle()
        pairs = [(name.lower(), one or two or bare) for name, one, two, bare in _ATTRIBUTE.findall(token.text)]
        label = next((value for name, value in pairs if name in ("alt", "label")), None)
        named = [(name, number_of(value.strip())) for name, value in pairs if _is_coordinate(name)]
        names, numbers = [coordinate_name(name) for name, _ in named], [number for _, number in named]
        box = box_by_names(names, numbers) if len(named) == 4 else None
        if box and not (_tag_name(token.text).startswith("point") and not self.corners):
            self._place(Shape(box, label, label is not None), token.start, token.end)
            return
        for (first, x), (second, y) in zip(named[::2], named[1::2], strict=False):
            if first[0] == "x" and second[0] == "y" and first[1:] == second[1:]:
                self._place(Shape((x, y), label, label is not None), token.start, token.end)

    def add_group(self, group: _Group, shapes: list[Shape], end: int) -> None:
        """Take the shapes of a group inside this one."""
        self.settle()
        key, self.key, self.last, self.run = self.key, None, None, self.run + 1
        if key in LABEL_KEYS and (self.in_braces or group.texts):
            self.labels = group.texts
            return
        if key in Y_FIRST_KEYS:
            shapes = [shape._replace(numbers=swapped(shape.numbers)) for shape in shapes]
        unknown = key is not None and key not in SHAPE_KEYS and key not in GROUP_KEYS
        if key in SHAPE_KEYS:
            shapes = [shape._replace(rank=max(shape.rank, GROUP)) for shape in shapes]
        for shape in shapes:
            if unknown and self.in_braces and not shape.sure:
                shape = shape._replace(label=key, sure=True)
            self._place(shape, group.start, end, apart=self.in_braces and unknown)

    def settle(self) -> None:
        """Take the last text as a value, because no colon made it a key."""
        last, self.last = self.last, None
        if last is not None and last.kind == "string":
            self._add_value(unquoted(last.text), last)

    def _add_value(self, value: str, token: ShapeToken) -> None:
        key = self.key
        if key in LABEL_KEYS:
            self.label = value
        elif (key in SHAPE_KEYS or _ONLY_NUMBERS.fullmatch(value)) and self.depth < 2:
            inner = _Group(self.text, self.opener, token.start, self.corners, self.depth)
            shapes = _from_numbers(value)
            shapes = shapes or read_shapes(value, corners=self.corners, depth=self.depth + 1)
            if shapes:
                self.add_group(inner, shapes, token.end)
                return
            number = number_of(value.strip())
            if number == number:
                self.numerals.append(Numeral(number, self.name, self.row, self.run, token.start, token.end))
                self.name = ""
        elif key is None:
            self.texts.append(value)
            self.only_numbers = False

    def _place(self, shape: Shape, start: int, end: int, *, apart: bool = False) -> None:
        if self.reference is not None and not shape.sure:
            shape = shape._replace(label=self.reference, sure=True)
        self.placed.append(Placed(shape, start, end, apart))

    def finish(self, end: int) -> list[Shape]:
        """Return the shapes of the group with their labels."""
        self.settle()
        named = named_shapes(self.numerals)
        self.placed += named
        if not self.placed or (self.corners and not self.opener and _only_one_point(self.placed)):
            self.placed += self._from_numbers()
        if any(not placed.apart for placed in self.placed):
            self.placed = [placed for placed in self.placed if not placed.apart]
        if self.corners:
            self.placed = folded(self.placed, GROUP if self.opener and len(self.placed) == 2 else CORNERS)
        return self._labelled(end)

    def _from_numbers(self) -> list[Placed]:
        """Return the boxes and points that the group's own numbers make, in the order in which they stand."""
        numerals, width = self.numerals, 4 if self.corners else 2
        rows = chunks(numerals, lambda numeral: numeral.row)
        if self.opener and self.only_numbers:
            if len(rows) > 1 and all(len(row) in (4, width) for row in rows):
                return [shape_of(row, GROUP) for row in rows]
            sized = len(numerals) == 2 and any(numeral.name in ("w", "h") for numeral in numerals)
            return [shape_of(numerals, GROUP)] if len(numerals) in (2, 4) and not sized else []
        runs = chunks(numerals, lambda numeral: numeral.run)
        whole = [shape_of(run, RUN) for run in runs if len(run) in (4, width)]
        if not whole and all(len(row) == 4 for row in rows):
            return [shape_of(row, RUN) for row in rows]
        if not whole and not self.opener and len(numerals) in (4, width):
            return [shape_of(numerals, RUN)]
        return whole

    def _labelled(self, end: int) -> list[Shape]:
        shapes = [placed.shape for placed in self.placed]
        if all(shape.sure for shape in shapes):
            return shapes
        labels: list[str | None] = []
        if self.label:
            labels = [self.label] * len(shapes)
        elif len(self.labels) == len(shapes):
            labels = list(self.labels)
        elif len(self.texts) == 1 and self.opener:
            labels = [self.texts[0]] * len(shapes)
        if labels:
            pairs = zip(shapes, labels, strict=True)
            return [shape if shape.sure else shape._replace(label=label, sure=True) for shape, label in pairs]
        if self.in_braces or (self.opener and self.numerals):
            return shapes
        labels = labels_beside(self.text, self.start + len(self.opener), end, self.placed)
        pairs = zip(shapes, labels, strict=True)
        return [shape if shape.label is not None else shape._replace(label=label) for shape, label in pairs]


_KNOWN_KEYS = SHAPE_KEYS | GROUP_KEYS | LABEL_KEYS
_TAKERS = {
    "word": _Group.add_word,
    "string": _Group.add_string,
    "colon": _Group.add_colon,
    "comma": _Group.add_comma,
    "line": _Group.add_line,
    "semicolon": _Group.add_semicolon,
    "ref": _Group.add_reference,
    "number": _Group.add_number,
    "junk": _Group.add_junk,
    "attributes": _Group.add_attributes,
}
