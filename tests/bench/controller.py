"""What the controller costs: the real loop, buffer, pools and writer, with engines and learners that only sleep.

    python tests/bench/controller.py

No torch and no vLLM: an engine waits for a given time and then gives the same group again. So all processor time of
this process is the controller's. First the engines are coroutines of this process; then a few are real Ray actors,
and the processor time holds Ray's part in this process too.
"""

from __future__ import annotations

import asyncio
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import ray
from common import show

from actors.fleet.role_pools import RewardPool, RolloutPool
from actors.process.own_ray import start_own_ray
from vlaa_ray.config import GrpoConfig
from vlaa_ray.evaluation.in_training import HeldOut
from vlaa_ray.loop import train
from vlaa_ray.monitoring.study import CompletionStudy
from vlaa_ray.records import Completion, Prompt, RewardResult, SampledGroup
from vlaa_ray.roles import Roles
from vlaa_ray.run.writer import RunWriter

REPLICAS = (1, 4, 16, 64)
PROMPTS = (64, 256, 1024, 4096)
RAY_REPLICAS = (1, 4, 8)
FIXED_PROMPTS, FIXED_REPLICAS, RAY_PROMPTS = 1024, 16, 256
GROUP_SIZE, NUM_TOKENS = 8, 200
SERVICE_S = 0.05
CALLS_IN_FLIGHT = 256
MIN_STEPS, MIN_GROUPS, WARM_UP_STEPS = 4, 2048, 1
WANTED = 1.2


@dataclass(frozen=True)
class Cost:
    """The medians over the steps of one run."""

    replicas: int
    prompts: int
    samples_per_s: float
    cpu_us: float
    """The processor time of this process in microseconds a sample."""

    def row(self, engines: str, base: Cost) -> list[str]:
        """Return the row of the table; `base` is the first run of the same kind."""
        figures = [f"{self.samples_per_s:,.0f}", f"{self.cpu_us:.0f}", f"{self.cpu_us / base.cpu_us:.2f}"]
        return [engines, f"{self.replicas}", f"{self.prompts:,}", *figures]


class Engine:
    """An engine that gives every prompt the same group after `SERVICE_S` seconds, and a reward actor without work."""

    def __init__(self) -> None:
        self._group = group_of(GROUP_SIZE)
        self._rewards = [RewardResult(value=float(index % 2), valid=True) for index in range(GROUP_SIZE)]

    async def node_id(self) -> str:
        return "here"

    async def start(self) -> None: ...

    async def sample(self, request: Any) -> SampledGroup:
        await asyncio.sleep(SERVICE_S)
        return self._group if request.num_samples == GROUP_SIZE else group_of(request.num_samples)

    async def score(self, prompt: Prompt, texts: list[str], progress: float) -> tuple[list[RewardResult], float]:
        await asyncio.sleep(0)
        return self._rewards[: len(texts)], 0.001

    async def rss_bytes(self) -> int:
        return 1


class InProcess:
    """A handle of an actor that lives in this process: `handle.method.remote(…)` gives an awaitable, as Ray's does."""

    def __init__(self) -> None:
        self._actor = Engine()

    def __getattr__(self, name: str) -> _Method:
        return _Method(getattr(self._actor, name))


@dataclass(frozen=True)
class _Method:
    remote: Callable[..., Any]


class Learner:
    """A learner that learns nothing, so that its weights stay those of the engines; and their transport."""

    weight_version = 0

    async def accumulate(self, shares: Any) -> None:
        await asyncio.sleep(0)

    async def update(self, shares: Any) -> dict[str, float]:
        await asyncio.sleep(SERVICE_S)
        return {}

    async def publish(self) -> None:
        await asyncio.sleep(0)

    async def save(self, folder: Path) -> None: ...

    async def written(self) -> None: ...

    async def metrics(self) -> dict[str, float]:
        return {}


class Steps:
    """A run that writes its metrics and rollouts as a real one does, and notes the clocks after each step."""

    resume_state = resume_folder = None

    def __init__(self, config: GrpoConfig, folder: Path) -> None:
        self._writer = RunWriter(config, folder, None)
        self._study = CompletionStudy(config.tracking)
        self._folder = folder
        self.checkpoint_request = asyncio.Event()
        self.clocks: list[tuple[float, float]] = []

    def log(self, step: int, metrics: Any, groups: Any = ()) -> None:
        self._writer.log(step, metrics, groups)
        self.clocks.append((time.perf_counter(), time.process_time()))

    def phase(self, name: str) -> None: ...

    def study(self, groups: Any) -> dict[str, float]:
        return self._study.metrics(groups)

    def alarm(self, message: str) -> None:
        raise SystemExit(message)

    def begin_checkpoint(self, step: int) -> Path:
        return self._folder

    def commit_checkpoint(self, step: int, state: Any) -> None:
        self._writer.close()

    async def stoppable(self, waiting: Any) -> Any:
        return await waiting


