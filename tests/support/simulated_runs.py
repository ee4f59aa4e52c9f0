"""Whole runs of the product's driver with simulated actors, which can be held in a phase and struck there."""

import json
import os
import signal
import time
from contextlib import contextmanager

from quickstart import SIMULATED, metrics, run_json, running
from simulated_fleet import ARMED, SETTINGS

OPTIONS = [
    "eval.num_prompts=4",
    "eval.every_steps=100000",
    "checkpoint.every_steps=100000",
    "tracking.tensorboard=false",
    "rewards.open_ended.scorer=words",
]


@contextmanager
def simulated(folder, *options, sample_s=0.05, learn_s=0.1):
    """Start a run in `folder`/quickstart, and yield it."""
    settings = {SETTINGS: json.dumps({"sample_s": sample_s, "learn_s": learn_s})}
    with running(folder, *OPTIONS, *options, program=SIMULATED, environment=settings) as run:
        yield run


class Phases:
    """The phases of the run in a folder, which can be held."""

    def __init__(self, folder):
        self._run = folder / "quickstart"

    def arm(self, phase, seconds=60):
        """Hold a phase when it begins the next time, and all its work, until `release` or for so many seconds."""
        self._run.mkdir(exist_ok=True)
        (self._run / f"held_{phase}").unlink(missing_ok=True)
        armed = self._run / ARMED
        armed.with_suffix(".new").write_text(json.dumps([phase, seconds]))
        armed.with_suffix(".new").rename(armed)

    def wait(self, run, phase):
        """Wait until the phase is held."""
        run.wait_until((self._run / f"held_{phase}").exists, f"phase {phase}", 120, every_s=0.02)

    def release(self):
        (self._run / ARMED).unlink(missing_ok=True)


def strike(run, role, number=signal.SIGKILL):
    """Send a signal to one actor of the role, and return its id."""
    actor = run.actors(role)[0]
    os.kill(actor.pid, number)
    return actor.pid


def check_books(rows, samples_per_step):
    """Every step is there once, and every sample of it has one end."""
    assert [row["step"] for row in rows] == list(range(len(rows)))
    for row in rows[1:]:
        ends = sum(value for name, value in row.items() if name.startswith(("ledger/trained", "ledger/dropped")))
        assert ends == samples_per_step, row["step"]


def losses(folder):
    """The loss of each step: a hash of all that was learned up to it."""
    return [row["policy/loss"] for row in metrics(folder)[1:]]


def steps_from_now(run, folder, count):
    """Wait for some more steps."""
    run.wait_for_step(metrics(folder)[-1]["step"] + count)


def seconds_since(start):
    return time.monotonic() - start


def sigterm_and_a_lost_rank(start, folder, rank, *options):
    """Ask a run on two ranks to stop, start it again, and kill its second rank; return the metrics of its steps.

    `start` is `running` or `simulated`, and `rank` what it calls a rank. Rollouts overlap learning.
    """
    options = [*options, "learner.num_ranks=2", "max_staleness=1", "learner.max_restarts=0"]
    with start(folder, "run.num_steps=1000", *options) as run:
        run.wait_for_step(2)
        run.driver.send_signal(signal.SIGTERM)
        assert run.driver.wait(60) == 128 + signal.SIGTERM, run.output()[-3000:]
    assert run_json(folder)["state"] == "interrupted"
    saved = metrics(folder)[-1]["step"]
    assert (folder / f"quickstart/checkpoints/step_{saved:06d}/hf/config.json").is_file()
    with start(folder, "run.num_steps=1000", *options) as run:
        run.wait_for_step(saved + 2)
        rows = metrics(folder)
        assert [row["step"] for row in rows] == list(range(len(rows)))
        # only the first steps after a start have rollouts of the newest weights
        newest = [float(step not in (1, saved + 1)) for step in range(1, len(rows))]
        assert [row["staleness/max"] for row in rows[1:]] == newest
        run.actors(rank)[1].kill()
        assert run.driver.wait(120) == 1, run.output()[-3000:]
    state = run_json(folder)
    assert (state["state"], state["error"]["type"]) == ("failed", "LearnerError")
    assert "a learner rank was lost" in run.output() and "Traceback" not in run.output()
    return rows
