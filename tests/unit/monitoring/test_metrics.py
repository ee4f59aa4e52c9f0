"""The table of names, the tracker's files, and trackers that fail, hang or are slow."""

import hashlib
import io
import json
import logging
import math
import subprocess
import sys
import threading
import time

import numpy as np
import pytest
from PIL import Image

from vlaa_ray.config import TrackingSection
from vlaa_ray.errors import VlaaRayError
from vlaa_ray.monitoring.names import METRICS, describe, types_in
from vlaa_ray.monitoring.reduce import reward_metrics
from vlaa_ray.monitoring.sinks import BackgroundSink, SamplePicture
from vlaa_ray.monitoring.tracker import Tracker
from vlaa_ray.records import NO_ANSWER, Prompt, RewardResult
from vlaa_ray.storage.metrics_file import read_metrics, truncate_after

NO_TRACKERS = TrackingSection(tensorboard=False, wandb="disabled")
FIXED_NAMES = """reward/mean reward/iou/mean reward/invalid_share groups/zero_variance_share logprob_diff/mean_abs
logprob_diff/max_abs policy/kl policy/entropy policy/clip_share policy/loss policy/grad_norm completion/mean_tokens
staleness/max weight_version time/step_s time/rollout_s time/reward_s time/learn_s time/weight_sync_s
throughput/samples_per_s memory/learner_rss_bytes eval/reward/mean eval/reward/open_ended/mean
eval/benchmark/mathvista/accuracy
learning_rate policy/kl_coefficient groups/count groups/resampled rollout/restarts""".split()


@pytest.fixture(autouse=True)
def no_wandb_mode(monkeypatch):
    monkeypatch.delenv("WANDB_MODE", raising=False)


def make_tracker(path, tracking=NO_TRACKERS):
    return Tracker(path, tracking, "demo", {"run": {"name": "demo"}})


@pytest.mark.parametrize("name", FIXED_NAMES)
def test_the_names_that_users_rely_on_are_in_the_table(name):
    assert describe(name).meaning


def test_the_table_names_everything_once_and_says_what_it_is():
    assert len({metric.name for metric in METRICS}) == len(METRICS)
    assert describe("time/learn_s").unit == "s"
    assert describe("memory/rollout_rss_bytes").name == "memory/{role}_rss_bytes"
    assert all(metric.meaning for metric in METRICS)


@pytest.mark.parametrize("name", ["reward/average", "reward/Digit/mean", "eval/reward/digit/men", "x", "reward/mean "])
def test_an_unknown_name_is_an_error_and_nothing_is_written(tmp_path, name):
    tracker = make_tracker(tmp_path)
    with pytest.raises(VlaaRayError, match="unknown metric"):
        tracker.log(1, {"reward/mean": 0.5, name: 1.0})
    tracker.close()
    assert (tmp_path / "metrics.jsonl").read_text() == ""


def test_an_unknown_name_names_the_nearest_one():
    with pytest.raises(VlaaRayError, match="policy/grad_norm"):
        describe("policy/gradnorm")


def test_a_step_is_one_json_line_that_is_there_at_once(tmp_path):
    tracker = make_tracker(tmp_path)
    tracker.log(3, {"reward/mean": np.float32(0.25), "weight_version": 3})
    assert (tmp_path / "metrics.jsonl").read_text() == '{"step": 3, "reward/mean": 0.25, "weight_version": 3}\n'
    tracker.close()


def test_numbers_that_are_not_finite_become_null_with_a_warning(tmp_path, caplog):
    tracker = make_tracker(tmp_path)
    tracker.log(1, {"policy/kl": math.nan, "policy/loss": -math.inf, "reward/mean": 0.5})
    tracker.close()
    assert read_metrics(tmp_path) == [{"step": 1, "policy/kl": None, "policy/loss": None, "reward/mean": 0.5}]
    assert "policy/kl is nan" in caplog.text and "policy/loss is -inf" in caplog.text


def test_a_metric_must_be_a_number(tmp_path):
    tracker = make_tracker(tmp_path)
    with pytest.raises(VlaaRayError, match="not a number"):
        tracker.log(1, {"reward/mean": "high"})
    tracker.close()


def test_a_torn_last_line_is_left_out_and_a_new_tracker_starts_on_a_line_of_its_own(tmp_path):
    (tmp_path / "metrics.jsonl").write_text('{"step": 1}\n{"step": 2, "rewa')
    assert read_metrics(tmp_path) == [{"step": 1}]
    tracker = make_tracker(tmp_path)
    tracker.log(2, {"reward/mean": 1.0})
    tracker.close()
    assert read_metrics(tmp_path) == [{"step": 1}, {"step": 2, "reward/mean": 1.0}]


