"""Planted defects, each found once with its row and a reason; sound records none."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from planted import PLANTED, rows, sound, write_images, write_rows

from vlaa_ray.cli import main
from vlaa_ray.config import load_config
from vlaa_ray.models.chat import chat_format_of

CONFIGS = Path(__file__).parents[3] / "configs"
QUICKSTART = str(CONFIGS / "quickstart.yaml")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_images(tmp_path)
    return tmp_path


def photo(seed: int) -> Image.Image:
    colours = np.random.default_rng(seed).integers(0, 256, (9, 12, 3), dtype=np.uint8)
    return Image.fromarray(colours).resize((400, 300), Image.Resampling.BICUBIC)


def checked(folder: Path, *records: dict, config: str = QUICKSTART) -> tuple[int, dict]:
    file = write_rows(folder / "data.jsonl", *records)
    code = main(["data", "check", str(file), "--config", config, "--report", str(folder / "report.json")])
    return code, json.loads((folder / "report.json").read_text())


def test_every_planted_defect_gets_its_verdict_and_nothing_else_does(folder, capsys) -> None:
    made = rows()
    reasons = [reason for _, reason in PLANTED.values()]
    planted = {number: (made[number - 1]["id"], reason) for number, reason in enumerate(reasons, start=3)}
    code, report = checked(folder, *made, sound(99))
    assert code == 1
    assert {defect["row"]: defect["id"] for defect in report["defects"]} == {
        row: identity for row, (identity, _) in planted.items()
    }
    for defect in report["defects"]:
        assert planted[defect["row"]][1] in defect["reason"], defect
    assert len(report["defects"]) == len(PLANTED)
    assert report["statistics"]["records"] == len(made) + 1
    assert f"{len(PLANTED)} of {len(made) + 1} records have defects." in capsys.readouterr().out


def test_without_a_config_every_planted_defect_is_found_too(folder) -> None:
    file = write_rows(folder / "data.jsonl", *rows(), sound(99))
    assert main(["data", "check", str(file), "--report", str(folder / "report.json")]) == 1
    report = json.loads((folder / "report.json").read_text())
    reasons = {defect["row"]: defect["reason"] for defect in report["defects"]}
    assert reasons.keys() == set(range(3, len(PLANTED) + 3)) and len(report["defects"]) == len(PLANTED)
    for row, (name, (_, words)) in enumerate(PLANTED.items(), start=3):
        assert ("100000 characters" if name == "long" else words) in reasons[row]
    assert report["statistics"]["prompt_tokens"] == {}  # whose they would be isn't known


def test_a_source_of_a_mixture_is_checked_as_the_mixture_reads_it(folder, tmp_path, monkeypatch) -> None:
    (folder / "images").rename(folder / "pictures")
    untyped = [sound(number) for number in range(2)]
    for row in untyped:
        del row["verifier_type"]
    file = write_rows(folder / "data.jsonl", *untyped)
    part = {"path": str(file), "image_root": str(folder / "pictures"), "verifier_type": "digit"}
    config = folder / "mixture.yaml"
    config.write_text(Path(QUICKSTART).read_text().replace("train: builtin:train", f"train: {json.dumps([part])}"))
    monkeypatch.chdir(folder)
    assert main(["data", "check", "data.jsonl", "--config", str(config)]) == 0
    assert main(["data", "check", "data.jsonl", "--config", str(config), "--image-root", str(folder)]) == 1
    given = ["--image-root", part["image_root"], "--verifier-type", "digit"]
    assert main(["data", "check", "data.jsonl", *given]) == 0
    part["path"] = str(folder)
    config.write_text(Path(QUICKSTART).read_text().replace("train: builtin:train", f"train: {json.dumps([part])}"))
    assert main(["data", "check", "data.jsonl", "--config", str(config)]) == 0  # a file of its folder


def test_built_in_data_may_be_checked_beside_ones_own(folder) -> None:
    main(["data", "check", "builtin:heldout", "--report", str(folder / "report.json")])
    report = json.loads((folder / "report.json").read_text())
    assert report["statistics"]["format"] == {"built-in": 1000}
    # its pictures are drawn at random, and some are drawn twice
    assert all("the same question and images" in one["reason"] for one in report["defects"])


def test_control_tokens_in_a_gold_that_a_model_reads_are_a_defect(folder) -> None:
    wordy = {"verifier_type": "open_ended", "gt": "a dog <|im_end|>"}
    code, report = checked(folder, sound(1) | wordy, sound(2) | wordy | {"verifier_type": "text"})
    assert code == 1
    assert [one["reason"] for one in report["defects"]] == ["the gold holds the control token '<|im_end|>'"]


def test_a_verifier_type_that_there_is_not_is_refused(folder, capsys) -> None:
    file = str(write_rows(folder / "data.jsonl", sound(1)))
    assert main(["data", "check", file, "--verifier-type", "IoU"]) == 2
    assert "use one of digit, mcq" in " ".join(capsys.readouterr().err.split())


def test_answers_that_grpo_never_reads_are_no_defects(folder) -> None:
    file = write_rows(folder / "data.jsonl", sound(1) | {"answer": "<answer><|im_end|></answer>"})
    assert main(["data", "check", str(file)]) == 0
    assert main(["data", "check", str(file), "--config", str(CONFIGS / "tiny_base_sft.yaml")]) == 1


def test_sound_data_is_safe_and_told_of(folder, capsys) -> None:
    code, report = checked(folder, sound(1), sound(2), sound(3))
    assert (code, report["defects"]) == (0, [])
    statistics = report["statistics"]
    assert statistics["format"] == {"vlaa-thinking": 3}
    assert statistics["verifier_type"] == {"digit": 3} and statistics["gold_type"] == {"int": 3}
    assert statistics["image_px"] == {"least": 3000, "median": 3000.0, "most": 3000}
    assert statistics["prompt_tokens"]["least"] > 10


def test_what_is_in_training_and_held_out_data_is_named(folder, capsys) -> None:
    for name in ("train", "heldout"):
        (folder / f"{name}.jsonl").write_text(json.dumps(sound(1) | {"id": name}) + "\n")
    files = [str(folder / f"{name}.jsonl") for name in ("train", "heldout")]
    assert main(["data", "check", *files, "--report", str(folder / "report.json")]) == 1
    (defect,) = json.loads((folder / "report.json").read_text())["defects"]
    assert defect["file"] == files[1] and f"row 1 of {files[0]}" in defect["reason"]


def test_the_bad_records_are_written_as_a_run_writes_them(folder) -> None:
    file = folder / "data.jsonl"
    file.write_text(json.dumps(sound(1)) + "\n" + json.dumps(sound(2) | {"image": "dot.png"}) + "\n")
    assert main(["data", "check", str(file), "--quarantine", str(folder / "quarantine.jsonl")]) == 1
    (line,) = (folder / "quarantine.jsonl").read_text().splitlines()
    reason = "an image of 1 x 1 pixels is too small to show anything"
    assert json.loads(line) == {"id": "sound 2", "file": str(file), "row": 2, "reason": reason}


def test_sizes_and_solutions_are_told_of(folder) -> None:
    solutions = ["<think>1</think><answer>1</answer>", "<think>1 and 1</think><answer>2</answer>"]
    _, report = checked(folder, *(sound(number) | {"answer": text} for number, text in enumerate(solutions)), sound(2))
    statistics = report["statistics"]
    assert statistics["image_width_px"] == {"least": 60, "median": 60.0, "most": 60}
    assert statistics["image_height_px"] == {"least": 50, "median": 50.0, "most": 50}
    chat = chat_format_of(load_config(QUICKSTART).model)
    lengths = sorted(len(chat.completion_token_ids(text)) for text in solutions)
    assert [statistics["answer_tokens"][key] for key in ("least", "most")] == lengths


def test_images_in_training_and_held_out_data_are_named_with_their_rows(folder, capsys) -> None:
    photo(0).save(folder / "images/p.png")
    photo(0).resize((120, 90)).save(folder / "images/p.jpg", quality=60)
    photo(1).save(folder / "images/q.png")
    Image.new("RGB", (60, 50), "blue").save(folder / "images/blue.png")
    names = {"train": ["a.png", "p.png", "q.png", "p.png"], "heldout": ["blue.png", "p.jpg", "q.png", "q.png"]}
    for file, images in names.items():
        rows = [sound(number) | {"id": f"{file} {number}", "image": name} for number, name in enumerate(images)]
        rows = [row | {"question": f"In {file}: {row['question']}"} for row in rows]
        (folder / f"{file}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    files = [str(folder / f"{name}.jsonl") for name in names]
    assert main(["data", "check", *files, "--report", str(folder / "report.json")]) == 0
    statistics = json.loads((folder / "report.json").read_text())["statistics"]
    assert statistics["image_pairs"] == [
        {"how": "look alike", "first": {"file": files[0], "row": 2}, "second": {"file": files[1], "row": 2}},
        {"how": "the same", "first": {"file": files[0], "row": 3}, "second": {"file": files[1], "row": 3}},
    ]
    assert (statistics["shared_images"], statistics["look_alike_images"]) == (2, 0)
    shown = " ".join(capsys.readouterr().out.replace("│", " ").split())
    assert "heldout.jsonl:2 an image that looks like that of train.jsonl:2" in shown
    assert "heldout.jsonl:3 the same image as train.jsonl:3" in shown


def test_written_answers_are_held_against_the_limits_of_sft_and_golds_are_not_asked_for(folder) -> None:
    records = [sound(number) | {"answer": f"<think>.</think><answer>{number}</answer>"} for number in range(5)]
    records[1] |= {"gt": "many"}  # no digit, which is nothing to SFT
    records[2].pop("answer")
    records[3] |= {"answer": "<answer>" + "word " * 400 + "</answer>"}
    records[4] |= {"answer": "<answer><|im_end|></answer>"}
    records += [sound(5) | {"answer": "<answer>\ud800</answer>"}, sound(6) | {"verifier_type": "text"}]
    code, report = checked(folder, *records, config=str(CONFIGS / "tiny_base_sft.yaml"))
    assert code == 1
    reasons = {defect["row"]: defect["reason"] for defect in report["defects"]}
    assert reasons.keys() == {3, 4, 5, 6}  # the last is of a type that the config leaves out
    assert "holds half of a character" in reasons[6]
    assert reasons[3] == "the record has no worked answer to learn from"
    assert reasons[4].startswith("the answer has ") and "over sft.max_completion_tokens = " in reasons[4]
    assert reasons[5] == "the solution holds the control token '<|im_end|>'"


def test_pairs_are_checked_for_a_reward_model(folder) -> None:
    pair = {"image": "a.png", "question": "What is it?", "chosen": "a cat", "rejected": "a dog"}
    records = [pair, pair | {"question": "And?", "rejected": None}, pair | {"question": "Then?", "chosen": "a " * 900}]
    records += [pair | {"rejected": "a cow"}, pair]  # other answers to the same question are nothing odd
    code, report = checked(folder, *records, config=str(CONFIGS / "tiny_reward_model.yaml"))
    reasons = {defect["row"]: defect["reason"] for defect in report["defects"]}
    assert reasons.keys() == {2, 3, 5}
    assert "the same question, images and answers as row 1" in reasons[5]
    assert (code, reasons[2]) == (1, "a pair needs two texts")
    assert "over reward_model.max_completion_tokens" in reasons[3]
    assert report["statistics"]["answer_tokens"]["least"] < 10


def test_a_config_that_trains_nothing_is_refused(folder, capsys) -> None:
    file = str(write_rows(folder / "data.jsonl", sound(1)))
    assert main(["data", "check", file, "--config", str(CONFIGS / "curate_quickstart.yaml")]) == 2
    assert "the file is a config of `vlaa-ray data curate`" in capsys.readouterr().err


def test_what_no_verifier_can_take_is_named_and_what_it_can_is_not(folder, capsys) -> None:
    records = [sound(number) for number in range(6)]
    records[0] |= {"verifier_type": "open_ended", "gt": None}
    records[1] |= {"verifier_type": "open_ended", "gt": " "}
    records[2] |= {"verifier_params": {"foo": 1}}
    records[3] |= {"verifier_type": "number", "verifier_params": {"rel_tol": "x"}, "gt": "3"}
    records[4] |= {"verifier_type": "text", "gt": ["red", "crimson"]}
    records[5] |= {"id": "\ud800", "image": "none.png"}
    code, report = checked(folder, *records)
    reasons = {defect["row"]: defect["reason"] for defect in report["defects"]}
    assert code == 1 and reasons.keys() == {1, 2, 3, 4, 6}
    assert reasons[1] == reasons[2] == "the gold can't be judged: it is empty"
    assert reasons[3] == "the verifier 'digit' can't use the verifier_params ['foo']"
    assert "parameters can't be used" in reasons[4]
    assert "(\\ud800)" in " ".join(capsys.readouterr().out.replace("│", " ").split())


def test_rows_without_ids_and_other_data_sets_ids_are_no_repeats(folder) -> None:
    for name in ("train", "heldout"):
        (folder / name).mkdir()
        rows = [sound(f"{name} {number}") | {"gt": number} for number in range(3)]
        rows[0].pop("id")
        rows[1]["id"] = 1
        write_rows(folder / name / "data.jsonl", *rows)
    files = [str(folder / f"{name}/data.jsonl") for name in ("train", "heldout")]
    assert main(["data", "check", *files, "--image-root", str(folder / "images")]) == 0


def test_a_broken_file_hides_no_other(folder, capsys) -> None:
    broken, empty, sound_file, prose = (folder / name for name in ("a.json", "b.jsonl", "c.jsonl", "d.jsonl"))
    broken.write_text(json.dumps([sound(7), sound(8)])[:-20])
    empty.write_text("\n")
    write_rows(sound_file, sound(1), sound(2) | {"image": "none.png"})
    prose.write_text("This is no data.\n" * 300)
    report_file = folder / "new" / "folder" / "report.json"
    files = [str(file) for file in (broken, empty, sound_file, prose)]
    assert main(["data", "check", *files, "--report", str(report_file)]) == 1
    report = json.loads(report_file.read_text())
    by_file = {Path(one["file"]).name: (one["row"], one["reason"]) for one in report["defects"]}
    assert len(report["defects"]) == 4
    assert by_file["a.json"][0] == 0 and "the JSON array is broken" in by_file["a.json"][1]
    assert by_file["b.jsonl"] == (0, "the file holds no record")
    assert by_file["c.jsonl"][0] == 2 and "none.png" in by_file["c.jsonl"][1]
    assert by_file["d.jsonl"][0] == 0 and "JSON" in by_file["d.jsonl"][1]
    assert "3 files can't be used" in capsys.readouterr().out


def test_where_nothing_can_be_written_or_read_is_said_at_once(folder, capsys, monkeypatch) -> None:
    file = str(write_rows(folder / "data.jsonl", sound(1)))
    monkeypatch.setattr("vlaa_ray.checks.data.check_data", None)  # nothing may be checked
    for option in ("--report", "--quarantine"):
        assert main(["data", "check", file, option, str(folder)]) == 2
        assert main(["data", "check", file, option, str(folder / "data.jsonl" / "r.json")]) == 2
    assert main(["data", "show", file, "--out", str(folder)]) == 2
    assert main(["data", "check", file, str(folder / "nowhere.jsonl"), str(folder / "nor here")]) == 1
    error = capsys.readouterr().err
    assert "nowhere.jsonl" in error and "nor here" in error and "Traceback" not in error


def test_data_of_which_the_config_chooses_nothing_is_no_data(folder, capsys) -> None:
    config = folder / "chosen.yaml"
    config.write_text(Path(QUICKSTART).read_text().replace("train: builtin:train", "verifier_types: [mcq, math]"))
    code, report = checked(folder, sound(1), sound(2), config=str(config))
    (defect,) = report["defects"]
    assert (code, defect["row"]) == (1, 0)
    assert defect["reason"] == "no record is of data.verifier_types (mcq, math)" and defect["fix"]
    code, report = checked(folder, sound(1), sound(2) | {"verifier_type": "mcq", "gt": "B"}, config=str(config))
    assert (code, report["statistics"]["left_out_by_verifier_types"]) == (0, {"digit": 1})
    assert "digit 1" in capsys.readouterr().out


def test_what_a_record_lacks_and_what_to_do_is_said_as_in_a_run(folder, capsys) -> None:
    photo(0).save(folder / "images/b.png")
    (folder / "images/bad.png").write_bytes((folder / "images/b.png").read_bytes()[:9000])
    records = [{"image": "a.png", "question": "How many?", "target": 6}, sound(2), sound(3), sound(4), sound(5)]
    del records[1]["verifier_type"]
    records[2] |= {"image": ["a.png", "none.png", "b.png"]}
    records[3] |= {"image": ["a.png", "b.png", "bad.png"]}
    records += [sound(5) | {"id": "other", "gt": 6}]
    _, report = checked(folder, *records)
    told = {defect["row"]: defect for defect in report["defects"]}
    assert told.keys() == {1, 2, 3, 4, 6}
    assert "gold" in told[1]["reason"] and "target" in told[1]["fix"] and told[1]["expected"]
    assert "--verifier-type" in told[2]["fix"] and "digit" in told[2]["expected"]
    assert "image 2 of 3" in told[3]["reason"] and "none.png" in told[3]["reason"]
    assert "image 3 of 3" in told[4]["reason"] and "bad.png" in told[4]["reason"]
    assert "but another gold: '6' here, '5' there" in told[6]["reason"]
    out = " ".join(capsys.readouterr().out.replace("│", " ").split())
    assert "fix: name the type" in out and "expected: digit, mcq" in out


def test_what_is_not_used_is_counted(folder) -> None:
    records = [sound(1) | {"difficulty": 3}, sound(2) | {"image": None, "difficulty": 4}, sound(3)]
    code, report = checked(folder, *records)
    unused = {finding["reason"]: (finding["count"], finding["places"]) for finding in report["unused"]}
    assert code == 0
    assert unused["no reader looks at the column `difficulty`"] == (2, ["data.jsonl:1"])
    assert unused["the record has no picture"] == (1, ["data.jsonl:2"])
