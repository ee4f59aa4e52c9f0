"""The health of the actors of a GRPO run, for live metrics."""

from __future__ import annotations

from collections import Counter

from actors.fleet.pool import Pool
from actors.fleet.restarting_ranks import RestartingRanks
from vlaa_ray.monitoring.health import CAUSES, STATES, Values


def pool_health(role: str, pool: Pool) -> Values:
    """Return the health of a pool; another thread may change it meanwhile."""
    states = Counter(replica.stage.name.lower() for replica in pool.members())
    return {
        **{f"replicas/{role}/{state}": float(states[state]) for state in STATES},
        **_losses(role, pool.causes),
        f"queue/{role}": float(pool.num_calls),
    }


def learner_health(learner: RestartingRanks) -> Values:
    """Return the losses of learner ranks by cause."""
    return _losses("learner", learner.causes)


def _losses(role: str, causes: Counter[str]) -> Values:
    return {f"losses/{role}/{cause}": float(causes[cause]) for cause in CAUSES}