def test_a_damaged_line_in_the_middle_is_an_error_with_its_row(tmp_path):
    (tmp_path / "metrics.jsonl").write_text('{"step": 1}\noops\n{"step": 3}\n')
    with pytest.raises(VlaaRayError, match="row=2"):
        read_metrics(tmp_path)


def test_no_file_means_no_rows(tmp_path):
    assert read_metrics(tmp_path) == []


def test_resuming_drops_what_came_after_the_checkpoint(tmp_path):
    tracker = make_tracker(tmp_path)
    for step in range(5):
        tracker.log(step, {"reward/mean": step / 10})
        tracker.log_rollouts(step, [{"step": step}])
    tracker.close()
    truncate_after(tmp_path, 2)
    truncate_after(tmp_path, 2)
    assert [row["step"] for row in read_metrics(tmp_path)] == [0, 1, 2]
    files = sorted(path.name for path in (tmp_path / "rollouts").iterdir())
    assert files == ["step_000000.jsonl", "step_000001.jsonl", "step_000002.jsonl"]
    truncate_after(tmp_path / "nothing here", 2)


def test_rollouts_keep_every_text_and_stay_json(tmp_path):
    rows = [
        {"completion": "é 中 \ud83d <b>\n\u2028x", "gold": (1, 2), "rollout_logprob_mean": math.nan},
        {"reward": np.float32(0.5), "parts": {"iou": np.float64(0.25)}, "num_tokens": np.int32(7)},
    ]
    tracker = make_tracker(tmp_path)
    tracker.log_rollouts(12, rows)
    tracker.close()
    lines = (tmp_path / "rollouts" / "step_000012.jsonl").read_text(encoding="utf-8").split("\n")
    assert json.loads(lines[0]) == {"completion": rows[0]["completion"], "gold": [1, 2], "rollout_logprob_mean": None}
    assert json.loads(lines[1]) == {"reward": 0.5, "parts": {"iou": 0.25}, "num_tokens": 7}
    assert "中" in lines[0] and len(lines) == 3


def test_an_image_is_stored_once_under_its_hash(tmp_path):
    tracker = make_tracker(tmp_path)
    for format_name, extension in (("PNG", "png"), ("JPEG", "jpg"), ("WEBP", "webp"), ("GIF", "gif"), ("BMP", "bmp")):
        file = io.BytesIO()
        Image.new("RGB", (8, 8), "teal").save(file, format_name)
        sha256 = hashlib.sha256(file.getvalue()).hexdigest()
        path = tracker.save_image(sha256, file.getvalue())
        assert path == f"images/{sha256}.{extension}"
        assert (tmp_path / path).read_bytes() == file.getvalue()
        stamp = (tmp_path / path).stat().st_mtime_ns
        assert tracker.save_image(sha256, file.getvalue()) == path
        assert (tmp_path / path).stat().st_mtime_ns == stamp
    with pytest.raises(VlaaRayError, match="sha256"):
        tracker.save_image("../../escape", b"data")
    tracker.close()


def sample(kind, value, source="photos", reason="", extracted="x", **parts):
    prompt = Prompt(prompt_id="1", question="?", gold="1", verifier_type=kind, source=source)
    valid = value is not None
    return prompt, RewardResult(value=value, valid=valid, reason=reason, extracted=extracted, parts=parts)


def test_reward_means_leave_out_what_cannot_be_judged():
    # By hand: iou 0.5 and 1.0 -> mean 0.75, deviation 0.25; digit 0.0 and one invalid -> mean 0; all: 1.5 / 3.
    samples = [sample("iou", 0.5, format=1.0), sample("iou", 1.0, format=0.0), sample("digit", 0.0)]
    metrics = reward_metrics([*samples, sample("digit", None), sample("math", None)])
    assert metrics["reward/mean"] == 0.5 and metrics["reward/count"] == 3
    assert metrics["reward/invalid_share"] == pytest.approx(2 / 5)
    assert metrics["reward/iou/mean"] == 0.75 and metrics["reward/iou/std"] == 0.25
    assert metrics["reward/iou/parts/format"] == 0.5
    assert metrics["reward/digit/mean"] == 0.0 and metrics["reward/digit/invalid_share"] == 0.5
    assert metrics["reward/math/invalid_share"] == 1.0 and "reward/math/mean" not in metrics
    for name in metrics:
        describe(name)


