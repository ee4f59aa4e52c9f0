"""Simulated actors for fleets without Ray: engines, reward actors and learner ranks that die, hang and are slow.

Their handles look like Ray's. Tokens depend on the seed and on the weights alone, so that two runs can be compared.
"""

import asyncio
import hashlib
import json
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from ray.exceptions import ActorDiedError

from vlaa_ray.errors import WeightSyncError
from vlaa_ray.records import Completion, RewardResult, SampledGroup

NUM_BUCKETS = 3


def number(*parts):
    return int.from_bytes(hashlib.sha256(repr(parts).encode()).digest()[:4], "big")


@dataclass(frozen=True)
class Bucket:
    """A part of the weights of one version."""

    part: int
    weights: int
    is_last: bool


class Preempted(ActorDiedError):
    preempted = True


class SimulatedActor:
    """A handle: `handle.method.remote(…)` runs the method beside the caller until the actor dies or hangs."""

    def __init__(self, node, place_s=0.0, start_s=0.1):
        self.node, self.place_s, self.start_s = node, place_s, start_s
        self.hangs = False
        self._dead = None

    @property
    def death(self):
        if self._dead is None:
            self._dead = asyncio.get_running_loop().create_future()
        return self._dead

    def die(self, error=None):
        if not self.death.done():
            self.death.set_result(error or ActorDiedError())

    def __getattr__(self, name):
        if name.startswith("_"):
            raise AttributeError(name)
        return _Method(self, getattr(self, f"do_{name}"))

    async def do_node_id(self):
        await asyncio.sleep(self.place_s)
        return self.node

    async def do_start(self, *args):
        await asyncio.sleep(self.start_s)

    async def do_stay(self):
        await asyncio.Event().wait()

    async def do_rss_bytes(self):
        return 1


class _Method:
    def __init__(self, actor, method):
        self._actor, self._method = actor, method

    def remote(self, *args):
        call = asyncio.ensure_future(self._run(args))
        call.add_done_callback(lambda done: done.cancelled() or done.exception())  # nobody has to look at it
        return call

    async def _run(self, args):
        args = [await arg if isinstance(arg, asyncio.Future) else arg for arg in args]
        work = asyncio.ensure_future(self._method(*args))
        try:
            while True:
                waits = {self._actor.death} if self._actor.hangs else {work, self._actor.death}
                await asyncio.wait(waits, timeout=1.0, return_when=asyncio.FIRST_COMPLETED)
                if self._actor.death.done():
                    raise self._actor.death.result()
                if work.done() and not self._actor.hangs:
                    return work.result()
        finally:
            work.cancel()


class SimulatedEngine(SimulatedActor):
    """An engine: it samples with the weights that it holds, and takes no mix of weights."""

    def __init__(self, node, sample_s, **times):
        super().__init__(node, **times)
        self._sample_s = sample_s
        self._weights, self._version, self._parts, self._staged = None, -1, {}, []
        self._num_running, self._idle, self._may_run = 0, asyncio.Event(), asyncio.Event()
        self._idle.set()
        self._may_run.set()

    async def do_check_manifest(self, wire):
        assert wire == ["wire"]

    async def do_pause(self):
        self._may_run.clear()
        await self._idle.wait()

    async def do_start_weight_update(self):
        self._parts = {}

    async def do_load_bucket(self, bucket, data):
        assert data is None or data == bucket.weights
        await asyncio.sleep(0.05)
        self._parts[bucket.part] = bucket.weights

    async def do_stage_bucket(self, bucket, data):
        assert data == bucket.weights
        await asyncio.sleep(0.4)  # as long as the sampling of a step, so that updates come in between
        self._staged.append(bucket)

    async def do_drop_staged(self):
        self._staged = []

    async def do_load_staged(self):
        staged, self._staged = self._staged, []
        await asyncio.sleep(1.7)  # longer than an update and its publication, which may come in between
        self._parts = {bucket.part: bucket.weights for bucket in staged}

    async def do_finish_and_resume(self, version):
        if len(self._parts) != NUM_BUCKETS or len(set(self._parts.values())) != 1:
            raise WeightSyncError("not all weights have arrived", got=sorted(self._parts.items()))
        self._version, self._weights = version, self._parts[0]
        self._may_run.set()

    async def do_sample(self, request):
        await self._may_run.wait()
        self._num_running += 1
        self._idle.clear()
        version, weights = self._version, self._weights
        try:
            await asyncio.sleep(self._sample_s * (1 + number(request.seed) % 5))
        finally:
            self._num_running -= 1
            if not self._num_running:
                self._idle.set()
        completions = tuple(
            _completion(number(request.seed + sample, weights), version) for sample in range(request.num_samples)
        )
        return SampledGroup(prompt_token_ids=np.arange(3, dtype=np.int32), completions=completions)


