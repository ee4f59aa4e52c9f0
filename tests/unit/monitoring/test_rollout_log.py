import json

import numpy as np
import pytest

from vlaa_ray.monitoring.reduce import group_metrics
from vlaa_ray.monitoring.rollout_log import rollout_rows
from vlaa_ray.records import Completion, Group, ImageRef, Prompt, RewardResult, Rollout

IMAGE = ImageRef.from_bytes(b"bytes of an image", width_px=56, height_px=28)


def rollout(reward, num_tokens=3, *, versions=((4, 0, 3),), cut=False):
    completion = Completion(
        text=f"<answer>{reward}</answer>",
        token_ids=np.arange(num_tokens, dtype=np.int32),
        rollout_logprobs=-np.arange(num_tokens, dtype=np.float32),
        weight_versions=versions,
        finish_reason="length" if cut else "stop",
    )
    reward = RewardResult(value=reward, valid=reward is not None, extracted="x", parts={"format": 0.5})
    return Rollout(completion=completion, reward=reward, advantage=0.25)


def group(kind, position, *rollouts):
    prompt = Prompt(
        prompt_id=f"{kind}/{position}", question="?", gold=3, verifier_type=kind, source="test", images=(IMAGE,)
    )
    return Group(prompt=prompt, position=position, prompt_token_ids=np.zeros(5, dtype=np.int32), rollouts=rollouts)


def test_whole_groups_the_types_in_turn():
    two = (rollout(1.0), rollout(0.0))
    groups = [group("digit", 0, *two), group("digit", 1, *two), group("mcq", 2, *two), group("iou", 3, *two)]
    rows = rollout_rows(groups, 7, 7, lambda sha256, data: f"images/{sha256[:4]}.png", lambda _: {})
    assert [(row["position"], row["sample"]) for row in rows] == [(0, 0), (0, 1), (2, 0), (2, 1), (3, 0), (3, 1)]
    assert rollout_rows(groups, 7, 1, lambda *_: "", lambda _: {}) == []
    assert rollout_rows([], 7, 8, lambda *_: "", lambda _: {}) == []


def test_a_row_by_hand_survives_json():
    saved = {}

    def save(sha256, data):
        saved[sha256] = data
        return "images/a.png"

    (row,) = rollout_rows([group("digit", 5, rollout(1.0))], 7, 1, save, lambda prompt: {"of": prompt.prompt_id})
    assert saved == {IMAGE.sha256: b"bytes of an image"}
    assert json.loads(json.dumps(row)) == {
        "step": 7,
        "position": 5,
        "sample": 0,
        "prompt_id": "digit/5",
        "verifier_type": "digit",
        "source": "test",
        "question": "?",
        "gold": 3,
        "verifier_params": {"of": "digit/5"},
        "images": [{"path": "images/a.png", "sha256": IMAGE.sha256, "width_px": 56, "height_px": 28}],
        "completion": "<answer>1.0</answer>",
        "num_tokens": 3,
        "finish_reason": "stop",
        "reward": 1.0,
        "valid": True,
        "extracted": "x",
        "reason": "",
        "parts": {"format": 0.5},
        "advantage": 0.25,
        "rollout_logprob_mean": -1.0,
        "rollout_logprob_min": -2.0,
        "weight_version": 4,
    }


def test_metrics_by_hand():
    groups = [
        group("digit", 0, rollout(1.0, 2), rollout(0.0, 4)),
        group("mcq", 1, rollout(1.0, 6, versions=((3, 0, 2), (4, 2, 6)), cut=True), rollout(1.0, 4)),
        Group(prompt=group("iou", 2).prompt, position=2, failure="too long"),
    ]
    metrics = group_metrics(groups, weight_version=6, updates_per_step=2, planned=1)
    # versions: 4 and 3 (the oldest token) at version 6, two updates a step: 1 and 1.5 steps
    assert {name: metrics[name] for name in metrics if not name.startswith("reward/")} == {
        "groups/count": 3,
        "groups/failed": 1,
        "groups/resampled": 2,
        "groups/zero_variance_share": 0.5,
        "groups/digit/zero_variance_share": 0.0,
        "groups/mcq/zero_variance_share": 1.0,
        "groups/by_source/test/zero_variance_share": 0.5,
        "completion/mean_tokens": 4.0,
        "completion/digit/mean_tokens": 3.0,
        "completion/mcq/mean_tokens": 5.0,
        "completion/truncated_share": 0.25,
        "staleness/max": 1.5,
        "staleness/mean": 1.25,
    }
    assert metrics["reward/mean"] == pytest.approx(0.75) and metrics["reward/mcq/mean"] == 1
    assert group_metrics([groups[2]], weight_version=6, updates_per_step=2, planned=1) == {
        "groups/count": 1,
        "groups/failed": 1,
        "groups/resampled": 0,
    }
