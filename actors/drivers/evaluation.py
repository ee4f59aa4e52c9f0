"""The driver of an evaluation: it reads the questions, starts what is needed, asks, scores, and writes the result.

Ray is started only if questions are left to ask of engines of this run, or if answers to records must be scored.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vlaa_ray.config import EvalConfig
from vlaa_ray.evaluation.answers import ANSWERS, AnswerWriter, StoredAnswers
from vlaa_ray.evaluation.asking import Asking, Sampling
from vlaa_ray.evaluation.identity import folder_identity
from vlaa_ray.evaluation.judge import AnswerJudge
from vlaa_ray.evaluation.progress import EvaluationProgress
from vlaa_ray.evaluation.questions import BenchmarkQuestions, QuestionSet, RecordQuestions, open_questions
from vlaa_ray.evaluation.results import Scored, write_result
from vlaa_ray.evaluation.samplers import EndpointSampler, EngineSampler, Sampler
from vlaa_ray.evaluation.scoring import AnswerSet, AnswerVerdicts, score_benchmark, score_records, unsettled_line
from vlaa_ray.planning.placement import Placement
from vlaa_ray.run.model_source import ModelSource
from vlaa_ray.run.session import RunShell, open_shell
from vlaa_ray.services.secret import without_credentials
from vlaa_ray.text.durations import duration

if TYPE_CHECKING:
    from actors.fleet.role_pools import RewardPool, RolloutPool

_SLACK = 16  # questions beyond those that the engines hold: they wait here, ready to be sent


@dataclass
class _Fleet:
    """What was started for this evaluation; None for what is not needed."""

    rollouts: RolloutPool | None = None
    rewards: RewardPool | None = None

    async def close(self) -> None:
        """Start nothing more."""
        for pool in (self.rollouts, self.rewards):
            if pool is not None:
                await pool.close()


def run_evaluation(config: EvalConfig, model: ModelSource) -> dict[str, Any]:
    """Evaluate the model on `config.benchmarks`, write the result into the run's folder, and return it.

    Answers that the folder holds already are not asked for again.

    Raises:
        VlaaRayError: a file can't be used, or the model, an engine, the endpoint or the judge failed for good.

    """
    with open_shell(config, EvaluationProgress()) as run:
        questions = [open_questions(section, config.conditions.style, config.fetch) for section in config.benchmarks]
        for each in questions:
            _note_defects(each, run)
        return asyncio.run(_Evaluation(config, model, run, questions).finish())


class _Evaluation:
    """One evaluation from its questions to its result."""

    def __init__(
        self, config: EvalConfig, model: ModelSource, run: RunShell[EvaluationProgress], questions: list[QuestionSet]
    ) -> None:
        self._config, self._run, self._questions, self._source = config, run, questions, model
        self._endpoint: EndpointSampler | None = None
        if model.kind == "endpoint":
            self._endpoint = EndpointSampler(config.endpoint, config.model.system_prompt)
        self._answers_file = run.path / ANSWERS
        stored = StoredAnswers(self._answers_file)
        if stored.num_damaged:
            run.note(f"{stored.num_damaged} damaged lines of {ANSWERS} are dropped; their questions are asked again")
        self._asking = Asking(self._sampling(), questions, stored)

    async def finish(self) -> dict[str, Any]:
        """Ask what is missing, score all answers, and write the result."""
        config, run = self._config, self._run
        missing = self._asking.num_missing
        asks_engines = any(missing.values()) and self._endpoint is None
        async with _fleet_of(config, asks_engines) as fleet:
            run.display.stage("starting", 0)
            await run.stoppable(_start(config, run, fleet, asks_engines))
            await self._ask(fleet)
            scored = await self._score(fleet) if config.has_records else None
        if scored is None:  # rules and the judge need no engine, whose devices are free by now
            scored = await self._score(_Fleet())
        return await run.stoppable(asyncio.to_thread(self._write, scored))

    async def _ask(self, fleet: _Fleet) -> None:
        sampler: Sampler | None = self._endpoint
        if fleet.rollouts is not None:
            sampler = EngineSampler(fleet.rollouts)
        num_samples, display = self._config.rollout.num_samples, self._run.display
        num_missing = sum(self._asking.num_missing.values())
        total = sum(map(len, self._questions))
        if num_missing < total:
            self._run.note(f"{total - num_missing:,} of {total:,} questions have been answered before")
        if not num_missing or sampler is None:
            return
        display.stage("asking", num_missing * num_samples)
        started = time.monotonic()
        try:
            with AnswerWriter(self._answers_file) as writer:
                asked = self._asking.run(sampler, writer, self._num_in_flight(), display.advance)
                await self._run.stoppable(asked)
        finally:
            sampler.close()
        seconds = time.monotonic() - started
        pace = f"{display.num_tokens / seconds:,.0f} tokens/s"
        self._run.note(f"{num_missing:,} questions asked in {duration(seconds)}: {display.num_tokens:,} tokens, {pace}")
        for (name, index), reason in list(self._asking.failures.items())[:3]:
            self._run.note(f"{name} {index} has no answer: {reason}")

    def _num_in_flight(self) -> int:
        config = self._config
        if self._endpoint is not None:
            return max(1, 2 * config.endpoint.concurrency // config.rollout.num_samples)
        return config.rollout.first * (config.requests_per_engine + _SLACK)

    async def _score(self, fleet: _Fleet) -> list[Scored]:
        """Return the verdicts on all stored answers."""
        config, display = self._config, self._run.display
        stored = StoredAnswers(self._answers_file)
        sets = [
            AnswerSet(
                questions=each,
                stored=stored,
                failures=self._asking.failures,
                num_samples=config.rollout.num_samples,
            )
            for each in self._questions
        ]
        judge = AnswerJudge(config.judge, self._run.path) if config.judge.url else None
        display.stage("scoring", config.rollout.num_samples * sum(map(len, self._questions)))
        try:
            return [
                Scored(answers=answers, verdicts=await self._run.stoppable(self._verdicts(answers, judge, fleet)))
                for answers in sets
            ]
        finally:
            if judge is not None:
                judge.close()

    async def _verdicts(self, answers: AnswerSet, judge: AnswerJudge | None, fleet: _Fleet) -> AnswerVerdicts:
        questions, advance = answers.questions, self._run.display.advance
        if isinstance(questions, RecordQuestions):
            assert fleet.rewards is not None  # the driver starts them where there are records
            return await score_records(questions, answers, fleet.rewards, advance)
        assert isinstance(questions, BenchmarkQuestions)
        return await score_benchmark(questions, answers, judge, advance)

    def _write(self, scored: list[Scored]) -> dict[str, Any]:
        from vlaa_ray.evaluation.kit_files import write_kit_files

        folder, model = self._run.path, self._model_entry()
        self._run.display.stage("writing the result", 0)
        result = write_result(folder, scored, model, self._config)
        for each in scored:
            if isinstance(each.questions, BenchmarkQuestions):
                scores = result["benchmarks"][each.questions.name]["scores"]
                write_kit_files(folder, model["name"], each.questions, each.answers, scores)
            if line := unsettled_line(each.verdicts):
                self._run.note(f"{each.questions.name}: {line}")
        return result

    def _model_entry(self) -> dict[str, Any]:
        source = self._source
        entry: dict[str, Any] = {"name": source.name, "path": source.path, "kind": source.kind}
        if self._endpoint is not None:
            entry |= {"path": without_credentials(source.path), "served_model": self._endpoint.model}
        if source.weight_version is not None:
            entry |= {"weight_version": source.weight_version}
        return entry

    def _sampling(self) -> Sampling:
        model, rollout = self._config.model, self._config.rollout
        own = self._endpoint is None
        return Sampling(
            model=_identity(self._source, self._endpoint),
            system_prompt=model.system_prompt,
            min_pixels=model.min_pixels if own else None,
            max_pixels=model.max_pixels if own else None,
            temperature=rollout.temperature,
            top_p=rollout.top_p,
            max_completion_tokens=rollout.max_completion_tokens,
            num_samples=rollout.num_samples,
            seed=self._config.run.seed,
        )


def _identity(source: ModelSource, endpoint: EndpointSampler | None) -> str:
    if endpoint is not None:
        return f"endpoint {endpoint.model}"  # its address is no part of it: a model may move to another server
    return f"hub {source.path}" if source.kind == "hub" else folder_identity(Path(source.path))


@asynccontextmanager
async def _fleet_of(config: EvalConfig, asks_engines: bool) -> AsyncIterator[_Fleet]:
    """Yield an empty fleet in a Ray of its own, if there is anything to start; end both after the block."""
    fleet = _Fleet()
    if not asks_engines and not config.has_records:
        yield fleet
        return
    import ray

    from actors.fleet.placement import start_ray

    try:
        start_ray(config, _plan(config, asks_engines))
        yield fleet
    finally:
        await fleet.close()  # first: a pool would take the end of its actors for a loss, and replace them
        ray.shutdown()


def _plan(config: EvalConfig, asks_engines: bool) -> Placement:
    """Return the bundles of the processes that are started."""
    bundles = config.bundles()
    return Placement(bundles if asks_engines else {**bundles, "rollout": []})


async def _start(config: EvalConfig, run: RunShell[EvaluationProgress], fleet: _Fleet, asks_engines: bool) -> None:
    """Start the engines and the reward actors that are needed, and wait until they are ready."""
    if not asks_engines and not config.has_records:
        return
    from actors.fleet.role_pools import RewardPool, RolloutPool
    from actors.fleet.spawn import Spawner

    spawn = Spawner(config, run.log_dir)
    starts = []
    if config.has_records:
        rewards = RewardPool(config, spawn.reward, run.note)
        fleet.rewards = rewards
        starts.append(rewards.start())
    if asks_engines:
        rollouts = RolloutPool(config, spawn.rollout, run.note)
        fleet.rollouts = rollouts
        starts.append(rollouts.start())
    await asyncio.gather(*starts)


def _note_defects(questions: QuestionSet, run: RunShell[EvaluationProgress]) -> None:
    if isinstance(questions, RecordQuestions) and questions.defects:
        from vlaa_ray.run.quarantine import left_out

        run.note(f"{questions.name}: {left_out(questions.defects)}; `vlaa-ray data check` lists them all")
