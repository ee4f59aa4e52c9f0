import json
import os
import stat
import zlib
from contextlib import closing
from dataclasses import asdict, replace

import numpy as np
import pytest
import torch

from vlaa_ray.errors import WeightSyncError
from vlaa_ray.weight_sync.manifest import Manifest
from vlaa_ray.weight_sync.shared_memory import (
    SHARED_MEMORY,
    Bucket,
    SharedMemorySender,
    pack_bucket,
    read_bucket,
    take_part,
    unpack_bucket,
)

PREFIX = f"vlaa-unit-{os.getpid()}-"


def files() -> list[str]:
    return [path.name for path in SHARED_MEMORY.iterdir() if path.name.startswith(PREFIX)]


@pytest.fixture(autouse=True)
def nothing_left():
    yield
    left = files()
    for name in left:
        (SHARED_MEMORY / name).unlink()
    assert left == []


@pytest.fixture
def weights() -> dict[str, torch.Tensor]:
    torch.manual_seed(0)
    return {
        "embed": torch.randn(7, 3),
        "strided": torch.randn(4, 6).t(),
        "half": torch.randn(5).bfloat16(),
        "scalar": torch.tensor(2.5),
        "last": torch.randn(11),
    }


def sender(weights: dict[str, torch.Tensor], bucket_bytes: int = 100) -> SharedMemorySender:
    return SharedMemorySender(PREFIX, Manifest.of(weights.items()), bucket_bytes)


def first(weights: dict[str, torch.Tensor]):
    return closing(sender(weights, 1 << 20).buckets(weights.items()))


@pytest.mark.parametrize("bucket_bytes", [1, 100, 1 << 20])
def test_every_tensor_arrives_bit_for_bit(weights, bucket_bytes):
    arrived = {}
    for bucket in sender(weights, bucket_bytes).buckets(weights.items()):
        message = json.loads(json.dumps(asdict(bucket)))  # what the control plane carries
        arrived |= dict(read_bucket(Bucket(**message)))
    assert list(arrived) == list(weights)
    for name, tensor in weights.items():
        assert arrived[name].dtype == tensor.dtype
        assert torch.equal(arrived[name], tensor)


def test_checksums_are_crc32_of_the_bytes(weights):
    with first(weights) as buckets:
        bucket = next(buckets)
        assert bucket.checksums[0] == zlib.crc32(weights["embed"].numpy().tobytes())
        assert bucket.checksums[1] == zlib.crc32(np.ascontiguousarray(weights["strided"].numpy()).tobytes())


def test_what_was_read_outlives_the_file(weights):
    with first(weights) as buckets:
        arrived = dict(read_bucket(next(buckets)))
    assert files() == []
    assert torch.equal(arrived["embed"], weights["embed"])


def test_two_files_in_turn_readable_by_the_owner_only(weights):
    used = []
    for bucket in sender(weights, 30).buckets(weights.items()):
        used.append(bucket.file)
        assert len(files()) == 2
        assert all(stat.S_IMODE((SHARED_MEMORY / name).stat().st_mode) == 0o600 for name in files())
    assert used == [*used[:2], *used[:2]] and used[0] != used[1]
    assert files() == []


def test_a_bucket_can_be_read_while_the_next_one_is_written(weights):
    arrived, before = {}, None
    for bucket in sender(weights, 30).buckets(weights.items()):
        if before:
            arrived |= dict(read_bucket(before))
        before = bucket
        if bucket.is_last:
            arrived |= dict(read_bucket(bucket))
    assert all(torch.equal(arrived[name], tensor) for name, tensor in weights.items())


def test_a_bucket_that_is_read_too_late_is_refused(weights):
    with closing(sender(weights, 30).buckets(weights.items())) as buckets:
        first = next(buckets)
        next(buckets), next(buckets)
        with pytest.raises(WeightSyncError, match="altered"):
            list(read_bucket(first))


def test_tensors_are_taken_one_at_a_time(weights):
    taken = []

    def stream():
        for name, tensor in weights.items():
            taken.append(name)
            scratch = tensor.clone()
            yield name, scratch
            scratch.zero_()  # a gathered tensor is gone when the next one is asked for

    arrived = {}
    for bucket in sender(weights, 100).buckets(stream()):
        arrived |= dict(read_bucket(bucket))
        assert taken[-1] == bucket.names[-1]
    assert all(torch.equal(arrived[name], tensor) for name, tensor in weights.items())


