"""The prompt templates of the steps: the files in `templates/`, or a user's own file with the same slots.

For example:

    load_template("verify", None).filled(gold="3", answer="three")
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from vlaa_ray.errors import ConfigError

_NEEDED: dict[str, set[str]] = {
    "caption": set(),
    "distill": {"caption", "question"},
    "rewrite": {"input"},
    "verify": {"gold", "answer"},
}
"""The slots that the template of each step must have. Some may also use `{question}` and `{side_information}`."""
_FENCE, _TICKS = "```", re.compile(r"`+")
_SLOT = re.compile(r"\{(\w+)\}")


@dataclass(frozen=True)
class Template:
    """A prompt with slots, such as `{question}`."""

    text: str

    def filled(self, **values: str) -> str:
        """Return the prompt with the values in its slots. Text in a value that looks like a slot is not replaced.

        The fences (```) of the template are made longer than any in the values, so that a value can't close them.
        """
        longest = max((len(ticks) for value in values.values() for ticks in _TICKS.findall(value)), default=0)
        text = self.text.replace(_FENCE, "`" * (longest + 1)) if longest >= len(_FENCE) else self.text
        return _SLOT.sub(lambda slot: values.get(slot[1], slot[0]), text).strip()


def load_template(step: str, file: str | None) -> Template:
    """Return the template of a step, from `file` or, with None, the built-in one.

    Raises ConfigError if the file can't be read or lacks a slot.
    """
    path = Path(file) if file else Path(__file__).parent / "templates" / f"{step}.txt"
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"steps.{step}.template: can't read the file: {error}", file=str(path)) from error
    if missing := _NEEDED[step] - set(_SLOT.findall(text)):
        slots = ", ".join(f"{{{slot}}}" for slot in sorted(missing))
        raise ConfigError(
            f"steps.{step}.template lacks {slots}",
            file=str(path),
            fix="add it at the place where the text is to be inserted",
        )
    return Template(text)
