"""The memory of a learner that shares its GPU: moved into RAM and back, under tensors that stay the same objects.

    offloaded = Offloaded(device)
    offloaded.move_out(module, optimizer)     # every tensor that they hold has no memory now
    offloaded.move_back()                     # every tensor has its old values

What moves is the storage below the tensors. So DeepSpeed's flat buffers, their many views and the optimizer's states
stay linked as they were, under every ZeRO stage and for every optimizer. (DeepSpeed's own `offload_states` takes the
stages apart, and under ZeRO-3 it takes its own Adam only.)
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import nn

_OWNERS = ("deepspeed.", "torch.optim.", "torch.nn.")
"""The modules whose objects are searched for tensors."""


_PIECE_BYTES = 256 << 20  # of RAM; torch rounds pinned memory up to a power of two


class Offloaded:
    """The storages of one device that are in RAM."""

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._moved: list[tuple[torch.UntypedStorage, list[torch.Tensor]]] = []  # (without memory, its content)

    def move_out(self, *holders: Any) -> None:
        """Move the storages of all tensors on the device that the holders reach; at a second call, those that are new.

        The holders are modules and optimizers, of torch or DeepSpeed.
        """
        on_gpu = self._device.type == "cuda"
        if on_gpu:
            torch.cuda.synchronize(self._device)  # DeepSpeed works on streams of its own
        storages = {storage._cdata: storage for storage in self._storages(holders)}
        for storage in storages.values():
            pieces = self._pieces(storage)
            content = [torch.empty(len(piece), dtype=torch.uint8, pin_memory=on_gpu).copy_(piece) for piece in pieces]
            storage.resize_(0)
            self._moved.append((storage, content))
        if on_gpu:
            torch.cuda.empty_cache()  # the memory goes to the other process, not to this one's next tensor

    def move_back(self) -> None:
        """Give every storage its memory and its content again."""
        for storage, content in self._moved:
            storage.resize_(sum(len(piece) for piece in content))
            for target, piece in zip(self._pieces(storage), content, strict=True):
                target.copy_(piece, non_blocking=True)
        if self._moved and self._device.type == "cuda":
            torch.cuda.synchronize(self._device)
        self._moved.clear()

    def _pieces(self, storage: torch.UntypedStorage) -> tuple[torch.Tensor, ...]:
        """Return all bytes of a storage as views [up to _PIECE_BYTES] uint8."""
        return torch.empty(0, dtype=torch.uint8, device=self._device).set_(storage).split(_PIECE_BYTES)

    def _storages(self, holders: tuple[Any, ...]) -> Iterator[torch.UntypedStorage]:
        for tensor in tensors_of(*holders):
            if tensor.device == self._device and tensor.layout is torch.strided:
                storage = tensor.untyped_storage()
                if storage.nbytes() and storage.resizable():
                    yield storage


def tensors_of(*holders: Any) -> Iterator[torch.Tensor]:
    """Yield every tensor that the holders reach through containers, modules and objects of torch and DeepSpeed.

    A tensor's gradient and its attributes, where DeepSpeed keeps its shards, are searched too.
    """
    seen: dict[int, Any] = {}  # the objects too: the id of one that is gone may be given to another
    left: list[Any] = list(holders)
    while left:
        item = left.pop()
        if id(item) in seen:
            continue
        seen[id(item)] = item
        if isinstance(item, torch.Tensor):
            yield item
            left.append(item.grad if item.is_leaf else None)
        if isinstance(item, dict):
            left += [*item.keys(), *item.values()]
        elif isinstance(item, list | tuple | set | frozenset):
            left += item
        elif isinstance(item, torch.Tensor | nn.Module) or type(item).__module__.startswith(_OWNERS):
            left += getattr(item, "__dict__", {}).values()
