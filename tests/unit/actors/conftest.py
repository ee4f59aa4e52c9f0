import pytest


@pytest.fixture
def killed(monkeypatch):
    """Handles that were killed, in order."""
    handles = []
    monkeypatch.setattr("ray.kill", handles.append)
    return handles
