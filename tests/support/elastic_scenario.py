"""A GRPO run of simulated actors on real Ray nodes that come and go: python elastic_scenario.py FOLDER.

It runs in a box. What it has seen is written as JSON to FOLDER/seen.json.
"""

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import ray
from ray.cluster_utils import Cluster
from simulated_fleet import QUICK, SETTINGS, SimulatedSpawner

from actors.fleet.fleet import open_fleet
from vlaa_ray.config import GrpoConfig
from vlaa_ray.evaluation.in_training import HeldOut
from vlaa_ray.loop import train
from vlaa_ray.records import Prompt
from vlaa_ray.run.session import open_run

SPOT = {"ray.io/market-type": "spot"}
STEPS, PROMPTS = 40, 6


def config_of(folder):
    return GrpoConfig.model_validate(
        {
            "run": {"name": "run", "dir": str(folder), "num_steps": STEPS},
            "model": {"path": "builtin:tiny-base"},
            "ray": {"address": "auto"},
            "rollout": {
                "min": 1,
                "max": 3,
                "resize_every_s": 0,
                "nodes": {"prefer": "spot"},
                "cpus_per_actor": 0.8,
                "prompts_per_step": PROMPTS,
                "group_size": 2,
                "max_prompt_tokens": 4,
                "max_completion_tokens": 4,
                "max_restarts": 1,
            },
            "rewards": {"cpus_per_actor": 0.1},
            "learner": {"micro_batch_tokens": 10},
            "deadlines": {"rollout_s": 30, "start_s": 60, "provision_s": 120, "weight_sync_s": 60, "learn_s": 300},
            "tracking": {"tensorboard": False, "wandb": "disabled"},
            "checkpoint": {"every_steps": 1000},
            "eval": {"every_steps": 1000},
        }
    )


class Scenario:
    """What happens to the nodes, as soon as the run has got far enough."""

    def __init__(self, cluster, folder):
        self._cluster, self._run = cluster, folder / "run"
        self.seen = {}

    async def play(self):
        await self._until("one replica", lambda row: row["rollout/replicas"] == 1 and row["step"] > 1)
        await self._until("three are wanted", lambda row: row["rollout/replicas_wanted"] == 3)
        killed = await self._joined(2)
        known = spot_nodes()
        leaving = await self._joined(3)
        (leaving_id,) = spot_nodes() - known
        await self._until("three replicas", lambda row: row["rollout/replicas"] == 3)
        for process in [*psutil.Process(killed.pid).children(recursive=True), killed]:
            process.kill()
        await self._until("two replicas after a raylet was killed", lambda row: row["rollout/replicas"] == 2)
        leaving.send_signal(signal.SIGTERM)
        await asyncio.to_thread(leaving.wait, 40)
        last_group = float((self._run / f"last_group_{leaving_id}").read_text())
        self.seen["leave_s"] = time.time() - last_group
        await self._until("one replica again", lambda row: row["rollout/replicas"] == 1)
        await self._joined(2)
        await self._until("a new node is used", lambda row: row["rollout/replicas"] == 2)
        (self._run / QUICK).touch()

    async def _joined(self, count):
        """Start a spot node, and return its process when there are so many of them."""
        process = subprocess.Popen(
            [
                *("ray", "start", "--block", f"--address={self._cluster.address}", "--num-cpus=1"),
                *("--labels=ray.io/market-type=spot", "--dashboard-agent-listen-port=0", "--disable-usage-stats"),
                "--object-store-memory=100000000",
            ],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        deadline = time.monotonic() + 60
        while len(spot_nodes()) < count:
            assert process.poll() is None and time.monotonic() < deadline, f"{len(spot_nodes())} of {count} nodes"
            await asyncio.sleep(0.2)
        return process

    async def _until(self, what, reached):
        start = time.monotonic()
        while True:
            rows = (self._run / "metrics.jsonl").read_text().splitlines() if self._run.is_dir() else []
            if len(rows) > 1 and reached(json.loads(rows[-1])):  # step 0 is the evaluation of the base model
                self.seen[what] = time.monotonic() - start
                return
            if time.monotonic() - start > 60:
                raise TimeoutError(f"not within 60 s: {what}; last row: {rows[-1:]}")
            await asyncio.sleep(0.1)


def spot_nodes():
    """The ids of the spot nodes that Ray sees."""
    return {n["NodeID"] for n in ray.nodes() if n["Alive"] and n["Labels"].get("ray.io/market-type") == "spot"}


async def run_all(config, cluster, folder):
    prompts = [Prompt(prompt_id=f"p{i}", question="?", gold=1, verifier_type="digit", source="t") for i in range(12)]
    scenario = Scenario(cluster, folder)
    with open_run(config) as run:
        run.use_data(prompts)
        async with open_fleet(config, run, SimulatedSpawner) as fleet:
            training = asyncio.ensure_future(train(config, prompts, HeldOut(prompts[:1]), await fleet.start(), run))
            playing = asyncio.ensure_future(scenario.play())
            await asyncio.wait({training, playing}, return_when=asyncio.FIRST_EXCEPTION)
            for task in (playing, training):
                if task.done():
                    task.result()
                else:
                    task.cancel()
    return scenario.seen


def main():
    folder = Path(sys.argv[1])
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 2})
    cluster.add_node(num_cpus=1, labels=SPOT)
    os.environ |= {"RAY_ADDRESS": cluster.address, SETTINGS: json.dumps({"last_waits": True})}
    ray.init(address=cluster.address, log_to_driver=False)
    seen = asyncio.run(run_all(config_of(folder), cluster, folder))
    (folder / "seen.json").write_text(json.dumps(seen))
    ray.shutdown()


if __name__ == "__main__":
    main()
