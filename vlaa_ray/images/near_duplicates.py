"""Near-duplicates: pictures that are equal or look alike. Between training and held-out data they are leaks.

    pictures = LookAlikes()
    pictures.add(image, load(image, NEAR_PX), Place("train", "train/1.jsonl", 7))
    pictures.add(other, load(other, NEAR_PX), Place("heldout", "heldout/1.jsonl", 3))
    pictures.pairs  -> [Pair("look alike", Place("train", "train/1.jsonl", 7), Place("heldout", "heldout/1.jsonl", 3))]

The method has two steps:

1. Two pictures are compared if at least one of the four 16-bit quarters of their perceptual hashes is equal. The hash
   (pHash) says which of the 64 lowest frequencies of the grey picture are above their median.
2. They look alike if no patch of a 16 × 16 grid differs, in any colour, by more than 15% of the picture's contrast.

It finds copies that were scaled down or saved with less quality. It does not find turned or cropped copies. One moved
shape or another page of text makes a different picture. Another word in the same form may not. Plain pictures and
nearly blank pages are left out, because they hold too little to tell them apart.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from vlaa_ray.records import ImageRef

if TYPE_CHECKING:
    from PIL.Image import Image

NEAR_PX = 64
"""The least length in pixels of a picture's shorter side. Larger pictures may be scaled down to it."""
_SIDE, _PATCHES, _FREQUENCIES = 32, 16, 8
_GREY = np.array([0.299, 0.587, 0.114])
_COSINES = np.cos(np.pi * np.outer(np.arange(_FREQUENCIES), 2 * np.arange(_SIDE) + 1) / (2 * _SIDE))
_LEAST_CONTRAST = 24.0  # of 255
_TOLERANCE = 0.15
_MOST_COMPARED = 256


class Place(NamedTuple):
    """The place of a record. `source` is the file or the folder that it was read from; rows count from 1."""

    source: str
    file: str
    row: int

    def __str__(self) -> str:
        return f"row {self.row} of {self.file}"


class Pair(NamedTuple):
    """Two records of different sources. `how` says that their pictures are `the same` or `look alike`."""

    how: str
    first: Place
    second: Place


class LookAlikes:
    """All pictures so far, to compare each new one with.

    `pairs` lists similar pictures in different sources. `num_alike` counts those in the same source.
    """

    def __init__(self) -> None:
        self.pairs: list[Pair] = []
        self.num_alike = 0
        self._places: dict[str, dict[str, Place]] = {}  # sha256 -> source -> its first place in that source
        self._firsts: list[Place] = []
        self._patches: list[np.ndarray] = []
        self._by_quarter: dict[tuple[int, int], list[int]] = {}

    def knows(self, image: ImageRef, place: Place) -> bool:
        """Return whether the same image was added before. If it is new to this source, a pair is recorded."""
        places = self._places.get(image.sha256)
        if places is None:
            return False
        if place.source not in places:
            self.pairs.append(Pair("the same", next(iter(places.values())), place))
            places[place.source] = place
        return True

    def add(self, image: ImageRef, picture: Image, place: Place) -> None:
        """Compare a new image with all before it, and keep it. `picture` is in RGB; see NEAR_PX for its size."""
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
        """Return the candidate nearest to these patches, or None if none looks alike. At most 256 are compared."""
        if not candidates:
            return None
        compared = sorted(candidates)[:_MOST_COMPARED]
        apart = np.abs(np.stack([self._patches[at] for at in compared]) - patches).max(axis=(1, 2, 3))
        nearest = int(apart.argmin())
        return compared[nearest] if apart[nearest] <= _TOLERANCE * _contrast(patches) else None


def _contrast(patches: np.ndarray) -> float:
    """Return the largest difference between two patches in one colour channel: at most 255."""
    return float(np.ptp(patches, axis=(0, 1)).max())


def _shrunk(picture: Image) -> np.ndarray:
    """Return the picture scaled to 32 × 32 pixels: float [32, 32, 3]. Its aspect ratio is not kept."""
    from PIL.Image import Resampling

    return np.asarray(picture.resize((_SIDE, _SIDE), Resampling.BILINEAR, reducing_gap=3.0), dtype=np.float64)


def perceptual_hash(small: np.ndarray) -> np.ndarray:
    """Return the pHash of a picture `small` [32, 32, 3], as uint16 [4].

    A bit is 1 if its frequency (of the 8 × 8 lowest of the discrete cosine transform) is above their median.
    """
    frequencies = _COSINES @ (small @ _GREY) @ _COSINES.T
    return np.packbits(frequencies > np.median(frequencies)).view(">u2")
