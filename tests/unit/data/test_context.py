"""A record's own system text and its earlier turns, from the file to everything that reads a prompt."""

import hashlib
import json
from dataclasses import replace

import numpy as np
import pytest
from formats import CONVERSATIONS, read_prompts, written

from vlaa_ray.cli import main
from vlaa_ray.data.fingerprint import fingerprint
from vlaa_ray.data.prompt_checks import faults_of
from vlaa_ray.data.readers import iterate_pairs
from vlaa_ray.monitoring.rollout_log import rollout_rows
from vlaa_ray.records import Completion, Group, Prompt, RewardResult, Rollout, Turn
from vlaa_ray.report.data_samples import DrawnRecord, data_sample
from vlaa_ray.report.samples import samples_of
from vlaa_ray.rewards.params import VerifierParams
from vlaa_ray.rewards.scorers.xcomposer import with_places
from vlaa_ray.run.reader import RecordedRun
from vlaa_ray.text.conversation import as_one_text, context_json

HISTORY = (Turn(role="user", text="<image>How many squares?", num_images=1), Turn(role="assistant", text="6"))
ALPACA, SHAREGPT, SWIFT = (CONVERSATIONS[name] for name in ("alpaca history", "sharegpt turns", "ms-swift turns"))
TOLD = "system: Be brief.\n\nuser: <image>How many squares?\n\nassistant: 6\n\nuser: And red ones?"


@pytest.mark.parametrize("name", CONVERSATIONS)
def test_every_layout_gives_the_same_conversation(tmp_path, name) -> None:
    (prompt,) = read_prompts(written(tmp_path, CONVERSATIONS[name]), None)
    assert (prompt.question, prompt.gold, prompt.history, prompt.system) == ("And red ones?", "2", HISTORY, "Be brief.")
    assert len(prompt.images) == 1 and list(faults_of(prompt)) == []
    assert as_one_text(prompt) == TOLD


@pytest.fixture
def prompt(tmp_path) -> Prompt:
    return read_prompts(written(tmp_path, ALPACA), None)[0]


def test_a_record_without_them_has_the_hash_that_it_always_had(prompt) -> None:
    plain = replace(prompt, system=None, history=())
    parts = [plain.prompt_id, "And red ones?", "'2'", "digit", "{}", plain.images[0].sha256]
    expected = hashlib.sha256("\0".join([*parts, ""]).encode()).hexdigest()
    assert fingerprint([plain])["sha256"] == expected
    others = [prompt, replace(prompt, system=None), replace(prompt, history=()), replace(prompt, history=HISTORY[:1])]
    assert len({expected, *(fingerprint([one])["sha256"] for one in others)}) == 5


def test_faults_before_the_question_are_named(prompt) -> None:
    nul = replace(prompt, system="a\0", history=(Turn(role="user", text="\0"),))
    assert list(faults_of(nul)) == ["the system text holds a NUL character", "an earlier turn holds a NUL character"]
    greedy = replace(prompt, history=(Turn(role="user", text="?", num_images=2),))
    assert list(faults_of(greedy)) == ["the earlier turns have places for more images than there are: 1"]


def test_pairs_have_a_history_too(tmp_path) -> None:
    pairs = [
        ALPACA | {"chosen": "2", "rejected": "3"},
        SHAREGPT
        | {
            "conversations": SHAREGPT["conversations"][:3],
            "chosen": {"from": "gpt", "value": "2"},
            "rejected": {"from": "gpt", "value": "3"},
        },
        {"images": ["coco/a.png"], "messages": [*SWIFT["messages"], {"role": "assistant", "content": "2"}]}
        | {"rejected_response": "3"},
    ]
    for _, pair in iterate_pairs(written(tmp_path, *pairs), None):
        assert pair.answers == ("2", "3") and as_one_text(pair.prompt) == TOLD
    twice = pairs[2] | {"history": [["a", "b"]]}
    ((_, error),) = iterate_pairs(written(tmp_path, twice), None)
    assert "earlier turns twice" in error.message


