import gc

import pytest


@pytest.fixture(scope="module", autouse=True)
def small_heap() -> None:
    """Without what earlier tests left, whose collection would count as the time of a verifier.

    It stays frozen: walking through it again for each file would take longer than many of their tests.
    """
    gc.collect()
    gc.freeze()
