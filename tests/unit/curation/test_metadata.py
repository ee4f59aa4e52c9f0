"""Records into samples: every kind of record, each picture once, in the records' order."""

import base64
import hashlib
import io
import json

import pytest
from curating import config
from PIL import Image

from vlaa_ray.curation.metadata import BLOCK, collect, iterate_samples, read_block, with_sound_picture
from vlaa_ray.errors import ConfigError, DataError

THOUGHT = "<think>I count.</think><answer>3</answer>"


def picture(shade, kind="PNG"):
    """The encoded bytes of a picture, another for each shade."""
    buffer = io.BytesIO()
    Image.new("RGB", (40, 30), (shade, 20, 30)).save(buffer, kind)
    return buffer.getvalue()


def record(number, **changes):
    return {
        "id": f"r{number}",
        "image": f"shapes/{number}.png",
        "question": f"How many {number}?",
        "gt": number,
        "verifier_type": "digit",
    } | changes


def source(folder, rows, pictures=(), name="train.jsonl", **changes):
    """A section for a file of records, whose pictures lie beside it."""
    folder.mkdir(exist_ok=True)
    for relative, data in dict(pictures).items():
        file = folder / "images" / relative
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(data)
    lines = [row if isinstance(row, str) else json.dumps(row) for row in rows]
    (folder / name).write_text("\n".join(lines) + "\n")
    return {"path": str(folder / name)} | changes


def samples_of(folder, *sources, **changes):
    return list(iterate_samples(config(sources=list(sources), **changes), folder / "out"))


def numbered(count):
    return {f"shapes/{number}.png": picture(number) for number in range(count)}


def test_what_nobody_can_be_asked_is_dropped(tmp_path):
    rows = [record(0, question=" "), record(1, question="a\0b"), record(2, question="<image> or <image>?")]
    found = samples_of(tmp_path, source(tmp_path, rows, numbered(3)))
    assert {(one.dropped_at, one.reason) for one in found} == {("metadata", "the question can't be used in a prompt")}
    counts = "the number of <image> in the question is 2, but the number of images is 1"
    assert [one.detail for one in found][2] == counts


def test_a_damaged_picture_is_dropped_before_a_teacher_sees_it(tmp_path):
    pictures = numbered(2) | {"shapes/1.png": picture(1)[:-30], "shapes/2.png": b"no picture"}
    section = source(tmp_path, [record(number) for number in range(3)], pictures)
    sound, cut, none = samples_of(tmp_path, section)
    assert with_sound_picture(sound, tmp_path / "out") == sound
    dropped = with_sound_picture(cut, tmp_path / "out")
    assert (cut.dropped_at, dropped.dropped_at, dropped.reason) == ("", "metadata", "the picture is damaged")
    assert "truncated" in dropped.detail
    assert none.dropped_at == "metadata" and with_sound_picture(none, tmp_path / "out") == none


def test_a_record_is_a_sample(tmp_path):
    (one,) = samples_of(tmp_path, source(tmp_path, [record(0, verifier_params={"tolerance": 1})], numbered(1)))
    sha256 = hashlib.sha256(picture(0)).hexdigest()
    assert (one.index, one.sample_id, one.source, one.use) == (0, "r0", "shapes", "distill")
    assert (one.question, one.gold, one.verifier_type, one.verifier_params) == (
        "How many 0?",
        0,
        "digit",
        {"tolerance": 1},
    )
    assert (one.image, one.image_sha256) == (f"shapes/{sha256[:32]}.png", sha256)
    assert (one.caption, one.solution, one.dropped_at) == ("", "", "")
    assert (tmp_path / "out" / one.image).read_bytes() == picture(0)


def test_bytes_and_base64_become_files(tmp_path):
    encoded = base64.b64encode(picture(2)).decode()
    rows = [
        {"problem": "How many?", "answer": "3", "images": [f"data:image/png;base64,{encoded}"]},
        {"problem": "How many?", "answer": "3", "images": [{"bytes": None, "path": "x/a.JPG"}]},
    ]
    found = samples_of(tmp_path, source(tmp_path, rows, {"x/a.JPG": picture(3, "JPEG")}))
    assert [one.dropped_at for one in found] == ["", ""]
    assert [one.image.rpartition(".")[2] for one in found] == ["png", "jpg"]
    assert [(tmp_path / "out" / one.image).read_bytes() for one in found] == [picture(2), picture(3, "JPEG")]


