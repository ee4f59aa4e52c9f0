"""The rows of `rollouts/step_NNNNNN.jsonl`, made from the groups of a step."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from vlaa_ray.images.decode import encoded
from vlaa_ray.records import Group, ImageRef, Prompt, Rollout
from vlaa_ray.text.conversation import context_json

SaveImage = Callable[[str, bytes], str]
"""A function from (sha256, encoded bytes) to the path under which the report finds the image."""


ParamsOf = Callable[[Prompt], dict[str, Any]]
"""A function that gives the parameters with which the answers to a prompt are judged."""


def rollout_rows(
    groups: Sequence[Group], step: int, limit: int, save_image: SaveImage, params_of: ParamsOf
) -> list[dict[str, Any]]:
    """Return up to `limit` rollouts of a step as rows in JSON's types, for people to read.

    Groups are taken whole, and the verifier types take turns. `save_image` is called for each image of a row.
    """
    by_type: dict[str, list[Group]] = {}
    for group in groups:
        by_type.setdefault(group.prompt.verifier_type, []).append(group)
    rows: list[dict[str, Any]] = []
    turns = max((len(of_type) for of_type in by_type.values()), default=0)
    for group in (of_type[turn] for turn in range(turns) for of_type in by_type.values() if turn < len(of_type)):
        if len(rows) + len(group.rollouts) > limit:
            break
        images = [_image(image, save_image) for image in group.prompt.images]
        params = params_of(group.prompt)
        rows += [
            _row(group.prompt, params, rollout, images) | {"step": step, "position": group.position, "sample": sample}
            for sample, rollout in enumerate(group.rollouts)
        ]
    return rows


def _row(prompt: Prompt, params: dict[str, Any], rollout: Rollout, images: list[dict[str, Any]]) -> dict[str, Any]:
    completion, reward = rollout.completion, rollout.reward
    logprobs = completion.rollout_logprobs
    return {
        "prompt_id": prompt.prompt_id,
        "verifier_type": prompt.verifier_type,
        "source": prompt.source,
        **context_json(prompt),
        "question": prompt.question,
        "gold": prompt.gold,
        "verifier_params": params,
        "images": images,
        "completion": completion.text,
        "num_tokens": len(completion.token_ids),
        "finish_reason": completion.finish_reason,
        "reward": reward.value,
        "valid": reward.valid,
        "extracted": reward.extracted,
        "reason": reward.reason,
        "parts": reward.parts,
        "advantage": rollout.advantage,
        "rollout_logprob_mean": float(logprobs.mean()) if len(logprobs) else None,
        "rollout_logprob_min": float(logprobs.min()) if len(logprobs) else None,
        "weight_version": completion.weight_version,
    }


def _image(image: ImageRef, save_image: SaveImage) -> dict[str, Any]:
    path = save_image(image.sha256, encoded(image))
    return {"path": path, "sha256": image.sha256, "width_px": image.width_px, "height_px": image.height_px}
