"""The exchange of small Python objects between ranks, over the process group that training uses."""

from __future__ import annotations

from typing import TypeVar

import torch

Item = TypeVar("Item")


class RankGroup:
    """All ranks of a learner. Every method is a collective: all ranks must call it, in the same order."""

    def __init__(self) -> None:
        self.rank: int = torch.distributed.get_rank()
        self.num_ranks: int = torch.distributed.get_world_size()

    @property
    def is_first(self) -> bool:
        """True for rank 0, which writes for all ranks."""
        return self.rank == 0

    def gather(self, item: Item) -> list[Item]:
        """Return the items of all ranks, in the order of the ranks."""
        items: list[Item | None] = [None] * self.num_ranks
        torch.distributed.all_gather_object(items, item)
        return items  # type: ignore[return-value]  # every place has been filled

    def from_first(self, item: Item | None) -> Item:
        """Return the item of rank 0 on every rank; the items of the other ranks are ignored."""
        items = [item]
        torch.distributed.broadcast_object_list(items)
        return items[0]  # type: ignore[return-value]  # rank 0 gave one

    def barrier(self) -> None:
        """Wait until all ranks are here."""
        torch.distributed.barrier()
