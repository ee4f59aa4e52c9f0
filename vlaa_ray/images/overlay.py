"""Boxes and points drawn on a picture."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from PIL import Image, ImageDraw, ImageFont

COLOUR = (255, 30, 90)
_OUTLINE = (255, 255, 255)
_SHOWN_PX = 448
_MAX_LABEL = 40
_Font = ImageFont.FreeTypeFont | ImageFont.ImageFont


def draw_marks(picture: Image.Image, marks: Iterable[tuple[Sequence[float], str | None]]) -> Image.Image:
    """Return a copy of the picture with boxes (x1, y1, x2, y2) and points (x, y), in its pixels, and their labels.

    A picture of less than 448 pixels is enlarged by a whole number first, so that the lines don't hide it.
    """
    scale = max(1, _SHOWN_PX // max(picture.size))
    width, height = (side * scale for side in picture.size)
    drawn = picture.convert("RGB").resize((width, height), Image.Resampling.NEAREST)
    canvas = ImageDraw.Draw(drawn)
    line = max(3, min(width, height) // 120)
    font = ImageFont.load_default(size=max(12, min(width, height) // 30))
    for pixels, label in marks:
        at = [value * scale for value in pixels]
        if len(at) == 4:
            _box(canvas, at, line)
        else:
            _point(canvas, at, 3 * line)
        if label:
            _label(canvas, (at[0], at[1]), " ".join(label.split())[:_MAX_LABEL], font, line)
    return drawn


def _box(canvas: ImageDraw.ImageDraw, at: list[float], line: int) -> None:
    """Draw the lines inside the box's edges: the pixel of its right edge is the one before x2."""
    x1, y1, x2, y2 = at
    edges = (x1, y1, max(x1, x2 - 1), max(y1, y2 - 1))
    canvas.rectangle(edges, outline=_OUTLINE, width=line + 1)
    canvas.rectangle(edges, outline=COLOUR, width=line)


def _point(canvas: ImageDraw.ImageDraw, at: list[float], radius: int) -> None:
    x, y = at
    canvas.ellipse((x - radius, y - radius, x + radius, y + radius), fill=COLOUR, outline=_OUTLINE)


def _label(canvas: ImageDraw.ImageDraw, corner: tuple[float, float], text: str, font: _Font, line: int) -> None:
    """Draw the label above the corner, or below it at the upper edge of the picture."""
    x, y = corner
    left, top, right, bottom = canvas.textbbox((0, 0), text, font=font)
    high = bottom - top + 2 * line
    y = y - high if y >= high else y + line
    canvas.rectangle((x, y, x + right - left + 2 * line, y + high), fill=COLOUR)
    canvas.text((x + line - left, y + line - top), text, font=font, fill=_OUTLINE)
