"""The evaluations of a training run: one answer to each held-out prompt, and to each row of its benchmarks."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

from vlaa_ray.config import GrpoConfig, SftConfig
from vlaa_ray.errors import DataError
from vlaa_ray.evaluation.questions import AnswerVerdict, BenchmarkQuestions
from vlaa_ray.evaluation.sampling import sample_and_score
from vlaa_ray.evaluation.scoring import bounded, settled_counts
from vlaa_ray.monitoring.reduce import reward_metrics
from vlaa_ray.records import Group, Prompt
from vlaa_ray.roles import Metrics, Roles, Run, SampleRequest, SamplingRoles, request_seed

_NO_STEP = -1


@dataclass(frozen=True)
class HeldOut:
    """What a run is evaluated on: held-out prompts, and the benchmarks of `eval.benchmarks`."""

    prompts: Sequence[Prompt]
    benchmarks: Sequence[BenchmarkQuestions] = ()


async def evaluate(config: GrpoConfig, heldout: HeldOut, roles: Roles, run: Run) -> Metrics:
    """Return the `eval/…` metrics of one answer to each of the first `eval.num_prompts` prompts and to each row.

    Each prompt has the same seed at every evaluation, so that two evaluations differ by the weights alone.
    """
    run.phase("eval")
    metrics = await run.stoppable(heldout_rewards(config, heldout.prompts, roles))
    for questions in heldout.benchmarks:
        metrics |= await run.stoppable(_benchmark_metrics(config, questions, roles))
    return metrics


async def heldout_rewards(config: GrpoConfig | SftConfig, prompts: Sequence[Prompt], roles: SamplingRoles) -> Metrics:
    """Return the `eval/reward/…` metrics of one answer to each of the first `eval.num_prompts` prompts."""

    async def answer(prompt: Prompt) -> Group:
        return await sample_and_score(_request(config, prompt), _NO_STEP, roles, progress=1.0)

    chosen = [prompts[index] for index in range(min(len(prompts), config.eval.num_prompts or len(prompts)))]
    groups = await asyncio.gather(*map(answer, chosen))
    rollouts = [(group.prompt, rollout) for group in groups for rollout in group.rollouts]
    metrics = reward_metrics([(prompt, rollout.reward) for prompt, rollout in rollouts], prefix="eval/reward")
    num_tokens = sum(len(rollout.completion.token_ids) for _, rollout in rollouts)
    return metrics | {"eval/completion/mean_tokens": num_tokens / max(len(rollouts), 1)}


async def _benchmark_metrics(config: GrpoConfig, questions: BenchmarkQuestions, roles: Roles) -> Metrics:
    """Return `eval/benchmark/NAME/…`: the figures in percent, by the benchmark's rules alone."""

    async def ask(number: int) -> list[AnswerVerdict]:
        try:
            sampled = await roles.rollouts.sample(_request(config, questions.prompt(number)))
        except DataError as error:
            return [AnswerVerdict.unanswered(error.one_line())]
        return [await asyncio.to_thread(questions.rule, number, sampled.completions[0].text)]

    num_in_flight = 2 * config.rollout.largest * config.rollout.max_num_seqs
    verdicts = await bounded(len(questions), ask, num_in_flight)
    figures = questions.summary(range(len(questions)), [verdict for (verdict,) in verdicts])
    settled, count = settled_counts(verdicts), len(questions)
    shares = {f"{name}_share": settled[name] / count for name in ("unsettled", "unanswered")}
    values = {"score": figures[questions.headline], **figures, **shares}
    return {f"eval/benchmark/{questions.name}/{name}": value for name, value in values.items()}


def _request(config: GrpoConfig | SftConfig, prompt: Prompt) -> SampleRequest:
    return SampleRequest(
        prompt=prompt,
        num_samples=1,
        seed=request_seed(config.run.seed, _NO_STEP, prompt.prompt_id),
        temperature=config.eval.temperature,
        max_completion_tokens=config.eval.max_completion_tokens or config.rollout.max_completion_tokens,
    )