def test_a_parquet_file_with_bytes(tmp_path):
    import pyarrow
    from pyarrow import parquet

    rows = [{"problem": f"How many {n}?", "answer": "3", "images": [{"bytes": picture(n)}]} for n in range(3)]
    parquet.write_table(pyarrow.Table.from_pylist(rows), tmp_path / "train.parquet")
    found = samples_of(tmp_path, {"path": str(tmp_path / "train.parquet")})
    assert [(tmp_path / "out" / one.image).read_bytes() for one in found] == [picture(n) for n in range(3)]


def test_side_information_and_captions_of_their_own(tmp_path):
    metas = [{"rationale": " Two and one. ", "scene": {"größe": [1, 2]}}, {"rationale": ""}, None]
    rows = [record(n, meta=meta, caption=f"Caption {n}") for n, meta in enumerate(metas)]
    rows.append(record(3, meta=json.dumps({"rationale": "In a text."})))
    where = source(tmp_path, rows, numbered(4), side_information=["meta.rationale", "meta.scene"])
    found = samples_of(tmp_path, where | {"caption_field": "caption"})
    assert [one.side_information for one in found] == ['Two and one.\n{"größe": [1, 2]}', "", "", "In a text."]
    assert [one.caption for one in found] == ["Caption 0", "Caption 1", "Caption 2", ""]
    assert samples_of(tmp_path, where)[0].caption == ""  # unless it is asked for


def test_side_information_that_cannot_be_read_drops_the_record(tmp_path):
    rows = [record(0, meta="{'rationale': 'cut"), record(1, meta={"rationale": "x"})]
    found = samples_of(tmp_path, source(tmp_path, rows, numbered(2), side_information=["meta.rationale"]))
    assert [(one.dropped_at, one.reason) for one in found] == [("metadata", "the record can't be read"), ("", "")]
    assert "can't be read: neither JSON nor Python" in found[0].detail


@pytest.mark.parametrize(
    ("row", "reason", "detail"),
    [
        ("{not json", "the record can't be read", "not JSON"),
        ("3", "the record can't be read", "must be a JSON object"),
        ({"question": "?"}, "the record can't be read", "lacks a field"),
        (record(0, image="gone.png"), "the record can't be read", "gone.png"),
        (record(0, image="../secret.png"), "the record can't be read", "outside"),
        (record(0, image="https://example.org/a.png"), "the record can't be read", "the image is not fetched"),
        (record(0, image="shapes/text.png"), "the record can't be read", "not an image"),
        (record(0, verifier_type="no_such"), "the record can't be read", "no_such"),
        ({"problem": "?", "answer": "3", "images": []}, "not exactly one picture", "0 pictures"),
        ({"problem": "?", "answer": "3", "images": ["shapes/0.png"] * 2}, "not exactly one picture", "2 pictures"),
        (
            {"query": "?", "answer": "3", "images": ["shapes/0.png"], "history": [["Hello?", "Hi."]]},
            "the record has earlier turns, which the teachers are not shown",
            "",
        ),
    ],
)
def test_what_cannot_be_used_is_dropped_and_the_rest_goes_on(tmp_path, row, reason, detail):
    pictures = numbered(2) | {"shapes/text.png": b"no picture"}
    bad, good = samples_of(tmp_path, source(tmp_path, [row, record(1)], pictures))
    assert (bad.dropped_at, bad.reason) == ("metadata", reason) and detail in bad.detail
    assert (good.dropped_at, good.index) == ("", 1)


