"""The quickstart's run on hosts that join, are killed and are told to go: python hosts_scenario.py FOLDER.

It runs in a box. Only the head sees the run's folder; the other hosts have an empty one in its place. What was seen is
written as JSON to FOLDER/seen.json.
"""

import sys
import time
from pathlib import Path

from hosts import Hosts, until
from hosts_run import HostsRun, kill, write

OPTIONS = [
    "run.num_steps=10000",
    "checkpoint.every_steps=10000",
    "eval.every_steps=10000",
    "eval.num_prompts=4",
    "rollout.group_size=2",
    "rollout.max_completion_tokens=24",
    "rollout.num_actors=1",
    "rollout.min=1",
    "rollout.max=3",
    "rollout.resize_every_s=0",
    "rollout.cpus_per_actor=0.8",
    "rollout.nodes.prefer=spot",
    "rollout.nodes.fallback=on-demand",
    "rollout.max_restarts=1",
    "rewards.cpus_per_actor=0.2",
    "rewards.nodes.prefer=on-demand",
    "rewards.open_ended.scorer=words",
    "learner.nodes=on-demand",
]


def replicas(count):
    return lambda row: row.get("rollout/replicas") == count


def main():
    folder = Path(sys.argv[1])
    hosts, seen = Hosts(folder), {}
    head = hosts.start(2, "on-demand")  # a learner rank, rewards, and one engine
    run = HostsRun(head, folder, *OPTIONS)
    run.until_row("three engines are wanted", lambda row: row.get("rollout/replicas_wanted") == 3, 240)
    spot = [hosts.start(1, "spot", private=[folder]) for _ in range(2)]
    row, seen["three_s"] = run.until_row("three engines", replicas(3), 240)
    seen["three_at"] = row["step"]
    run.until_row("steps of three engines", lambda last: last["step"] >= row["step"] + 4, 120)
    (engine,) = spot[0].actors("Rollout")
    actor, *engine_core = run.freeze_until_awaited(engine)
    kill(engine_core)
    actor.resume()
    killed = time.monotonic()
    run.until("the killed engine is noticed", lambda: "is lost and replaced" in run.output(), 60)
    num_rows = len(run.rows())
    run.until("the next step", lambda: len(run.rows()) > num_rows, 60)
    seen["next_step_s"] = time.monotonic() - killed
    row, seen["replaced_s"] = run.until_row(
        "three engines again", lambda row: row["rollout/restarts"] == 1 and replicas(3)(row), 240
    )
    spot[1].tell_to_go()
    _, seen["leave_s"] = run.until("the host that was told to go is gone", spot[1].is_gone, 60)
    run.until("its engine has left", lambda: "actors leave with it" in run.output(), 10)
    row, _ = run.until_row("two engines", replicas(2), 60)
    run.until_row("steps of two engines", lambda last: last["step"] >= row["step"] + 4, 120)
    assert run.stop() == 143, run.output()[-3000:]
    until(lambda: not head.actors("Rollout"), "no actor is left", 30)
    write(folder / "seen.json", seen)


if __name__ == "__main__":
    main()
