"""The quickstart's run on two learner ranks, one of whose hosts is taken away, and another one comes later:
python fewer_ranks_scenario.py FOLDER OPTION…

It runs in a box. What it has seen is written as JSON to FOLDER/seen.json.
"""

import sys
import time
from pathlib import Path

from hosts import Hosts
from hosts_run import HostsRun, write


def main():
    folder, options = Path(sys.argv[1]), sys.argv[2:]
    hosts = Hosts(folder)
    head = hosts.start(2, "spot")
    hosts.start(1, "on-demand")
    second = hosts.start(1, "on-demand")
    nodes = ["learner.nodes=on-demand", "rollout.nodes.prefer=spot", "rewards.nodes.prefer=spot"]
    run = HostsRun(head, folder, *options, *nodes)
    run.until_row("two ranks have learned four steps", lambda row: row["step"] >= 4, 240)
    second.kill()
    killed = time.monotonic()
    run.until("one rank goes on", lambda: "the learner goes on with 1 ranks" in run.output(), 150)
    row, _ = run.until_row("a step on one rank", lambda row: row.get("learner/ranks") == 1, 60)
    seen = {"one_rank_s": time.monotonic() - killed, "on_one_rank": row["step"]}
    hosts.start(1, "on-demand")
    row, seen["two_ranks_s"] = run.until_row("both ranks are back", lambda row: row.get("learner/ranks") == 2, 240)
    seen["on_two_ranks"] = row["step"]
    assert run.end(300) == 0, run.output()[-3000:]
    write(folder / "seen.json", seen)


if __name__ == "__main__":
    main()
