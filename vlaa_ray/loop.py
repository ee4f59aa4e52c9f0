"""The step loop: sample, score, learn, publish weights; the whole of GRPO over three roles.

    prompts ──▶ GroupBuffer ──▶ learner.update ──▶ rollouts.load_weights ──▶ slots freed ──▶ prompts …

`max_staleness: 0` makes the roles take turns; with 1 or more the next step is sampled while this one is learned.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from vlaa_ray.algorithms.empty_steps import EmptySteps
from vlaa_ray.algorithms.step_plan import group_has_variance, optimizer_steps, with_advantages
from vlaa_ray.buffer import GroupBuffer
from vlaa_ray.config import GrpoConfig
from vlaa_ray.data.dataset import SeededOrder
from vlaa_ray.errors import CheckpointError, DataError, LearnerError, RewardError
from vlaa_ray.monitoring.clock import StepClock
from vlaa_ray.monitoring.reduce import group_metrics, reward_metrics
from vlaa_ray.records import Completion, Group, Prompt, Rollout
from vlaa_ray.roles import Metrics, Roles, Run, SampleRequest, request_seed

_UNSAVED = (LearnerError, CheckpointError, asyncio.CancelledError)  # after these, a save would fail or must not wait


async def train(
    config: GrpoConfig, prompts: Sequence[Prompt], heldout: Sequence[Prompt], roles: Roles, run: Run
) -> None:
    """Train until `run.num_steps` steps are done; on RunInterrupted the state is saved first."""
    step, position, metrics = await _restore(roles, run)
    if step == 0:
        run.log(0, await _evaluate(config, heldout, roles, run) | {"weight_version": 0}, [])
    elif metrics:  # of a step whose evaluation was interrupted
        run.log(step, metrics | await _evaluate_if_due(step, config, heldout, roles, run), [])
    buffer = _start_buffer(config, SeededOrder(prompts, config.run.seed), position, roles)
    saved = logged = step
    clock, idle = StepClock(), EmptySteps()
    try:
        while step < config.run.num_steps:
            run.phase("rollout")
            taken = await run.stoppable(_take(buffer, config))
            clock.lap("time/rollout_s")
            groups = [with_advantages(group, config.grpo) for group in taken]
            metrics = group_metrics(
                groups, weight_version=roles.learner.weight_version, updates_per_step=config.learner.updates_per_step
            )
            is_idle = idle.count(not any(group.rollouts for group in groups), groups[-1].failure or "")
            metrics |= {} if is_idle else await _learn(groups, metrics, step, config, roles, run)
            step, position = step + 1, buffer.position
            clock.lap("time/learn_s")
            if not is_idle:
                run.phase("weight sync")
                await roles.rollouts.load_weights(roles.learner)
                clock.lap("time/weight_sync_s")
            if evaluated := await _evaluate_if_due(step, config, heldout, roles, run):
                metrics |= evaluated
                clock.lap("time/eval_s")
            buffer.release_taken()
            metrics |= await _role_metrics(roles)
            run.log(step, metrics | clock.metrics(sum(len(group.rollouts) for group in groups)), groups)
            logged, clock = step, StepClock()
            # after the log: whatever kills the run, a checkpoint's steps have been logged
            if step % config.checkpoint.every_steps == 0 or step == config.run.num_steps:
                saved = await _save_if_possible(step, position, roles, run) or saved
                clock.lap("time/checkpoint_s")
        if saved < step:  # the model is the result: without it the run has failed
            await _save(step, position, roles, run)
            saved = step
    except BaseException as error:
        if step > saved and not isinstance(error, _UNSAVED):
            await _save(step, position, roles, run, unlogged=metrics if step > logged else None)
        raise
    finally:
        await buffer.close()


async def _restore(roles: Roles, run: Run) -> tuple[int, int, Metrics]:
    """(steps done, position in the prompt order, metrics not logged yet); the learner's weights are in every engine."""
    run.phase("start")
    step = position = 0
    unlogged: Metrics = {}
    if run.resume_state is not None and run.resume_folder is not None:
        await roles.learner.load(run.resume_folder)
        step, position = run.resume_state["step"], run.resume_state["position"]
        unlogged = run.resume_state.get("unlogged") or {}
    await roles.rollouts.load_weights(roles.learner)
    return step, position, unlogged


