"""The wrapper of DeepSpeed: gradients, optimizer steps, shards and checkpoints. No other file imports DeepSpeed.

This file counts the micro-batches (`managed_gradient_accumulation: false`): `backward` adds gradients up, and `step`
applies them. DeepSpeed averages gradients over ranks. `backward` therefore multiplies by the number of ranks, so that a
loss that is a sum over the step's tokens gives the same gradient on any number of ranks.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.distributed import TCPStore  # type: ignore[attr-defined]  # exported without saying so

from vlaa_ray.config import LearnerSection
from vlaa_ray.errors import CheckpointError, LearnerError
from vlaa_ray.learner.extensions import FOLDER_KEY, baton_removed, extension_folder, load_built, note_built
from vlaa_ray.learner.offloading import Offloaded

_TAG = "optimizer"
_GATHERED_BYTES = 256 << 20  # of whole tensors at once, under ZeRO-3


class DeepSpeedEngine:
    """One rank's share of a model under ZeRO 0 to 3.

    The environment variables RANK, WORLD_SIZE, LOCAL_RANK and MASTER_* must be set. The constructor and all methods are
    collectives, except `parameter_shapes`.
    """

    def __init__(self, module: nn.Module, learner: LearnerSection, dtype: str) -> None:
        import deepspeed

        self._stage = learner.zero_stage
        self._max_grad_norm = learner.optim.max_grad_norm
        self._clips_itself = _clips_itself(learner, dtype)
        self._grad_norm = 0.0
        trained = [parameter for parameter in module.parameters() if parameter.requires_grad]
        optim = learner.optim
        optimizer = torch.optim.AdamW(
            trained,
            lr=optim.learning_rate,
            betas=optim.betas,
            weight_decay=optim.weight_decay,
            # on a GPU one kernel instead of temporaries as large as the whole gradient
            fused=bool(learner.gpus_per_rank) and not learner.optimizer_in_ram,
        )
        if self._clips_itself:  # DeepSpeed keeps no gradient norm in this mode
            optimizer.register_step_pre_hook(lambda *_: self._clip(trained))
        join_ranks(learner)
        self._engine, self._optimizer, _, _ = deepspeed.initialize(
            model=module, optimizer=optimizer, config=engine_config(learner, dtype)
        )
        self.rank: int = torch.distributed.get_rank()
        self.num_ranks: int = torch.distributed.get_world_size()
        self.device: torch.device = self._engine.device
        self._offloaded = Offloaded(self.device)

    def __call__(self, *args: Any) -> Any:
        return self._engine(*args)

    def train(self, mode: bool) -> None:
        """Set the module to training (True) or evaluation (False)."""
        self._engine.train(mode)

    def backward(self, loss: torch.Tensor) -> None:
        """Add the gradient of the loss, which is summed over ranks, to those since the last step."""
        self._engine.backward(loss * self.num_ranks)

    def step(self, learning_rate: float, divisor: float = 1.0) -> float:
        """Apply the gradients added up since the last step, divided by `divisor`; return their norm before clipping.

        Raises:
            LearnerError: the norm is not a finite number.

        """
        for group in self._optimizer.param_groups:
            group["lr"] = learning_rate
        with self._divided(divisor):
            self._engine.step()
        self._engine.zero_grad()
        norm = self._grad_norm if self._clips_itself else float(self._engine.get_global_grad_norm() or 0.0)
        if not norm < float("inf"):
            raise LearnerError(
                "the gradient is not finite",
                got=norm,
                rank=self.rank,
                fix="resume from the last checkpoint; lower the learning rate",
            )
        return norm

    @contextmanager
    def _divided(self, divisor: float) -> Iterator[None]:
        """Divide the gradients: under ZeRO 1 to 3, which hold them in parts, by the optimizer's own loss scale."""
        if self._stage > 0:
            self._optimizer.loss_scale = divisor
            try:
                yield
            finally:
                self._optimizer.loss_scale = 1.0  # the next backward pass would multiply by it
            return
        for gradient in self._whole_gradients():
            gradient.div_(divisor)
        yield

    def _whole_gradients(self) -> Iterator[torch.Tensor]:
        """Yield the gradients of stage 0, whole in every rank; under bf16 the optimizer keeps them in fp32."""
        if hasattr(self._optimizer, "fp32_groups_gradients_flat"):
            yield from self._optimizer.fp32_groups_gradients_flat
            return
        for parameter in self._engine.module.parameters():
            if parameter.grad is not None:
                yield parameter.grad

    def _clip(self, parameters: list[nn.Parameter]) -> None:
        self._grad_norm = float(torch.nn.utils.clip_grad_norm_(parameters, self._max_grad_norm))

    def reduce_sum(self, values: torch.Tensor) -> torch.Tensor:
        """Return the sum of the values over all ranks, element by element."""
        return self._reduce(values, torch.distributed.ReduceOp.SUM)

    def reduce_max(self, values: torch.Tensor) -> torch.Tensor:
        """Return the maximum of the values over all ranks, element by element."""
        return self._reduce(values, torch.distributed.ReduceOp.MAX)

    def barrier(self) -> None:
        """Wait until all ranks have come this far."""
        if self.num_ranks > 1:
            torch.distributed.barrier()

    def _reduce(self, values: torch.Tensor, operation: Any) -> torch.Tensor:
        if self.num_ranks > 1:
            values = values.to(self.device)
            torch.distributed.all_reduce(values, operation)
        return values

    def full_parameters(self) -> Iterator[tuple[str, torch.Tensor]]:
        """Yield (name, whole tensor) of every parameter in the module's order; all ranks must iterate to the end.

        Under ZeRO-3 about 256 MiB are gathered at once, and a tensor is valid only until the next one.
        """
        import deepspeed

        bucket: list[tuple[str, nn.Parameter]] = []
        for name, parameter in self._engine.module.named_parameters():
            bucket.append((name, parameter))
            if sum(_full_bytes(one) for _, one in bucket) >= _GATHERED_BYTES:
                yield from _gathered(deepspeed, bucket, self._stage)
                bucket = []
        yield from _gathered(deepspeed, bucket, self._stage)

    def parameter_shapes(self) -> Iterator[tuple[str, torch.Tensor]]:
        """Yield (name, whole tensor without storage) of every parameter, in the order of `full_parameters`."""
        for name, parameter in self._engine.module.named_parameters():
            yield (
                name,
                torch.empty(getattr(parameter, "ds_shape", parameter.shape), dtype=parameter.dtype, device="meta"),
            )

    def offload(self, *others: nn.Module) -> None:
        """Move what this rank holds on its device into RAM, with the modules `others`; call it between two steps."""
        self._offloaded.move_out(self._engine.module, self._engine.optimizer, self._optimizer, *others)

    def reload(self) -> None:
        """Bring back what `offload` moved."""
        self._offloaded.move_back()

    def save(self, folder: Path, write: Callable[[Any, str], None]) -> None:
        """Call `write(state, path)` for each file of this rank's optimizer state and weights below `folder`."""
        files = self._engine.checkpoint_engine  # DeepSpeed's own place for another way to write files
        files.save = lambda state_dict, path: write(state_dict, path)
        files.preserves_storage_sharing = lambda: False
        self._engine.save_checkpoint(str(folder), tag=_TAG, save_latest=False)

    def load(self, folder: Path) -> None:
        """Restore what `save` wrote.

        Raises:
            CheckpointError: the optimizer state is missing, or it was saved with other ranks or another ZeRO stage.

        """
        if not (folder / _TAG).is_dir():
            raise CheckpointError("the checkpoint has no optimizer state", file=str(folder / _TAG))
        path, _ = self._engine.load_checkpoint(str(folder), tag=_TAG)
        if path is None:
            raise CheckpointError(
                "DeepSpeed can't load this checkpoint",
                file=str(folder),
                fix="resume with the number of ranks and the ZeRO stage with which it was saved",
            )


