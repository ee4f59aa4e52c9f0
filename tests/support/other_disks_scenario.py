"""A simulated GRPO run on nodes with disks of their own: python other_disks_scenario.py FOLDER.

It runs in a box. The first node that joins lacks the model; the second one has it, and its folder of logs is its own.
What was seen is written as JSON to FOLDER/seen.json.
"""

import asyncio
import json
import os
import subprocess
import sys
from pathlib import Path

import ray
from elastic_scenario import SPOT, config_of, spot_nodes
from ray.cluster_utils import Cluster
from simulated_fleet import QUICK, SimulatedSpawner

from actors.fleet.fleet import open_fleet
from vlaa_ray.evaluation.in_training import HeldOut
from vlaa_ray.loop import train
from vlaa_ray.records import Prompt
from vlaa_ray.run.session import open_run
from vlaa_ray.storage.metrics_file import read_metrics


async def until(reached, what):
    async with asyncio.timeout(60):
        while not reached():
            await asyncio.sleep(0.2)
    print(what, flush=True)


async def join(address, hidden):
    """Start a spot node to which the folder `hidden` looks empty; return its id."""
    known = spot_nodes()
    start = f"ray start --block --address={address} --num-cpus=1 --labels=ray.io/market-type=spot"
    quiet = "--dashboard-agent-listen-port=0 --disable-usage-stats --object-store-memory=100000000"
    command = f"mount -t tmpfs tmpfs {hidden} && exec {start} {quiet}"
    subprocess.Popen(["unshare", "--mount", "bash", "-c", command], stdout=subprocess.DEVNULL)
    await until(lambda: spot_nodes() - known, f"a node without {hidden.name}")
    return (spot_nodes() - known).pop()


async def play(address, folder, fleet):
    run = folder / "run"
    rows = lambda: read_metrics(run)  # noqa: E731 - the last row changes all the time
    seen = {"without_model": await join(address, folder / "models")}
    log = run / "logs" / "driver.log"
    await until(lambda: rows() and rows()[-1].get("rollout/replicas_wanted", 0) > 1, "more engines are wanted")
    await asyncio.sleep(6)
    seen["replicas_before"] = rows()[-1]["rollout/replicas"]
    seen["own_logs"] = node = await join(address, run / "logs")
    await until(lambda: rows()[-1]["rollout/replicas"] > 1, "an engine on the second node")
    for replica in fleet.rollouts.pool.replicas:
        if replica.node == node:
            ray.kill(replica.actor)
    await until(lambda: list(log.parent.glob(f"rollout_*.{node[:8]}.log")), "the log of a lost engine is here")
    for file in log.parent.glob(f"rollout_*.{node[:8]}.log"):
        seen["brought"] = file.read_text()
        file.unlink()
    await until(lambda: rows()[-1]["rollout/replicas"] > 1, "another engine on the second node")
    (run / QUICK).touch()
    return seen


async def run_all(config, address, folder):
    prompts = [Prompt(prompt_id=f"p{i}", question="?", gold=1, verifier_type="digit", source="t") for i in range(12)]
    with open_run(config) as run:
        run.use_data(prompts)
        async with open_fleet(config, run, SimulatedSpawner) as fleet:
            roles = await fleet.start()
            training = asyncio.ensure_future(train(config, prompts, HeldOut(prompts[:1]), roles, run))
            seen = await play(address, folder, roles)
            await training
    logs = (folder / "run/logs").glob(f"rollout_*.{seen['own_logs'][:8]}.log")
    return seen | {"at_the_end": "".join(file.read_text() for file in logs)}


def main():
    folder = Path(sys.argv[1])
    model = folder / "models/m"
    model.mkdir(parents=True)
    (model / "config.json").write_text("{}")
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 2})
    cluster.add_node(num_cpus=1, labels=SPOT)
    os.environ["RAY_ADDRESS"] = cluster.address
    ray.init(address=cluster.address, log_to_driver=False)
    config = config_of(folder)
    config = config.model_copy(update={"model": config.model.model_copy(update={"path": str(model)})})
    seen = asyncio.run(run_all(config, cluster.address, folder))
    (folder / "seen.json").write_text(json.dumps(seen))
    ray.shutdown()


if __name__ == "__main__":
    main()
