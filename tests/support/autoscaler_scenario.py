"""A pool of simulated engines on nodes that Ray's own autoscaler makes and takes away: python … FOLDER.

It runs in a box. The autoscaler is version 2 over Ray's fake provider, which starts nodes as processes of this machine.
There are two kinds of nodes: spot (at most 2) and on-demand (at most 1). What is seen goes into FOLDER/scaled.json.
"""

import asyncio
import json
import os
import subprocess
import sys
import time
from pathlib import Path

import ray
from simulated_fleet import EngineActor

from actors.fleet.cluster_state import free_line
from actors.fleet.pool import Pool
from actors.fleet.pool_settings import PoolSettings
from actors.fleet.spawn import pool_options
from vlaa_ray.config import PoolSection
from vlaa_ray.planning.failures import LossBudget

HEAD_ID = "f" * 51 + "00000"
IDLE_S = 8.0
PROVIDER = "ray.autoscaler._private.fake_multi_node.node_provider.FakeMultiNodeProvider"
SECTION = PoolSection.model_validate({"max": 3, "nodes": {"prefer": "spot", "fallback": "on-demand"}})


def node_type(market, cpus, most):
    return {
        "resources": {"CPU": cpus, "object_store_memory": 100_000_000},
        "labels": {"ray.io/market-type": market},
        "node_config": {},
        "min_workers": 0,
        "max_workers": most,
    }


def start_head(file):
    provider = {
        "type": "external",
        "module": PROVIDER,
        "use_node_id_as_ip": True,
        "disable_node_updaters": True,
        "disable_launch_config_check": True,
        "gcs_address": "127.0.0.1:6379",
        "launch_multiple": True,
        "head_node_id": HEAD_ID,
    }
    empty_lists = ("initialization_commands", "setup_commands", "head_setup_commands", "worker_setup_commands")
    empty_lists += ("head_start_ray_commands", "worker_start_ray_commands", "cluster_synced_files", "rsync_exclude")
    config = {
        "cluster_name": "box",
        "max_workers": 3,
        "provider": provider,
        "available_node_types": {
            "ray.head.default": node_type("on-demand", 1, 0),  # the name that the provider gives the head
            "on-demand": node_type("on-demand", 2, 1),
            "spot": node_type("spot", 2, 2),
        },
        "head_node_type": "ray.head.default",
        "auth": {},
        "docker": {},
        "file_mounts": {},
        "rsync_filter": [],
        "file_mounts_sync_continuously": False,
        "upscaling_speed": 1.0,
        "idle_timeout_minutes": IDLE_S / 60,
        **{name: [] for name in empty_lists},
    }
    file.write_text(json.dumps(config))
    variables = {
        "RAY_FAKE_CLUSTER": "1",
        "AUTOSCALER_UPDATE_INTERVAL_S": "1",
        "RAY_enable_autoscaler_v2": "1",
        "RAY_raylet_start_wait_time_s": "150",
        "RAY_CLOUD_INSTANCE_ID": HEAD_ID,
        "RAY_OVERRIDE_NODE_ID_FOR_TESTING": HEAD_ID,
    }
    command = ["ray", "start", "--head", "--port=6379", "--num-cpus=1", "--labels=ray.io/market-type=on-demand"]
    command += ["--object-store-memory=100000000", "--disable-usage-stats", f"--autoscaling-config={file}"]
    subprocess.run(command, env=os.environ | variables, check=True, timeout=170)


def alive():
    """The market types of the nodes that engines can be on, by the nodes' ids."""
    workers = [node for node in ray.nodes() if node["Alive"] and node["Resources"].get("CPU") == 2]
    return {node["NodeID"]: node["Labels"]["ray.io/market-type"] for node in workers}


class Watch:
    """What the number of nodes has been, and how long each wait took."""

    def __init__(self):
        self.seen, self.most = {}, {}

    async def until(self, what, reached, limit_s=60):
        start = time.monotonic()
        while not reached():
            assert time.monotonic() - start < limit_s, f"not within {limit_s} s: {what}; nodes {alive()}"
            self._count()
            await asyncio.sleep(0.2)
        self.seen[what] = time.monotonic() - start

    async def stays(self, seconds):
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            self._count()
            await asyncio.sleep(0.2)

    def _count(self):
        markets = list(alive().values())
        for market in ("spot", "on-demand"):
            self.most[market] = max(self.most.get(market, 0), markets.count(market))


async def play(folder):
    def spawn(index, avoided):
        return ray.remote(EngineActor).options(**pool_options(SECTION, 2, 0, avoided)).remote(str(folder))

    notes, watch = [], Watch()
    settings = PoolSettings(
        role="rollout",
        smallest=1,
        first=1,
        budget=LossBudget(0, 600),
        provision_s=120,
        start_s=60,
        give_up_s=120,
        call_s=1,
        max_calls_in_flight=4,
    )
    pool = Pool(settings, spawn, notes.append)
    await pool.start()
    pool.resize(3)  # two spot nodes are the limit: the third engine takes the fallback
    line = await free_line()
    await watch.until("three replicas", lambda: len(pool.replicas) == 3)
    markets = sorted(alive().values())
    pool.resize(4)  # there is room for three: the fourth waits, and harms nobody
    await watch.stays(5)
    waiting = len(pool.replicas)
    pool.resize(1)
    kept = pool.replicas[0].node
    await watch.until("only the node in use is left", lambda: list(alive()) == [kept])
    answer = await asyncio.wait_for(pool.replicas[0].actor.rss_bytes.remote(), 30)
    await pool.close()
    return {
        "seen": watch.seen,
        "most": watch.most,
        "markets": markets,
        "waiting": waiting,
        "line": line,
        "answer": answer,
        "notes": notes,
    }


def main():
    folder = Path(sys.argv[1])
    start_head(Path("/tmp/ray/autoscaler.json"))
    ray.init(address="127.0.0.1:6379", log_to_driver=False)
    seen = asyncio.run(play(folder))
    (folder / "scaled.json").write_text(json.dumps(seen))
    ray.shutdown()


if __name__ == "__main__":
    main()
