"""A real engine whose own metrics Prometheus collects: python engine_metrics_scenario.py FOLDER; it runs in a box.

While the engine samples, Prometheus is asked for every query of the dashboard of engines. What it had is written as
JSON to FOLDER/seen.json.
"""

import json
import os
import sys
import threading
import time
from pathlib import Path

import ray
from prometheus_server import prometheus, query

from actors.fleet.spawn import Spawner
from vlaa_ray.config import GrpoConfig, load_config
from vlaa_ray.data.builtin import BuiltinData
from vlaa_ray.monitoring.panels import GROUPS
from vlaa_ray.roles import SampleRequest

ROOT = Path(__file__).parents[2]
SAMPLING_S = 45


def sample(engine, until):
    """Keep the engine busy until a time."""
    prompts, seed = BuiltinData("train"), 0
    while time.monotonic() < until:
        seed += 1
        calls = [
            engine.sample.remote(
                SampleRequest(prompt=prompts[i], num_samples=8, seed=seed, temperature=1.0, max_completion_tokens=48)
            )
            for i in range(12)
        ]
        ray.get(calls, timeout=120)


def main():
    folder = Path(sys.argv[1])
    os.environ["RAY_metrics_report_interval_ms"] = "2000"
    ray.init(address="local", num_cpus=2, include_dashboard=True, log_to_driver=False, object_store_memory=200_000_000)
    overrides = ["run.name=watched", f"run.dir={folder}", "rollout.engine_metrics=true", "ray.address=auto"]
    config = load_config(ROOT / "configs/quickstart.yaml", overrides, GrpoConfig)
    engine = Spawner(config, folder / "logs").rollout(0)
    ray.get(engine.start.remote(), timeout=180)
    queries = [query for panel in GROUPS["Engines"] for query in panel.all_queries()]
    counts = dict.fromkeys((each.expression for each in queries), 0)
    with prometheus(folder):
        end = time.monotonic() + SAMPLING_S
        busy = threading.Thread(target=sample, args=(engine, end))
        busy.start()
        while time.monotonic() < end:
            for expression in counts:  # a gauge of an engine is there only while it works
                counts[expression] = max(counts[expression], len(query(expression.replace("$run", "watched"))))
            time.sleep(1)
        series = query('count({__name__=~"ray_vllm_.+"})')
        busy.join()
    (folder / "seen.json").write_text(json.dumps({"counts": counts, "series": series[0][1] if series else 0}))
    ray.shutdown()


if __name__ == "__main__":
    main()
