"""Golds that no answer can be judged by: found beforehand, and online where no verifier says so by itself."""

import pytest

from vlaa_ray.config import RewardsSection
from vlaa_ray.records import Prompt, RewardResult
from vlaa_ray.rewards.golds import fault_of, gold_faults
from vlaa_ray.rewards.mixture import MixedReward

UNIT = {"frame": "unit"}


@pytest.fixture(scope="module")
def rewards():
    with MixedReward(RewardsSection()) as rewards:
        yield rewards


def prompt(kind, gold, **params):
    return Prompt(prompt_id="p", question="?", gold=gold, verifier_type=kind, source="test", verifier_params=params)


def scored(rewards, asked, *answers):
    return rewards.score([(asked, f"<think>.</think><answer>{answer}</answer>") for answer in answers])


BAD = [
    (prompt("iou", [0.9, 0.1, 0.1, 0.5], **UNIT), "[0.1, 0.1, 0.5, 0.5]"),
    (prompt("iou", "[0, 0, NaN, 1]", **UNIT), "[0.1, 0.1, 0.5, 0.5]"),
    (prompt("iou", [0, 0, 1e9, 1e9], **UNIT), "[0.1, 0.1, 0.5, 0.5]"),
    (prompt("iou", [0.5, 0.5, 1.2, 1.2], **UNIT), "[0.5, 0.5, 1, 1]"),
    (prompt("math", "nan"), "nan"),
    (prompt("math", "N/A"), "n/a"),
    (prompt("digit", "many"), "3"),
]
SOUND = [
    (prompt("points", [[1, 2, 30, 20]], frame="rel1000", gold_frame="original_px", image_size=[40, 30]), "[9, 9]"),
    (prompt("boxes", [], **UNIT), "none"),
    (prompt("iou", [1, 2, 30, 20], frame="rel1000", gold_frame="original_px", image_size=[40, 30]), "[9, 9, 10, 10]"),
    (prompt("list", "2, 1", ordered=True), "1, 2"),
    (prompt("math", "4"), "5"),
]


@pytest.mark.parametrize(("asked", "answer"), BAD)
def test_what_is_wrong_beforehand_is_wrong_online(rewards, asked, answer) -> None:
    (fault,) = gold_faults(rewards, [asked])
    assert fault and fault_of(rewards, asked, scored(rewards, asked, answer)) == fault


@pytest.mark.parametrize(("asked", "answer"), SOUND)
def test_a_sound_gold_is_sound_whatever_is_answered(rewards, asked, answer) -> None:
    assert gold_faults(rewards, [asked]) == [None]
    assert fault_of(rewards, asked, scored(rewards, asked, answer)) is None


def test_a_reference_that_a_reward_model_cant_score_is_the_golds_fault(rewards) -> None:
    results = [RewardResult(value=None, valid=False, reason="the reference has no score: it is too long")] * 2
    told = "the gold can't be judged: the reference has no score: it is too long"
    assert fault_of(rewards, prompt("open_ended", "a dog"), results) == told
