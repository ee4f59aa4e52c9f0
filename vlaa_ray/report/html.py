"""The common part of all pages: templates that escape every value, the style sheet, and an atomic write."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from vlaa_ray import __version__
from vlaa_ray.storage.atomic import write_whole

_FOLDER = Path(__file__).parent


def write_page(path: Path, template: str, content: dict[str, Any], filters: dict[str, Any] | None = None) -> Path:
    """Fill the template, write the page to `path` atomically, and return `path`."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(_FOLDER), autoescape=True, undefined=StrictUndefined, trim_blocks=True
    )
    environment.filters |= filters or {}
    style = safe((_FOLDER / "style.css").read_text(encoding="utf-8"))
    html = environment.get_template(template).render(version=__version__, style=style, **content)
    write_whole(path, html.encode(errors="replace"))
    return path


def safe(made_here: str) -> Any:
    """Return the string marked as HTML, which templates do not escape; only for text that this package makes."""
    from markupsafe import Markup

    return Markup(made_here)
