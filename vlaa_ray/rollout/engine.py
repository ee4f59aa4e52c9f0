"""One vLLM engine: it samples token ids and their logprobs from token ids and images.

    engine = await RolloutEngine.start(config.model, config.rollout, path, banned_token_ids=banned)
    sampled = await engine.sample(ids, images, num_samples=8, seed=1, temperature=1.0, max_tokens=256, deadline_s=60)

Logprobs are those of the distribution that was sampled from: logits / temperature, without the banned ids. Text is
never tokenised again: training uses the ids that the engine got and sampled.
"""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from vlaa_ray.config import ModelSection, SamplerSection
from vlaa_ray.errors import DeadlineExceeded, RolloutError, WeightSyncError
from vlaa_ray.models.loading import family_at
from vlaa_ray.records import Completion, SampledGroup
from vlaa_ray.rollout.engine_args import engine_arguments, engine_environment
from vlaa_ray.rollout.weight_updates import EngineWeights

if TYPE_CHECKING:
    from PIL.Image import Image

_BAN = -100.0  # added to a logit; the limit of the engine's API, and it makes the probability 0 (a factor of e^-100)


class PromptRefused(RolloutError):
    """The prompt can't be sampled: every engine would refuse it, and a new engine would not help."""


class RolloutEngine:
    """A running engine that `start` makes; `weights` updates its weights. Call its methods on one event loop."""

    def __init__(
        self, llm: Any, rollout: SamplerSection, weights: EngineWeights, banned: Sequence[int], stop: list[int]
    ) -> None:
        self._llm = llm
        self._rollout = rollout
        self.weights = weights
        self._bias = dict.fromkeys(banned, _BAN)
        self._stop_token_ids = stop
        self._image_token_id = llm.model_config.hf_config.image_token_id

    @classmethod
    async def start(
        cls,
        model: ModelSection,
        rollout: SamplerSection,
        model_path: str,
        *,
        banned_token_ids: Sequence[int] = (),
        weight_version: int = 0,
        transport: Literal["shared_memory", "nccl"] = "shared_memory",
        sleeps: bool = False,
        sync_deadline_s: float = 300,
        name: str = "policy",
    ) -> RolloutEngine:
        """Start an engine with the weights of `model_path`, which count as `weight_version`; return it.

        This takes 25 to 45 s on a CPU and blocks the event loop meanwhile. `sleeps`: it shall be able to give its GPU
        memory back. `name` is the label `model_name` of vLLM's own metrics, which `rollout.engine_metrics` asks for.

        Raises:
            RolloutError: the engine did not start; the message has the cause.

        """
        with engine_environment(rollout):
            from vllm.engine.arg_utils import AsyncEngineArgs
            from vllm.v1.engine.async_llm import AsyncLLM

            arguments = engine_arguments(family_at(model_path), model, rollout, model_path, transport, sleeps=sleeps)
            if rollout.engine_metrics:
                arguments["served_model_name"] = name  # else the whole path is a label
            try:
                llm = AsyncLLM.from_engine_args(AsyncEngineArgs(**arguments), stat_loggers=_stat_loggers(rollout))
            except (RuntimeError, ValueError, OSError, TimeoutError) as error:
                raise RolloutError(f"the engine did not start: {error}", model=model_path) from error
        weights = EngineWeights(llm, version=weight_version, deadline_s=sync_deadline_s)
        await llm.update_weight_version(str(weight_version))
        return cls(llm, rollout, weights, banned_token_ids, _stop_token_ids(model_path))

    async def sample(
        self,
        prompt_token_ids: Sequence[int],
        images: Sequence[Image],
        *,
        num_samples: int,
        seed: int,
        temperature: float,
        max_tokens: int,
        deadline_s: float,
        top_p: float = 1.0,
    ) -> SampledGroup:
        """Return `num_samples` completions of a prompt, which has one image token per image.

        At temperature 0 the likeliest tokens are taken. `top_p` limits sampling to the likeliest tokens that have that
        share of the probability together. Sample i is drawn with `seed` + i: equal seeds, prompts and
        weights give equal tokens. A failure ends this request only.

        Raises:
            PromptRefused: no engine can sample this prompt.
            RolloutError: the request is not valid, or the engine is dead or out of service.
            DeadlineExceeded: there are no completions after `deadline_s` seconds.

        """
        self._check_request(prompt_token_ids, images, num_samples, temperature, max_tokens)
        parameters = self._parameters(num_samples, seed, temperature, top_p, max_tokens)
        try:
            async with asyncio.timeout(deadline_s):
                output = await self._generate(list(prompt_token_ids), list(images), parameters)
        except TimeoutError as error:
            raise DeadlineExceeded(
                f"no completions after {deadline_s:g} s", prompt_tokens=len(prompt_token_ids), num_samples=num_samples
            ) from error
        tokenizer = self._llm.get_tokenizer()
        return SampledGroup(
            prompt_token_ids=np.asarray(output.prompt_token_ids, dtype=np.int32),
            completions=tuple(_completion(sample, tokenizer) for sample in output.outputs),
        )

    async def logprobs(
        self, prompt_token_ids: Sequence[int], images: Sequence[Image], answer_ids: Sequence[int], *, deadline_s: float
    ) -> np.ndarray:
        """Return the logprobs [C] float32 of a given answer's ids, each after the prompt and the ids before it.

        They are those of the model itself, at temperature 1 and without bans.

        Raises:
            PromptRefused, RolloutError, DeadlineExceeded: as for `sample`.

        """
        from vllm.sampling_params import RequestOutputKind, SamplingParams

        ids = [*prompt_token_ids, *map(int, answer_ids)]
        self._check_request(ids, images, 1, 1.0, 1)
        parameters = SamplingParams(
            max_tokens=1, prompt_logprobs=0, detokenize=False, output_kind=RequestOutputKind.FINAL_ONLY
        )
        try:
            async with asyncio.timeout(deadline_s):
                output = await self._generate(ids, list(images), parameters)
        except TimeoutError as error:
            raise DeadlineExceeded(f"no logprobs after {deadline_s:g} s", prompt_tokens=len(ids)) from error
        answer = zip(output.prompt_logprobs[-len(answer_ids) :], answer_ids, strict=True)
        return np.array([of_place[int(token)].logprob for of_place, token in answer], dtype=np.float32)

    def _check_request(
        self, ids: Sequence[int], images: Sequence[Image], num_samples: int, temperature: float, max_tokens: int
    ) -> None:
        """Refuse requests that vLLM would accept and answer wrongly, or that this engine was not started for."""
        if self.weights.broken:
            raise RolloutError(f"the engine is out of service: {self.weights.broken}", fix="replace the engine")
        if (placeholders := list(ids).count(self._image_token_id)) != len(images):
            raise PromptRefused(
                "the prompt's image tokens and its images don't match",
                got=placeholders,
                expected=len(images),
                fix="give one image token per image, not one per image feature",
            )
        self._check_length(len(ids))
        if max_tokens > self._rollout.max_completion_tokens:
            raise RolloutError(
                "the request asks for longer completions than the engine was started for",
                got=max_tokens,
                expected=f"at most {self._rollout.max_completion_tokens} (rollout.max_completion_tokens)",
            )
        if temperature == 0 and num_samples > 1:
            message, fix = "at temperature 0 all samples are the same", "ask for one sample"
            raise RolloutError(message, num_samples=num_samples, fix=fix)

    def _parameters(self, num_samples: int, seed: int, temperature: float, top_p: float, max_tokens: int) -> Any:
        from vllm.sampling_params import RequestOutputKind, SamplingParams

        return SamplingParams(
            n=num_samples,
            seed=seed if temperature else None,
            temperature=temperature,
            top_p=top_p,
            max_tokens=max_tokens,
            logprobs=0,
            flat_logprobs=True,
            detokenize=False,  # done once, at the end
            logit_bias=dict(self._bias),
            stop_token_ids=self._stop_token_ids,
            output_kind=RequestOutputKind.FINAL_ONLY,  # the default's last message lacks completions where n > 1
        )

    async def _generate(self, ids: list[int], images: list[Image], parameters: Any) -> Any:
        """Return the output of one request as vLLM gives it.

        Raises:
            PromptRefused: vLLM can't process the prompt.
            RolloutError: the engine failed.

        """
        from vllm.exceptions import VLLMClientError, VLLMError

        try:
            # vLLM's two caches of pixels agree only if requests enter in the order in which they were processed
            async with self.weights.submission:
                self.weights.require_sound()
                prompt = await self._render(ids, images)
                stream = await self._llm.add_request(str(uuid.uuid4()), prompt, parameters)
            try:
                return await stream.get()
            except asyncio.CancelledError:
                await self._llm.abort(stream.request_id, internal=True)
                raise
        except VLLMClientError as error:
            raise PromptRefused(f"the prompt can't be processed: {error}") from error
        except (VLLMError, WeightSyncError) as error:
            raise RolloutError(f"the engine did not sample: {error}") from error

    async def _render(self, ids: list[int], images: list[Image]) -> Any:
        from vllm.inputs import TokensPrompt

        prompt = TokensPrompt(prompt_token_ids=ids)
        if images:
            prompt["multi_modal_data"] = {"image": images}
        try:
            (rendered,) = await self._llm.renderer.render_cmpl_async([prompt])
        except (ValueError, TypeError, LookupError, RuntimeError, OSError) as error:  # from the image processor
            raise PromptRefused(f"the prompt can't be processed: {error}", type=type(error).__name__) from error
        self._check_length(len(rendered["prompt_token_ids"]))
        return rendered

    def _check_length(self, prompt_tokens: int) -> None:
        if prompt_tokens > self._rollout.max_prompt_tokens:
            raise PromptRefused(
                "the prompt is too long",
                got=prompt_tokens,
                expected=f"at most {self._rollout.max_prompt_tokens} with image tokens (rollout.max_prompt_tokens)",
                fix="shorten the prompt, lower model.max_pixels, or raise rollout.max_prompt_tokens",
            )


