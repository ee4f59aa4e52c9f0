"""The paper's open-ended reward: how far an answer's score is above the reference's."""

from __future__ import annotations

import math
from collections.abc import Sequence

from vlaa_ray.records import Prompt, RewardResult
from vlaa_ray.rewards.scorers import ScoreModel
from vlaa_ray.rewards.verifiers.open_ended import NO_REFERENCE, relative_reward
from vlaa_ray.rewards.verifiers.verdicts import invalid, wrong
from vlaa_ray.services.client import Unanswered
from vlaa_ray.text.conversation import as_one_text

_CACHE_ENTRIES = 65_536


class RelativeScorer:
    """R = 1 - exp(-beta · (S(answer) - S(reference))) above the reference, else 0 (arXiv 2504.11468, section 4.1).

    S is a reward model's score. The reference is the gold, or the sample's parameter `reference` if it has one.
    S(reference) is computed once for each image, question and reference.
    """

    def __init__(self, model: ScoreModel, beta: float) -> None:
        self._model = model
        self._beta = beta
        self._references: dict[tuple[str, ...], float | str] = {}

    def score(self, prompt: Prompt, answers: Sequence[str]) -> list[RewardResult]:
        """Return one result for each answer, with both scores as parts.

        All results are invalid if the reference can't be scored, or if the reward model gives no score.
        """
        reference = str(prompt.verifier_params.get("reference") or prompt.gold)
        key = (*(image.sha256 for image in prompt.images), as_one_text(prompt), reference)
        reference_score = self._references.get(key)
        texts = [*answers] if reference_score is not None else [reference, *answers]
        texts = list(dict.fromkeys(texts))
        try:
            scores = dict(zip(texts, self._model.scores(prompt, texts), strict=True))
        except Unanswered as error:
            return [invalid(answer, f"the reward model gave no score: {error}") for answer in answers]
        if reference_score is None:
            reference_score = scores[reference]
            if len(self._references) >= _CACHE_ENTRIES:
                self._references.clear()
            self._references[key] = reference_score
        return [self._verdict(answer, scores[answer], reference_score) for answer in answers]

    def offload(self) -> None:
        """Free the reward model's GPU memory until the next answers come."""
        self._model.offload()

    def _verdict(self, answer: str, score: float | str, reference: float | str) -> RewardResult:
        if isinstance(reference, str):
            return invalid(answer, f"{NO_REFERENCE}: {reference}")
        if isinstance(score, str):
            return wrong(answer, score)
        if not (math.isfinite(score) and math.isfinite(reference)):
            return invalid(answer, f"a score is not finite: {score} of the answer, {reference} of the reference")
        return RewardResult(
            value=relative_reward(score, reference, self._beta),
            valid=True,
            extracted=answer,
            reason="" if score > reference else f"score {score:.2f} is not above the reference's {reference:.2f}",
            parts={"score": score, "reference_score": reference},
        )
