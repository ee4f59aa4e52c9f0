"""The step of a real run over its bare parts: vLLM sampling its prompts, and forward and backward of the same rows.

The run's learning rate is so small that its weights stay the base model's: the bare engine, with the same
seeds, gives the same completions, and the bare learner the same work.
"""

from __future__ import annotations

import asyncio
import os
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

from common import CONFIG, FROZEN, WARM_UP_STEPS, median, show, steady, train, without_evaluation

from vlaa_ray.config import GrpoConfig, load_config
from vlaa_ray.data.dataset import open_dataset
from vlaa_ray.data.order import SeededOrder
from vlaa_ray.records import Prompt, SampledGroup
from vlaa_ray.roles import request_seed

NUM_STEPS = 10


def main() -> None:
    config = load_config(CONFIG, [FROZEN])
    with tempfile.TemporaryDirectory() as folder:
        rows = steady(train(Path(folder), FROZEN, *without_evaluation(NUM_STEPS)))
    steps = range(WARM_UP_STEPS, NUM_STEPS - 1)
    sampled, sample_s = asyncio.run(bare_sampling(config, steps))
    learn_s = bare_learning(config, sampled)
    step_s, bare_s = median(rows, "time/step_s"), sample_s + learn_s
    table = [
        ["sampling", f"{median(rows, 'time/rollout_s'):.2f}", f"{sample_s:.2f}"],
        ["learning", f"{median(rows, 'time/learn_s'):.2f}", f"{learn_s:.2f}"],
        ["weight sync", f"{median(rows, 'time/weight_sync_s'):.2f}", ""],
        ["step", f"{step_s:.2f}", f"{bare_s:.2f}"],
    ]
    show("Seconds a step, medians", ["", "run", "bare"], table, f"Ratio {step_s / bare_s:.2f}; at most 1.25 is wanted.")


async def bare_sampling(config: GrpoConfig, steps: range) -> tuple[list[list[tuple[Prompt, SampledGroup]]], float]:
    """(prompts with their samples of each step, median seconds a step) of an engine without anything around it."""
    from vlaa_ray.images.decode import load
    from vlaa_ray.models.chat import chat_format_of
    from vlaa_ray.models.paths import local_path
    from vlaa_ray.rollout.engine import RolloutEngine

    os.environ["OMP_NUM_THREADS"] = str(int(config.rollout.cpus_per_actor))
    path = local_path(config.model.path)
    chat = chat_format_of(config.model)
    engine = await RolloutEngine.start(config.model, config.rollout, path, banned_token_ids=chat.banned_token_ids)
    order = SeededOrder(open_dataset(config.data.train, config.data, config.data.num_train), config.run.seed)
    size = config.rollout.prompts_per_step

    async def sample(prompt: Prompt, step: int) -> SampledGroup:
        return await engine.sample(
            chat.prompt_token_ids(prompt),
            [load(image) for image in prompt.images],
            num_samples=config.rollout.group_size,
            seed=request_seed(config.run.seed, step, prompt.prompt_id),
            temperature=config.rollout.temperature,
            max_tokens=config.rollout.max_completion_tokens,
            deadline_s=config.deadlines.rollout_s,
        )

    results, seconds = [], []
    for step in range(steps.stop):
        prompts = [order[position] for position in range(step * size, (step + 1) * size)]
        start = time.monotonic()
        samples = await asyncio.gather(*(sample(prompt, step) for prompt in prompts))
        if step in steps:
            seconds.append(time.monotonic() - start)
            results.append(list(zip(prompts, samples, strict=True)))
    await asyncio.to_thread(engine._llm.shutdown)
    return results, statistics.median(seconds)


def bare_learning(config: GrpoConfig, steps: list[list[tuple[Prompt, SampledGroup]]]) -> float:
    """Median seconds of forward and backward over a step's rows, in torch alone."""
    import torch

    from vlaa_ray.models.batch_tools import packing_tools
    from vlaa_ray.models.batches import Row, collate, micro_batches
    from vlaa_ray.models.chat import chat_format_of
    from vlaa_ray.models.loading import load_model
    from vlaa_ray.models.policy import policy_at

    torch.set_num_threads(config.learner.num_threads or int(config.learner.cpus_per_rank))
    model, chat = load_model(config.model), chat_format_of(config.model)
    tools = packing_tools(model, chat)
    policy: Any = policy_at(config.rollout.temperature)(model, chat)
    limit, seconds = config.learner.micro_batch_tokens, []
    for step in [steps[0], *steps]:  # the first one again, to warm up
        rows = [
            Row(
                prompt_token_ids=sampled.prompt_token_ids,
                images=prompt.images,
                completions=tuple(completion.token_ids for completion in sampled.completions),
                sequence_ids=tuple(range(len(sampled.completions))),
            )
            for prompt, sampled in step
            if differ(prompt, sampled)
        ]
        start = time.monotonic()
        for part in micro_batches(rows, limit):
            logprobs, _ = policy(collate(part, tools))
            logprobs.mean().backward()
        seconds.append(time.monotonic() - start)
        policy.zero_grad()
    return statistics.median(seconds[1:])


def differ(prompt: Prompt, sampled: SampledGroup) -> bool:
    """Whether the run would learn from the group: its rewards are not all alike."""
    from vlaa_ray.rewards import score

    given = prompt.gold, prompt.verifier_type
    return len({score(one.text, *given, **prompt.verifier_params).value for one in sampled.completions}) > 1


if __name__ == "__main__":
    main()
