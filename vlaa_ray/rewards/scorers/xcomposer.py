"""InternLM-XComposer2.5-Reward, the paper's reward model, through the interface that its own checkpoint brings."""

from __future__ import annotations

import tempfile
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from vlaa_ray.config import OpenEndedSection
from vlaa_ray.data.images import encoded, mime_type
from vlaa_ray.errors import ModelError, RewardError
from vlaa_ray.records import Prompt

_HD_NUM = 9
"""Tiles of a picture, as in the model's card."""


class XComposerReward:
    """Implements `ScoreModel` by `get_scores(chats, images, hd_num)`. The checkpoint's Python code runs here.

    The pictures go to the model as files. Half precision on a GPU; fp32 on the CPU.
    """

    def __init__(self, section: OpenEndedSection) -> None:
        from transformers import AutoModel, AutoTokenizer

        if not section.trust_remote_code or section.model is None:
            fix = "set rewards.open_ended.trust_remote_code and model, if you trust the checkpoint"
            raise RewardError("this reward model runs Python code from its checkpoint", fix=fix)
        self._device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        on_gpu = self._device.type == "cuda"
        try:
            tokenizer = AutoTokenizer.from_pretrained(section.model, trust_remote_code=True)
            model = AutoModel.from_pretrained(
                section.model, dtype=torch.float16 if on_gpu else torch.float32, trust_remote_code=True
            )
        except (OSError, ValueError, ImportError, AttributeError) as error:
            fix = "its code is written for an older transformers: serve it in an environment of its own"
            raise ModelError(f"can't load the reward model: {error}", path=section.model, fix=fix) from error
        if not hasattr(model, "get_scores"):
            raise ModelError("the checkpoint's code has no get_scores", path=section.model)
        model.tokenizer = tokenizer
        self._model: Any = model.eval()
        self._parks = section.park
        self._lock = threading.Lock()
        if not self._parks:
            self._model.to(self._device)

    @torch.no_grad()
    def scores(self, prompt: Prompt, answers: Sequence[str]) -> list[float | str]:
        """S of each answer."""
        with self._lock, tempfile.TemporaryDirectory() as folder:
            self._model.to(self._device)
            files = []
            for number, image in enumerate(prompt.images, start=1):
                data = encoded(image)
                file = Path(folder) / f"{number}.{mime_type(data).removeprefix('image/')}"
                file.write_bytes(data)
                files.append(str(file))
            question = prompt.question.replace("<image>", "").strip()
            if len(files) > 1:  # a single picture needs no placeholder
                named = "; ".join(f"Image{number} <ImageHere>" for number in range(1, len(files) + 1))
                question = f"{named}; {question}"
            chats = [
                [{"role": "user", "content": question}, {"role": "assistant", "content": answer}] for answer in answers
            ]
            with torch.autocast(self._device.type, torch.float16, enabled=self._device.type == "cuda"):
                values = self._model.get_scores(chats, [files] * len(chats), hd_num=_HD_NUM)
        return [float(value) for value in values]

    def park(self) -> None:
        """Move the weights to the CPU, where `park` is set."""
        if self._parks and self._device.type == "cuda":
            with self._lock:
                self._model.to("cpu")
                torch.cuda.empty_cache()
