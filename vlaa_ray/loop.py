"""The step loop of GRPO over four roles: sample, score, learn, publish the weights.

    prompts ──▶ GroupBuffer ──▶ learner.update ──▶ weight_sync.publish ──▶ slots freed ──▶ prompts …

The learner begins with the first groups while the last ones are still being sampled (`streaming`). With
`max_staleness: 0` the next step is sampled after the update; with 1 or more, during it.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from collections.abc import Callable, Coroutine, Sequence
from functools import partial
from typing import Any

from vlaa_ray.algorithms.empty_steps import EmptySteps
from vlaa_ray.algorithms.step_plan import group_has_variance
from vlaa_ray.buffer import GroupBuffer
from vlaa_ray.config import GrpoConfig
from vlaa_ray.data.order import SeededOrder
from vlaa_ray.elastic.ledger import Ledger
from vlaa_ray.errors import CheckpointError, DeadlineExceeded, LearnerError, RewardError
from vlaa_ray.evaluation.in_training import HeldOut, evaluate
from vlaa_ray.evaluation.sampling import sample_and_score
from vlaa_ray.monitoring.clock import StepClock
from vlaa_ray.monitoring.reduce import group_metrics
from vlaa_ray.records import Group, Prompt
from vlaa_ray.roles import Metrics, Roles, Run, SampleRequest, request_seed
from vlaa_ray.streaming import StreamedLearning

_UNSAVED = (LearnerError, CheckpointError, asyncio.CancelledError)  # after these, a save would fail or must not wait


async def train(config: GrpoConfig, prompts: Sequence[Prompt], heldout: HeldOut, roles: Roles, run: Run) -> None:
    """Train until `run.num_steps` steps are done; an interruption or an error first saves the finished steps if it can.

    Raises:
        RunInterrupted: the run was asked to stop.
        RewardError: too many samples of a step can't be judged.
        DataError: ten steps in a row had nothing to train on.
        LearnerError, CheckpointError, RolloutFleetExhausted: a role failed for good.

    """
    step, position, unlogged = await _restore(roles, run)
    if step == 0:
        run.log(0, await evaluate(config, heldout, roles, run) | {"weight_version": 0}, [])
    elif unlogged:  # a step whose evaluation was interrupted
        run.log(step, unlogged | await _evaluate_if_due(step, config, heldout, roles, run), [])
    ledger = Ledger(config.grpo, config.rollout.group_size)
    buffer = _start_buffer(config, SeededOrder(prompts, config.run.seed), position, roles, ledger)
    clock, empty_steps = StepClock(), EmptySteps()
    saving = _Saver(roles, run, step, config.deadlines.checkpoint_s)
    async with saving as saver, contextlib.aclosing(buffer):  # in this order: a save need not wait for samples
        while step < config.run.num_steps:
            run.phase("rollout")
            learning = StreamedLearning(config, roles.learner)
            await run.stoppable(saver.ready_to_save(partial(_take, buffer, config, learning)))
            clock.lap("time/rollout_s")
            groups = learning.groups()
            metrics = _measured(groups, config, roles.learner.weight_version, ledger) | run.study(groups)
            is_empty = empty_steps.observe(not any(group.rollouts for group in groups), groups[-1].failure or "")
            if not is_empty:
                _check_invalid(groups, metrics, config, step + 1)
                run.phase("learn")
                await roles.rewards.offload()
                metrics |= await learning.finish()
            step += 1
            saver.done(step, buffer.position, metrics)
            clock.lap("time/learn_s")
            if not is_empty:
                run.phase("weight sync")
                await roles.weight_sync.publish()
                clock.lap("time/weight_sync_s")
            if evaluated := await _evaluate_if_due(step, config, heldout, roles, run):
                metrics |= evaluated
                clock.lap("time/eval_s")
            if not config.colocated:  # sampling would take the devices before the checkpoint
                buffer.release_taken()
            metrics |= await _role_metrics(roles)
            metrics |= roles.fleet.adapt(wait_share=clock.share("time/rollout_s"), groups_waiting=buffer.num_ready)
            run.log(step, metrics | clock.metrics(groups), groups)
            saver.done(step, buffer.position)
            clock = StepClock()
            # after the log, so that all steps of a checkpoint are logged even if the run is killed
            is_due = step % config.checkpoint.every_steps == 0 or step == config.run.num_steps
            if is_due or run.checkpoint_request.is_set():
                await saver.save_if_possible()
                clock.lap("time/checkpoint_s")
            buffer.release_taken()  # those that are not released yet
    ledger.end()


async def _restore(roles: Roles, run: Run) -> tuple[int, int, Metrics]:
    """Load the checkpoint, if any, into the learner and the engines.

    Return (steps done, position in the prompt order, metrics not logged yet).
    """
    run.phase("start")
    step = position = 0
    unlogged: Metrics = {}
    if run.resume_state is not None and run.resume_folder is not None:
        await roles.learner.load(run.resume_folder)
        step, position = run.resume_state["step"], run.resume_state["position"]
        unlogged = run.resume_state.get("unlogged") or {}
    await roles.weight_sync.publish()
    return step, position, unlogged


class _Saver:
    """The saving of checkpoints: on request, and at the end of the block if steps are not saved yet.

    The learner copies its state while nothing else goes on. What is left, writing, hashing and bringing to the disk,
    is done beside the next steps.
    """

    def __init__(self, roles: Roles, run: Run, step: int, deadline_s: float) -> None:
        self._roles, self._run, self._deadline_s = roles, run, deadline_s
        self._step = self._saved = step
        self._position = 0
        self._unlogged: Metrics | None = None
        self._finishing: asyncio.Task[None] | None = None

    async def __aenter__(self) -> _Saver:
        return self

    async def __aexit__(self, kind: Any, error: BaseException | None, at: Any) -> None:
        await self._settle()
        if self._step > self._saved and not isinstance(error, _UNSAVED):
            await self._finish(*await self._start())  # the model is the result: a run that can't save it has failed

    def done(self, step: int, position: int, unlogged: Metrics | None = None) -> None:
        """Record that `step` steps are done; `unlogged` are the metrics of the last one until they are logged."""
        self._step, self._position, self._unlogged = step, position, unlogged

    async def ready_to_save(self, take: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Wait while groups are sampled, and save the finished steps meanwhile if that is asked for."""
        sampling = asyncio.create_task(take())
        asked = asyncio.create_task(self._run.checkpoint_request.wait())
        try:
            await asyncio.wait({sampling, asked}, return_when=asyncio.FIRST_COMPLETED)
            if asked.done() and self._step > self._saved:
                await self.save_if_possible()
            await sampling
        finally:
            sampling.cancel()
            asked.cancel()

    async def save_if_possible(self) -> None:
        """Save, or say why not: a full disk, for example, costs this checkpoint but does not end the run."""
        is_urgent = self._run.checkpoint_request.is_set()
        self._run.checkpoint_request.clear()
        await self._settle()
        try:
            started = await self._start()
        except CheckpointError as error:
            self._alarm(self._step, error)
        else:
            self._finishing = asyncio.create_task(self._finish_or_alarm(*started))
            if is_urgent:  # a node is about to go, or ranks start again from this step
                await self._settle()

    async def _start(self) -> tuple[int, dict[str, Any]]:
        """Let the learner begin to write; return the step and the state to finish the checkpoint with."""
        self._run.phase("checkpoint")
        await self._roles.learner.save(self._run.begin_checkpoint(self._step))
        return self._step, {
            "step": self._step,
            "position": self._position,
            "weight_version": self._roles.learner.weight_version,
            "unlogged": self._unlogged,
        }

    async def _finish(self, step: int, state: dict[str, Any]) -> None:
        await self._roles.learner.written()
        await asyncio.to_thread(self._run.commit_checkpoint, step, state)
        self._saved = step

    async def _finish_or_alarm(self, step: int, state: dict[str, Any]) -> None:
        try:
            await self._finish(step, state)
        except CheckpointError as error:
            self._alarm(step, error)

    async def _settle(self) -> None:
        """Wait for the checkpoint that is being finished, since only one can be written at a time."""
        if self._finishing is None:
            return
        try:
            async with asyncio.timeout(self._deadline_s):
                await asyncio.shield(self._finishing)
        except TimeoutError as error:
            message = f"the checkpoint was not on the disk after {self._deadline_s:g} s"
            raise DeadlineExceeded(message, fix="raise deadlines.checkpoint_s, or use a faster disk") from error
        self._finishing = None

    def _alarm(self, step: int, error: CheckpointError) -> None:
        self._run.alarm(f"step {step} was not saved: {error}")


