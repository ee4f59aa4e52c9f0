from collections.abc import Iterator

import pytest
from buckets import BucketServer, bucket_server, reached
from endpoint import Endpoint


@pytest.fixture(scope="session")
def s3_server(tmp_path_factory) -> Iterator[BucketServer]:
    with bucket_server("s3", tmp_path_factory.mktemp("s3")) as server:
        yield server


@pytest.fixture(scope="session")
def gs_server(tmp_path_factory) -> Iterator[BucketServer]:
    with bucket_server("gs", tmp_path_factory.mktemp("gs")) as server:
        yield server


@pytest.fixture
def s3(s3_server) -> Iterator[BucketServer]:
    """A real server of s3, with keys; the environment leads to it."""
    with reached(s3_server) as server:
        yield server


@pytest.fixture(params=["s3", "gs"])
def bucket(request) -> Iterator[BucketServer]:
    """A real server of s3, and then one of gs."""
    with reached(request.getfixturevalue(f"{request.param}_server")) as server:
        yield server


@pytest.fixture
def endpoint() -> Iterator[Endpoint]:
    made = Endpoint(lambda body: (200, {}))
    yield made
    made.close()
