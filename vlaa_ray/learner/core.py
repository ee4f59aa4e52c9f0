"""The common core of all kinds of training: add up gradients over rows, do an optimizer step, give out the weights.

GRPO (`learner.rl`), SFT (`learner.sft`) and reward models (`learner.reward_model`) differ only in their rows, in the
module around the model and in their loss.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError

from vlaa_ray.algorithms.schedule import learning_rate
from vlaa_ray.config import LearnerSection, ModelSection
from vlaa_ray.errors import CheckpointError
from vlaa_ray.learner.deepspeed import DeepSpeedEngine
from vlaa_ray.learner.feeding import Feed
from vlaa_ray.models.batch_tools import packing_tools
from vlaa_ray.models.batches import Batch, Row, micro_batches
from vlaa_ray.models.chat import ChatFormat, chat_format_of
from vlaa_ray.models.families import family_of
from vlaa_ray.models.loading import load_model
from vlaa_ray.weight_sync.manifest import Manifest

Loss = Callable[[Any, Batch], torch.Tensor]
"""A function from (the module's outputs, batch) to this micro-batch's share of the step's loss."""
MakeModule = Callable[[Any, ChatFormat], Any]
"""A function from (model, chat format) to the trained module: a `Policy` or a `RewardModel`; both take a Batch."""


class LearnerCore:
    """One rank of the model in training.

    Every method is a collective: all ranks must call it, in the same order.
    """

    def __init__(
        self, model: ModelSection, learner: LearnerSection, make_module: MakeModule, path: Path | None = None
    ) -> None:
        if learner.num_threads:
            torch.set_num_threads(learner.num_threads)
        self._learner = learner
        self.chat = chat_format_of(model, path)
        loaded = load_model(model, path)
        if learner.gradient_checkpointing:
            loaded.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
        family = family_of(loaded.config)
        self._embeddings, self._tied = family.embeddings, family.tied_names(loaded.config)
        self.tools = packing_tools(loaded, self.chat)
        self.module = make_module(loaded, self.chat)
        self.engine = DeepSpeedEngine(self.module, learner, model.dtype)
        self._collating = ThreadPoolExecutor(1, "collate")

    def feed(self, steps: Sequence[Sequence[Row]], passes: Sequence[int]) -> Feed:
        """Return the micro-batches of the rows of some optimizer steps: as many for a step on every rank.

        `passes` has the number of passes over each step. Backward passes, and under ZeRO-3 all calls of a module, are
        collectives. So a rank with fewer rows gets dummies.
        """
        parts = [list(micro_batches(rows, self._learner.micro_batch_tokens)) for rows in steps]
        # at least one: ZeRO can't step without a backward pass, even if there is nothing to train on
        counts = self.engine.reduce_max(torch.tensor([max(1, len(lists)) for lists in parts])).tolist()
        for lists, count in zip(parts, counts, strict=True):
            lists += [[self.tools.dummy]] * (count - len(lists))
        return Feed(parts, passes, self.tools, self.engine.device, self._collating)

    def batches(self, rows: Sequence[Row]) -> Iterator[Batch]:
        """Return the micro-batches of rows for a single pass; see `feed`."""
        return self.feed([rows], [1]).batches(0)

    def accumulate(self, batches: Iterable[Batch], loss: Loss) -> None:
        """Add the gradient of the batches' loss to the gradient that the next `step` applies."""
        self.engine.train(True)
        for batch in batches:
            self.engine.backward(loss(self.engine(batch), batch))

    @torch.no_grad()
    def evaluate(self, batches: Iterable[Batch], module: Any = None) -> Iterator[tuple[Any, Batch]]:
        """Yield (the module's outputs, batch) for all batches, without gradients.

        `module` is used in place of the trained module if it is given.
        """
        self.engine.train(False)
        for batch in batches:
            yield (module or self.engine)(batch), batch

    def logprobs(self, batches: Iterable[Batch], policy: Any = None) -> dict[int, np.ndarray]:
        """Return the logprobs [C] float32 of each sequence's tokens, by sequence id.

        They are those of the current weights, or of `policy` if it is given.
        """
        by_sequence: dict[int, np.ndarray] = {}
        for (logprobs, _), batch in self.evaluate(batches, policy):
            values = logprobs.float().cpu().numpy()
            ids = batch.sequence_ids.cpu().numpy()
            for sequence_id in np.unique(ids):
                by_sequence[int(sequence_id)] = values[ids == sequence_id]
        return by_sequence

    def step(self, number: int, total: int, divisor: float = 1.0) -> dict[str, float]:
        """Do the optimizer step `number` of `total`; return its learning rate and the gradient norm before clipping.

        The gradient is divided by `divisor`, such as a count that was not known while gradients were added up.
        """
        optim = self._learner.optim
        rate = learning_rate(number, total, optim.learning_rate, optim.min_learning_rate, optim.warmup_share)
        return {"policy/grad_norm": self.engine.step(rate, divisor), "learning_rate": rate}

    def weights(self) -> Iterator[tuple[str, torch.Tensor]]:
        """Yield (Hugging Face name, whole tensor) of the model, in the order of `manifest`.

        A tied tensor comes once under each of its names.
        """
        for name, tensor in self.engine.full_parameters():
            for hugging_face_name in self._names(name):
                yield hugging_face_name, tensor

    def manifest(self) -> Manifest:
        """Return the names, dtypes and shapes of `weights`, without gathering them."""
        named = self.engine.parameter_shapes()
        return Manifest.of((name, shape) for wrapped, shape in named for name in self._names(wrapped))

    def export(self, folder: Path) -> None:
        """Write, on rank 0, a checkpoint that transformers and vLLM load as it is."""
        writes = self.engine.rank == 0
        state = {name: tensor.cpu().clone() for name, tensor in self.weights() if writes and name not in self._tied}
        if writes:
            self.module.save(folder, state)
            self.chat.processor.save_pretrained(folder)

    def save(self, folder: Path, state: dict[str, Any]) -> None:
        """Write `hf/`, the optimizer's shards and `state` below `folder`.

        Raises:
            CheckpointError: a file can't be written; every rank raises it.

        """
        error: Exception | None = None
        try:
            self.export(folder / "hf")
            if self.engine.rank == 0:
                (folder / "learner.json").write_text(json.dumps(state))
        except (OSError, SafetensorError) as failure:
            error = failure
        failed = bool(self.engine.reduce_max(torch.tensor([float(error is not None)]))[0])  # all ranks do the same
        if not failed:
            try:
                self.engine.save(folder)
            except (OSError, RuntimeError) as failure:  # torch's writer turns an OSError into a RuntimeError
                if self.engine.num_ranks > 1:  # the other ranks are still waiting in the collective
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
        """Restore what `save` wrote, and return its `state`."""
        self.engine.load(folder)
        state: dict[str, Any] = json.loads((folder / "learner.json").read_text())
        return state

    def _names(self, wrapped: str) -> list[str]:
        name = wrapped.removeprefix("model.")  # the module holds the model under this name
        return [name, *self._tied] if name == self._embeddings else [name]