def _completion(token, version):
    return Completion(
        text=str(token % 10),
        token_ids=np.array([token % 100, 1], dtype=np.int32),
        rollout_logprobs=np.zeros(2, dtype=np.float32),
        weight_versions=((version, 0, 2),),
        finish_reason="stop",
    )


class SimulatedRewards(SimulatedActor):
    """A reward actor; the last digit of an answer is its reward."""

    async def do_score(self, prompt, responses, progress):
        await asyncio.sleep(0.2)
        return [RewardResult(value=int(response) / 10, valid=True) for response in responses], 0.2

    async def do_offload(self):
        pass


@dataclass
class SharedLearner:
    """The state that all ranks of one start have in common; the weights are a hash of all that was learned."""

    version: int = 0
    weights: int = 0
    seen: list = field(default_factory=list)


class SimulatedRank(SimulatedActor):
    """A rank: all ranks hold the same weights, and rank 0 gives them out."""

    def __init__(self, rank, node, learn_s=1.0, **times):
        super().__init__(node, **times)
        self.rank, self._learn_s = rank, learn_s
        self._state, self._parts, self._bucket = SharedLearner(), None, None
        self._writing = None

    async def do_meeting_point(self):
        return "10.0.0.1", 4711, self.node

    async def do_accumulate(self, groups):
        await asyncio.sleep(self._learn_s / 4)
        self._state.seen += _content(groups)

    async def do_update(self, steps):
        await asyncio.sleep(self._learn_s)
        for step in steps:
            learned = [*sorted(self._state.seen + _content(step.groups)), step.num_tokens]
            self._state.weights = number(self._state.weights, self.rank, learned)
            self._state.version, self._state.seen = self._state.version + 1, []
        return self._state.version, {"policy/loss": float(self._state.weights)}

    async def do_manifest(self):
        return ["wire"]

    async def do_next_bucket(self):
        if self._parts is None:
            self._parts = iter([Bucket(i, self._state.weights, i == NUM_BUCKETS - 1) for i in range(NUM_BUCKETS)])
        await asyncio.sleep(0.05)
        self._bucket = next(self._parts, None)
        if self._bucket is None:
            self._parts = None
        else:  # weights are read when their bucket is made: a series over an update would be a mix
            self._bucket = Bucket(self._bucket.part, self._state.weights, self._bucket.is_last)
        return self._bucket

    async def do_packed_bucket(self):
        return self._bucket.weights

    async def do_drop_series(self):
        self._parts = None

    async def do_save(self, folder):
        state = json.dumps([self._state.version, self._state.weights])
        self._writing = asyncio.ensure_future(self._write(Path(folder) / f"rank_{self.rank}.json", state))

    async def _write(self, path, state):
        await asyncio.sleep(0.5)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(state)

    async def do_is_written(self):
        return self._writing.done()

    async def do_hand_over(self, folder):
        self._writing.result()

    async def do_load(self, folder):
        await asyncio.sleep(0.5)
        path = Path(folder) / f"rank_{self.rank}.json"
        if not path.is_file():  # it was written by fewer ranks
            path = path.with_name("rank_0.json")
        self._state = SharedLearner(*json.loads(path.read_text()))
        return self._state.version


def _content(groups):
    return [(group.position, [(one.completion.text, one.advantage) for one in group.rollouts]) for group in groups]
