"""Answers that don't look: none is paid for it, and one that is gets noticed."""

import json

import pytest
from PIL import Image
from rich.console import Console

from vlaa_ray.checks.probes import PROBES, probe_prompts, probe_table
from vlaa_ray.cli import main
from vlaa_ray.config import RewardsSection
from vlaa_ray.data.builtin import BuiltinData
from vlaa_ray.records import PAPER_TYPES, Prompt
from vlaa_ray.rewards.manager import RewardManager


@pytest.fixture(scope="module")
def rewards():
    with RewardManager(RewardsSection()) as rewards:
        yield rewards


def prompts_of(kind, *golds, question="What is it?", **params):
    return [
        Prompt(
            prompt_id=str(i), question=question, gold=gold, verifier_type=kind, source="test", verifier_params=params
        )
        for i, gold in enumerate(golds)
    ]


@pytest.mark.parametrize("kind", PAPER_TYPES)
def test_no_probe_earns_more_than_an_honest_wrong_answer_on_the_built_in_data(rewards, kind):
    data = BuiltinData("heldout", (kind,))
    (outcome,) = probe_prompts([data[index] for index in range(40)], rewards)
    assert (outcome.verifier_type, outcome.num_prompts, outcome.holes) == (kind, 40, [])


def test_other_verifiers_pay_no_probe_either(rewards):
    box = [0.1, 0.1, 0.3, 0.3]
    prompts = prompts_of("boxes", [box, [0.5, 0.5, 0.9, 0.9]], [[0.2, 0.6, 0.4, 0.8]], frame="unit")
    prompts += prompts_of("points", box, [0.8, 0.8], frame="unit")
    prompts += prompts_of("letters", "AC", "BD") + prompts_of("number", "3.5 cm", "12 kg")
    prompts += prompts_of("text", "red", "blue") + prompts_of("list", "red, blue", "cat, dog")
    prompts += prompts_of("yes_no", "yes", "no") + prompts_of("ocr", "STOP", "Exit 12", least=0.5)
    outcomes = {outcome.verifier_type: outcome for outcome in probe_prompts(prompts, rewards)}
    assert len(outcomes) == 8
    assert {kind: one.holes for kind, one in outcomes.items() if one.holes and kind != "yes_no"} == {}
    assert outcomes["yes_no"].holes == ["tag stuffing"]  # it says yes, which is as good as any guess


def test_a_probe_for_some_prompts_is_averaged_over_them_alone(rewards, monkeypatch):
    prompts = prompts_of("text", "?", "red", "blue", "green")
    (outcome,) = probe_prompts(prompts, rewards)
    assert outcome.probes["empty answer, empty gold"] == 0.0 and "denied letter" not in outcome.probes
    monkeypatch.setitem(
        PROBES, "empty answer, empty gold", lambda one: "<answer>?</answer>" if one.gold == "?" else None
    )
    (outcome,) = probe_prompts(prompts, rewards)
    assert outcome.holes == ["empty answer, empty gold"] and outcome.probes["empty answer, empty gold"] == 1.0
    (letters,) = probe_prompts(prompts_of("mcq", "B", "C"), rewards)
    assert "denied letter" in letters.probes and "empty answer, empty gold" not in letters.probes


def test_the_reference_rows_by_hand(rewards):
    (outcome,) = probe_prompts(prompts_of("digit", 3, 3, 3, 4), rewards)
    assert outcome.commonest == 0.75  # "3" is right for three of four
    assert outcome.honest == 0.0
    (alone,) = probe_prompts(prompts_of("digit", 3, 3), rewards)
    assert alone.honest is None and alone.commonest == 1.0


def test_a_question_that_gives_its_answer_away_is_found(rewards, tmp_path, capsys):
    (outcome,) = probe_prompts(prompts_of("text", "red", "blue", question="red"), rewards)
    assert outcome.holes == ["the question"] and outcome.probes["the question"] == 0.5
    console = Console(width=120, record=True, force_terminal=True)
    console.print(probe_table([outcome]))
    assert "the question" in console.export_text()
    Image.new("RGB", (30, 30)).save(tmp_path / "a.png")
    rows = [{"id": i, "image": "a.png", "question": "red", "gt": gold} for i, gold in enumerate(("red", "blue"))]
    file = tmp_path / "data.json"
    file.write_text(json.dumps([row | {"verifier_type": "text"} for row in rows]))
    assert main(["probe", str(file), "--image-root", str(tmp_path)]) == 1
    assert "the question" in capsys.readouterr().out


def test_bad_records_are_left_out_and_counted(tmp_path, capsys):
    Image.new("RGB", (30, 30)).save(tmp_path / "a.png")
    row = {"image": "a.png", "question": "How many?", "verifier_type": "digit"}
    rows = [row | {"gt": 3}, row | {"gt": 4}, row | {"gt": 5, "image": "none.png"}]
    (tmp_path / "data.json").write_text(json.dumps(rows))
    assert main(["probe", str(tmp_path / "data.json")]) == 0
    captured = capsys.readouterr()
    assert "1 record can't be used and is left out, in row 3" in captured.err and "(2)" in captured.out
    (tmp_path / "data.json").write_text(json.dumps(rows[2:]))
    assert main(["probe", str(tmp_path / "data.json")]) == 1
    assert "DataError: " in capsys.readouterr().err
