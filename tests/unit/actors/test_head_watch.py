"""The head of the cluster: a run ends with its cause when it is gone, and not when it is away for a moment."""

import asyncio
from types import SimpleNamespace

import pytest

from actors.fleet import head_watch
from actors.fleet.head_watch import HeadWatch
from vlaa_ray.errors import PlacementError


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr(head_watch, "_POLL_S", 0.02)


async def serve(port=0):
    server = await asyncio.start_server(lambda reader, writer: writer.close(), "127.0.0.1", port)
    return server, server.sockets[0].getsockname()[1]


async def test_a_head_that_is_gone_ends_the_run_with_its_cause():
    server, port = await serve()
    ends = []
    watching = asyncio.create_task(HeadWatch(SimpleNamespace(end=ends.append), f"127.0.0.1:{port}", 0.3).watch())
    await asyncio.sleep(0.4)
    assert not ends, "it answers"
    server.close()
    async with asyncio.timeout(10):
        await watching
    (error,) = ends
    assert isinstance(error, PlacementError) and "has not answered for 0.3 s" in error.message


async def test_a_head_that_comes_back_in_time_ends_nothing():
    server, port = await serve()
    ends = []
    watching = asyncio.create_task(HeadWatch(SimpleNamespace(end=ends.append), f"127.0.0.1:{port}", 3.0).watch())
    await asyncio.sleep(0.1)
    server.close()
    await asyncio.sleep(0.2)
    server, _ = await serve(port)
    await asyncio.sleep(0.2)
    watching.cancel()
    server.close()
    assert not ends
