"""What every kind of training shares: rows in, gradients added up, one optimizer step, weights out.

GRPO (`learner.learner`) and SFT (`learner.supervised`) differ only in their rows and their loss.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError

from vlaa_ray.config import LearnerSection, ModelSection
from vlaa_ray.data.chat import ChatFormat
from vlaa_ray.data.images import load
from vlaa_ray.data.packing import Batch, PackingTools, Row, collate, micro_batches, num_score_chunks, split_rows
from vlaa_ray.errors import CheckpointError
from vlaa_ray.learner.deepspeed import DeepSpeedEngine
from vlaa_ray.models.loading import banned_token_ids, load_model, load_processor
from vlaa_ray.models.logprobs import Policy
from vlaa_ray.records import ImageRef
from vlaa_ray.weight_sync.manifest import Manifest

Loss = Callable[[torch.Tensor, torch.Tensor, Batch], torch.Tensor]
"""(logprobs [N], entropy [N], batch) to this micro-batch's share of the step's loss."""


class LearnerCore:
    """One rank of the model in training. Every method but `chat` is a collective: all ranks call it alike."""

    def __init__(
        self, model: ModelSection, learner: LearnerSection, *, temperature: float, path: Path | None = None
    ) -> None:
        if learner.num_threads:
            torch.set_num_threads(learner.num_threads)
        self._learner = learner
        self.processor = load_processor(model, path)
        loaded = load_model(model, path)
        if learner.gradient_checkpointing:
            loaded.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
        self.model_config = loaded.config
        self._tied = ["lm_head.weight"] if loaded.config.tie_word_embeddings else []
        self.chat = ChatFormat(self.processor, loaded.config, model.system_prompt)
        self.banned = banned_token_ids(self.processor.tokenizer, loaded.config)
        self.tools = packing_tools(loaded, self.processor, self.chat)
        self._hf_model = loaded
        policy = Policy(loaded, temperature=temperature, banned_token_ids=self.banned)
        self.engine = DeepSpeedEngine(policy, learner, model.dtype)

    def accumulate(self, rows: Sequence[Row], loss: Loss) -> None:
        """Add the gradient of the rows' loss to what the next `step` applies."""
        self.engine.train(True)
        for batch in self._batches(rows):
            logprobs, entropy = self.engine(batch)
            self.engine.backward(loss(logprobs, entropy, batch))

    @torch.no_grad()
    def logprobs(self, rows: Sequence[Row], policy: Any = None) -> dict[int, np.ndarray]:
        """Sequence id to [C] float32 logprobs of its tokens, under the current weights or another policy's."""
        self.engine.train(False)
        found: dict[int, np.ndarray] = {}
        for batch in self._batches(rows):
            values = (policy or self.engine)(batch)[0].float().cpu().numpy()
            ids = batch.sequence_ids.cpu().numpy()
            for sequence_id in np.unique(ids):
                found[int(sequence_id)] = values[ids == sequence_id]
        return found

    def step(self, learning_rate: float) -> float:
        """One optimizer step; the gradient's norm before clipping."""
        return self.engine.step(learning_rate)

    def weights(self) -> Iterator[tuple[str, torch.Tensor]]:
        """(name, tensor) of the whole model by its Hugging Face names, tied ones under both, as in `manifest`."""
        for name, tensor in self.engine.full_parameters():
            for hugging_face_name in self._names(name):
                yield hugging_face_name, tensor

    def manifest(self) -> Manifest:
        """Names, dtypes and shapes of `weights`, without gathering them."""
        named = self.engine.parameter_shapes()
        return Manifest.of((name, shape) for wrapped, shape in named for name in self._names(wrapped))

    def export(self, folder: Path) -> None:
        """Rank 0 writes a checkpoint that transformers and vLLM load as it is."""
        writes = self.engine.rank == 0
        state = {name: tensor.cpu().clone() for name, tensor in self.weights() if writes and name not in self._tied}
        if writes:
            self._hf_model.save_pretrained(folder, state_dict=state)
            self.processor.save_pretrained(folder)

    def save(self, folder: Path, state: dict[str, Any]) -> None:
        """Write `hf/`, the optimizer's shards and `state` below `folder`; CheckpointError if the disk refuses."""
        error: Exception | None = None
        try:
            self.export(folder / "hf")
            if self.engine.rank == 0:
                (folder / "learner.json").write_text(json.dumps(state))
        except (OSError, SafetensorError) as failure:
            error = failure
        failed = bool(self.engine.reduce_max(torch.tensor([float(error is not None)]))[0])  # all ranks go on alike
        if not failed:
            try:
                self.engine.save(folder)
            except (OSError, RuntimeError) as failure:  # torch's writer knows RuntimeError only
                if self.engine.num_ranks > 1:  # the others are waiting inside
                    raise
                error = failure
        if failed or error:
            raise CheckpointError(
                f"the checkpoint can't be written: {error or 'rank 0 has the cause'}",
                folder=str(folder),
                rank=self.engine.rank,
                free_bytes=shutil.disk_usage(folder).free,
                fix="free space below run.dir",
            ) from error

    def load(self, folder: Path) -> dict[str, Any]:
        """Restore what `save` wrote; its `state`."""
        self.engine.load(folder)
        state: dict[str, Any] = json.loads((folder / "learner.json").read_text())
        return state

    def close(self) -> None:
        self.engine.close()

    def _names(self, wrapped: str) -> list[str]:
        name = wrapped.removeprefix("model.")  # the policy holds the model under this name
        return [name, *self._tied] if name == _EMBEDDINGS else [name]

    def _batches(self, rows: Sequence[Row]) -> Iterator[Batch]:
        """The rows in micro-batches: on every rank as many, scored in as many chunks, some without content.

        Under ZeRO-3 each call of a module is a collective.
        """
        limit = self._learner.micro_batch_tokens
        lists = list(micro_batches(split_rows(rows, limit), limit))
        # at least one: ZeRO can't step without a backward pass, be it of nothing
        count = max(1, int(self.engine.reduce_max(torch.tensor([len(lists)]))[0]))
        lists += [[self.tools.dummy]] * (count - len(lists))
        chunks = self.engine.reduce_max(torch.tensor([num_score_chunks(part) for part in lists], dtype=torch.long))
        for part, num_chunks in zip(lists, chunks.tolist(), strict=True):
            yield collate(part, self.tools, num_chunks).to(self.engine.device)


