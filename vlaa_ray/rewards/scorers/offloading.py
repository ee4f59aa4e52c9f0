"""A reward model that shares its GPU: it is there while it scores, and on the CPU in between."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch


class Offloading:
    """A model for one caller at a time; with `offloads` it is on the GPU only between `onload` and `offload`."""

    def __init__(self, model: Any, offloads: bool) -> None:
        self.device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self._model = model if offloads else model.to(self.device)
        self._offloads = offloads and self.device.type == "cuda"
        self._lock = threading.Lock()

    @contextmanager
    def onload(self) -> Iterator[Any]:
        """The model on its device, for this caller alone."""
        with self._lock:
            yield self._model.to(self.device)

    def offload(self) -> None:
        """Move the weights to the CPU."""
        if self._offloads:
            with self._lock:
                self._model.to("cpu")
                torch.cuda.empty_cache()
