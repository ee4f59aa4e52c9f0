"""The engine's side of a weight update: pause, receive, check, clear the caches, set the version, resume.

An engine that shares its GPU with a learner rank also sleeps: it gives its memory back, and is updated before it wakes.

If a step fails, the engine may hold a mix of old and new weights. It is then out of service: no sample is drawn from
it again.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from vlaa_ray.errors import DeadlineExceeded, ModelError, WeightSyncError
from vlaa_ray.weight_sync.manifest import Manifest

_WEIGHTS, _CACHE = _SLEEPING = ("weights", "kv_cache")
"""vLLM's tags of the two kinds of memory that an engine gives back."""


class EngineWeights:
    """The weights of one AsyncLLM and their updates.

    `version` is the current weight version. `broken` says why the engine is out of service, or is "". `submission`
    is a lock that is held while requests must not enter the engine.
    """

    def __init__(self, llm: Any, *, version: int, deadline_s: float) -> None:
        self._llm = llm
        self._deadline_s = deadline_s
        self._names: list[str] = []  # of the checked manifest
        self._received: set[str] = set()
        self._paused = False
        self._updating = False
        self._asleep: set[str] = set()  # vLLM's tags of the memory that was given back
        self._complete = True  # False: the weights were dropped, and new ones have not arrived
        self.version = version
        self.broken = ""
        self.submission = asyncio.Lock()

    async def check_manifest(self, manifest: Manifest) -> None:
        """Compare the learner's weights with the parameters of the engine's model.

        Raises:
            ModelError: names, shapes or dtypes differ; the message names them.

        """
        async with self._step("compare the manifest", breaks=False):
            answers = await self._llm.collective_rpc("vlaa_manifest_difference", args=(manifest.to_wire(),))
        if difference := next(filter(None, answers), ""):
            raise ModelError(
                f"the learner's weights don't match the engine's: {difference}",
                fix="send model.state_dict(), which includes the tied lm_head.weight, in the engine's dtype",
            )
        self._names = manifest.names

    async def pause(self) -> None:
        """Stop sampling once the running requests have ended; an engine that sleeps gets memory for its weights.

        An engine whose last update was not finished goes out of service.

        Raises:
            WeightSyncError: the engine is out of service, its last update is still open, or the manifest was not
                checked.
            DeadlineExceeded: the running requests did not finish in time.

        """
        if self._updating:
            self.broken = "the last update was not finished"
            self._admit()
        self.require_sound()
        if not self._names:
            raise WeightSyncError(
                "weights can't be updated before their manifest is checked", fix="call check_manifest"
            )
        if self._asleep:
            await self.wake_weights()
        else:
            async with self._step("pause"):
                await self._hold_requests()
                await self._llm.pause_generation(mode="wait", clear_cache=False)  # `resume` clears them, and checks it
        self._updating = True

    async def sleep(self, *, keep_weights: bool) -> None:
        """Give back the memory of keys, values and weights; the weights are kept in RAM or dropped.

        New requests wait until `wake_cache`. One that still runs is aborted: its caller has gone, as no engine falls
        asleep in its turn. vLLM on a CPU keeps the memory.
        """
        self.require_sound()
        async with self._step("fall asleep"):
            await self._hold_requests()
            await self._llm.sleep(level=1 if keep_weights else 2, mode="abort")
        self._asleep = set(_SLEEPING)
        self._complete = self._complete and keep_weights

    async def wake_weights(self) -> None:
        """Take back the memory of the weights, unless that is done; weights that were dropped must be sent then."""
        async with self._step("wake its weights"):
            if _WEIGHTS in self._asleep:
                await self._llm.wake_up(tags=[_WEIGHTS])
                self._asleep.remove(_WEIGHTS)

    async def wake_cache(self) -> None:
        """Take back the memory of keys and values, and sample again.

        Raises:
            WeightSyncError: the weights were dropped, and no update has brought new ones.

        """
        self.require_sound()
        if not self._complete or _WEIGHTS in self._asleep:
            raise WeightSyncError("the engine has no weights to sample with", fix="send the learner's weights first")
        async with self._step("wake up"):
            await self._llm.wake_up(tags=[_CACHE])
        self._asleep.clear()
        self._admit()

    async def init_weight_transfer_engine(self, init_info: dict[str, Any]) -> None:
        """Open the transport; one that is already open is closed first."""
        from vllm.distributed.weight_transfer.base import WeightTransferInitRequest

        async with self._step("open the weight transfer"):
            await self._llm.shutdown_weight_transfer_engine()
            await self._llm.init_weight_transfer_engine(WeightTransferInitRequest(init_info=init_info))

    async def start_weight_update(self) -> None:
        """Prepare the engine to receive a whole set of weights."""
        self._received = set()
        async with self._step("start the update"):
            await self._llm.start_weight_update()

    async def load_bucket(self, update_info: dict[str, Any]) -> None:
        """Receive the tensors that `update_info` names, through the open transport; over NCCL, all weights."""
        from vllm.distributed.weight_transfer.base import WeightTransferUpdateRequest

        self.require_sound()
        async with self._step("receive weights"):
            await self._llm.update_weights(WeightTransferUpdateRequest(update_info=update_info))
        self._received.update(update_info["names"])

    async def finish_weight_update(self) -> None:
        """Check that all weights have arrived and were written, and put them in place.

        Raises:
            WeightSyncError: tensors were not sent, or parameters were not written in full; the message names them.

        """
        self.require_sound()
        async with self._step("finish the update"):
            if missing := [name for name in self._names if name not in self._received]:
                raise WeightSyncError(f"weights did not arrive: {', '.join(missing)}", missing=missing)
            for unwritten in await self._llm.collective_rpc("vlaa_unwritten_weights"):
                if unwritten:
                    raise WeightSyncError("the engine did not write all of its weights", unwritten=unwritten)
            await self._llm.finish_weight_update()

    async def resume(self, version: int) -> None:
        """Clear everything that was computed with the old weights, and sample with the new ones as `version`.

        An engine that sleeps samples after `wake_cache`.
        """
        self.require_sound()
        async with self._step("clear the caches and resume"):
            await self._clear_caches()
            await self._llm.update_weight_version(str(version))
            if not self._asleep:
                await self._llm.resume_generation()
            self.version = version
            self._updating, self._complete = False, True
            if not self._asleep:
                self._admit()

    def require_sound(self) -> None:
        """Check that the engine is in service.

        Raises:
            WeightSyncError: an update failed, so that the engine may hold weights of two versions.

        """
        if self.broken:
            raise WeightSyncError(f"the engine is out of service: {self.broken}", fix="replace the engine")

    async def _clear_caches(self) -> None:
        """Clear keys and values, and image embeddings; a request that still runs is computed anew.

        vLLM clears nothing by itself. It looks up image embeddings by the image alone, so that those of the old
        vision tower would be used again. The cache of processed pixels stays: no weight has touched them.
        """
        if not await self._llm.reset_prefix_cache(reset_running_requests=True):
            raise WeightSyncError("the prefix cache was not cleared")
        await self._llm.reset_encoder_cache()
        if any(await self._llm.collective_rpc("vlaa_num_cached_images")):
            raise WeightSyncError("the cache of image embeddings was not cleared")

    @asynccontextmanager
    async def _step(self, what: str, *, breaks: bool = True) -> AsyncIterator[None]:
        """Run one step with a deadline; if it fails or is cancelled, the engine is out of service."""
        failure = f"it was cancelled while it had to {what}"
        try:
            async with asyncio.timeout(self._deadline_s):
                yield
            failure = ""
        except TimeoutError as error:
            failure = f"the engine did not {what} in {self._deadline_s:g} s"
            raise DeadlineExceeded(failure) from error
        except WeightSyncError as error:
            failure = error.message
            raise
        except Exception as error:  # vLLM raises plain Exception for every failure in one of its processes
            failure = f"the engine could not {what}: {error}"
            raise WeightSyncError(failure) from error
        finally:
            if failure and breaks:
                self.broken = failure
                self._admit()

    async def _hold_requests(self) -> None:
        """Let no request enter the engine until `_admit`; those that are in it go on."""
        if not self._paused:
            await self.submission.acquire()
            self._paused = True

    def _admit(self) -> None:
        self._updating = False
        if self._paused:
            self._paused = False
            self.submission.release()
