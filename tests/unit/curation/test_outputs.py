"""The sets on disk: they load again as they were, are safe to train on, and lose no record."""

import io
import json
from collections import Counter

import pytest
from curating import CAPTION, config, sample
from PIL import Image

from vlaa_ray.cli import main
from vlaa_ray.config import DataSection
from vlaa_ray.curation.outputs import Outputs, record_of
from vlaa_ray.data.dataset import open_dataset
from vlaa_ray.text.answers import extract_answer

CALM = "<think>So it is.</think><answer>{}</answer>"
DOUBT = "<think>Wait, let me check.</think><answer>{}</answer>"
GOLDS = [
    (3, "digit", {}),
    ("B", "mcq", {}),
    ("\\frac{1}{2}", "math", {}),
    ([0.1, 0.2, 0.7, 0.5], "iou", {"frame": "unit"}),
    ("[62, 57, 74, 94]", "iou", {"frame": "original_px", "image_size": [400, 300]}),
    ("Ein „grüner“ Kreis\u2028{x}", "open_ended", {}),
    (2.5, "number", {"rel_tol": 0.01}),
]


def samples(folder, count, **changes):
    """Samples of all kinds, with pictures of their own in the folder; every other one doubts itself."""
    made = []
    for number in range(count):
        gold, kind, params = GOLDS[number % len(GOLDS)]
        image = f"shapes/{number}.png"
        file = folder / "images" / image
        file.parent.mkdir(parents=True, exist_ok=True)
        buffer = io.BytesIO()
        picture = Image.effect_noise((400, 300), 10 + number).convert("RGB")
        picture.save(buffer, "PNG")
        file.write_bytes(buffer.getvalue())
        solution = (DOUBT if number % 2 else CALM).format(gold)
        made.append(
            sample(
                index=number, sample_id=f"s{number}", image=image, question=f"<image>What {{gold}} is №{number}?",
                gold=gold, verifier_type=kind, verifier_params=params, caption=CAPTION, solution=solution,
                rewritten=f"<think>\nr {number}\n</think>\n\nd",
            ).with_(**changes)
        )  # fmt: skip
    return made


def written(folder, taken, **changes):
    folder.mkdir(exist_ok=True)
    outputs = Outputs(config(**changes), folder)
    for one in taken:
        outputs.take(one)
    outputs.write()
    return outputs


def loaded(file):
    return list(open_dataset(str(file), DataSection(), None))


def dropped(folder):
    return [json.loads(line) for line in (folder / "dropped.jsonl").read_bytes().splitlines()]


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", tmp_path / "cache")


def test_the_sets_load_again_as_they_were(tmp_path):
    made = samples(tmp_path, 14)
    outputs = written(tmp_path, made)
    for name, expected in (("sft", made[::2]), ("rl", made[1::2])):
        for suffix in ("json", "parquet"):
            found = loaded(tmp_path / f"{name}.{suffix}")
            assert [one.prompt_id for one in found] == [one.sample_id for one in expected]  # in their order
            for one, before in zip(found, expected, strict=True):
                assert (one.question, one.verifier_type, one.source) == (
                    before.question,
                    before.verifier_type,
                    before.source,
                )
                assert one.verifier_params == before.verifier_params
                assert one.solution == before.solution and extract_answer(one.solution, "exactly_one") is not None
                assert one.images[0].path == str(tmp_path / "images" / before.image)
                assert one.gold == before.gold and type(one.gold) is type(before.gold)
    assert (outputs.counts.sources["shapes"].sft, outputs.counts.sources["shapes"].rl) == (7, 7)
    assert dropped(tmp_path) == []
    assert sorted(path.name for path in tmp_path.iterdir() if path.is_file()) == [
        "dropped.jsonl", "rl.json", "rl.parquet", "sft.json", "sft.parquet",
    ]  # fmt: skip


@pytest.mark.parametrize("suffix", ["json", "parquet"])
def test_data_check_says_that_they_are_safe(tmp_path, suffix):
    written(tmp_path, samples(tmp_path, 14))
    both = [str(tmp_path / f"{name}.{suffix}") for name in ("sft", "rl")]
    assert main(["data", "check", *both, "--report", str(tmp_path / "report")]) == 0
    found = json.loads((tmp_path / "report").read_text())
    assert found["defects"] == [] and found["statistics"]["records"] == 14


def test_a_record_has_the_published_keys(tmp_path):
    (one,) = samples(tmp_path, 1, side_information="known")
    assert record_of(one) == {
        "id": "s0",
        "image": "shapes/0.png",
        "question": one.question,
        "gt": 3,
        "verifier_type": "digit",
        "verifier_params": {},
        "answer": one.solution,
        "ds_answer": one.rewritten,
        "caption": CAPTION,
        "meta": {"source": "shapes", "side_information": "known"},
    }


def test_questions_for_rl_need_no_worked_answer(tmp_path):
    made = samples(tmp_path, 3, use="rl_only", solution="", rewritten="")
    written(tmp_path, made)
    assert [one.solution for one in loaded(tmp_path / "rl.json")] == [None] * 3
    assert [one.solution for one in loaded(tmp_path / "rl.parquet")] == [None] * 3
    assert json.loads((tmp_path / "sft.json").read_text()) == []


