"""The last part of a log on another node's disk."""

import os

from actors.fleet import actor_logs
from actors.fleet.actor_logs import last_parts


def test_a_short_log_comes_whole_and_a_long_one_from_the_first_whole_line_on(tmp_path):
    (tmp_path / "reward_0.log").write_text("all of it\n")
    (tmp_path / "rollout_1.log").write_text("first line\nsecond line\nthird line\n")
    (tmp_path / "notes.txt").write_text("no log")
    parts = last_parts(str(tmp_path), ".seen", most_bytes=25)  # of 34 bytes, it begins within the first line
    assert sorted(parts) == ["reward_0.log", "rollout_1.log"]
    assert parts["reward_0.log"] == b"all of it\n"
    told, second, third = parts["rollout_1.log"].decode().splitlines()
    assert told.startswith(f"… 11 bytes before this line are in {tmp_path / 'rollout_1.log'} on ")
    assert (second, third) == ("second line", "third line")


def test_a_node_with_the_same_disk_has_nothing_to_bring(tmp_path):
    (tmp_path / "rollout_1.log").write_text("here already\n")
    (tmp_path / ".seen").touch()
    assert last_parts(str(tmp_path), ".seen") == {}
    assert last_parts(str(tmp_path / "never made"), ".seen") == {}


def test_of_many_logs_the_newest_are_brought(tmp_path, monkeypatch):
    monkeypatch.setattr(actor_logs, "MOST_FILES", 2)
    for age, name in enumerate(("new", "newer", "newest")):
        (tmp_path / f"{name}.log").write_text(name)
        os.utime(tmp_path / f"{name}.log", (age, age))
    assert sorted(last_parts(str(tmp_path), ".seen")) == ["newer.log", "newest.log"]