def test_rewards_by_source_and_missing_answers_by_reason():
    unclosed = {"reason": NO_ANSWER["unclosed"], "extracted": None}
    samples = [
        sample("digit", 1.0),
        sample("digit", 0.0, **unclosed),
        sample("mcq", 0.5, source="a b/c"),
        sample("mcq", None, source="a b/c"),
    ]
    metrics = reward_metrics(samples)
    assert metrics["reward/by_source/photos/mean"] == 0.5
    assert metrics["reward/by_source/a_b_c/mean"] == metrics["reward/by_source/a_b_c/invalid_share"] == 0.5
    assert metrics["reward/digit/no_answer/unclosed"] == 0.5
    assert not [name for name in metrics if "no_answer" in name and "digit" not in name]
    assert all(map(describe, metrics))


def test_verifier_types_of_users_come_after_ours():
    names = ["reward/zebra/mean", "reward/iou/mean", "reward/chart/mean", "reward/digit/mean", "reward/mean"]
    assert types_in([*names, "reward/by_source/x/mean"], "reward/{}/mean") == ["digit", "iou", "chart", "zebra"]


def test_reward_metrics_of_an_evaluation_and_of_nothing():
    metrics = reward_metrics([sample("mcq", 1.0)], prefix="eval/reward")
    assert metrics["eval/reward/mean"] == 1.0 and metrics["eval/reward/mcq/mean"] == 1.0
    assert all(describe(name) and name.startswith("eval/reward/") for name in metrics)
    assert reward_metrics([]) == {}


class Sink:
    """A tracker of the test's own: it notes rows, and fails or blocks where told."""

    def __init__(self, fail_at=None, block=None):
        self.rows, self.fail_at, self.block, self.closed, self.beats = [], fail_at, block, False, 0

    def write(self, row):
        if self.block:
            self.block.wait(30)
        if row["step"] == self.fail_at:
            raise RuntimeError("the tracker's server is gone")
        self.rows.append(row["step"])

    def beat(self):
        self.beats += 1

    def close(self):
        self.closed = True


def attach(tracker, make, capacity=1000):
    tracker._sinks.append(BackgroundSink("Fake", make, capacity))


def test_a_sink_gets_every_step_and_is_closed(tmp_path):
    tracker, sink = make_tracker(tmp_path), Sink()
    attach(tracker, lambda: sink)
    for step in range(50):
        tracker.log(step, {"reward/mean": 0.1})
    tracker.close()
    assert sink.rows == list(range(50)) and sink.closed


@pytest.mark.parametrize("where", ["start", "step"])
def test_a_failing_sink_is_reported_once_and_changes_nothing(tmp_path, caplog, where):
    def make():
        if where == "start":
            raise ImportError("no such tracker")
        return Sink(fail_at=3)

    tracker, good = make_tracker(tmp_path), Sink()
    attach(tracker, make)
    attach(tracker, lambda: good)
    for step in range(20):
        tracker.log(step, {"reward/mean": 0.1})
        time.sleep(0.002)
    tracker.close()
    assert len(read_metrics(tmp_path)) == 20 and len(good.rows) == 20
    assert [record.levelno for record in caplog.records] == [logging.WARNING]
    assert "Fake is switched off for this run" in caplog.text


def test_a_sink_that_hangs_neither_slows_a_step_nor_holds_up_the_end(tmp_path, caplog):
    released = threading.Event()
    tracker = make_tracker(tmp_path)
    attach(tracker, lambda: Sink(block=released), capacity=5)
    start = time.monotonic()
    for step in range(200):
        tracker.log(step, {"reward/mean": 0.1})
    assert time.monotonic() - start < 1.0
    tracker.close(timeout_s=0.5)
    assert time.monotonic() - start < 2.5
    released.set()
    assert len(read_metrics(tmp_path)) == 200
    assert caplog.text.count("too slow") == 1 and caplog.text.count("did not finish in time") == 1


def events(folder, kind):
    """The events in TensorBoard's files, read from the records themselves."""
    for path in sorted(folder.iterdir()):
        data, at = path.read_bytes(), 0
        while at < len(data):
            length = int.from_bytes(data[at : at + 8], "little")
            yield kind.FromString(data[at + 12 : at + 12 + length])
            at += length + 16


def scalars(folder):
    """(tag, step, value) and session starts in TensorBoard's event files."""
    from tensorboardX.proto.event_pb2 import Event

    found, starts = [], []
    for event in events(folder, Event):
        found += [(value.tag, event.step, value.simple_value) for value in event.summary.value]
        starts += [event.step] if event.HasField("session_log") else []
    return found, starts


