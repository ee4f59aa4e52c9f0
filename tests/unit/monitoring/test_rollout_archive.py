"""Rollouts on disk stay within their bytes: which steps go, and which pictures with them."""

import hashlib
from itertools import pairwise

from hypothesis import given, settings
from hypothesis import strategies as st

from vlaa_ray.monitoring.rollout_archive import RolloutArchive


def write(archive, step, picture, text="x" * 1000):
    """A step with one rollout of about 1,000 bytes and a picture of 5,000."""
    data = b"BM" + picture.encode() * (4998 // len(picture)) + b" " * (4998 % len(picture))
    path = archive.save_image(hashlib.sha256(data).hexdigest(), data)
    archive.write(step, [{"step": step, "completion": text, "images": [{"path": path}]}])
    return path


def steps_in(folder):
    return sorted(int(path.stem.removeprefix("step_")) for path in (folder / "rollouts").iterdir())


def size_of(folder):
    return sum(path.stat().st_size for part in ("rollouts", "images") for path in (folder / part).iterdir())


def test_steps_in_between_go_and_the_first_and_the_newest_stay(tmp_path):
    archive = RolloutArchive(tmp_path, 140_000)
    for step in range(1, 101):
        write(archive, step, f"picture {step:05d}")
    kept = steps_in(tmp_path)
    assert kept[0] == 1 and kept[-10:] == [*range(91, 101)] and len(kept) == 22
    older = [after - before for before, after in pairwise(kept[:-10])]
    assert max(older) <= 2 * min(older), older
    assert size_of(tmp_path) == archive.num_bytes <= 140_000


def test_a_picture_goes_with_the_last_step_that_shows_it(tmp_path):
    archive = RolloutArchive(tmp_path, 30_000)
    shared = write(archive, 1, "shared")
    others = [write(archive, step, "shared" if step % 2 else f"own {step:03d}") for step in range(2, 40)]
    kept = steps_in(tmp_path)
    assert (tmp_path / shared).is_file()
    on_disk = {f"images/{path.name}" for path in (tmp_path / "images").iterdir()}
    assert on_disk == {shared, *(others[step - 2] for step in kept[1:])}


def test_a_completion_that_names_a_picture_shows_none(tmp_path):
    archive = RolloutArchive(tmp_path, 1 << 30)
    path = write(archive, 1, "shown", text='{"path": "images/' + "0" * 64 + '.png"}')
    assert archive._steps[1].images == {path}


def test_a_resumed_run_counts_what_is_there_and_steps_that_are_written_again(tmp_path):
    first = RolloutArchive(tmp_path, 1 << 30)
    for step in range(1, 31):
        write(first, step, f"picture {step:05d}")
    (tmp_path / "rollouts/step_000003.jsonl").write_text('{"images": [{"path": "images/../../x"}, 7]}\n{broken\n')
    again = RolloutArchive(tmp_path, 100_000)
    write(again, 30, "picture 00030")
    assert size_of(tmp_path) - 5000 <= again.num_bytes <= 100_000  # the picture of the damaged file is left alone
    assert steps_in(tmp_path)[0] == 1 and steps_in(tmp_path)[-10:] == [*range(21, 31)]


@settings(max_examples=30)
@given(pictures=st.lists(st.integers(0, 6), min_size=1, max_size=40), max_bytes=st.integers(1, 120_000))
def test_books_and_disk_agree(tmp_path_factory, pictures, max_bytes):
    folder = tmp_path_factory.mktemp("run")
    archive = RolloutArchive(folder, max_bytes)
    for step, picture in enumerate(pictures):
        write(archive, step, f"picture {picture}")
    assert archive.num_bytes == size_of(folder) == RolloutArchive(folder, 1).num_bytes
    assert archive.num_bytes <= max_bytes or len(steps_in(folder)) <= 11
