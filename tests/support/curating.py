"""Samples, configs and replies for the tests of curation."""

from typing import Any

from vlaa_ray.config import CurationConfig
from vlaa_ray.curation.sample import Sample

STEPS = {
    "caption": {"teacher": "t", "max_tokens": 64},
    "distill": {"teacher": "t", "max_tokens": 128},
    "rewrite": {"teacher": "t", "max_tokens": 128},
    "verify": {"teacher": "t", "max_tokens": 4},
}
CAPTION = "Three red circles on white paper."


def sample(**changes: Any) -> Sample:
    """A sample that metadata has made; `changes` win."""
    values: dict[str, Any] = {
        "index": 0, "sample_id": "s0", "source": "shapes", "use": "distill", "image": "shapes/a.png",
        "image_sha256": "ab" * 32, "question": "How many circles?", "gold": 3,
        "verifier_type": "digit",
    }  # fmt: skip
    return Sample(**values | changes)


def config(url: str = "http://127.0.0.1:9/v1", **changes: Any) -> CurationConfig:
    """One teacher `t` for all steps. `changes` replace sections; those of `steps` and `teacher` are merged in."""
    steps = {name: section | changes.get("steps", {}).get(name, {}) for name, section in STEPS.items()}
    steps |= {name: value for name, value in changes.pop("steps", {}).items() if name not in STEPS}
    teacher = {"url": url, "model": "m", "timeout_s": 5, "give_up_s": 5, "concurrency": 8} | changes.pop("teacher", {})
    values = {
        "run": {"name": "trial"},
        "sources": [{"path": "builtin:train"}],
        "teachers": {"t": teacher},
        "steps": steps,
    }
    return CurationConfig.model_validate(values | changes)


def completion(text: Any, usage: Any = None, finish: str | None = "stop", **message: Any) -> dict[str, Any]:
    """The body of a chat completion."""
    body = {"choices": [{"message": {"content": text} | message, "finish_reason": finish}]}
    return body if usage is None else body | {"usage": usage}
