"""The prompts of the steps: ours in `templates/`, or a file of the user's with the same slots.

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
"""The slots that a step's template must have. `{question}` and `{side_information}` may stand in most."""
_FENCE, _TICKS = "```", re.compile(r"`+")
_SLOT = re.compile(r"\{(\w+)\}")


@dataclass(frozen=True)
class Template:
    """A prompt with slots."""

    text: str

    def filled(self, **values: str) -> str:
        """The prompt; slots inside the values stay as they are, for they are text of others.

        Fences are made longer than any in the values, so that none of them ends early.
        """
        longest = max((len(ticks) for value in values.values() for ticks in _TICKS.findall(value)), default=0)
        text = self.text.replace(_FENCE, "`" * (longest + 1)) if longest >= len(_FENCE) else self.text
        return _SLOT.sub(lambda slot: values.get(slot[1], slot[0]), text).strip()


def load_template(step: str, file: str | None) -> Template:
    """The step's template; ConfigError if the file can't be read or lacks a slot."""
    path = Path(file) if file else Path(__file__).parent / "templates" / f"{step}.txt"
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"steps.{step}.template: can't read it: {error}", file=str(path)) from error
    if missing := _NEEDED[step] - set(_SLOT.findall(text)):
        slots = ", ".join(f"{{{one}}}" for one in sorted(missing))
        raise ConfigError(f"steps.{step}.template lacks {slots}", file=str(path), fix="put it where the text is to go")
    return Template(text)
