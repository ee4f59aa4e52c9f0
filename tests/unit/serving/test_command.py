"""What `vlaa-ray serve` refuses before it starts anything."""

import importlib.util
import socket

import pytest

from vlaa_ray.cli import main


@pytest.fixture(autouse=True)
def without_key(monkeypatch) -> None:
    monkeypatch.delenv("VLAA_RAY_API_KEY", raising=False)


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        ([], "no model is named"),
        (["--model", "builtin", "http.host=0.0.0.0"], "needs an API key"),
        (["--model", "no-such-run"], "no model of this name"),
        (["--model", "builtin", "limit.max_images=1"], "did you mean 'limits'"),
        (["--config", "no-such-file.yaml"], "can't read the config"),
        (["--config", "configs/quickstart.yaml"], "no Serve config"),
    ],
)
def test_a_wrong_command_ends_with_its_reason(words, reason, capsys) -> None:
    assert main(["serve", *words]) != 0
    assert reason in capsys.readouterr().err


def test_a_port_in_use_and_a_missing_gradio_are_told(capsys, monkeypatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert main(["serve", "--model", "builtin", f"http.port={port}"]) == 2
    assert "can't listen" in capsys.readouterr().err
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "gradio" else find(name))
    assert main(["serve", "--model", "builtin", f"http.port={port}", "--ui"]) == 2
    assert "Gradio" in capsys.readouterr().err