def engine_config(learner: LearnerSection, dtype: str) -> dict[str, Any]:
    """Return DeepSpeed's config.

    Gradients of bf16 weights are added up in fp32, or a long accumulation would lose the small ones. Stage 0 can't:
    DeepSpeed refuses the mix there.
    """
    config: dict[str, Any] = {
        "train_micro_batch_size_per_gpu": 1,  # nominal: this project normalises the loss itself
        "gradient_accumulation_steps": 1,
        "managed_gradient_accumulation": False,
        "zero_optimization": {
            "stage": learner.zero_stage,
            "overlap_comm": learner.zero_stage == 3,  # the next layer's weights are gathered while one computes
            "stage3_gather_16bit_weights_on_model_save": True,
        },
        "bf16": {"enabled": dtype == "bf16"},
        "gradient_clipping": 0.0 if _clips_itself(learner, dtype) else learner.optim.max_grad_norm,
        "zero_allow_untested_optimizer": True,
        "steps_per_print": 1 << 60,
    }
    if learner.optimizer_in_ram:
        offload = {"device": "cpu", "pin_memory": bool(learner.gpus_per_rank)}
        config["zero_optimization"]["offload_optimizer"] = offload
        config["zero_force_ds_cpu_optimizer"] = False  # torch's AdamW steps there too, and needs no extension
    if dtype == "bf16" and learner.zero_stage:
        config["data_types"] = {"grad_accum_dtype": "fp32"}
    return config


