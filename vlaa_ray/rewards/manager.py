"""The rewards of a run: responses are judged by the verifiers, parameters, weights and scorer of the config.

For example:

    with RewardManager(config.rewards) as rewards:
        rewards.score([(prompt, "<answer>3</answer>")])  -> [RewardResult(value=1.0, …)]
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

from vlaa_ray.config import RewardsSection, VerifierSection
from vlaa_ray.errors import RewardError
from vlaa_ray.records import FORMAT, Prompt, RewardResult
from vlaa_ray.rewards.dispatch import EXTRACTIONS, params_fault, takes, without_answer
from vlaa_ray.rewards.params import InputSize, VerifierParams
from vlaa_ray.rewards.sandbox.sandbox import Item, Sandbox
from vlaa_ray.rewards.scorers import Scorer, make_scorer
from vlaa_ray.rewards.verifiers.verdicts import invalid, scored
from vlaa_ray.text.answers import extract_answer

Response = tuple[Prompt, str]
_OPEN_ENDED = "open_ended"
_ALONE = VerifierSection()


class RewardManager:
    """Scores batches of responses; `input_size` is for `VerifierParams`.

    Raises RewardError if the config's verifiers or scorer can't be loaded.
    """

    def __init__(self, rewards: RewardsSection, input_size: InputSize | None = None) -> None:
        self.verifier_types = rewards.verifier_types()
        self._rewards, self._verifiers = rewards, rewards.verifiers
        self._params = VerifierParams(rewards.verifiers, input_size)
        self._extraction = rewards.extraction
        for name, section in self._verifiers.items():
            if not section.function and (fault := params_fault(name, section.params)):
                raise RewardError(f"rewards.verifiers.{name}.params: {fault}", fix="see docs/rewards.md")
        self._scorer: Scorer | None = make_scorer(rewards.open_ended)
        self._sandbox = Sandbox(
            rewards.timeout_s,
            rewards.memory_limit_bytes,
            functions={name: section.function for name, section in rewards.verifiers.items() if section.function},
        )

    def __enter__(self) -> RewardManager:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def score(self, responses: Sequence[Response], progress: float = 1.0) -> list[RewardResult]:
        """Return one result for each response, in order.

        `progress` is the share of the training that is done, in [0, 1]. Verifiers with a schedule depend on it.

        Raises RewardError if a verifier type or a parameter is unknown, or if the scorer is down for good.
        """
        parts = [(number, name) for number, (prompt, _) in enumerate(responses) for name in self._weights(prompt)]
        by_scorer = [(number, name) for number, name in parts if self._is_scored(name)]
        by_rule = [part for part in parts if not self._is_scored(part[1])]
        results = dict(zip(by_scorer, self._ask_scorer([responses[number] for number, _ in by_scorer]), strict=True))
        items = [self._item(*responses[number], name, progress) for number, name in by_rule]
        results |= dict(zip(by_rule, self._sandbox.score_batch(items), strict=True))
        mixed = []
        for number, (prompt, _) in enumerate(responses):
            weights = self._weights(prompt)
            mixed.append(weighted(weights, {name: results[number, name] for name in weights}))
        return mixed

    def judged(self, responses: Sequence[Response]) -> list[RewardResult]:
        """Return one result for each response, in order, by the prompt's own verifier alone and without weights.

        The prompts must have a built-in verifier.
        """
        items = [self._item(prompt, response, prompt.verifier_type, 1.0) for prompt, response in responses]
        return self._sandbox.score_batch(items)

    def judge_of(self, prompt: Prompt) -> Literal["rule", "function", "scorer"]:
        """Return what judges the prompt's answers: a built-in rule, a user's function, or a scorer (a model)."""
        name = prompt.verifier_type
        if self._is_scored(name):
            return "scorer"
        return "function" if self._verifiers.get(name, _ALONE).function else "rule"

    def params_of(self, prompt: Prompt) -> dict[str, Any]:
        """Return the parameters of the prompt's own verifier, as `VerifierParams` gives them."""
        return self._params.of(prompt)

    def odd_params(self, prompt: Prompt) -> list[str]:
        """Return the names of the record's parameters that its verifier can't use, sorted.

        These are unknown parameters, and `extraction` with a value that is not a rule.
        """
        name, params = prompt.verifier_type, prompt.verifier_params
        odd = {"extraction"} if params.get("extraction", "last") not in EXTRACTIONS else set()
        if self.judge_of(prompt) == "rule":
            odd |= {key for key in params if key != "extraction" and not takes(name, key)}
        return sorted(odd)

    def offload(self) -> None:
        """Free the scorer's GPU memory until the next samples come."""
        if self._scorer:
            self._scorer.offload()

    def close(self) -> None:
        """End the processes of the sandbox; safe to call twice."""
        self._sandbox.close()

    def _weights(self, prompt: Prompt) -> Mapping[str, float]:
        return self._rewards.weights_of(prompt.verifier_type)

    def _is_scored(self, name: str) -> bool:
        return name == _OPEN_ENDED and self._scorer is not None

    def _item(self, prompt: Prompt, response: str, name: str, progress: float) -> Item:
        params = self.params_of(prompt) if name == prompt.verifier_type else self._params.of_type(name)
        if name != FORMAT:
            params.setdefault("extraction", self._extraction)
        if takes(name, "progress"):
            params.setdefault("progress", progress)
        return response, prompt.gold, name, params

    def _ask_scorer(self, responses: Sequence[Response]) -> list[RewardResult]:
        """Return the scorer's verdicts. The scorer is called once for each prompt, with all answers to it."""
        assert self._scorer or not responses
        results: dict[int, RewardResult] = {}
        answers: dict[int, tuple[Prompt, dict[int, str]]] = {}  # by the id() of the prompt: prompt ids may repeat
        for number, (prompt, response) in enumerate(responses):
            answer = extract_answer(response, prompt.verifier_params.get("extraction", self._extraction))
            if is_blank(prompt.gold):
                results[number] = invalid(answer, "the gold is empty")
            elif answer is None:
                results[number] = without_answer(scored(0.0, None), response)
            else:
                answers.setdefault(id(prompt), (prompt, {}))[1][number] = answer
        for prompt, of_prompt in answers.values():
            assert self._scorer
            verdicts = self._scorer.score(prompt, list(of_prompt.values()))
            results |= dict(zip(of_prompt, verdicts, strict=True))
        return [results[number] for number in range(len(responses))]


def is_blank(gold: Any) -> bool:
    """Return whether the gold is empty, so that no answer can be compared with it."""
    return gold is None or gold in ([], {}) or (isinstance(gold, str) and not gold.strip())


def weighted(weights: Mapping[str, float], results: Mapping[str, RewardResult]) -> RewardResult:
    """Return the sum of weight · value over the results, at most 1, with each value as a part.

    The result is invalid if any of them is. A single result with weight 1 is returned unchanged.
    """
    (first, weight), *others = weights.items()
    if not others and weight == 1.0:
        return results[first]
    extracted = next((result.extracted for result in results.values() if result.extracted is not None), None)
    reason = "; ".join(f"{name}: {result.reason}" for name, result in results.items() if result.reason)
    values = {name: result.value for name, result in results.items() if result.value is not None}
    if len(values) < len(results):
        return invalid(extracted, reason)
    total = min(1.0, sum(weights[name] * value for name, value in values.items()))
    parts = {key: value for result in results.values() for key, value in result.parts.items()} | values
    return RewardResult(value=total, valid=True, extracted=extracted, reason=reason, parts=parts)
