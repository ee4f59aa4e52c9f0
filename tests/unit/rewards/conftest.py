import gc
from collections.abc import Iterator

import pytest


@pytest.fixture(scope="module", autouse=True)
def small_heap() -> Iterator[None]:
    """Without what earlier tests left, whose collection would count as the time of a verifier."""
    gc.collect()
    gc.freeze()
    yield
    gc.unfreeze()
