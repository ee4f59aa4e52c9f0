"""The names that people and models give to boxes, points, their coordinates and their labels, and what each means.

For example:

    box_by_names(["xmin", "ymin", "w", "h"], [10, 20, 100, 50]) == (10, 20, 110, 70)
"""

from __future__ import annotations

from collections.abc import Sequence

Numbers = tuple[float, ...]
_COORDINATES = "x1 y1 x2 y2 x0 y0 xmin ymin xmax ymax left top right bottom x y w h cx cy"
_COORDINATE_NAMES = {name: name for name in _COORDINATES.split()} | {
    "width": "w",
    "height": "h",
    "xcenter": "cx",
    "ycenter": "cy",
    "centerx": "cx",
    "centery": "cy",
    "topleftx": "x1",
    "toplefty": "y1",
    "bottomrightx": "x2",
    "bottomrighty": "y2",
}
SHAPE_KEYS = frozenset(
    "bbox bboxes bbox2d box boxes box2d bndbox boundingbox boundingboxes startbox endbox coordinates coordinate coords "
    "coord location position point points point2d click det xyxy quad topleft bottomright upperleft lowerright "
    "lefttop rightbottom topleftcorner bottomrightcorner min max start end boxstart".split()
)
"""The keys, without signs and in small letters, whose value is a box, a point, or a list of these."""
GROUP_KEYS = frozenset("objects object detections annotations answer answers result results items predictions".split())
"""The keys that hold objects and say nothing about them."""
LABEL_KEYS = frozenset("label labels name names class category categories categoryname classname ref phrase".split())
Y_FIRST_KEYS = frozenset({"box2d"})
"""The key of Gemini's and Gemma's boxes, which are y1, x1, y2, x2."""
UNITS = frozenset("px pixel pixels".split())
LINKS = frozenset("and to".split())
"""The words that may stand between the numbers of one group."""
_ORDERS = ("x1 y1 x2 y2", "x0 y0 x1 y1", "xmin ymin xmax ymax", "left top right bottom")
_SIZES = ("x y w h", "x1 y1 w h", "xmin ymin w h", "left top w h")
_BY_CORNERS = {frozenset(order.split()): order.split() for order in _ORDERS}
_BY_SIZE = {frozenset(order.split()): order.split() for order in _SIZES}
_BY_CENTRE = {frozenset("cx cy w h".split()): "cx cy w h".split()}


def plain_key(text: str) -> str:
    """Return the key in small letters and without signs: `bbox_2d` and "BBox 2D" are `bbox2d`."""
    return "".join(char for char in text[:80].lower() if char.isalnum())


def coordinate_name(word: str) -> str:
    """Return the usual name of the coordinate that this word or key names, or an empty text."""
    return _COORDINATE_NAMES.get(plain_key(word), "") if len(word) <= 16 else ""


def box_by_names(names: Sequence[str], numbers: Sequence[float]) -> Numbers | None:
    """Return x1, y1, x2, y2 from four named numbers in any order, or None if these names make no box."""
    wanted, of_name = frozenset(names), dict(zip(names, numbers, strict=True))
    if order := _BY_CORNERS.get(wanted):
        return tuple(of_name[name] for name in order)
    if order := _BY_SIZE.get(wanted):
        x, y, width, height = (of_name[name] for name in order)
        return x, y, x + width, y + height
    if order := _BY_CENTRE.get(wanted):
        x, y, width, height = (of_name[name] for name in order)
        return x - width / 2, y - height / 2, x + width / 2, y + height / 2
    if list(names) == ["x", "", "y", ""]:  # "x from 10 to 110, y from 20 to 120"
        return numbers[0], numbers[2], numbers[1], numbers[3]
    return None


def point_by_names(names: Sequence[str], numbers: Sequence[float]) -> Numbers | None:
    """Return x, y from two named numbers in either order, or None if they are not an x and a y."""
    axes = [_AXES.get(name, "") for name in names]
    if axes == ["x", "y"]:
        return numbers[0], numbers[1]
    return (numbers[1], numbers[0]) if axes == ["y", "x"] else None


_AXES = {name: "x" for name in "x x0 x1 x2 xmin xmax left right cx".split()} | {
    name: "y" for name in "y y0 y1 y2 ymin ymax top bottom cy".split()
}