def packing_tools(model: Any, processor: Any, chat: ChatFormat) -> PackingTools:
    """What packing needs to know of a model: pixels, positions and a dummy row."""
    vision = model.config.vision_config
    image_token_id, merge = chat.image_token_id, vision.spatial_merge_size
    patch_values = 3 * vision.temporal_patch_size * vision.patch_size**2

    def pixels(images: Sequence[ImageRef]) -> tuple[torch.Tensor, torch.Tensor]:
        values, grids = [], []
        for image in images:
            if image is _DUMMY_IMAGE:
                values.append(torch.zeros(merge**2, patch_values))
                grids.append(torch.tensor([[1, merge, merge]]))
                continue
            features = processor.image_processor([load(image)], return_tensors="pt")
            values.append(features["pixel_values"])
            grids.append(features["image_grid_thw"])
        return torch.cat(values), torch.cat(grids)

    def positions(prompt_ids: torch.Tensor, grid: torch.Tensor) -> torch.Tensor:
        kinds = (prompt_ids == image_token_id).int()[None]
        result: torch.Tensor = model.model.get_rope_index(prompt_ids[None], kinds, grid if len(grid) else None)[0][:, 0]
        return result

    dummy_ids = np.asarray(
        [model.config.vision_start_token_id, image_token_id, model.config.vision_end_token_id], dtype=np.int32
    )
    return PackingTools(
        image_token_id=image_token_id,
        pixels=pixels,
        positions=positions,
        merge_size=merge,
        dummy=Row(prompt_token_ids=dummy_ids, images=(_DUMMY_IMAGE,), completions=(), sequence_ids=()),
    )


_EMBEDDINGS = "model.language_model.embed_tokens.weight"  # what a tied lm_head shares
_DUMMY_IMAGE = ImageRef(sha256="", width_px=0, height_px=0)