def main() -> None:
    table = []
    by_replicas = [measured(replicas, FIXED_PROMPTS) for replicas in REPLICAS]
    by_prompts = [measured(FIXED_REPLICAS, prompts) for prompts in PROMPTS]
    for costs in (by_replicas, by_prompts):
        table += [cost.row("coroutines", costs[0]) for cost in costs]
    num_actors = 2 * max(RAY_REPLICAS)  # engines and reward actors; they only sleep
    start_own_ray(num_cpus=num_actors, include_dashboard=False, log_to_driver=False, logging_level="ERROR")
    try:
        over_ray = [measured(replicas, RAY_PROMPTS, spawn=ray_actor) for replicas in RAY_REPLICAS]
    finally:
        ray.shutdown()
    table += [cost.row("Ray actors", over_ray[0]) for cost in over_ray]
    columns = ["engines", "replicas", "prompts a step", "samples/s", "driver CPU, µs a sample", "to the first"]
    flat = by_replicas[-1].cpu_us / by_replicas[0].cpu_us
    note = f"{GROUP_SIZE} samples a prompt. 64 replicas to 1: {flat:.2f}; at most {WANTED:.2f} is wanted."
    show("The controller with simulated engines", columns, table, note)


def measured(replicas: int, prompts: int, spawn: Callable[[int, frozenset[str]], Any] | None = None) -> Cost:
    """Return the cost of a run with `replicas` engines and as many reward actors."""
    with tempfile.TemporaryDirectory() as folder:
        config = config_of(replicas, prompts)
        steps = asyncio.run(ran(config, Path(folder), spawn or (lambda *_: InProcess())))
    samples = prompts * GROUP_SIZE
    kept = steps.clocks[WARM_UP_STEPS:]
    seconds, cpu_s = (float(np.median(np.diff(clock))) for clock in zip(*kept, strict=True))
    return Cost(replicas, prompts, samples / seconds, cpu_s / samples * 1e6)


async def ran(config: GrpoConfig, folder: Path, spawn: Callable[[int, frozenset[str]], Any]) -> Steps:
    """Run the loop to its end."""
    engines, judges = RolloutPool(config, spawn, print), RewardPool(config, spawn, print)
    await asyncio.gather(engines.start(), judges.start())
    learner: Any = Learner()
    steps: Any = Steps(config, folder)
    roles = Roles(rollouts=engines, rewards=judges, learner=learner, weight_sync=learner)
    await train(config, prompts_of(config.rollout.prompts_per_step), HeldOut(prompts_of(1)), roles, steps)
    return steps


def ray_actor(index: int, avoided: frozenset[str]) -> Any:
    """Return an engine as a Ray actor that has started; Ray warns where many start at once."""
    actor = ray.remote(Engine).options(num_cpus=0, max_concurrency=CALLS_IN_FLIGHT).remote()
    ray.get(actor.start.remote(), timeout=60)
    return actor


def config_of(replicas: int, prompts: int) -> GrpoConfig:
    num_steps = WARM_UP_STEPS + max(MIN_STEPS, MIN_GROUPS // prompts)
    return GrpoConfig.model_validate(
        {
            "run": {"name": "controller", "num_steps": num_steps, "seed": 0},
            "model": {"path": "none"},
            "rollout": {
                "prompts_per_step": prompts,
                "group_size": GROUP_SIZE,
                "num_actors": replicas,
                "max_num_seqs": CALLS_IN_FLIGHT,
            },
            "rewards": {"num_actors": replicas},
            "checkpoint": {"every_steps": num_steps},
            "eval": {"every_steps": num_steps},
            "tracking": {"tensorboard": False, "wandb": "disabled"},
        }
    )


def prompts_of(count: int) -> list[Prompt]:
    return [
        Prompt(prompt_id=f"made/{index}", question="?", gold=index, verifier_type="digit", source=f"source{index % 8}")
        for index in range(count)
    ]


def group_of(num_samples: int) -> SampledGroup:
    completions = tuple(
        Completion(
            text=f"<think>two and two</think><answer>{index}</answer>",
            token_ids=np.arange(index, index + NUM_TOKENS, dtype=np.int32),
            rollout_logprobs=np.zeros(NUM_TOKENS, dtype=np.float32),
            weight_versions=((0, 0, NUM_TOKENS),),
            finish_reason="stop",
        )
        for index in range(num_samples)
    )
    return SampledGroup(prompt_token_ids=np.arange(NUM_TOKENS, dtype=np.int32), completions=completions)


if __name__ == "__main__":
    main()