def _clips_itself(learner: LearnerSection, dtype: str) -> bool:
    """Return True in the mode in which DeepSpeed keeps no gradient norm and clips nothing."""
    return learner.zero_stage == 0 and dtype == "fp32"


def set_rank_environment(
    rank: int,
    num_ranks: int,
    master_address: str,
    master_port: int,
    *,
    cpu: bool,
    local_rank: int = 0,
    local_size: int | None = None,
) -> None:
    """Set what DeepSpeed reads from the environment; call it before DeepSpeed is first imported in this process.

    master_address, master_port: where rank 0 will listen. local_rank: the rank among those of its node, which
    chooses the GPU. local_size: the number of ranks on its node, all of them by default.
    """
    values = {
        "RANK": rank,
        "WORLD_SIZE": num_ranks,
        "LOCAL_RANK": local_rank,
        "LOCAL_SIZE": local_size or num_ranks,
        "MASTER_ADDR": master_address,
        "MASTER_PORT": master_port,
    }
    os.environ.update({key: str(value) for key, value in values.items()})
    if cpu:
        os.environ["DS_ACCELERATOR"] = "cpu"


def join_ranks(learner: LearnerSection) -> None:
    """Open the process group of all ranks; returns when they have met, and at once if they have met before.

    The environment must name the rank (`set_rank_environment`).
    """
    import deepspeed

    if torch.distributed.is_initialized():
        return
    load_reduction_extension()  # first: ranks wait for each other in the next calls, so no lock may be held there
    if os.environ["RANK"] == "0":
        _stores.append(_open_store(os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"])))
    os.environ["TORCHELASTIC_USE_AGENT_STORE"] = "True"  # torch joins a store instead of opening its own
    deepspeed.init_distributed(dist_backend="nccl" if learner.gpus_per_rank else "gloo", verbose=False)
    _unname_shared_buffer()


_stores: list[TCPStore] = []
"""Where the ranks meet, on rank 0: open until the process ends, since a process group asks its store at any time."""


def _open_store(address: str, port: int) -> TCPStore:
    """A store that listens on `address` alone; the one that torch opens listens on every interface of the machine."""
    listener = socket.create_server((address, port))
    return TCPStore(address, port, is_master=True, wait_for_workers=False, master_listen_fd=listener.detach())


def load_reduction_extension() -> None:
    """Build or load DeepSpeed's extension for reductions on one node; `init_distributed` then finds it loaded.

    Raises:
        DeadlineExceeded: another process has been building it for too long.

    """
    import deepspeed
    from deepspeed.accelerator import get_accelerator

    builder = get_accelerator().create_op_builder("ShareMemCommBuilder")
    if builder is None or not deepspeed.ops.__compatible_ops__.get(builder.NAME, False):
        return
    folder = extension_folder(torch.__version__)
    os.environ[FOLDER_KEY] = str(folder)
    versions = f"torch {torch.__version__}, DeepSpeed {deepspeed.__version__}"
    with baton_removed(folder, builder.name):
        if built := load_built(folder, builder.name, versions):
            builder._loaded_ops[builder.name] = built
        else:
            builder.load(verbose=False)
            note_built(folder, builder.name, versions)


def _unname_shared_buffer() -> None:
    """Remove the name of this rank's buffer for reductions on one node (69 MB), which DeepSpeed would leave behind.

    Every rank has mapped the buffer by now. Without a name it is freed with the last rank, even if they are killed.
    """
    torch.distributed.barrier()
    meeting = "_".join(os.environ[name] for name in ("MASTER_ADDR", "MASTER_PORT", "RANK"))
    for path in Path("/dev/shm").glob(f"deepspeed_allreduce_buffer_{os.getuid()}_{meeting}"):
        path.unlink(missing_ok=True)


def _full_bytes(parameter: nn.Parameter) -> int:
    return int(getattr(parameter, "ds_numel", parameter.numel())) * parameter.element_size()


def _gathered(deepspeed: Any, bucket: list[tuple[str, nn.Parameter]], stage: int) -> Iterator[tuple[str, torch.Tensor]]:
    if stage < 3:
        for name, parameter in bucket:
            yield name, parameter.detach()
        return
    with deepspeed.zero.GatheredParameters([parameter for _, parameter in bucket], modifier_rank=None):
        for name, parameter in bucket:
            yield name, parameter.detach()