def test_every_record_is_in_exactly_one_place(tmp_path):
    made = samples(tmp_path, 40)
    made[3] = made[3].drop("verify", "the answer differs from the gold")
    made[4] = made[4].drop("metadata", "not exactly one picture", "2 pictures")
    made[8] = made[8].with_(source="other")
    caps = {"split": {"max_sft_per_source": {"shapes": 5}, "max_rl_per_source": 0}}
    outputs = written(tmp_path, made, **caps)
    sets = {name: [one.prompt_id for one in loaded(tmp_path / f"{name}.json")] for name in ("sft",)}
    assert json.loads((tmp_path / "rl.json").read_text()) == []
    ids = sets["sft"] + [row["id"] for row in dropped(tmp_path)]
    assert Counter(ids) == {one.sample_id: 1 for one in made}
    assert len(sets["sft"]) == 6 and "s8" in sets["sft"]
    assert sets["sft"] == sorted(sets["sft"], key=lambda name: int(name[1:]))
    assert Counter((row["step"], row["reason"]) for row in dropped(tmp_path)) == {
        ("verify", "the answer differs from the gold"): 1,
        ("metadata", "not exactly one picture"): 1,
        ("split", "over the limit of its source for SFT"): 13,
        ("split", "over the limit of its source for RL"): 19,
    }
    split = outputs.counts.steps["split"]
    assert (split.entered, split.left) == (38, 6) and outputs.counts.done == 40


def test_the_same_samples_make_the_same_files(tmp_path):
    changes = {"split": {"max_sft_per_source": 3, "max_rl_per_source": 2}}
    made = samples(tmp_path, 20)
    contents = []
    for folder in (tmp_path / "a", tmp_path / "b"):
        written(folder, made, **changes)
        contents.append({path.name: path.read_bytes() for path in folder.iterdir()})
    assert contents[0] == contents[1] and len(contents[0]) == 5
    written(tmp_path / "b", made, **changes, run={"name": "trial", "seed": 7})
    assert (tmp_path / "b/sft.json").read_bytes() != contents[0]["sft.json"]


def test_what_is_said_of_a_dropped_one(tmp_path):
    one = samples(tmp_path, 1)[0].with_(distilled="as distilled", rewritten="", gold=[1])
    written(tmp_path, [one.drop("rewrite", "the rewriting changed the length by over 15 words", "20 words")])
    assert dropped(tmp_path) == [
        {
            "id": "s0", "source": "shapes", "step": "rewrite",
            "reason": "the rewriting changed the length by over 15 words",
            "detail": "20 words", "image": "shapes/0.png", "question": one.question, "gt": [1], "caption": CAPTION,
            "ds_answer": "as distilled",
        }
    ]  # fmt: skip


def test_half_a_surrogate_pair_breaks_no_file(tmp_path):
    made = samples(tmp_path, 2)
    odd = "a\ud83d b \0 \u2028"
    made = [one.with_(caption=odd, question=odd, solution=CALM.format(odd), gold=odd) for one in made]
    made[1] = made[1].drop("verify", odd)
    written(tmp_path, made)
    (row,) = json.loads((tmp_path / "sft.json").read_text(encoding="utf-8"))
    assert row["caption"] == row["question"] == row["gt"] == odd
    assert dropped(tmp_path)[0]["reason"] == odd
    from pyarrow import parquet

    (row,) = parquet.read_table(tmp_path / "sft.parquet").to_pylist()
    assert row["caption"] == "a\\ud83d b \0 \u2028"


def test_more_rows_than_are_written_at_once(tmp_path):
    (one,) = samples(tmp_path, 1)
    made = [one.with_(index=number, sample_id=f"s{number}") for number in range(2500)]
    written(tmp_path, made)
    from pyarrow import parquet

    names = [f"s{number}" for number in range(2500)]
    assert [row["id"] for row in json.loads((tmp_path / "sft.json").read_text())] == names
    assert parquet.read_table(tmp_path / "sft.parquet")["id"].to_pylist() == names


def test_what_failed_leaves_the_sets_of_before(tmp_path):
    made = samples(tmp_path, 3)
    written(tmp_path, made)
    before = (tmp_path / "sft.json").read_bytes()
    outputs = Outputs(config(), tmp_path)
    outputs.take(made[0])
    outputs._kept.write("{cut")
    with pytest.raises(ValueError):
        outputs.write()
    assert (tmp_path / "sft.json").read_bytes() == before


def test_some_of_each_fate_to_look_at(tmp_path):
    made = samples(tmp_path, 30)
    made[0] = made[0].drop("verify", "the answer differs from the gold")
    outputs = written(tmp_path, made)
    assert {title: kept.count for title, kept in outputs.examples.items()} == {
        "SFT": 14,
        "RL": 15,
        "verify: the answer differs from the gold": 1,
    }
    assert [len(kept.items) for kept in outputs.examples.values()] == [1, 6, 6]
