"""Every kind of source gives the same prompts: golds of their own type, images as they were encoded, little memory."""

import json
import subprocess
import sys

import numpy as np
import pytest
from formats import png

from vlaa_ray.cli import main
from vlaa_ray.config import DataSection
from vlaa_ray.data.dataset import open_dataset
from vlaa_ray.data.files.sources import record_files
from vlaa_ray.data.readers import iterate_prompts
from vlaa_ray.errors import DataError
from vlaa_ray.images.decode import encoded

COLOURS = ("red", "blue", "green")
GOLDS = {"text": ["3", "007", "true"], "int": [3, 0, -1], "float": [3.0, 0.5, 1e5], "list": [[1, 2], [3], [4, 5]]}
MIXED = [3, "3", [1, "x"], True, "true", 0.5]


def rows(golds):
    return [
        {"problem": f"<image>{number}?", "answer": gold, "images": [{"bytes": png(colour), "path": None}]}
        for number, (gold, colour) in enumerate(zip(golds, COLOURS, strict=True))
    ]


def dataset(golds):
    from datasets import Dataset, Image, List

    made = Dataset.from_list(rows(golds))
    return made.cast_column("images", List(Image()))


def as_parquet(folder, golds):
    dataset(golds).to_parquet(str(folder / "data.parquet"))
    return folder / "data.parquet"


def as_plain_parquet(folder, golds):
    """As other tools write it, without the schema of datasets."""
    import pyarrow as pa
    from pyarrow import parquet

    parquet.write_table(pa.Table.from_pylist(rows(golds)), folder / "data.parquet")
    return folder / "data.parquet"


def as_saved(folder, golds):
    dataset(golds).save_to_disk(str(folder / "saved"))
    return folder / "saved"


def as_shards(folder, golds):
    (folder / "snapshot/data").mkdir(parents=True)
    (folder / "snapshot/README.md").touch()
    for number in range(3):
        shard = dataset(golds).select([number])
        shard.to_parquet(str(folder / f"snapshot/data/train-{number:05d}-of-00003.parquet"))
    return folder / "snapshot"


def as_imagefolder(folder, golds):
    (folder / "pictures").mkdir()
    lines = []
    for row, colour in zip(rows(golds), COLOURS, strict=True):
        (folder / f"pictures/{colour}.png").write_bytes(row.pop("images")[0]["bytes"])
        lines.append(json.dumps(row | {"file_name": f"{colour}.png"}))
    (folder / "pictures/metadata.jsonl").write_text("\n".join(lines))
    return folder / "pictures"


def as_hub(folder, golds):
    as_shards(folder, golds)
    return f"hub:{folder / 'snapshot'}@train"


def as_hub_imagefolder(folder, golds):
    return f"hub:{as_imagefolder(folder, golds)}"


KINDS = (as_parquet, as_plain_parquet, as_saved, as_shards, as_imagefolder, as_hub)


def opened(source):
    return open_dataset(str(source), DataSection(verifier_type="text"), None)


@pytest.mark.parametrize("golds", GOLDS.values(), ids=GOLDS)
@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_golds_keep_their_type_and_images_their_bytes(tmp_path, kind, golds):
    prompts = opened(kind(tmp_path, golds))
    for _ in range(2):  # a prompt that is made again is the same
        assert [repr(prompts[index].gold) for index in range(3)] == [repr(gold) for gold in golds]
        assert [encoded(*prompts[index].images) for index in range(3)] == [png(colour) for colour in COLOURS]
    assert [prompt.question for prompt in prompts] == ["<image>0?", "<image>1?", "<image>2?"]
    assert len({prompt.prompt_id for prompt in prompts}) == 3


def test_images_that_a_dataset_of_the_hub_names_by_path(tmp_path):
    from vlaa_ray.data.files.sources import root_of

    source = as_hub_imagefolder(tmp_path, ["a", "b", "c"])
    (file,) = record_files(source)
    assert root_of(file, None) == (tmp_path / "pictures").resolve()
    assert sorted(encoded(*prompt.images) for prompt in opened(source)) == sorted(map(png, COLOURS))


@pytest.mark.parametrize("form", ["array", "lines", "folder"])
def test_json_may_hold_golds_of_several_types(tmp_path, form):
    texts = [json.dumps({"problem": "?", "answer": gold}) for gold in MIXED]
    if form == "folder":
        for number, text in enumerate(texts):
            (tmp_path / f"{number}.jsonl").write_text(text)
    else:
        (tmp_path / "data.json").write_text("\n".join(texts) if form == "lines" else f"[{','.join(texts)}]")
    prompts = opened(tmp_path if form == "folder" else tmp_path / "data.json")
    assert [repr(prompt.gold) for prompt in prompts] == [repr(gold) for gold in MIXED]


def test_what_is_no_gold_may_have_lost_its_types(tmp_path):
    from datasets import load_dataset

    rows = [{"problem": "?", "answer": "3", "meta": {"rationale": value, "n": 1}} for value in ("so", 7, ["a"])]
    (tmp_path / "train.json").write_text(json.dumps(rows))
    load_dataset(str(tmp_path), split="train").save_to_disk(str(tmp_path / "saved"))
    read = [prompt for _, prompt in iterate_prompts(tmp_path / "saved", None, keep=["meta.n"])]
    assert [(prompt.gold, prompt.meta) for prompt in read] == [("3", {"meta.n": 1})] * 3


