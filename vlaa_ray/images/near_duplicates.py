"""Pictures that are the same, or look it, in different places of the data: what leaks from training to held-out data.

    found = LookAlikes()
    found.add(image, load(image, NEAR_PX), Place("train", "train/1.jsonl", 7))
    found.add(other, load(other, NEAR_PX), Place("heldout", "heldout/1.jsonl", 3))
    found.pairs  -> [Pair("look alike", Place("train", "train/1.jsonl", 7), Place("heldout", "heldout/1.jsonl", 3))]

Two pictures are compared if a quarter of their perceptual hashes is equal (pHash: which of the 64 lowest frequencies of
the grey picture are above their median). They look alike if no patch of a 16 x 16 grid differs by more than a seventh
of the picture's contrast in any colour. Copies that were scaled down or saved with less quality are found, turned or
cropped ones aren't. One moved shape, or another page of text, makes a different picture; another word in the same form
need not. Plain pictures and near-blank pages are never said to look alike: there's too little to tell them apart by.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from vlaa_ray.records import ImageRef

if TYPE_CHECKING:
    from PIL.Image import Image

NEAR_PX = 64
"""Pictures may come scaled down to so many pixels a side."""
_SIDE, _PATCHES, _FREQUENCIES = 32, 16, 8
_GREY = np.array([0.299, 0.587, 0.114])
_COSINES = np.cos(np.pi * np.outer(np.arange(_FREQUENCIES), 2 * np.arange(_SIDE) + 1) / (2 * _SIDE))
_LEAST_CONTRAST = 24.0  # of 255
_TOLERANCE = 0.15
_MOST_COMPARED = 256


class Place(NamedTuple):
    """Where a record is; a source is a file, or a folder of them."""

    source: str
    file: str
    row: int

    def __str__(self) -> str:
        return f"row {self.row} of {self.file}"


class Pair(NamedTuple):
    """Two records of different sources whose pictures are `the same` or `look alike`."""

    how: str
    first: Place
    second: Place


class LookAlikes:
    """Takes in pictures one by one; `pairs` has those of different sources, `num_alike` counts those within one."""

    def __init__(self) -> None:
        self.pairs: list[Pair] = []
        self.num_alike = 0
        self._places: dict[str, dict[str, Place]] = {}  # by sha256 and source, the first of each
        self._firsts: list[Place] = []
        self._patches: list[np.ndarray] = []
        self._by_quarter: dict[tuple[int, int], list[int]] = {}

    def knows(self, image: ImageRef, place: Place) -> bool:
        """Whether the image was added before; a source that it's new to makes a pair."""
        places = self._places.get(image.sha256)
        if places is None:
            return False
        if place.source not in places:
            self.pairs.append(Pair("the same", next(iter(places.values())), place))
            places[place.source] = place
        return True

    def add(self, image: ImageRef, picture: Image, place: Place) -> None:
        """Hold a new image against all before it."""
        self._places[image.sha256] = {place.source: place}
        small = _shrunk(picture)
        patches = small.reshape(_PATCHES, 2, _PATCHES, 2, 3).mean(axis=(1, 3))
        if _contrast(patches) < _LEAST_CONTRAST:
            return
        quarters = list(enumerate(perceptual_hash(small).tolist()))
        other = self._most_alike({at for key in quarters for at in self._by_quarter.get(key, ())}, patches)
        if other is not None and self._firsts[other].source == place.source:
            self.num_alike += 1
        elif other is not None:
            self.pairs.append(Pair("look alike", self._firsts[other], place))
        for key in quarters:
            self._by_quarter.setdefault(key, []).append(len(self._firsts))
        self._firsts.append(place)
        self._patches.append(patches.astype(np.uint8))

    def _most_alike(self, candidates: set[int], patches: np.ndarray) -> int | None:
        """The nearest of the candidates, of which the first ones are looked at; None if none looks alike."""
        if not candidates:
            return None
        compared = sorted(candidates)[:_MOST_COMPARED]
        apart = np.abs(np.stack([self._patches[at] for at in compared]) - patches).max(axis=(1, 2, 3))
        nearest = int(apart.argmin())
        return compared[nearest] if apart[nearest] <= _TOLERANCE * _contrast(patches) else None


def _contrast(patches: np.ndarray) -> float:
    """From the darkest to the brightest patch, in the colour where that is most."""
    return float(np.ptp(patches, axis=(0, 1)).max())


def _shrunk(picture: Image) -> np.ndarray:
    """[32, 32, 3] float, the picture scaled down, whatever its shape."""
    from PIL.Image import Resampling

    return np.asarray(picture.resize((_SIDE, _SIDE), Resampling.BILINEAR, reducing_gap=3.0), dtype=np.float64)


def perceptual_hash(small: np.ndarray) -> np.ndarray:
    """[4] uint16, the pHash of a picture [32, 32, 3]: the signs of its low frequencies against their median."""
    frequencies = _COSINES @ (small @ _GREY) @ _COSINES.T
    return np.packbits(frequencies > np.median(frequencies)).view(">u2")
