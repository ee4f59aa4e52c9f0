"""A simulated GRPO run and a small Serve application, watched by Prometheus: python watched_scenario.py FOLDER.

It runs in a box. An engine is lost on the way. The last step logs every row of the table of metrics; a minute later,
and again after the end of the run, Prometheus is asked for every panel and every series of the rules. What it had is
written as JSON to FOLDER/seen.json.
"""

import asyncio
import json
import os
import re
import sys
import time
from pathlib import Path

import ray
from elastic_scenario import SPOT, config_of
from prometheus_server import prometheus, query, selectors_of_rules
from ray import serve
from ray.cluster_utils import Cluster
from simulated_fleet import QUICK, SimulatedSpawner

from actors.fleet.fleet import open_fleet
from actors.process.ray_metrics import export_health, service_health
from vlaa_ray.evaluation.in_training import HeldOut
from vlaa_ray.loop import train
from vlaa_ray.monitoring.names import METRICS
from vlaa_ray.monitoring.panels import GROUPS
from vlaa_ray.records import Prompt
from vlaa_ray.run.session import open_run

STEPS, WAIT_S = 10, 60
WORDS = {"verifier_type": "digit", "source": "t", "role": "learner", "name": "WeMath", "figure": "strict/score",
         "part": "box", "why": "failed", "phrase": "wait"}  # fmt: skip


@serve.deployment(ray_actor_options={"num_cpus": 0})
class Echo:
    def __call__(self, text):
        return text if text != "fail" else 1 / 0


def ask_serve():
    handle = serve.run(Echo.bind(), name="echo", route_prefix=None)
    for text in ["a", "b", "fail"] * 5:
        try:
            handle.remote(text).result(timeout_s=30)
        except ZeroDivisionError:
            pass
        time.sleep(0.5)


def asked():
    """What Prometheus has for each query: the number of its series."""
    panels = [panel for group, panels in GROUPS.items() if group != "Engines" for panel in panels]
    queries = {query.expression for panel in panels for query in panel.all_queries()} | set(selectors_of_rules())
    return {expression: len(query(expression.replace("$run", ".*"))) for expression in sorted(queries)}


def whole_row():
    return {re.sub(r"\{(\w+)\}", lambda word: WORDS[word[1]], metric.name): 0.5 for metric in METRICS}


async def run_all(config, folder):
    prompts = [Prompt(prompt_id=f"p{i}", question="?", gold=1, verifier_type="digit", source="t") for i in range(12)]
    with open_run(config) as run:
        run.use_data(prompts)
        (folder / "run" / QUICK).touch()
        async with open_fleet(config, run, SimulatedSpawner) as fleet:
            roles = await fleet.start()
            services = export_health(config.run.name, [lambda: service_health({"judge": 3.0})])  # as in a reward actor
            training = asyncio.ensure_future(train(config, prompts, HeldOut(prompts[:1]), roles, run))
            await asyncio.sleep(1)
            ray.kill(roles.rollouts.pool.replicas[0].actor)
            await training
            run.log(STEPS + 1, whole_row() | {"step": STEPS + 1})
            await asyncio.to_thread(ask_serve)
            await asyncio.sleep(WAIT_S)
            seen = {"alive": await asyncio.to_thread(asked)}
            seen["series"] = int(query('count({__name__=~"ray_vlaa_.+"})')[0][1])
            seen["losses"] = query('max by (role, cause) (ray_vlaa_losses{cause="died"})')
            seen["alerts"] = [labels for labels, _ in query('ALERTS{alertstate="firing"}')]
            services.finish.set()
    return seen


def main():
    folder = Path(sys.argv[1])
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 3, "include_dashboard": True})
    cluster.add_node(num_cpus=1, labels=SPOT)
    os.environ["RAY_ADDRESS"] = cluster.address
    ray.init(address=cluster.address, log_to_driver=False)
    config = config_of(folder)
    alarms = config.alarms.model_copy(update={"mean_logprob_diff": 0.6})  # in fp32 there is none by default
    config = config.model_copy(update={"run": config.run.model_copy(update={"num_steps": STEPS}), "alarms": alarms})
    with prometheus(folder):
        seen = asyncio.run(run_all(config, folder))
        time.sleep(40)
        seen["after"] = [labels["__name__"] for labels, _ in query('{__name__=~"ray_vlaa_.+"}')]
    (folder / "seen.json").write_text(json.dumps(seen))
    serve.shutdown()
    ray.shutdown()


if __name__ == "__main__":
    main()
