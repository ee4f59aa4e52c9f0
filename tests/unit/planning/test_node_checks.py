"""What the answers of the nodes mean: each node that is not sound is named."""

import pytest
from buckets import BucketServer

from vlaa_ray.config import GrpoConfig, SftConfig
from vlaa_ray.planning import node_checks
from vlaa_ray.planning.doctor import GIB
from vlaa_ray.planning.node_checks import NodeAnswer, Questions, compare, examine_node, questions_of

SOUND = {"versions": {"ray": "2.60.0", "torch": "2.13.0"}, "shm_free_bytes": 8 * GIB}


def finding(answers, name):
    (found,) = [found for found in compare(answers) if found.name == name]
    return found


def test_sound_nodes_give_no_fault():
    answers = [NodeAnswer("head", works=False, **SOUND), NodeAnswer("a", **SOUND, bytes_per_s=1e9)]
    assert all(found.ok for found in compare(answers))
    assert finding(answers, "nodes").found == "all 2 answer"


def test_a_node_that_does_not_see_the_model_is_named_and_a_head_that_needs_none_is_not():
    lacks = {"model": "/models/m is not there"}
    answers = [NodeAnswer("head", works=False, unseen=lacks, **SOUND), NodeAnswer("b", unseen=lacks, **SOUND)]
    found = finding([*answers, NodeAnswer("c", **SOUND)], "model")
    assert found.ok is False and found.found == "not seen by b (/models/m is not there)"


@pytest.mark.parametrize(("name", "ok"), [("run folder", None), ("run folder in the bucket", False)])
def test_a_run_folder_on_another_disk_is_a_remark_and_a_bucket_without_rights_a_fault(name, ok):
    assert finding([NodeAnswer("a", unseen={name: "no"}, **SOUND)], name).ok is ok


def test_what_differs_from_most_nodes_is_named():
    old = {"versions": {"ray": "2.60.0", "torch": "2.12.0"}, "shm_free_bytes": 8 * GIB}
    answers = [NodeAnswer("a", **SOUND), NodeAnswer("b", **old), NodeAnswer("c", **SOUND)]
    assert finding(answers, "versions of the nodes").found == "b has torch 2.12.0, not 2.13.0"


def test_gpus_clock_memory_and_speed_are_judged():
    answers = [
        NodeAnswer("a", **SOUND, gpus=("L40S",), expected_gpus=2),
        NodeAnswer("b", **SOUND, clock_s=-90.0),
        NodeAnswer("c", **{**SOUND, "shm_free_bytes": 64 << 20}, bytes_per_s=1e6),
    ]
    assert finding(answers, "GPUs of the nodes").found == "a: Ray counts 2, the driver shows 1"
    clock = finding(answers, "clocks")
    assert clock.ok is False and clock.found == "b -90.0 s"
    assert finding(answers, "/dev/shm").found == "c 0.1 GiB"
    assert finding(answers, "speed between nodes").found == "c 1 MB/s"


def test_a_silent_node_is_named_and_the_others_are_compared():
    answers = [NodeAnswer("a", **SOUND), NodeAnswer("b", fault="no answer within 60 s")]
    assert finding(answers, "nodes").found == "b: no answer within 60 s"
    assert finding(answers, "versions of the nodes").ok


def test_a_node_says_what_it_does_not_see(tmp_path):
    (tmp_path / "run").mkdir()
    (tmp_path / "run/.mark").touch()
    here = examine_node(Questions({"model": str(tmp_path)}, str(tmp_path / "run"), ".mark"))
    assert here.unseen == {} and here.versions["python"]
    (tmp_path / "other").mkdir()  # the same path on another disk
    there = examine_node(Questions({"model": "/no/model"}, str(tmp_path / "other"), ".mark"))
    assert there.unseen["model"] == "/no/model is not there" and "disk is another one" in there.unseen["run folder"]


def test_a_node_asks_the_bucket(s3: BucketServer):
    url = s3.new_folder()
    assert examine_node(Questions({}, url)).unseen == {}
    assert examine_node(Questions({"model": f"{url}/m"})).unseen == {"model": f"{url}/m is empty"}
    down = examine_node(Questions({}, "s3://no-such-bucket/runs"))
    assert "no-such-bucket" in down.unseen["run folder in the bucket"]


def test_the_questions_are_those_of_the_config(tmp_path, monkeypatch):
    (tmp_path / "model").mkdir()
    (tmp_path / "images").mkdir()
    (tmp_path / "train.jsonl").write_text('{"problem": "1", "answer": "1"}\n')
    config = {
        "run": {"name": "r", "num_steps": 1, "dir": str(tmp_path)},
        "model": {"path": str(tmp_path / "model")},
        "data": {"train": str(tmp_path / "train.jsonl")},
    }
    questions = questions_of(GrpoConfig.model_validate(config))
    assert questions.paths == {"model": str(tmp_path / "model"), "images of data.train": str(tmp_path / "images")}
    assert questions.run_folder == str(tmp_path / "r")
    written = questions_of(SftConfig.model_validate(config))  # its ranks read the records, too
    assert written.paths["data.train"] == str(tmp_path / "train.jsonl")
    monkeypatch.setattr(node_checks, "record_files", _unreadable)
    assert set(questions_of(GrpoConfig.model_validate(config)).paths) == {"model"}


def _unreadable(path):
    raise OSError(path)