@pytest.mark.parametrize("form", ["hub", "saved"])
def test_golds_whose_types_datasets_has_lost_are_refused(tmp_path, form):
    """It keeps "3" and 3 as one."""
    from datasets import load_dataset

    (tmp_path / "mixed").mkdir()
    (tmp_path / "mixed/train.json").write_text(json.dumps([{"problem": "?", "answer": gold} for gold in MIXED]))
    source = f"hub:{tmp_path / 'mixed'}"
    if form == "saved":
        source = str(tmp_path / "saved")
        load_dataset(str(tmp_path / "mixed"), split="train").save_to_disk(source)
    with pytest.raises(DataError, match=r"changed the types of these columns.*columns=\['answer'\].*hf download"):
        opened(source)


def test_a_changed_parquet_file_is_read_anew(tmp_path):
    assert opened(as_parquet(tmp_path, ["a", "b", "c"]))[0].gold == "a"
    assert opened(as_parquet(tmp_path, ["d", "e", "f"]))[0].gold == "d"


@pytest.mark.parametrize(
    ("names", "says"),
    [
        ((), "holds no records"),
        (("README.md", "dataset_infos.json"), "holds no records"),
        (("train-00000-of-00001.parquet", "test-00000-of-00001.parquet"), r"several splits.*\['test', 'train'\]"),
        (("train.jsonl", "val.jsonl"), "several splits"),
    ],
)
def test_a_folder_that_is_no_one_data_set_is_refused(tmp_path, names, says):
    for name in names:
        (tmp_path / name).touch()
    with pytest.raises(DataError, match=says):
        record_files(tmp_path)


def test_shards_are_read_in_the_order_of_their_names_and_defects_name_theirs(tmp_path, capsys):
    for name in ("b", "a", "c"):
        good = {"id": f"{name}1", "problem": f"{name}?", "answer": "1", "verifier_type": "number"}
        (tmp_path / f"{name}.jsonl").write_text(json.dumps(good) + ("\n{broken" if name == "b" else ""))
    quarantine = []
    data = DataSection(max_bad_share=0.5)
    prompts = open_dataset(str(tmp_path), data, None, quarantine=quarantine)
    assert [prompt.prompt_id for prompt in prompts] == ["a1", "b1", "c1"]
    assert [(one.file, one.row) for one in quarantine] == [(str(tmp_path / "b.jsonl"), 2)]
    assert main(["data", "check", str(tmp_path)]) == 1
    assert "b.jsonl:2" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("source", "says"),
    [
        ("hub:{folder}@test", "Unknown split.*train"),
        ("hub:{folder}/none@train", "can't read the data|can't reach the hub"),
        ("{folder}/data/broken.parquet", "can't read the data.*broken.parquet"),
        ("{folder}/none.parquet", "can't read the data.*none.parquet"),
    ],
)
def test_what_cant_be_opened_is_named(tmp_path, source, says):
    folder = as_shards(tmp_path, ["a", "b", "c"])
    whole = (folder / "data/train-00000-of-00003.parquet").read_bytes()
    (folder / "data/broken.parquet").write_bytes(whole[: len(whole) // 2])
    if source.startswith("hub:"):
        (folder / "data/broken.parquet").unlink()
    with pytest.raises(DataError, match=says):
        opened(source.format(folder=folder))


def test_a_hub_out_of_reach_is_an_error_that_says_what_to_do(monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("datasets.config.HF_HUB_OFFLINE", True)
    with pytest.raises(DataError, match=r"can't reach the hub.*owner/name.*Fix: .*download the files"):
        opened("hub:owner/name@train")


OPEN = """
import gc, re, sys, tracemalloc
from pathlib import Path
import datasets, pyarrow
from vlaa_ray.config import DataSection
from vlaa_ray.data.dataset import open_dataset
datasets.config.HF_DATASETS_CACHE = Path(sys.argv[2])
def own_bytes():
    gc.collect()
    pyarrow.default_memory_pool().release_unused()
    return int(re.search(r"RssAnon:\\s+(\\d+)", Path("/proc/self/status").read_text())[1]) << 10
len(open_dataset(sys.argv[3], DataSection(), None))  # what is imported and allocated once
before = own_bytes()
prompts = open_dataset(sys.argv[1], DataSection(), None)
seen = {prompts[index].images[0].sha256 for index in range(len(prompts))}
assert len(seen) == len(prompts)
print(len(prompts), own_bytes() - before)
"""


def test_memory_doesnt_grow_with_the_images(tmp_path):
    """Of 40 and of 400 images with 100 kB each; what the kernel maps of the file is not the process's own."""
    from datasets import Dataset

    rng = np.random.default_rng(0)
    grown = {}
    for count in (4, 40, 400):
        noise = (png("red") + rng.bytes(100_000) for _ in range(count))
        values = [{"problem": "?", "answer": "1", "images": [{"bytes": one, "path": None}]} for one in noise]
        Dataset.from_list(values).to_parquet(str(tmp_path / f"{count}.parquet"))
    for count in (40, 400):
        paths = [str(tmp_path / name) for name in (f"{count}.parquet", "cache", "4.parquet")]
        shown = subprocess.run([sys.executable, "-c", OPEN, *paths], capture_output=True, text=True, timeout=300)
        read, grown[count] = map(int, shown.stdout.split())
        assert read == count
    assert grown[400] < grown[40] + 18_000_000  # the images themselves: 36 MB more
