"""A reward model that shares a GPU: its weights are on the GPU while it scores, and otherwise on the CPU."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch


class Offloading:
    """A model for one caller at a time. If `offloads`, its weights are on the GPU only from `onload` to `offload`."""

    def __init__(self, model: Any, offloads: bool) -> None:
        self.device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self._model = model if offloads else model.to(self.device)
        self._offloads = offloads and self.device.type == "cuda"
        self._lock = threading.Lock()

    @contextmanager
    def onload(self) -> Iterator[Any]:
        """Move the model to its device, and hold it there for the `with` block and its caller alone."""
        with self._lock:
            yield self._model.to(self.device)

    def offload(self) -> None:
        """Move the weights to the CPU, if the model was made with `offloads`."""
        if self._offloads:
            with self._lock:
                self._model.to("cpu")
                torch.cuda.empty_cache()
