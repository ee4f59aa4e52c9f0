"""The table of faults: what is injected, and where that is proven.

| fault | proven by |
| --- | --- |
| F1 an idle engine is killed | here, while the learner works and nothing is asked of the engine |
| F2 an engine is killed while it samples | here, and with real engines in test_hosts.py |
| F3 an engine is frozen | test_train.py (real engine, all of its processes) |
| F4 vLLM's own process is killed | test_engine.py (an error at once), test_hosts.py (replaced in a run) |
| F5 all engines are killed, and none may be replaced | here |
| F6 a reward actor is killed | here, and test_train.py; a grader that crashes: test_sandbox.py |
| F9 a learner rank is killed | here, and test_lost_learner.py (real ranks, in each of their calls) |
| F11 SIGTERM in each phase | here; test_faults.py, with real ranks, too |
| F14 an engine or a rank is killed in a weight sync; a tensor is dropped or flipped | here; test_engine.py |
| F15 a node is killed; Ray's head is killed | test_elastic.py, test_hosts.py; here |

Engines, reward actors and ranks are simulated in this file; Ray, the driver, the loop and the run's folder are real.
What a simulated rank learned goes into a hash, its loss: two runs with the same losses learned the same.
"""

import signal
import time

import pytest
from quickstart import metrics, run_json
from simulated_runs import Phases, check_books, losses, simulated, steps_from_now, strike

from vlaa_ray.run.checkpoints import CheckpointStore

pytestmark = [pytest.mark.acceptance, pytest.mark.timeout(600)]
SAMPLES = 8 * 4
PHASES = ("learn", "start", "rollout", "reward", "weight sync", "eval", "checkpoint")
STRIKES = (
    ("learn", "Engine"),
    ("rollout", "Engine"),
    ("weight sync", "Engine"),
    ("reward", "Rewards"),
    ("rollout", "Rank"),
    ("learn", "Rank"),
    ("weight sync", "Rank"),
)


def newest_checkpoint(folder):
    checkpoint = CheckpointStore(folder / "quickstart/checkpoints", keep=2).latest()
    return checkpoint.step if checkpoint else 0


def test_an_actor_killed_in_any_phase_costs_no_sample_and_changes_nothing(tmp_path):
    """F1, F2, F6, F9 and F14."""
    disturbed, whole = tmp_path / "disturbed", tmp_path / "whole"
    disturbed.mkdir()
    whole.mkdir()
    phases = Phases(disturbed)
    roomy = ["rollout.max_restarts=9", "learner.max_restarts=9", "learner.num_ranks=2", "checkpoint.every_steps=3"]
    with simulated(disturbed, "run.num_steps=1000", *roomy) as run:
        run.wait_for_step(2)
        for phase, role in STRIKES:
            phases.arm(phase)
            phases.wait(run, phase)
            pid, struck = strike(run, role), time.monotonic()
            if (phase, role) == ("learn", "Engine"):  # nothing is sampled now: the engine is idle
                run.wait_until(
                    lambda: "is lost and replaced" in run.output(), "a loss that was noticed", 2, every_s=0.02
                )
            phases.release()
            steps_from_now(run, disturbed, 2)
            print(f"{role} killed in {phase}: two steps later after {time.monotonic() - struck:.1f} s")
            assert time.monotonic() - struck < 60
            assert pid not in [actor.pid for actor in run.actors(role)]
        run.driver.send_signal(signal.SIGTERM)
        assert run.driver.wait(60) == 143, run.output()[-3000:]
    rows = metrics(disturbed)
    check_books(rows, SAMPLES)
    assert rows[-1]["rollout/restarts"] >= 3 and rows[-1]["reward/restarts"] == 1
    assert rows[-1]["learner/restarts"] == 3
    with simulated(whole, f"run.num_steps={rows[-1]['step']}", "learner.num_ranks=2") as run:
        assert run.driver.wait(240) == 0, run.output()[-3000:]
    assert losses(whole) == losses(disturbed)


def test_sigterm_in_any_phase_saves_and_loses_no_step(tmp_path):
    """F11: one process after another goes on where the one before was stopped."""
    phases = Phases(tmp_path)
    for phase in PHASES:
        options = ["eval.every_steps=1"] if phase == "eval" else []
        options += ["checkpoint.every_steps=1"] if phase == "checkpoint" else []
        before = metrics(tmp_path)
        phases.release()
        if phase == "start":
            phases.arm(phase)
        with simulated(tmp_path, "run.num_steps=1000", *options) as run:
            if phase != "start":
                run.wait_for_step(len(before) + 1)
                phases.arm(phase, seconds=5 if phase in ("learn", "weight sync", "checkpoint") else 60)
            phases.wait(run, phase)
            run.driver.send_signal(signal.SIGTERM)
            asked = time.monotonic()
            code = run.driver.wait(60)
            took_s = time.monotonic() - asked
            print(f"SIGTERM in {phase}: over after {took_s:.1f} s")
            assert code == 143 and took_s <= 30, run.output()[-3000:]
        assert run_json(tmp_path)["state"] == "interrupted"
        rows = metrics(tmp_path)
        check_books(rows, SAMPLES)
        assert rows[: len(before)] == before, "no step is done twice"
        assert newest_checkpoint(tmp_path) >= rows[-1]["step"]
    phases.release()
    steps = metrics(tmp_path)[-1]["step"] + 2
    with simulated(tmp_path, f"run.num_steps={steps}") as run:
        assert run.driver.wait(120) == 0, run.output()[-3000:]
    assert metrics(tmp_path)[-1]["step"] == steps


def test_a_run_without_any_engine_ends_with_its_cause_and_keeps_its_steps(tmp_path):
    """F5."""
    with simulated(tmp_path, "run.num_steps=1000", "rollout.num_actors=2", "rollout.max_restarts=0") as run:
        run.wait_for_step(3)
        for engine in run.actors("Engine"):
            engine.kill()
        assert run.driver.wait(60) == 1, run.output()[-3000:]
        assert "Traceback" not in run.output()
    state = run_json(tmp_path)
    assert (state["state"], state["error"]["type"]) == ("failed", "RolloutFleetExhausted")
    assert newest_checkpoint(tmp_path) == metrics(tmp_path)[-1]["step"] >= 3


def test_a_run_whose_cluster_is_gone_ends_with_its_cause_and_goes_on(tmp_path):
    """F15: the process that keeps Ray's cluster together is killed."""
    options = ["checkpoint.every_steps=1"]
    with simulated(tmp_path, "run.num_steps=1000", *options) as run:
        run.wait_for_step(3)
        (server,) = [process for process in run.processes() if process.name() == "gcs_server"]
        server.kill()
        killed = time.monotonic()
        code = run.driver.wait(90)
        print(f"without a cluster: over after {time.monotonic() - killed:.1f} s")
        assert code == 1 and time.monotonic() - killed <= 60, run.output()[-3000:]
    state = run_json(tmp_path)
    assert state["state"] == "failed" and state["error"]["type"] in ("PlacementError", "LearnerError")
    done = newest_checkpoint(tmp_path)
    assert done >= 3
    with simulated(tmp_path, f"run.num_steps={done + 2}", *options) as run:
        assert run.driver.wait(120) == 0, run.output()[-3000:]