def test_tensorboard_gets_the_scalars_and_hides_steps_that_are_made_again(tmp_path):
    tracking = TrackingSection(tensorboard=True, wandb="disabled")
    tracker = make_tracker(tmp_path, tracking)
    for step in (1, 2, 3):
        tracker.log(step, {"reward/mean": step / 4, "policy/kl": math.nan})
    tracker.close()
    truncate_after(tmp_path, 2)
    tracker = make_tracker(tmp_path, tracking)
    tracker.log(3, {"reward/mean": 1.0})
    tracker.close()
    found, starts = scalars(tmp_path / "tensorboard")
    assert sorted(found) == [("reward/mean", step, value) for step, value in ((1, 0.25), (2, 0.5), (3, 0.75), (3, 1.0))]
    assert starts == [3]


def test_tensorboard_gets_pictures_with_their_captions(tmp_path):
    from tensorboardX.proto.event_pb2 import Event

    tracker = make_tracker(tmp_path, TrackingSection(tensorboard=True, wandb="disabled"))
    tracker.show(7, lambda: [SamplePicture("iou", Image.new("RGB", (40, 20), (200, 30, 90)), "Where?\n\nThere.")])
    tracker.close()
    written = [
        (event.step, value) for event in events(tmp_path / "tensorboard", Event) for value in event.summary.value
    ]
    assert [step for step, _ in written] == [7, 7]
    image, text = (value for _, value in written)
    decoded = Image.open(io.BytesIO(image.image.encoded_image_string))
    assert (image.tag, decoded.size, decoded.format) == ("samples/iou", (40, 20), "JPEG")
    assert np.abs(np.asarray(decoded).astype(int) - (200, 30, 90)).max() <= 3
    assert text.tensor.string_val == [b"Where?\n\nThere."]


def test_pictures_that_cannot_be_made_cost_no_metrics_and_are_told_once(tmp_path, caplog):
    def make():
        raise OSError("no memory for pictures")

    tracker = make_tracker(tmp_path, TrackingSection(tensorboard=True, wandb="disabled"))
    for step in (1, 2):
        tracker.show(step, make)
        tracker.log(step, {"reward/mean": 0.5})
    tracker.close()
    assert caplog.text.count("TensorBoard gets no more pictures in this run: OSError: no memory for pictures") == 1
    assert scalars(tmp_path / "tensorboard")[0] == [("reward/mean", 1, 0.5), ("reward/mean", 2, 0.5)]


WANDB_RUN = """
import sys
from pathlib import Path
from PIL import Image
from vlaa_ray.config import TrackingSection
from vlaa_ray.monitoring.sinks import SamplePicture
from vlaa_ray.monitoring.tracker import Tracker
tracker = Tracker(Path(sys.argv[1]), TrackingSection(tensorboard=False, wandb=sys.argv[2]), "demo", {"seed": 1})
tracker.log(1, {"reward/mean": 0.5})
tracker.show(1, lambda: [SamplePicture("iou", Image.new("RGB", (40, 20)), "Where?")])
tracker.close(timeout_s=30)
"""


def run_with_wandb(tmp_path, mode, **environment):
    import os

    inherited = {key: value for key, value in os.environ.items() if not key.startswith("WANDB_")}
    environment = inherited | {"HOME": str(tmp_path / "home")} | environment
    command = [sys.executable, "-c", WANDB_RUN, str(tmp_path / "run"), mode]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, env=environment)


def test_wandb_offline_keeps_its_files_in_the_run_folder_and_says_nothing(tmp_path):
    done = run_with_wandb(tmp_path, "offline")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert list((tmp_path / "run" / "wandb").glob("offline-run-*/*.wandb"))
    (picture,) = (tmp_path / "run" / "wandb").glob("offline-run-*/files/media/images/samples/iou_*.jpg")
    assert Image.open(picture).size == (40, 20)


def test_wandb_without_a_key_is_switched_off_and_never_asks(tmp_path):
    done = run_with_wandb(tmp_path, "online")
    assert done.returncode == 0 and done.stdout == ""
    assert "W&B is switched off for this run" in done.stderr and "no W&B key" in done.stderr
    assert read_metrics(tmp_path / "run") == [{"step": 1, "reward/mean": 0.5}]


def test_wandb_mode_of_the_environment_wins(tmp_path):
    done = run_with_wandb(tmp_path, "online", WANDB_MODE="disabled")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert not (tmp_path / "run" / "wandb").exists()
