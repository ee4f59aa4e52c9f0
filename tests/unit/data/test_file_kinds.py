"""Files as people keep them: compressed, in other encodings, in folders of folders, with files that hold no records."""

import gzip
import json
import time
from decimal import Decimal

import pytest
from formats import png

from vlaa_ray.data.files.sources import found_files, record_files
from vlaa_ray.data.readers import iterate_prompts, rows_of
from vlaa_ray.errors import DataError

RECORDS = [{"problem": f"Ist {number} größer?", "answer": str(number), "verifier_type": "digit"} for number in range(3)]
LINES = "".join(json.dumps(record, ensure_ascii=False) + "\n" for record in RECORDS)
ARRAY = json.dumps(RECORDS, ensure_ascii=False, indent=1)
TABLE = "problem,answer,verifier_type\n" + "".join(",".join(record.values()) + "\n" for record in RECORDS)
KEYED = json.dumps({f"k{number}": record for number, record in enumerate(RECORDS)}, ensure_ascii=False)
POINTER = "version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 4567\n"


def zst(data: bytes) -> bytes:
    import pyarrow

    stream = pyarrow.BufferOutputStream()
    with pyarrow.CompressedOutputStream(stream, "zstd") as packed:
        packed.write(data)
    return stream.getvalue().to_pybytes()


def read(file):
    return [(row, prompt.question, prompt.gold) for row, prompt in iterate_prompts(file, None)]


EXPECTED = [(number + 1, record["problem"], record["answer"]) for number, record in enumerate(RECORDS)]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32"])
@pytest.mark.parametrize(
    ("name", "text"), [("a.jsonl", LINES), ("a.ndjson", LINES), ("a.json", ARRAY), ("a.csv", TABLE), ("b.json", KEYED)]
)
def test_text_is_read_in_the_encoding_that_it_shows(tmp_path, name, text, encoding) -> None:
    (tmp_path / name).write_bytes(text.encode(encoding))
    assert read(tmp_path / name) == EXPECTED