def test_a_picture_is_used_once_with_its_first_question(tmp_path):
    pictures = numbered(3) | {"shapes/copy.png": picture(0)}
    rows = [record(0), record(1), record(2, image="shapes/0.png"), record(3, image="shapes/copy.png")]
    first = source(tmp_path / "a", rows, pictures)
    second = source(tmp_path / "b", [record(9, image="1.png"), record(8, image="2.png")], {
        "1.png": picture(1), "2.png": picture(2)
    }, name="other.jsonl")  # fmt: skip
    found = samples_of(tmp_path, first, second)
    again = [("metadata", "an earlier sample has the same picture")]
    assert [(one.dropped_at, one.reason) for one in found] == [("", "")] * 2 + again * 3 + [("", "")]
    many = samples_of(tmp_path, first, second, unique_images=False)
    assert [one.dropped_at for one in many] == [""] * 6 and many[0].image == many[2].image == many[3].image


def test_a_record_that_is_dropped_takes_no_picture(tmp_path):
    rows = [record(0, answer="no tags"), record(1, image="shapes/0.png", answer=THOUGHT)]
    found = samples_of(tmp_path, source(tmp_path, rows, numbered(1), use="as_is"))
    assert [one.reason for one in found] == ["the record has no worked answer", ""]


def test_worked_answers_are_kept_where_they_are_to_be(tmp_path):
    rows = [record(0, answer=THOUGHT)]
    found = [samples_of(tmp_path, source(tmp_path, rows, numbered(1), use=use))[0] for use in ("distill", "as_is")]
    assert [one.solution for one in found] == ["", THOUGHT]
    only_rl = samples_of(tmp_path, source(tmp_path, rows, numbered(1), use="rl_only"))[0]
    assert (only_rl.use, only_rl.solution, only_rl.dropped_at) == ("rl_only", "", "")


def test_golds_are_made_clean(tmp_path):
    rows = [
        record(0, gt="(a)", verifier_type="mcq"),
        record(1, gt="Output: \\boxed{5}", verifier_type="math"),
        record(2, gt=3),
        record(3, gt=[0.1, 0.2, 0.7, 0.5], verifier_type="iou"),
    ]
    found = samples_of(tmp_path, source(tmp_path, rows, numbered(4)))
    assert [one.gold for one in found] == ["A", "5", 3, [0.1, 0.2, 0.7, 0.5]]
    assert found[3].verifier_params == {"frame": "unit"}


def test_names_limits_and_order(tmp_path):
    first = source(tmp_path / "a", [record(n) for n in range(4)], numbered(4), max_samples=2, name="a.jsonl")
    rows = [{**record(n), "id": None} for n in range(3)]
    pictures = {f"shapes/{n}.png": picture(10 + n) for n in range(3)}
    second = source(tmp_path / "b", rows, pictures, name="b.jsonl") | {"name": "mine"}
    found = samples_of(tmp_path, first, second)
    assert [one.sample_id for one in found] == ["r0", "r1", "b.jsonl:1", "b.jsonl:2", "b.jsonl:3"]
    assert [one.index for one in found] == list(range(5))
    assert [one.source for one in found] == ["shapes"] * 2 + ["mine"] * 3
    assert found[2].image.startswith("mine/")


def test_no_two_samples_have_one_name(tmp_path):
    """Files of one name in two folders name their records alike, and so do records that count from 1."""
    sources = []
    for offset, folder in enumerate("ab"):
        rows = [record(0), record(0, image="shapes/1.png"), {**record(2), "id": None}]
        pictures = {f"shapes/{n}.png": picture(10 * offset + n) for n in range(3)}
        sources.append(source(tmp_path / folder, rows, pictures))
    found = samples_of(tmp_path, *sources)
    assert [one.sample_id for one in found] == ["r0", "r0#1", "train.jsonl:3", "r0#3", "r0#4", "train.jsonl:3#5"]


@pytest.mark.parametrize(
    ("name", "folder"), [("LLaVA-CoT.v1", "LLaVA-CoT.v1"), ("..", "unnamed"), ("images", "images_")]
)
def test_folders_of_pictures_stay_below_the_images(tmp_path, name, folder):
    (one,) = samples_of(tmp_path, source(tmp_path, [record(0)], numbered(1), name="t.jsonl") | {"name": name})
    assert one.image.startswith(f"{folder}/") and (tmp_path / "out" / one.image).is_file()


