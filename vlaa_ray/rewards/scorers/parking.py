"""A reward model that shares its GPU: there while it scores, on the CPU in between."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch


class Parking:
    """Holds a model for one caller at a time; where `parks` is set, on the GPU only from `awake` until `park`."""

    def __init__(self, model: Any, parks: bool) -> None:
        self.device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self._model = model if parks else model.to(self.device)
        self._parks = parks and self.device.type == "cuda"
        self._lock = threading.Lock()

    @contextmanager
    def awake(self) -> Iterator[Any]:
        """The model on its device, for this caller alone."""
        with self._lock:
            yield self._model.to(self.device)

    def park(self) -> None:
        """Move the weights to the CPU."""
        if self._parks:
            with self._lock:
                self._model.to("cpu")
                torch.cuda.empty_cache()
