"""The division of the tests between the worker processes of `make test`; without xdist nothing here has an effect."""

import os
from pathlib import Path

import pytest

HERE = Path(__file__).parent
RUNS = ("faults", "train", "jobs", "sft", "formats", "curation")
if "PYTEST_XDIST_WORKER" in os.environ:  # two workers with a thread for each core would hold each other up
    os.environ.setdefault("OMP_NUM_THREADS", "1")


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put whole runs first, then the unit tests file by file, then single engines, learners and servers.

    Each group is one worker's: whole runs are never side by side, and a file's fixtures are made once.
    """
    items.sort(key=_place)  # stable: the order within a file stays
    for item in items:
        item.add_marker(pytest.mark.xdist_group(_group(item)))


def _place(item: pytest.Item) -> int:
    return {"runs": 0, "parts": 2}.get(_group(item), 1)


def _group(item: pytest.Item) -> str:
    file = item.path.relative_to(HERE)
    if file.parts[0] == "unit":
        return file.with_suffix("").as_posix()
    return "runs" if file.stem.removeprefix("test_") in RUNS else "parts"
