"""Lines for people in a run folder: processes of a run write them, and the process with the terminal shows them."""

from __future__ import annotations

from pathlib import Path

from vlaa_ray.storage.layout import NOTES


def append_note(folder: Path, text: str) -> None:
    """Append a line to the notes of the run in `folder`."""
    with (folder / NOTES).open("a", encoding="utf-8", errors="backslashreplace") as lines:
        lines.write(text + "\n")


def read_notes(folder: Path) -> list[str]:
    """Return the lines of the notes of the run in `folder`; [] without any."""
    file = folder / NOTES
    return file.read_text(encoding="utf-8", errors="replace").splitlines() if file.is_file() else []
