import pytest


@pytest.fixture(autouse=True)
def killed(monkeypatch):
    """Handles that were killed, in order. A real `ray.kill` needs Ray."""
    handles = []
    monkeypatch.setattr("ray.kill", handles.append)
    return handles
