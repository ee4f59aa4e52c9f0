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
from vlaa_ray.learner.file_writer import FileWriter, Job, copied
from vlaa_ray.models.batch_tools import packing_tools
from vlaa_ray.models.batches import Batch, Row, micro_batches
from vlaa_ray.models.chat import ChatFormat, chat_format_of
from vlaa_ray.models.families import family_of
from vlaa_ray.models.loading import load_model
from vlaa_ray.storage.atomic import write_whole
from vlaa_ray.weight_sync.manifest import Manifest

Loss = Callable[[Any, Batch], torch.Tensor]
"""A function from (the module's outputs, batch) to this micro-batch's share of the step's loss."""
_WRITE_ERRORS = (OSError, RuntimeError, SafetensorError)  # torch's writer turns an OSError into a RuntimeError
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
        self._files, self._folder = FileWriter(), Path()

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
        state = self._gathered()
        if self.engine.rank == 0:
            self._write_model(folder, state)

    def save(self, folder: Path, state: dict[str, Any]) -> None:
        """Write `hf/`, the optimizer's shards and `state` below `folder`.

        Raises:
            CheckpointError: a file can't be written; every rank raises it.

        """
        errors: list[Exception] = []

        def write(job: Job) -> None:
            try:
                job()
            except _WRITE_ERRORS as error:  # all ranks take part to the end, and then do the same
                errors.append(error)

        self._put(folder, state, write, lambda value: value)
        if self.engine.reduce_max(torch.tensor([float(bool(errors))]))[0]:
            cause = errors[0] if errors else None
            raise self._unwritten(folder, cause or "another rank has the cause") from cause

    def begin_save(self, folder: Path, state: dict[str, Any]) -> None:
        """Copy what `save` writes into RAM, and begin to write it in a thread; see `is_written`.

        Raises:
            CheckpointError: a folder can't be made.

        """
        self._files.begin()
        self._put(folder, state, self._files.add, copied)
        self._files.start()
        self._folder = folder

    def is_written(self) -> bool:
        """Return True when all files of this rank are written; no collective.

        Raises:
            CheckpointError: a file can't be written.

        """
        try:
            return self._files.is_done()
        except Exception as error:
            raise self._unwritten(self._folder, error) from error

    def _put(self, folder: Path, state: dict[str, Any], put: Callable[[Job], None], kept: Callable[[Any], Any]) -> None:
        """Call `put` with a function for each file of a checkpoint that writes it; `kept` makes copies if need be."""

        def write(shard: Any, path: str) -> None:
            shard = kept(shard)
            put(lambda: torch.save(shard, path, _use_new_zipfile_serialization=False))

        weights = self._gathered()
        if self.engine.rank == 0:
            put(lambda: self._write_model(folder / "hf", weights))
            put(lambda: write_whole(folder / "learner.json", json.dumps(state)))
        try:
            self.engine.save(folder, write)
        except OSError as error:
            raise self._unwritten(folder, error) from error

    def _unwritten(self, folder: Path, cause: object) -> CheckpointError:
        return CheckpointError(
            f"the checkpoint can't be written: {cause}",
            folder=str(folder),
            rank=self.engine.rank,
            free_bytes=shutil.disk_usage(folder).free,
            fix="free space below run.dir",
        )

    def _gathered(self) -> dict[str, torch.Tensor]:
        """Return copies of all tensors in RAM by their names, on rank 0; the other ranks take part and get none."""
        keeps = self.engine.rank == 0
        return {name: tensor.cpu().clone() for name, tensor in self.weights() if keeps and name not in self._tied}

    def _write_model(self, folder: Path, weights: dict[str, torch.Tensor]) -> None:
        self.module.save(folder, weights)
        self.chat.processor.save_pretrained(folder)

    def load(self, folder: Path) -> dict[str, Any]:
        """Restore what `save` wrote, and return its `state`."""
        self.engine.load(folder)
        state: dict[str, Any] = json.loads((folder / "learner.json").read_text())
        return state

    def _names(self, wrapped: str) -> list[str]:
        name = wrapped.removeprefix("model.")  # the module holds the model under this name
        return [name, *self._tied] if name == self._embeddings else [name]
