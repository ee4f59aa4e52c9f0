"""Two runs of simulated actors on one cluster, one of which loses an engine and then its driver:
python two_runs_scenario.py FOLDER

It runs in a box. The runs are FOLDER/first and FOLDER/second; they even have the same name.
"""

import sys
from pathlib import Path

from hosts import Hosts
from hosts_run import HostsRun, kill
from quickstart import SIMULATED
from simulated_runs import OPTIONS

NUM_STEPS = 30


def main():
    folder = Path(sys.argv[1])
    head = Hosts(folder).start(8, "on-demand")
    options = [*OPTIONS, f"run.num_steps={NUM_STEPS}", "rollout.max=3", "rollout.resize_every_s=0"]
    for name in ("first", "second"):
        (folder / name).mkdir()
    first = HostsRun(head, folder / "first", *options, "run.seed=1", program=SIMULATED)
    first.until_row("the first has begun", lambda row: row["step"] >= 2, 120)
    engines = head.actors("Engine")
    second = HostsRun(head, folder / "second", *options, "run.seed=2", program=SIMULATED)
    second.until_row("the second has begun", lambda row: row["step"] >= 2, 120)
    kill(engines[:1])
    first.until("the engine is replaced", lambda: "is lost and replaced" in first.output(), 60)
    first.kill()
    assert second.end(150) == 0, second.output()[-3000:]
    assert "is lost" not in second.output()


if __name__ == "__main__":
    main()