def _start_buffer(
    config: GrpoConfig, order: SeededOrder[Prompt], position: int, roles: Roles, ledger: Ledger
) -> GroupBuffer:
    rollout = config.rollout

    async def make_group(position: int) -> Group:
        prompt = order[position]
        ledger.open(position, prompt.prompt_id)
        request = SampleRequest(
            prompt=prompt,
            num_samples=rollout.group_size,
            seed=request_seed(config.run.seed, position // rollout.prompts_per_step, prompt.prompt_id),
            temperature=rollout.temperature,
            max_completion_tokens=rollout.max_completion_tokens,
        )
        progress = min(1.0, position / rollout.prompts_per_step / config.run.num_steps)
        return await sample_and_score(request, position, roles, progress)

    slots = (config.max_staleness + 1) * rollout.prompts_per_step
    return GroupBuffer(make_group, num_slots=slots, position=position)


async def _take(buffer: GroupBuffer, config: GrpoConfig, learning: StreamedLearning) -> None:
    """Take the groups of one step; each is given to `learning` as it comes."""
    count = config.rollout.prompts_per_step
    wanted = group_has_variance if config.grpo.resample_zero_variance else None
    async with learning:
        await buffer.take(count, wanted=wanted, max_taken=config.grpo.max_resamples * count, each=learning.add)


def _measured(groups: Sequence[Group], config: GrpoConfig, weight_version: int, ledger: Ledger) -> Metrics:
    """Return the metrics of the groups that a step has taken, and record the ends of their samples."""
    updates_per_step = config.learner.updates_per_step
    metrics = group_metrics(
        groups,
        weight_version=weight_version,
        updates_per_step=updates_per_step,
        planned=config.rollout.prompts_per_step,
    )
    oldest = weight_version - config.max_staleness * updates_per_step
    return metrics | ledger.close(groups, newest=weight_version, oldest=oldest)


async def _evaluate_if_due(step: int, config: GrpoConfig, heldout: HeldOut, roles: Roles, run: Run) -> Metrics:
    if step % config.eval.every_steps and step < config.run.num_steps:
        return {}
    return await evaluate(config, heldout, roles, run)


def _check_invalid(groups: Sequence[Group], metrics: Metrics, config: GrpoConfig, step: int) -> None:
    """Raise RewardError if too many samples of the step can't be judged."""
    share = metrics["reward/invalid_share"]
    if share > config.rewards.max_invalid_share:
        rewards = [rollout.reward for group in groups for rollout in group.rollouts]
        reasons = Counter(reward.reason for reward in rewards if not reward.valid)
        raise RewardError(
            "too many samples can't be judged",
            step=step,
            got=round(share, 4),
            expected=f"at most rewards.max_invalid_share = {config.rewards.max_invalid_share}",
            reasons=[f"{reason} ({count} times)" for reason, count in reasons.most_common(3)],
            fix="correct what the reasons name, or raise rewards.max_invalid_share",
        )


async def _role_metrics(roles: Roles) -> Metrics:
    parts = await asyncio.gather(roles.rollouts.metrics(), roles.rewards.metrics(), roles.learner.metrics())
    merged = {name: value for part in parts for name, value in part.items()}
    return merged | {"weight_version": roles.learner.weight_version}
