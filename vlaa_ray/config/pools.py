"""The part of a config that is about the size of a pool of actors, and the nodes that they run on."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from vlaa_ray.config.sections import MAX_PROCESSES, Section

Market = Literal["spot", "on-demand"]
"""A value of Ray's node label `ray.io/market-type`."""


class NodesSection(Section):
    """The kind of nodes that actors run on, by Ray's label `ray.io/market-type`."""

    prefer: Market | None = None
    """Nodes to ask for; null takes any node."""
    fallback: Market | None = None
    """Nodes to take where there is none of `prefer`; null waits for those of `prefer`."""

    @model_validator(mode="after")
    def _second_choice(self) -> NodesSection:
        if self.fallback and not self.prefer:
            raise ValueError("fallback needs prefer")
        return self


class PoolSection(Section):
    """The size of a pool of actors, and the nodes that they run on."""

    num_actors: int = Field(1, ge=1, le=MAX_PROCESSES)
    """Number of actors; with `min` or `max` the number to begin with."""
    min: int | None = Field(None, ge=1, le=MAX_PROCESSES)
    """Smallest number of actors, and the number that must be ready before the run begins; null for `num_actors`."""
    max: int | None = Field(None, ge=1, le=MAX_PROCESSES)
    """Largest number of actors; null for `num_actors`. In a GRPO run the number follows the load: more while the
    learner waits for this role, fewer while finished groups wait for the learner."""
    resize_every_s: float = Field(60, ge=0)
    """Seconds between two changes of the number of actors."""
    nodes: NodesSection = NodesSection()
    """The kind of nodes that the actors run on, such as {prefer: spot, fallback: on-demand}."""
    max_restarts: int = Field(3, ge=0)
    """Actors that may be lost within `restart_window_s` and are replaced. One that leaves with its node does not count;
    several that are lost with one node count as one."""
    restart_window_s: float = Field(1800, gt=0)
    """Seconds after which a lost actor no longer counts."""
    give_up_s: float = Field(1800, gt=0)
    """Seconds that a run goes on without any actor, for instance while no node can be had; then it ends with one
    error."""

    @property
    def smallest(self) -> int:
        """The smallest number of actors."""
        if self.min is not None:
            return self.min
        return self.num_actors if self.max is None else min(self.num_actors, self.max)

    @property
    def largest(self) -> int:
        """The largest number of actors."""
        return max(self.num_actors, self.smallest) if self.max is None else self.max

    @property
    def first(self) -> int:
        """The number of actors to begin with."""
        return min(max(self.num_actors, self.smallest), self.largest)

    @property
    def is_elastic(self) -> bool:
        """True if actors may come and go: their number changes, or they run on nodes that may be taken away."""
        return self.smallest != self.largest or self.nodes.prefer == "spot"

    @model_validator(mode="after")
    def _bounds(self) -> PoolSection:
        if self.smallest > self.largest:
            raise ValueError(f"min ({self.smallest}) is above max ({self.largest})")
        return self
