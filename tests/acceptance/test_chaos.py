"""Long runs under constant losses, long runs without any, and two runs on one cluster."""

import json
import random
import statistics
import time

import numpy as np
import psutil
import pytest
from box import run_script, why_not
from quickstart import metrics, run_json, running
from simulated_runs import check_books, losses, simulated, strike

pytestmark = [pytest.mark.acceptance, pytest.mark.timeout(600)]
STRIKE_EVERY_S = 15
SOAK_STEPS, WARM_STEPS, MOST_GROWTH_BYTES = 300, 50, 0.5e6
MANY = [f"{pool}.max_restarts=1000" for pool in ("rollout", "rewards", "learner")]


def test_a_run_that_loses_an_actor_every_15_seconds_does_all_its_steps(tmp_path):
    """Engines, reward actors and ranks are simulated; a step of an undisturbed run takes about a second."""
    chosen, struck = random.Random(7), []
    options = ["run.num_steps=100", "rollout.num_actors=2", "learner.num_ranks=2", "checkpoint.every_steps=5"]
    with simulated(tmp_path, *options, *MANY, sample_s=0.1, learn_s=0.2) as run:
        run.wait_for_step(1)
        begun = last = time.monotonic()
        while metrics(tmp_path)[-1]["step"] < 100 and run.driver.poll() is None:
            time.sleep(0.1)
            if time.monotonic() - last >= STRIKE_EVERY_S:
                role = chosen.choice(["Engine", "Rewards", "Rank"])
                if run.actors(role):
                    strike(run, role)
                    struck.append(role)
                    last = time.monotonic()
        took_s = time.monotonic() - begun
        assert run.driver.wait(60) == 0, run.output()[-3000:]
    rows = metrics(tmp_path)
    assert len(rows) == 101 and run_json(tmp_path)["state"] == "finished"
    check_books(rows, 8 * 4)
    undisturbed_s = 99 * statistics.median(row["time/step_s"] for row in rows[1:])
    print(f"{len(struck)} losses in {took_s:.0f} s ({struck}); goodput {undisturbed_s / took_s:.0%}")
    assert len(struck) >= 5 and undisturbed_s / took_s >= 0.5


def slopes(rows):
    """The growth of each role's memory, in bytes a step."""
    names = [name for name in rows[-1] if name.startswith("memory/") and name.endswith("_rss_bytes")]
    steps = [row["step"] for row in rows]
    return {name: float(np.polyfit(steps, [row[name] for row in rows], 1)[0]) for name in names}


def of_processes(run):
    """(open files, threads) of the driver and of each actor."""
    actors = [actor for role in ("Learner", "Rollout", "Reward") for actor in run.actors(role)]
    processes = [psutil.Process(run.driver.pid), *actors]
    return {process.pid: (process.num_fds(), process.num_threads()) for process in processes}


def store_bytes(run):
    """The memory of Ray's object store that was ever used; what is never given back lets it grow."""
    (server,) = [process for process in run.processes() if process.name() == "raylet"]
    return server.memory_info().shared


def test_300_steps_leave_memory_files_threads_and_the_object_store_as_they_were(tmp_path):
    """Real engine and learner, with small steps."""
    options = [f"run.num_steps={SOAK_STEPS + 5}", "eval.num_prompts=4", "eval.every_steps=1000"]
    options += ["rollout.prompts_per_step=4", "rollout.group_size=2", "rollout.max_completion_tokens=16"]
    options += ["checkpoint.every_steps=1000", "rewards.open_ended.scorer=words", "tracking.rollouts_per_step=1"]
    options += ["data.num_train=100"]  # an engine's cache of images grows up to its limit: it has all in 25 steps
    driver = []
    with running(tmp_path, *options) as run:
        run.wait_for_step(WARM_STEPS)
        before, store_before = of_processes(run), store_bytes(run)
        while (step := metrics(tmp_path)[-1]["step"]) < SOAK_STEPS:
            assert run.driver.poll() is None, run.output()[-3000:]
            driver.append((step, psutil.Process(run.driver.pid).memory_info().rss))
            time.sleep(0.5)
        after, store_after = of_processes(run), store_bytes(run)
        assert run.driver.wait(60) == 0, run.output()[-3000:]
    growth = slopes(metrics(tmp_path)[WARM_STEPS : SOAK_STEPS + 1])
    growth["driver"] = float(np.polyfit(*zip(*driver, strict=True), 1)[0])
    print(json.dumps({name: f"{slope / 1e6:+.3f} MB a step" for name, slope in growth.items()}))
    print(f"files and threads: {before} -> {after}; object store: {store_before} -> {store_after} bytes")
    assert store_after - store_before <= 5e6
    assert all(slope <= MOST_GROWTH_BYTES for slope in growth.values())
    assert before.keys() == after.keys(), "no process was replaced"
    for pid, (files, threads) in before.items():
        assert after[pid][0] <= files + 3 and after[pid][1] <= threads + 1, (pid, before[pid], after[pid])


@pytest.mark.skipif(bool(why_not()), reason=why_not())
def test_two_runs_on_one_cluster_do_not_disturb_each_other(tmp_path):
    """The other one loses an engine and then its driver."""
    print(run_script("two_runs_scenario.py", tmp_path, timeout_s=300))
    check_books(metrics(tmp_path / "second"), 8 * 4)
    (tmp_path / "alone").mkdir()
    with simulated(tmp_path / "alone", "run.num_steps=30", "run.seed=2") as run:
        assert run.driver.wait(240) == 0, run.output()[-3000:]
    assert losses(tmp_path / "second") == losses(tmp_path / "alone")
