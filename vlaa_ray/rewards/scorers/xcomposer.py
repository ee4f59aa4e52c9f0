"""InternLM-XComposer2.5-Reward, the paper's reward model, called through the Python code of its checkpoint."""

from __future__ import annotations

import itertools
import tempfile
from collections.abc import Sequence
from pathlib import Path

import torch

from vlaa_ray.config import OpenEndedSection
from vlaa_ray.errors import ModelError
from vlaa_ray.images.decode import encoded, mime_type
from vlaa_ray.records import Prompt
from vlaa_ray.rewards.scorers.offloading import Offloading
from vlaa_ray.text.conversation import as_one_text
from vlaa_ray.text.placeholders import in_parts, without_images

_HD_NUM = 9
"""The most tiles into which a picture is cut, as in the model's card."""


class XComposerReward:
    """Implements `ScoreModel` with the model's `get_scores(chats, images, hd_num)`.

    Code of the checkpoint runs in this process. The pictures go to the model as files. It computes in half precision
    on a GPU, and in fp32 on the CPU.

    Raises ModelError if the checkpoint can't be loaded or has no `get_scores`.
    """

    def __init__(self, section: OpenEndedSection) -> None:
        from transformers import AutoModel, AutoTokenizer

        assert section.trust_remote_code and section.model  # the config makes sure of it
        dtype = torch.float16 if torch.cuda.is_available() else torch.float32
        try:
            tokenizer = AutoTokenizer.from_pretrained(section.model, trust_remote_code=section.trust_remote_code)
            model = AutoModel.from_pretrained(section.model, dtype=dtype, trust_remote_code=section.trust_remote_code)
        except (OSError, ValueError, ImportError, AttributeError) as error:
            fix = "its code is written for an older transformers: serve the model from an environment that has one"
            raise ModelError(f"can't load the reward model: {error}", path=section.model, fix=fix) from error
        if not hasattr(model, "get_scores"):
            raise ModelError("the checkpoint's code has no get_scores", path=section.model)
        model.tokenizer = tokenizer
        self._model_on_demand = Offloading(model.eval(), section.park)

    @torch.no_grad()
    def scores(self, prompt: Prompt, answers: Sequence[str]) -> list[float | str]:
        """Return S of each answer."""
        with self._model_on_demand.onload() as model, tempfile.TemporaryDirectory() as folder:
            files = []
            for number, image in enumerate(prompt.images, start=1):
                data = encoded(image)
                file = Path(folder) / f"{number}.{mime_type(data).removeprefix('image/')}"
                file.write_bytes(data)
                files.append(str(file))
            question = with_places(prompt) if len(files) > 1 else without_images(as_one_text(prompt))
            chats = [
                [{"role": "user", "content": question}, {"role": "assistant", "content": answer}] for answer in answers
            ]
            device = self._model_on_demand.device.type
            with torch.autocast(device, torch.float16, enabled=device == "cuda"):
                values = model.get_scores(chats, [files] * len(chats), hd_num=_HD_NUM)
        return [float(value) for value in values]

    def offload(self) -> None:
        """Move the weights to the CPU, if `rewards.open_ended.park` is set."""
        self._model_on_demand.offload()


def with_places(prompt: Prompt) -> str:
    """Return the question with the model's own mark in the place of each image. One image alone needs no mark.

    The model is asked one question: earlier turns and a system text are part of it.
    """
    numbers = itertools.count(1)
    parts = in_parts(as_one_text(prompt), len(prompt.images))
    in_front = list(itertools.takewhile(lambda part: part is None, parts))
    named = [f"Image{next(numbers)} <ImageHere>; " for _ in in_front]
    amid = [f"Image{next(numbers)} <ImageHere>" if part is None else part for part in parts[len(in_front) :]]
    return "".join((*named, *amid))
