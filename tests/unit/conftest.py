from collections.abc import Iterator

import pytest
from endpoint import Endpoint


@pytest.fixture
def endpoint() -> Iterator[Endpoint]:
    made = Endpoint(lambda body: (200, {}))
    yield made
    made.close()