def test_the_check_counts_the_records_that_have_them(tmp_path, capsys) -> None:
    rows = [SWIFT | {"id": 1}, SHAREGPT | {"id": 2, "system": None}, ALPACA | {"id": 3, "history": []}]
    rows.append({"id": 4, "problem": "<image>And red ones?", "answer": "2", "images": ["coco/a.png"]})
    file = written(tmp_path, *rows)
    assert main(["data", "check", file, "--report", str(tmp_path / "report.json")]) == 0
    report = json.loads((tmp_path / "report.json").read_text())
    assert report["statistics"]["records_with_system_text"] == report["statistics"]["records_with_earlier_turns"] == 2
    shown = " ".join(capsys.readouterr().out.replace("│", " ").split())
    assert "records with system text 2 records with earlier turns 2" in shown
    assert not any("see" in remark["reason"] for remark in report["unused"])


def test_the_same_question_after_other_turns_is_no_repeat_and_after_the_same_is_one(tmp_path) -> None:
    other = SWIFT | {
        "id": 2,
        "messages": [SWIFT["messages"][1], {"role": "assistant", "content": "7"}, *SWIFT["messages"][3:]],
    }
    file = written(tmp_path, SWIFT | {"id": 1}, other)
    assert main(["data", "check", file]) == 0
    assert main(["data", "check", written(tmp_path, SWIFT | {"id": 1}, SWIFT | {"id": 2})]) == 1


def test_the_data_page_shows_them(prompt) -> None:
    assert data_sample("f", DrawnRecord(1, prompt), VerifierParams({}), None).question == TOLD


def test_gold_boxes_are_drawn_on_the_questions_picture(prompt) -> None:
    changes = {"gold": [0.1, 0.1, 0.5, 0.5], "verifier_type": "iou", "verifier_params": {"frame": "unit"}}
    two = replace(prompt, images=prompt.images * 2, **changes)
    assert [len(one.boxes) for one in data_sample("f", DrawnRecord(1, two), VerifierParams({}), None).pictures] == [
        0,
        1,
    ]
    one = replace(prompt, **changes)
    assert [
        len(picture.boxes) for picture in data_sample("f", DrawnRecord(1, one), VerifierParams({}), None).pictures
    ] == [1]


def test_rollouts_record_them_and_the_report_shows_them(prompt, tmp_path) -> None:
    completion = Completion(
        text="2", token_ids=np.zeros(1, np.int32), rollout_logprobs=np.zeros(1, np.float32),
        weight_versions=((0, 0, 1),), finish_reason="stop",
    )  # fmt: skip
    rollout = Rollout(completion=completion, reward=RewardResult(value=1.0, valid=True))
    rows = rollout_rows(
        [Group(prompt=prompt, position=0, rollouts=(rollout,))], 1, 1, lambda *_: "images/a.png", lambda _: {}
    )
    assert {name: rows[0][name] for name in ("system", "history")} == context_json(prompt)
    plain = replace(prompt, system=None, history=())
    (row,) = rollout_rows([Group(prompt=plain, position=0, rollouts=(rollout,))], 1, 1, lambda *_: "", lambda _: {})
    assert "system" not in row and "history" not in row
    (tmp_path / "rollouts").mkdir()
    (tmp_path / "rollouts/step_000001.jsonl").write_text(json.dumps(rows[0]) + "\n")
    assert samples_of(RecordedRun.read(tmp_path))["digit"][0].samples[0].question == TOLD
    damaged = rows[0] | {"history": "a"}
    (tmp_path / "rollouts/step_000001.jsonl").write_text(json.dumps(damaged) + "\n")
    assert samples_of(RecordedRun.read(tmp_path))["digit"][0].samples[0].question == "And red ones?"


def test_a_reward_models_server_gets_them(prompt) -> None:
    from actors.serving.reward_server import RewardServer
    from vlaa_ray.images.decode import encoded

    asked = []
    server = RewardServer.__new__(RewardServer)
    server._model = type("Model", (), {"scores": lambda self, one, answers: asked.append(one) or [1.0]})()
    body = {
        "question": prompt.question,
        "images": [encoded(prompt.images[0])],
        "answers": ["2"],
        **context_json(prompt),
    }
    assert server.score(body["question"], body["images"], body["answers"], body) == [1.0]
    assert as_one_text(asked[0]) == TOLD and asked[0].images[0].sha256 == prompt.images[0].sha256
    assert server.score("?", [], ["2"]) == [1.0] and asked[1].history == () and asked[1].system is None


def test_models_that_are_asked_one_question_get_them_in_its_text(prompt) -> None:
    two = replace(prompt, images=prompt.images * 2)
    assert with_places(two) == (
        "system: Be brief.\n\nuser: Image1 <ImageHere>How many squares?\n\nassistant: 6\n\n"
        "user: Image2 <ImageHere>And red ones?"
    )