def test_a_records_own_source_is_a_safe_folder(tmp_path):
    row = {"problem": "?", "answer": "3", "images": ["shapes/0.png"], "source": "../../etc: a/b"}
    (one,) = samples_of(tmp_path, source(tmp_path, [row], numbered(1)))
    assert one.image.count("/") == 1 and ".." not in one.image.split("/")
    assert (tmp_path / "out" / one.image).resolve().is_relative_to(tmp_path / "out")


def test_nothing_is_written_where_nothing_is_to_be(tmp_path):
    where = source(tmp_path, [record(0), record(1)], numbered(2))
    before = sorted(tmp_path.rglob("*"))
    with_files = samples_of(tmp_path, where)
    for one in with_files:
        (tmp_path / "out" / one.image).unlink()
    (tmp_path / "out/shapes").rmdir()
    (tmp_path / "out").rmdir()
    assert list(iterate_samples(config(sources=[where]), None)) == with_files
    assert sorted(tmp_path.rglob("*")) == before


def test_what_was_put_there_before_stays(tmp_path):
    where = source(tmp_path, [record(0)], numbered(1))
    (one,) = samples_of(tmp_path, where)
    file = tmp_path / "out" / one.image
    inode = file.stat().st_ino
    (file.parent / f".{file.name}").write_bytes(b"half of it")  # a killed run's
    assert samples_of(tmp_path, where) == [one] and file.stat().st_ino == inode
    file.unlink()
    assert samples_of(tmp_path, where) == [one] and file.read_bytes() == picture(0)


def test_a_folder_that_cannot_be_written_is_one_typed_error(tmp_path):
    (tmp_path / "out").write_text("a file")
    with pytest.raises(ConfigError, match="can't put a picture into the run folder") as caught:
        samples_of(tmp_path, source(tmp_path, [record(0)], numbered(1)))
    assert "run.dir" in caught.value.fix


def test_blocks_of_the_samples_file(tmp_path):
    count = 2 * BLOCK + 3
    rows = [record(n, question=f"Wie viele \u2028 ü {n}?") for n in range(count)]
    where = source(tmp_path, rows, numbered(count))
    run = tmp_path / "run"
    run.mkdir()
    found = collect(config(sources=[where]), run)
    assert found.num_samples == count and len(found.offsets) == 3
    blocks = [read_block(found.file, offset) for offset in found.offsets]
    assert [len(block) for block in blocks] == [BLOCK, BLOCK, 3]
    assert [one for block in blocks for one in block] == samples_of(tmp_path, where)


def test_no_record_at_all_is_an_error(tmp_path):
    where = source(tmp_path, [])
    (tmp_path / "run").mkdir()
    with pytest.raises(DataError, match="the sources hold no record"):
        collect(config(sources=[where]), tmp_path / "run")


def test_built_in_pictures():
    found = list(iterate_samples(config(sources=[{"path": "builtin:train", "max_samples": 5}]), None))
    assert [one.index for one in found] == list(range(5)) and not any(one.dropped_at for one in found)
    assert len({one.sample_id for one in found}) == len({one.image for one in found}) == 5


def test_hostile_names_and_golds_cost_a_record_at_most(tmp_path):
    deep = "[" * 700 + "]" * 700
    lines = [json.dumps(record(0)), json.dumps(record(1) | {"gt": "DEEP"}).replace('"DEEP"', deep)]
    section = source(tmp_path, lines, numbered(2), name="train.jsonl", verifier_type="text")
    found = collect(config(sources=[section]), tmp_path)
    kept, dropped = read_block(found.file, found.offsets[0])
    assert not kept.dropped_at and dropped.dropped_at == "metadata"
    section = source(
        tmp_path / "b", [json.dumps(record(0, image="x" * 200 + "/0.png"))], {"x" * 200 + "/0.png": picture(9)}
    )
    (one,) = iterate_samples(config(sources=[section]), tmp_path / "out")
    assert (tmp_path / "out" / one.image).is_file() and len(one.image) < 130
