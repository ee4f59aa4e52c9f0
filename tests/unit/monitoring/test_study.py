"""The metrics for studying completions, by hand; and the correlation against NumPy's."""

import numpy as np
import pytest

from vlaa_ray.config import TrackingSection
from vlaa_ray.monitoring.names import describe
from vlaa_ray.monitoring.study import CompletionStudy, length_reward_correlation
from vlaa_ray.records import Completion, Group, Prompt, RewardResult, Rollout
from vlaa_ray.text.openings import Openings

TRACKING = TrackingSection(reflection_phrases=("wait", "check", "double-check"))


def rollout(text, reward=1.0, num_tokens=3):
    completion = Completion(
        text=text,
        token_ids=np.arange(num_tokens, dtype=np.int32),
        rollout_logprobs=np.zeros(num_tokens, dtype=np.float32),
        weight_versions=((0, 0, num_tokens),),
        finish_reason="stop",
    )
    return Rollout(completion=completion, reward=RewardResult(value=reward, valid=reward is not None))


def group(kind, *rollouts):
    prompt = Prompt(prompt_id="p", question="?", gold=3, verifier_type=kind, source="test")
    return Group(prompt=prompt, position=0, prompt_token_ids=np.zeros(5, dtype=np.int32), rollouts=rollouts)


def test_phrases_and_openings_by_hand():
    groups = [
        group("digit", rollout("Wait, wait. One."), rollout("<think>Let me double-check.")),
        group("mcq", rollout("Let me see."), rollout("Check the waiter.")),
        group("iou"),  # nothing was sampled
    ]
    metrics = CompletionStudy(TRACKING, Openings(["let me think"], 2)).metrics(groups)
    assert metrics == {
        "completion/reflection/share": 0.75,
        "completion/reflection/wait/count": 2,
        "completion/reflection/check/count": 1,
        "completion/reflection/double-check/count": 1,
        "completion/digit/reflection_share": 1.0,
        "completion/mcq/reflection_share": 0.5,
        "completion/sft_opening_share": 0.5,
    }
    for name in metrics:
        describe(name)
    assert describe("completion/digit/reflection_share").name == "completion/{verifier_type}/reflection_share"


def test_nothing_is_logged_of_nothing():
    assert CompletionStudy(TRACKING).metrics([]) == {}
    assert CompletionStudy(TRACKING).metrics([group("digit")]) == {}
    none = CompletionStudy(TrackingSection(reflection_phrases=()))
    assert none.metrics([group("digit", rollout("wait"))]) == {}


def test_length_against_reward_within_groups():
    first = group("digit", rollout("", 1.0, 2), rollout("", 0.0, 4))
    second = group("mcq", rollout("", 1.0, 6), rollout("", 1.0, 4))
    # lengths minus means: -1, 1, 1, -1; rewards: 0.5, -0.5, 0, 0; so -1 / sqrt(4 x 0.5)
    assert length_reward_correlation([first, second]) == {
        "completion/length_reward_correlation": pytest.approx(-1 / np.sqrt(2))
    }
    assert length_reward_correlation([second]) == {}
    assert length_reward_correlation([group("iou", rollout("", None, 9), rollout("", None, 3))]) == {}


def test_one_group_has_the_correlation_of_numpy():
    rng = np.random.default_rng(0)
    lengths, rewards = rng.integers(1, 50, 8), rng.random(8)
    pairs = [rollout("", float(reward), int(length)) for length, reward in zip(lengths, rewards, strict=True)]
    expected = np.corrcoef(lengths, rewards)[0, 1]
    invalid = rollout("", None, 500)
    (value,) = length_reward_correlation([group("digit", *pairs, invalid)]).values()
    assert value == pytest.approx(expected, rel=1e-9)
