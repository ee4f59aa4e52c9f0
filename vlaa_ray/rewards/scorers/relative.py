"""The paper's open-ended reward: how far an answer's score is above the reference's."""

from __future__ import annotations

import math
from collections.abc import Sequence

from vlaa_ray.records import Prompt, RewardResult
from vlaa_ray.rewards.scorers import ScoreModel
from vlaa_ray.rewards.verifiers.open_ended import NO_REFERENCE, relative_reward
from vlaa_ray.rewards.verifiers.verdicts import invalid, wrong
from vlaa_ray.services.client import Unanswered

_CACHE_ENTRIES = 65_536


class RelativeScorer:
    """R = 1 - exp(-beta · (S(answer) - S(reference))) above the reference, else 0 (arXiv 2504.11468, section 4.1).

    The reference is the gold, or the sample's parameter `reference`. S(reference) is asked once for each image,
    question and reference.
    """

    def __init__(self, model: ScoreModel, beta: float) -> None:
        self._model = model
        self._beta = beta
        self._references: dict[tuple[str, ...], float | str] = {}

    def score(self, prompt: Prompt, answers: Sequence[str]) -> list[RewardResult]:
        """One result an answer, with both scores as parts; all are invalid where the reference can't be scored."""
        reference = str(prompt.verifier_params.get("reference") or prompt.gold)
        key = (*(image.sha256 for image in prompt.images), prompt.question, reference)
        known = self._references.get(key)
        asked = [*dict.fromkeys(answers)] if known is not None else [*dict.fromkeys([reference, *answers])]
        try:
            scores = dict(zip(asked, self._model.scores(prompt, asked), strict=True))
        except Unanswered as error:
            return [invalid(answer, f"the reward model gave no score: {error}") for answer in answers]
        if known is None:
            known = scores[reference]
            if len(self._references) >= _CACHE_ENTRIES:
                self._references.clear()
            self._references[key] = known
        return [self._verdict(answer, scores[answer], known) for answer in answers]

    def offload(self) -> None:
        self._model.offload()

    def _verdict(self, answer: str, score: float | str, reference: float | str) -> RewardResult:
        if isinstance(reference, str):
            return invalid(answer, f"{NO_REFERENCE}: {reference}")
        if isinstance(score, str):
            return wrong(answer, score)
        if not (math.isfinite(score) and math.isfinite(reference)):
            return invalid(answer, f"a score that is not finite: {score}, and {reference} of the reference")
        return RewardResult(
            value=relative_reward(score, reference, self._beta),
            valid=True,
            extracted=answer,
            reason="" if score > reference else f"score {score:.2f} is not above the reference's {reference:.2f}",
            parts={"score": score, "reference_score": reference},
        )
