"""Golds that no answer can be judged by: found beforehand, and online where no verifier says so by itself."""

from pathlib import Path

import pytest

from vlaa_ray.config import RewardsSection
from vlaa_ray.records import Prompt, RewardResult
from vlaa_ray.rewards.gold_checks import gold_fault_from_results, gold_faults, static_gold_fault
from vlaa_ray.rewards.manager import RewardManager

UNIT = {"frame": "unit"}


@pytest.fixture(scope="module")
def rewards():
    with RewardManager(RewardsSection()) as rewards:
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
    (prompt("math", r"\frac{"), r"\frac{"),
    (prompt("digit", "many"), "3"),
    (prompt("points", [0.9, 0.1, 0.1, 0.5], **UNIT), "[0.5, 0.5]"),
]
SOUND = [
    (prompt("points", [[1, 2, 30, 20]], frame="rel1000", gold_frame="original_px", image_size=[40, 30]), "[9, 9]"),
    (prompt("boxes", [], **UNIT), "none"),
    (prompt("iou", [1, 2, 30, 20], frame="rel1000", gold_frame="original_px", image_size=[40, 30]), "[9, 9, 10, 10]"),
    (prompt("iou", [0, 10, 640.01, 480], frame="original_px", image_size=[640, 480]), "[0, 10, 640, 480]"),
    (prompt("text", ["", "cat"]), "cat"),
    (prompt("text", [3, "three"]), "three"),
    (prompt("list", "2, 1", ordered=True), "1, 2"),
    (prompt("math", "4"), "5"),
]


@pytest.mark.parametrize(("asked", "answer"), BAD)
def test_what_is_wrong_beforehand_is_wrong_online(rewards, asked, answer) -> None:
    (fault,) = gold_faults(rewards, [asked])
    results = scored(rewards, asked, answer, "7", "")
    assert fault and gold_fault_from_results(rewards, asked, results) == fault


@pytest.mark.parametrize(("asked", "answer"), SOUND)
def test_a_sound_gold_is_sound_whatever_is_answered(rewards, asked, answer) -> None:
    assert gold_faults(rewards, [asked]) == [None]
    assert static_gold_fault(rewards, asked) is None
    assert gold_fault_from_results(rewards, asked, scored(rewards, asked, answer)) is None


def test_a_reference_that_a_reward_model_cant_score_is_the_golds_fault(rewards) -> None:
    results = [RewardResult(value=None, valid=False, reason="the reference has no score: it is too long")] * 2
    results.append(RewardResult(value=0.0, valid=True, reason="no <answer>…</answer>"))
    told = "the gold can't be judged: the reference has no score: it is too long"
    assert gold_fault_from_results(rewards, prompt("open_ended", "a dog"), results) == told


@pytest.mark.parametrize(("kind", "params"), [("mcq", {"foo": 1}), ("digit", {"extraction": "first"})])
def test_parameters_that_no_verifier_takes_are_found_before_it_is_asked(rewards, kind, params) -> None:
    asked = prompt(kind, "A" if kind == "mcq" else 3, **params)
    told = f"the verifier {kind!r} can't use the verifier_params {[*params]}"
    assert static_gold_fault(rewards, asked) == told and gold_faults(rewards, [asked]) == [told]


def test_parameters_that_can_not_be_used_are_no_crash(rewards) -> None:
    (fault,) = gold_faults(rewards, [prompt("boxes", [[0, 0, 1, 1]], threshold="0.5", **UNIT)])
    assert "parameters can't be used" in fault


def test_the_configs_parameters_and_weights_dont_hide_or_make_faults() -> None:
    params = {"frame": "unit", "gold_frame": "rel1000"}
    section = {"verifiers": {"iou": {"params": params, "weights": {"iou": 0.9, "format": 0.1}}}}
    with RewardManager(RewardsSection.model_validate(section)) as rewards:
        sound, reversed_ = prompt("iou", [100, 200, 700, 500]), prompt("iou", [700, 500, 100, 200])
        assert gold_faults(rewards, [sound]) == [None]
        for asked in (sound, reversed_):
            results = scored(rewards, asked, "[0.1, 0.2, 0.7, 0.5]")
            fault = gold_fault_from_results(rewards, asked, results)
            assert (fault is None) == (asked is sound)


def test_users_functions_are_not_held_to_being_their_own_answer(monkeypatch) -> None:
    monkeypatch.syspath_prepend(str(Path(__file__).parent))
    section = {"verifiers": {"half": {"function": "user_verifiers:in_range"}}}
    with RewardManager(RewardsSection.model_validate(section)) as rewards:
        asked = prompt("half", {"min": 3, "max": 5})
        right, wrong = scored(rewards, asked, "4", "9")
        assert (right.value, wrong.value) == (1.0, 0.0)
        assert gold_faults(rewards, [asked]) == [None] and gold_fault_from_results(rewards, asked, [wrong]) is None
