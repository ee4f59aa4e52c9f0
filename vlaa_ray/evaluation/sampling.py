"""Prompts sampled and scored by the roles: a training group, or one answer to each held-out prompt."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from vlaa_ray.config import GrpoConfig
from vlaa_ray.errors import DataError
from vlaa_ray.monitoring.reduce import reward_metrics
from vlaa_ray.records import Group, Prompt, Rollout
from vlaa_ray.roles import Metrics, Roles, Run, SampleRequest, request_seed


async def sample_and_score(request: SampleRequest, position: int, roles: Roles, progress: float) -> Group:
    """The scored group of one prompt; without rollouts if the prompt can't be sampled, or its answers can't be judged.

    `position` is the prompt's place in the run's order. `progress` is the share of the run's steps done, in [0, 1].
    """
    try:
        sampled = await roles.rollouts.sample(request)
        results = await roles.rewards.score(request.prompt, sampled.completions, progress)
    except DataError as error:
        return Group(prompt=request.prompt, position=position, failure=str(error))
    return Group(
        prompt=request.prompt,
        position=position,
        prompt_token_ids=sampled.prompt_token_ids,
        rollouts=tuple(
            Rollout(completion=completion, reward=reward)
            for completion, reward in zip(sampled.completions, results, strict=True)
        ),
    )


async def evaluate(config: GrpoConfig, prompts: Sequence[Prompt], roles: Roles, run: Run) -> Metrics:
    """The `eval/…` metrics of one answer to each of the first `eval.num_prompts` prompts.

    Each prompt has the same seed at every evaluation, so that two evaluations differ by the weights alone.
    """
    run.phase("eval")
    limit = config.eval.max_completion_tokens or config.rollout.max_completion_tokens

    async def answer(prompt: Prompt) -> Group:
        request = SampleRequest(
            prompt=prompt,
            num_samples=1,
            seed=request_seed(config.run.seed, -1, prompt.prompt_id),
            temperature=config.eval.temperature,
            max_completion_tokens=limit,
        )
        return await sample_and_score(request, -1, roles, progress=1.0)

    chosen = [prompts[index] for index in range(min(len(prompts), config.eval.num_prompts or len(prompts)))]
    groups = await run.stoppable(asyncio.gather(*map(answer, chosen)))
    rollouts = [(group.prompt, rollout) for group in groups for rollout in group.rollouts]
    metrics = reward_metrics([(prompt, rollout.reward) for prompt, rollout in rollouts], prefix="eval/reward")
    num_tokens = sum(len(rollout.completion.token_ids) for _, rollout in rollouts)
    return metrics | {"eval/completion/mean_tokens": num_tokens / max(len(rollouts), 1)}
