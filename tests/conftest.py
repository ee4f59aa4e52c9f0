"""The division of the tests between the two processes of `make test`; one process alone takes them file by file."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import settings

if TYPE_CHECKING:
    from xdist.scheduler import LoadScopeScheduling

RUNS = ("faults", "train", "elastic", "jobs", "sft", "formats", "curation", "evaluation")
settings.register_profile("untimed", deadline=None)  # a busy machine makes no test fail
settings.load_profile("untimed")
if "PYTEST_XDIST_WORKER" in os.environ:  # two processes with a thread for each core would hold each other up
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    os.environ.setdefault("RAY_worker_niceness", "0")  # Ray's 15 lets the other process starve its actors


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put whole runs first, then the unit tests, and single engines, learners and servers last."""

    def place(item: pytest.Item) -> int:
        name = group(item.nodeid)
        return 0 if name == "runs" else 2 if "/integration/" in name else 1

    items.sort(key=place)  # otherwise the order stays


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> LoadScopeScheduling:
    """Return a scheduler that gives each group to one process, in order.

    So whole runs are never side by side, and what the tests of a file share is made once.
    """
    from xdist.scheduler import LoadScopeScheduling

    class ByGroup(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            return group(nodeid)

    config.option.loadscopereorder = False
    return ByGroup(config, log)


def group(nodeid: str) -> str:
    """Return the group of a test: "runs", or its file."""
    file = nodeid.partition("::")[0]
    return "runs" if file.endswith(tuple(f"/integration/test_{name}.py" for name in RUNS)) else file