@pytest.mark.parametrize(("ending", "pack"), [(".gz", gzip.compress), (".zst", zst)])
@pytest.mark.parametrize(
    ("name", "text"),
    [("a.jsonl", LINES), ("a.json", ARRAY), ("a.csv", TABLE), ("a.tsv", TABLE.replace(",", "\t")), ("b.json", KEYED)],
)
def test_compressed_files_are_read(tmp_path, name, text, ending, pack) -> None:
    whole = pack(text.encode())
    (tmp_path / (name + ending)).write_bytes(whole)
    assert read(tmp_path / (name + ending)) == EXPECTED
    assert record_files(tmp_path) == [tmp_path / (name + ending)]
    (tmp_path / (name + ending)).write_bytes(whole[: len(whole) // 2])
    with pytest.raises(DataError, match="can't read the data"):
        read(tmp_path / (name + ending))
    (tmp_path / (name + ending)).write_bytes(text.encode())
    with pytest.raises(DataError, match="can't read the data"):
        read(tmp_path / (name + ending))


@pytest.mark.parametrize(
    "text",
    [
        KEYED,
        json.dumps(json.loads(KEYED), indent=2),
        json.dumps({"data": RECORDS}),
        json.dumps({"data": RECORDS}, indent=2),
        "\n".join(json.dumps(record, indent=2) for record in RECORDS),
        "\n\n" + LINES,
        LINES.replace("\n", "\r\n"),
    ],
    ids=["keyed", "keyed, spread", "under a key", "under a key, spread", "one after another", "blank lines", "CRLF"],
)
def test_json_in_other_shapes(tmp_path, text) -> None:
    (tmp_path / "a.json").write_bytes(text.encode())
    assert read(tmp_path / "a.json") == EXPECTED


def test_a_key_is_the_id_of_its_record(tmp_path) -> None:
    (tmp_path / "a.json").write_text(json.dumps({"x": {"problem": "?", "answer": "1"}, "y": {"id": 7, "problem": "?"}}))
    assert [row["id"] for row in rows_of(tmp_path / "a.json")] == ["x", 7]


@pytest.mark.parametrize(
    "record",
    [
        {"messages": [{"role": "user", "content": "?"}], "images": [{"bytes": "AA"}]},
        {"conversations": [{"from": "human", "value": "?"}]},
        {"extra_info": {"a": 1}, "reward_model": {"ground_truth": "1"}},
        {"problem": "?", "answer": "1"},
    ],
)
@pytest.mark.parametrize("indent", [None, 2])
def test_a_single_record_is_no_mapping_of_records(tmp_path, record, indent) -> None:
    (tmp_path / "a.json").write_text(json.dumps(record, indent=indent))
    assert list(rows_of(tmp_path / "a.json")) == [record]


def test_a_broken_mapping_is_named_at_its_record(tmp_path) -> None:
    (tmp_path / "a.json").write_text(json.dumps(json.loads(KEYED), indent=2)[:-60])
    with pytest.raises(DataError, match=r"the JSON object is broken.*row=3"):
        list(rows_of(tmp_path / "a.json"))


def test_a_file_of_another_kind_is_one_error(tmp_path) -> None:
    (tmp_path / "a.json").write_text("<p>not found</p>\n" * 50_000)
    with pytest.raises(DataError, match=r"the file is not JSON: its first 20 lines are not"):
        list(rows_of(tmp_path / "a.json"))
    (tmp_path / "b.jsonl").write_text("{broken\n" * 19 + LINES)
    found = list(rows_of(tmp_path / "b.jsonl"))
    assert [isinstance(row, DataError) for row in found] == [True] * 19 + [False] * 3


@pytest.mark.parametrize("name", ["a.json", "a.jsonl", "a.csv", "a.parquet", "a.arrow"])
def test_a_git_lfs_pointer_is_named(tmp_path, name) -> None:
    (tmp_path / name).write_text(POINTER)
    with pytest.raises(DataError, match=r"the file is a Git LFS pointer, not the data itself.*git lfs pull"):
        list(iterate_prompts(tmp_path / name, None))


def test_a_folder_names_what_it_leaves_out(tmp_path, caplog) -> None:
    from datasets import Dataset

    for name, text in (("a.jsonl", LINES), ("b.csv", TABLE), ("d.ndjson", LINES), ("README.md", "#"), ("x.png", "")):
        (tmp_path / name).write_text(text)
    for name, text in (("._a.jsonl", "\0\5"), ("e.jsonl", ""), ("f.xlsx", "PK"), ("dataset_info.json", "{}")):
        (tmp_path / name).write_text(text)
    (tmp_path / "c.jsonl.gz").write_bytes(gzip.compress(LINES.encode()))
    empty = Dataset.from_dict({"problem": ["?"], "answer": ["1"]}).select([])
    empty.to_parquet(str(tmp_path / "g.parquet"))
    (tmp_path / "more").mkdir()
    (tmp_path / "more/h.jsonl").write_text(LINES)
    found = found_files(tmp_path)
    assert [file.name for file in found.files] == ["a.jsonl", "b.csv", "c.jsonl.gz", "d.ndjson"]
    assert {file.path.rpartition("/")[2]: file.reason for file in found.skipped} == {
        "._a.jsonl": "a file of macOS that holds no records",
        "dataset_info.json": "a file of `datasets` that holds no records",
        "e.jsonl": "it is empty",
        "f.xlsx": "no reader for .xlsx files",
        "g.parquet": "it is empty",
        "h.jsonl": "other files of the folder are taken for its records",
    }
    assert record_files(tmp_path) == found.files and "left out: " in caplog.text and "f.xlsx" in caplog.text
    assert list(rows_of(tmp_path / "g.parquet")) == []


def test_folders_of_folders_are_read(tmp_path) -> None:
    for name in ("b/part2.jsonl", "a/part1.jsonl", "a/deeper/part3.csv", ".cache/x.jsonl"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(LINES)
    names = [str(file.relative_to(tmp_path)) for file in record_files(tmp_path)]
    assert names == ["a/part1.jsonl", "a/deeper/part3.csv", "b/part2.jsonl"]
    for name in ("train", "test"):
        (tmp_path / "c" / name).mkdir(parents=True)
        (tmp_path / "c" / name / "0.jsonl").write_text(LINES)
    with pytest.raises(DataError, match=r"several splits.*\['test', 'train'\]"):
        record_files(tmp_path / "c")


def test_a_folder_of_empty_files_holds_no_records(tmp_path) -> None:
    (tmp_path / "a.jsonl").touch()
    with pytest.raises(DataError, match=r"holds no records.*a.jsonl: it is empty"):
        record_files(tmp_path)


def test_a_folder_of_many_pictures_is_searched_fast(tmp_path) -> None:
    (tmp_path / "pictures").mkdir()
    for number in range(20_000):
        (tmp_path / f"pictures/{number}.png").touch()
    (tmp_path / "pictures/metadata.csv").write_text(TABLE)
    start = time.monotonic()
    assert record_files(tmp_path) == [tmp_path / "pictures/metadata.csv"]
    assert time.monotonic() - start < 2


@pytest.mark.parametrize("kind", ["stream.arrow", "file.arrow", "file.feather"])
def test_arrow_files_are_read(tmp_path, kind) -> None:
    import pyarrow as pa

    table = pa.Table.from_pylist([record | {"images": [{"bytes": png()}]} for record in RECORDS])
    new = pa.ipc.new_stream if kind == "stream.arrow" else pa.ipc.new_file
    with new(str(tmp_path / kind), table.schema) as stream:
        stream.write_table(table)
    assert read(tmp_path / kind) == EXPECTED
    assert record_files(tmp_path) == [tmp_path / kind]
    (tmp_path / kind).write_bytes(b"no table")
    with pytest.raises(DataError, match="can't read the data"):
        read(tmp_path / kind)


def golds(tmp_path, column, features=None):
    """The golds of a parquet file whose column `answer` is this Arrow array, or these values of `datasets`."""
    import pyarrow as pa
    from datasets import Dataset
    from pyarrow import parquet

    file = tmp_path / "data.parquet"
    if features is None:
        parquet.write_table(pa.table({"problem": ["?"] * len(column), "answer": column}), file)
    else:
        Dataset.from_dict({"problem": ["?"] * len(column), "answer": column}, features=features).to_parquet(str(file))
    return [row["answer"] for row in rows_of(file)]


def test_golds_keep_the_type_that_their_publisher_gave_them(tmp_path) -> None:
    import pyarrow as pa
    from datasets import ClassLabel, Features, Value

    assert golds(tmp_path, pa.array([0.1, 12.7, None, 3.0], pa.float32())) == [0.1, 12.7, None, 3.0]
    assert golds(tmp_path, pa.array([[0.1, 0.2], [1.5]], pa.list_(pa.float32()))) == [[0.1, 0.2], [1.5]]
    boxes = pa.array([{"box": [0.3], "n": 1}], pa.struct([("box", pa.list_(pa.float32())), ("n", pa.int32())]))
    assert golds(tmp_path, boxes) == [{"box": [0.3], "n": 1}]
    money = pa.array([Decimal("12.70"), Decimal("3.00"), None], pa.decimal128(9, 2))
    assert list(map(repr, golds(tmp_path, money))) == ["12.7", "3", "None"]
    precise = pa.array([Decimal("0.12345678901234567890123")], pa.decimal128(38, 23))
    assert golds(tmp_path, precise) == ["0.12345678901234567890123"]
    holes = golds(tmp_path, pa.array([3.0, None, float("nan"), -1.0], pa.float64()))
    assert list(map(repr, holes)) == ["3", "None", "nan", "-1"]
    assert list(map(repr, golds(tmp_path, pa.array([3.0, 4.0], pa.float64())))) == ["3.0", "4.0"]
    assert list(map(repr, golds(tmp_path, pa.array([3.5, None], pa.float64())))) == ["3.5", "None"]
    features = Features({"problem": Value("string"), "answer": ClassLabel(names=["cat", "dog"])})
    assert golds(tmp_path, [1, 0], features) == ["dog", "cat"]
    assert golds(tmp_path, pa.array(["x", "y"]).dictionary_encode()) == ["x", "y"]
