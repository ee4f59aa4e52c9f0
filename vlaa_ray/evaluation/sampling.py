"""One prompt sampled and scored by the roles, for a training group or a held-out answer."""

from __future__ import annotations

from vlaa_ray.errors import DataError
from vlaa_ray.records import Group, Rollout
from vlaa_ray.roles import SampleRequest, SamplingRoles


async def sample_and_score(request: SampleRequest, position: int, roles: SamplingRoles, progress: float) -> Group:
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