async def _save(step: int, position: int, roles: Roles, run: Run, unlogged: Metrics | None = None) -> None:
    run.phase("checkpoint")
    await roles.learner.save(run.begin_checkpoint(step))
    state = {"step": step, "position": position, "weight_version": roles.learner.weight_version, "unlogged": unlogged}
    run.commit_checkpoint(step, state)


async def _save_if_possible(step: int, position: int, roles: Roles, run: Run) -> int | None:
    """The step, once it is saved; None where a full disk, say, has cost this checkpoint, but not the run."""
    try:
        await _save(step, position, roles, run)
    except CheckpointError as error:
        run.alarm(f"step {step} is not saved: {error}")
        return None
    return step


def _start_buffer(config: GrpoConfig, order: SeededOrder[Prompt], position: int, roles: Roles) -> GroupBuffer:
    rollout = config.rollout

    async def make_group(position: int) -> Group:
        prompt = order[position]
        request = SampleRequest(
            prompt=prompt,
            num_samples=rollout.group_size,
            seed=request_seed(config.run.seed, position // rollout.prompts_per_step, prompt.prompt_id),
            temperature=rollout.temperature,
            max_completion_tokens=rollout.max_completion_tokens,
        )
        progress = min(1.0, position / rollout.prompts_per_step / config.run.num_steps)
        return await _sample_and_score(request, position, roles, progress)

    slots = (config.max_staleness + 1) * rollout.prompts_per_step
    return GroupBuffer(make_group, num_slots=slots, position=position)


async def _sample_and_score(request: SampleRequest, position: int, roles: Roles, progress: float) -> Group:
    """The scored group; without rollouts if this prompt can't be sampled, or no answer to it judged."""
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


async def _take(buffer: GroupBuffer, config: GrpoConfig) -> list[Group]:
    count = config.rollout.prompts_per_step
    if not config.grpo.resample_zero_variance:
        return await buffer.take(count)
    return await buffer.take(count, wanted=group_has_variance, max_taken=config.grpo.max_resamples * count)


async def _evaluate_if_due(step: int, config: GrpoConfig, prompts: Sequence[Prompt], roles: Roles, run: Run) -> Metrics:
    if step % config.eval.every_steps and step < config.run.num_steps:
        return {}
    return await _evaluate(config, prompts, roles, run)


async def _evaluate(config: GrpoConfig, prompts: Sequence[Prompt], roles: Roles, run: Run) -> Metrics:
    """`eval/…` metrics of one answer to each held-out prompt."""
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
        return await _sample_and_score(request, -1, roles, progress=1.0)

    chosen = [prompts[index] for index in range(min(len(prompts), config.eval.num_prompts or len(prompts)))]
    groups = await run.stoppable(asyncio.gather(*map(answer, chosen)))
    rollouts = [(group.prompt, rollout) for group in groups for rollout in group.rollouts]
    completions: list[Completion] = [rollout.completion for _, rollout in rollouts]
    metrics = reward_metrics([(prompt, rollout.reward) for prompt, rollout in rollouts], prefix="eval/reward")
    metrics["eval/completion/mean_tokens"] = sum(len(c.token_ids) for c in completions) / max(len(completions), 1)
    return metrics


async def _learn(
    groups: Sequence[Group], metrics: Metrics, step: int, config: GrpoConfig, roles: Roles, run: Run
) -> Metrics:
    """The learner's metrics; RewardError where too few samples could be judged."""
    _check_invalid(metrics, config, step)
    run.phase("learn")
    await roles.rewards.offload()
    return await roles.learner.update(optimizer_steps(groups, config.grpo, config.learner))


def _check_invalid(metrics: Metrics, config: GrpoConfig, step: int) -> None:
    share = metrics["reward/invalid_share"]
    if share > config.rewards.max_invalid_share:
        raise RewardError(
            "too many samples can't be judged",
            step=step,
            got=round(share, 4),
            expected=f"at most rewards.max_invalid_share = {config.rewards.max_invalid_share}",
            fix="look at `reason` in the run's rollouts; mend the golds, or raise the limit",
        )


async def _role_metrics(roles: Roles) -> Metrics:
    parts = await asyncio.gather(roles.rollouts.metrics(), roles.rewards.metrics(), roles.learner.metrics())
    merged = {name: value for part in parts for name, value in part.items()}
    return merged | {"weight_version": roles.learner.weight_version}