def _completion(output: Any, tokenizer: Any) -> Completion:
    if output.finish_reason not in ("stop", "length") or not output.weight_versions:
        message = "vLLM ended a completion for another reason than its end or its length"
        raise RolloutError(message, finish_reason=output.finish_reason, index=output.index)
    token_ids = list(output.token_ids)
    return Completion(
        text=tokenizer.decode(token_ids, skip_special_tokens=True),
        token_ids=np.asarray(token_ids, dtype=np.int32),
        rollout_logprobs=np.asarray(output.logprobs.logprobs, dtype=np.float32),
        weight_versions=tuple((int(span.version), span.start, span.end) for span in output.weight_versions),
        finish_reason=output.finish_reason,
    )


def _stat_loggers(rollout: SamplerSection) -> list[Any]:
    """Return what vLLM gives its metrics to: Ray's metrics agent, if that is asked for."""
    if not rollout.engine_metrics:
        return []
    from vllm.v1.metrics.ray_wrappers import RayPrometheusStatLogger

    return [RayPrometheusStatLogger]


def _stop_token_ids(model_path: str) -> list[int]:
    """Return the end-of-text ids of the checkpoint's generation config; the engine itself uses only the tokenizer's."""
    from transformers import GenerationConfig

    try:
        ends = GenerationConfig.from_pretrained(model_path).eos_token_id
    except OSError:  # the checkpoint has no generation config
        return []
    return [ends] if isinstance(ends, int) else list(ends or ())
