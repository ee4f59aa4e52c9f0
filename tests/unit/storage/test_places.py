"""Places in buckets, against real servers of s3 and gs."""

import hashlib
import threading
import time

import pytest
from buckets import SECRET

from vlaa_ray.errors import ConfigError, StorageError
from vlaa_ray.storage.conditional import put_if, read_version
from vlaa_ray.storage.places import BucketPath


@pytest.fixture
def place(bucket):
    return BucketPath.parse(bucket.new_folder())


def test_what_is_written_is_read_and_listed_and_deleted(place, tmp_path):
    assert (place / "a").read() is None and place.files() == {} and (place / "a").entry() is None
    (place / "a").write(b"first")
    (place / "deep/er/b").write(b"")
    assert (place / "a").read() == b"first"
    assert {name: entry.size_bytes for name, entry in place.files().items()} == {"a": 5, "deep/er/b": 0}
    (place / "a").write(b"second!")
    assert (place / "a").entry().size_bytes == 7
    (place / "a").delete()
    (place / "a").delete()
    assert set(place.files()) == {"deep/er/b"}
    place.delete_folder()
    assert place.files() == {}


def test_a_file_of_several_parts_comes_back_as_it_was(place, tmp_path):
    data = bytes(range(256)) * (21 << 12)  # 21 MiB: three parts
    (tmp_path / "sent").write_bytes(data)
    parts = []
    assert (place / "x").upload(tmp_path / "sent", parts.append) == (hashlib.sha256(data).hexdigest(), len(data))
    assert sum(parts) == len(data) and len(parts) == 3
    (place / "x").download(tmp_path / "got")
    assert (tmp_path / "got").read_bytes() == data


def test_a_missing_object_and_a_missing_file_are_told_apart_from_a_fault(place, tmp_path):
    with pytest.raises(FileNotFoundError):
        (place / "nothing").download(tmp_path / "got")
    with pytest.raises(FileNotFoundError):
        (place / "x").upload(tmp_path / "nothing")


def test_only_one_of_many_conditional_puts_wins(place):
    owner = place / "owner.json"
    assert read_version(owner) is None
    first = put_if(owner, b"1", None)
    assert first and put_if(owner, b"2", None) is None
    assert read_version(owner).data == b"1" and read_version(owner).version == first
    second = put_if(owner, b"2", first)
    assert second and second != first and put_if(owner, b"3", first) is None
    won = []

    def race(number):
        if put_if(owner, f"winner {number}".encode(), second):
            won.append(number)

    threads = [threading.Thread(target=race, args=(number,)) for number in range(8)]
    [thread.start() for thread in threads]
    [thread.join(60) for thread in threads]
    assert len(won) == 1 and read_version(owner).data == f"winner {won[0]}".encode()


def test_a_server_that_is_down_is_a_typed_error_within_seconds_and_works_again_later(bucket, place):
    (place / "a").write(b"kept")
    bucket.stop()
    start = time.monotonic()
    with pytest.raises(StorageError, match="network"):
        (place / "a").read()
    with pytest.raises(StorageError):
        put_if(place / "b", b"", None)
    assert time.monotonic() - start < 90
    bucket.start()
    assert _in_the_end(lambda: (place / "a").read()) == b"kept"


def test_wrong_keys_are_a_typed_error_that_does_not_show_them(bucket, monkeypatch):
    if bucket.scheme == "gs":
        pytest.skip("the server for gs knows no accounts")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET + "x")
    other = BucketPath.parse(bucket.new_folder() + "?region=us-east-1&scheme=http&endpoint_override=" + bucket.host)
    with pytest.raises(StorageError) as refused:
        (other / "a").write(b"x")
    assert SECRET not in str(refused.value)


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("runs/a", "not an address"),
        ("s3://bucket/a?access_key=AK", "unknown option 'access_key'"),
    ],
)
def test_an_address_that_can_not_be_used_says_why(url, message):
    with pytest.raises(ConfigError, match=message):
        BucketPath.parse(url)


def test_the_options_of_an_address_stay_behind_its_key():
    place = BucketPath.parse("s3://bucket/runs/?region=eu-west-1") / "a/b"
    assert str(place) == "s3://bucket/runs/a/b?region=eu-west-1"
    assert (place.name, place.parent.key, place.options["region"]) == ("b", "runs/a", "eu-west-1")


def _in_the_end(read, deadline_s=60):
    """What `read` returns once the server has found its data again."""
    deadline = time.monotonic() + deadline_s
    while True:
        try:
            return read()
        except StorageError:
            assert time.monotonic() < deadline
            time.sleep(0.5)
