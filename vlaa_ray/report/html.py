"""What the pages share: templates that escape whatever they are given, the style sheet, and a safe way to the disk."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from vlaa_ray import __version__
from vlaa_ray.storage.atomic import write_whole

_FOLDER = Path(__file__).parent


def write_page(path: Path, template: str, content: dict[str, Any], filters: dict[str, Any] | None = None) -> Path:
    """Fill the template, write it to `path`, whole or not at all, and give that back."""
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
    """Marks a string as HTML; only for what this package makes itself."""
    from markupsafe import Markup

    return Markup(made_here)
