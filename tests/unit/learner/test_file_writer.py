"""Files that are written beside training hold what was copied, and say so when they can't be written."""

import threading
import time
from collections import OrderedDict

import pytest
import torch

from vlaa_ray.learner.file_writer import FileWriter, copied


def wait(writer):
    """Ask until all files are written."""
    while not writer.is_done():
        time.sleep(0.001)


def test_a_copy_stays_as_it_was_and_is_no_larger_than_what_is_saved(tmp_path):
    whole = torch.arange(1000.0)
    state = OrderedDict(part=whole[10:20], nested={"list": [whole[:5], (whole[:2].T, "text")]}, step=3)
    state._metadata = {"": {"version": 1}}
    kept = copied(state)
    whole.zero_()
    torch.save(kept, tmp_path / "file", _use_new_zipfile_serialization=False)
    read = torch.load(tmp_path / "file", weights_only=False)
    assert read["part"].tolist() == [*range(10, 20)] and read["step"] == 3 and read._metadata == state._metadata
    (first, (second, text)) = read["nested"]["list"]
    assert first.tolist() == [0, 1, 2, 3, 4] and second.tolist() == [0, 1] and text == "text"
    assert (tmp_path / "file").stat().st_size < 3000


def test_files_are_written_beside_the_caller_one_set_after_the_other():
    writer, may_write, written = FileWriter(), threading.Event(), []
    writer.begin()
    writer.add(lambda: may_write.wait(30) and written.append(1))
    writer.start()
    assert not writer.is_done()
    may_write.set()
    writer.begin()  # waits
    writer.add(lambda: written.append(2))
    writer.start()
    wait(writer)
    assert writer.is_done() and written == [1, 2]


def test_an_error_is_raised_where_the_end_is_asked_for_and_not_by_the_next_set():
    def fail():
        raise OSError("no space left")

    writer, written = FileWriter(), []
    writer.begin()
    writer.add(fail)
    writer.add(lambda: written.append(1))
    writer.start()
    for ask in (lambda: wait(writer), writer.is_done):
        with pytest.raises(OSError, match="no space left"):
            ask()
    writer.begin()
    writer.start()
    wait(writer)
    assert writer.is_done() and not written
