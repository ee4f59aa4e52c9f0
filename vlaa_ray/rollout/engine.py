"""One vLLM engine: token ids in, token ids and logprobs out.

    engine = await RolloutEngine.start(config.model, config.rollout, path, banned_token_ids=banned)
    sampled = await engine.sample(ids, images, num_samples=8, seed=1, temperature=1.0, max_tokens=256, deadline_s=60)

Logprobs belong to the distribution that was sampled from: logits / temperature, with the banned ids shut out. Text
is never tokenised again: training uses the ids that the engine saw and made.
"""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from vlaa_ray.config import ModelSection, RolloutSection
from vlaa_ray.errors import DeadlineExceeded, RolloutError, WeightSyncError
from vlaa_ray.models.loading import family_at
from vlaa_ray.records import Completion, SampledGroup
from vlaa_ray.rollout.engine_args import engine_arguments, engine_environment
from vlaa_ray.rollout.weight_updates import EngineWeights

if TYPE_CHECKING:
    from PIL.Image import Image

_BAN = -100.0  # added to a logit; what the engine's API allows at most, and e^-100 of it is none


class PromptRefused(RolloutError):
    """It is this prompt's fault that there are no completions: any engine would refuse it."""


class RolloutEngine:
    """A running engine, made by `start`; `weights` updates it. All of it runs on one event loop."""

    def __init__(
        self, llm: Any, rollout: RolloutSection, weights: EngineWeights, banned: Sequence[int], stop: list[int]
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
        rollout: RolloutSection,
        model_path: str,
        *,
        banned_token_ids: Sequence[int] = (),
        weight_version: int = 0,
        transport: Literal["shared_memory", "nccl"] = "shared_memory",
        sync_deadline_s: float = 300,
    ) -> RolloutEngine:
        """Start the engine's processes with the weights of `model_path`, called `weight_version` (25 to 45 s on a CPU).

        Blocks the event loop while they start. RolloutError says why they could not.
        """
        with engine_environment(rollout):
            from vllm.engine.arg_utils import AsyncEngineArgs
            from vllm.v1.engine.async_llm import AsyncLLM

            arguments = engine_arguments(family_at(model_path), model, rollout, model_path, transport)
            try:
                llm = AsyncLLM.from_engine_args(AsyncEngineArgs(**arguments))
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
    ) -> SampledGroup:
        """`num_samples` completions of a prompt with one image token per image; at temperature 0 the likeliest tokens.

        Sample i is drawn with `seed` + i: equal seeds, prompts and weights give equal tokens. PromptRefused if
        this prompt can't be sampled, RolloutError if the engine died; other requests go on. DeadlineExceeded after
        `deadline_s`.
        """
        self._check_request(prompt_token_ids, images, num_samples, temperature, max_tokens)
        parameters = self._parameters(num_samples, seed, temperature, max_tokens)
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
            completions=tuple(_completion(one, tokenizer) for one in output.outputs),
        )

    async def logprobs(
        self, prompt_token_ids: Sequence[int], images: Sequence[Image], answer_ids: Sequence[int], *, deadline_s: float
    ) -> np.ndarray:
        """[C] float32: of each id of a given answer, after the prompt and the ids before it; errors as for `sample`.

        Of the model itself, at temperature 1 and without bans.
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
        """Refuse what vLLM would take and answer wrongly."""
        if self.weights.broken:
            raise RolloutError(f"the engine is out of service: {self.weights.broken}", fix="replace the engine")
        if (placeholders := list(ids).count(self._image_token_id)) != len(images):
            raise PromptRefused(
                "the prompt's image tokens and its images don't match",
                got=placeholders,
                expected=len(images),
                fix="give one image token per image, not expanded",
            )
        self._check_length(len(ids))
        if max_tokens > self._rollout.max_completion_tokens:
            raise RolloutError(
                "more tokens asked for than the engine was made for",
                got=max_tokens,
                expected=f"at most {self._rollout.max_completion_tokens} (rollout.max_completion_tokens)",
            )
        if temperature == 0 and num_samples > 1:
            raise RolloutError("at temperature 0 all samples are the same", num_samples=num_samples, fix="ask for one")

    def _parameters(self, num_samples: int, seed: int, temperature: float, max_tokens: int) -> Any:
        from vllm.sampling_params import RequestOutputKind, SamplingParams

        return SamplingParams(
            n=num_samples,
            seed=seed if temperature else None,
            temperature=temperature,
            max_tokens=max_tokens,
            logprobs=0,
            flat_logprobs=True,
            detokenize=False,  # once, at the end
            logit_bias=dict(self._bias),
            stop_token_ids=self._stop_token_ids,
            output_kind=RequestOutputKind.FINAL_ONLY,  # the default's last message lacks completions where n > 1
        )

    async def _generate(self, ids: list[int], images: list[Image], parameters: Any) -> Any:
        """The output of one request as vLLM gives it; PromptRefused or RolloutError for this request alone."""
        from vllm.exceptions import VLLMClientError, VLLMError

        try:
            async with self.weights.submission:  # no cache of images is cleared between rendering and submission
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
                expected=f"at most {self._rollout.max_prompt_tokens}, images expanded (rollout.max_prompt_tokens)",
                fix="shorten it, lower model.max_pixels, or raise rollout.max_prompt_tokens",
            )


def _completion(output: Any, tokenizer: Any) -> Completion:
    if output.finish_reason not in ("stop", "length") or not output.weight_versions:
        raise RolloutError("a completion ended early", finish_reason=output.finish_reason, index=output.index)
    token_ids = list(output.token_ids)
    return Completion(
        text=tokenizer.decode(token_ids, skip_special_tokens=True),
        token_ids=np.asarray(token_ids, dtype=np.int32),
        rollout_logprobs=np.asarray(output.logprobs.logprobs, dtype=np.float32),
        weight_versions=tuple((int(span.version), span.start, span.end) for span in output.weight_versions),
        finish_reason=output.finish_reason,
    )


def _stop_token_ids(model_path: str) -> list[int]:
    """The checkpoint's end-of-text ids; the engine itself knows the tokenizer's only."""
    from transformers import GenerationConfig

    try:
        ends = GenerationConfig.from_pretrained(model_path).eos_token_id
    except OSError:  # the checkpoint has no generation config
        return []
    return [ends] if isinstance(ends, int) else list(ends or ())