def test_the_file_goes_when_the_sender_fails(weights):
    def stream():
        yield next(iter(weights.items()))
        raise RuntimeError("a gather failed")

    with pytest.raises(RuntimeError, match="a gather failed"):
        list(sender(weights, 1 << 20).buckets(stream()))
    assert files() == []


def test_a_flipped_bit_is_named(weights):
    with first(weights) as buckets:
        bucket = next(buckets)
        with open(SHARED_MEMORY / bucket.file, "r+b") as file:
            file.seek(bucket.offsets[4] + 3)
            byte = file.read(1)
            file.seek(-1, os.SEEK_CUR)
            file.write(bytes([byte[0] ^ 1]))
        with pytest.raises(WeightSyncError, match="altered") as caught:
            list(read_bucket(bucket))
    assert caught.value.facts["name"] == "last"


def test_a_file_that_is_cut_short_or_gone_is_named(weights):
    with first(weights) as buckets:
        bucket = next(buckets)
        os.truncate(SHARED_MEMORY / bucket.file, 10)
        with pytest.raises(WeightSyncError, match="can't read"):
            list(read_bucket(bucket))
    with pytest.raises(WeightSyncError, match="No such file"):
        list(read_bucket(bucket))


@pytest.mark.parametrize("name", ["../etc/passwd", "/etc/passwd", "", ".hidden"])
def test_only_plain_names_are_opened(weights, name):
    with first(weights) as buckets:
        bucket = replace(next(buckets), file=name)
    with pytest.raises(WeightSyncError, match="not the name"):
        list(read_bucket(bucket))


def test_links_are_not_followed(weights):
    with first(weights) as buckets:
        bucket = next(buckets)
        link = SHARED_MEMORY / f"{PREFIX}link"
        link.symlink_to(SHARED_MEMORY / bucket.file)
        with pytest.raises(WeightSyncError, match="symbolic links"):
            list(read_bucket(replace(bucket, file=link.name)))
        link.unlink()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda items: items[:-1], "a weight differs from its entry in the manifest"),
        (lambda items: [*items, ("extra", torch.zeros(1))], "more weights than their manifest"),
        (lambda items: items[::-1], "a weight differs from its entry in the manifest"),
        (
            lambda items: [(items[0][0], items[0][1].double()), *items[1:]],
            "a weight differs from its entry in the manifest",
        ),
    ],
)
def test_a_source_that_is_not_its_manifest_is_refused_on_every_rank(weights, change, message):
    stream = change(list(weights.items()))
    with pytest.raises(WeightSyncError, match=message):
        list(sender(weights).buckets(iter(stream)))
    with pytest.raises(WeightSyncError, match=message):
        list(take_part(iter(stream), Manifest.of(weights.items()), 100))


def test_other_ranks_take_the_same_tensors_with_each_bucket(weights):
    taken = {"sender": [], "other": []}

    def stream(rank):
        for item in weights.items():
            taken[rank].append(item[0])
            yield item

    other = take_part(stream("other"), Manifest.of(weights.items()), 100)
    for bucket in sender(weights, 100).buckets(stream("sender")):
        assert next(other) == len(bucket.names)
        assert taken["sender"] == taken["other"]
    assert next(other, None) is None


def test_bytes_for_another_node_make_the_same_bucket_there(weights):
    with first(weights) as buckets:
        bucket = next(buckets)
        data = pack_bucket(bucket).copy()
        assert data.dtype == np.uint8
        assert data.shape == (bucket.nbytes,)
        assert not pack_bucket(bucket).flags.writeable
    with unpack_bucket(bucket, data, PREFIX) as there:
        assert there.file != bucket.file
        arrived = dict(read_bucket(there))
    assert torch.equal(arrived["strided"], weights["strided"])


def test_a_full_shared_memory_is_an_error_not_a_crash(weights, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "posix_fallocate", full)
    with pytest.raises(WeightSyncError, match="No space left") as caught:
        next(sender(weights).buckets(weights.items()))
    assert "bucket_bytes" in caught.value.fix
    assert files() == []
