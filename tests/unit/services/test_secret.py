"""Secrets of a job: only their names travel, and no message shows one."""

import os

import pytest

from vlaa_ray.errors import ConfigError
from vlaa_ray.services.secret import SECRETS, Reference, refuse_secrets, take_secrets

VALUE = "hunter2-hunter2"


def test_a_reference_names_a_variable_or_a_file():
    assert str(Reference.parse("HF_TOKEN")) == "HF_TOKEN"
    assert str(Reference.parse("HF_TOKEN=/etc/hf")) == "HF_TOKEN=/etc/hf"


@pytest.mark.parametrize("text", [f"HF_TOKEN={VALUE}", "", "a-b", "HF_TOKEN=", f"HF_TOKEN=./{VALUE}"])
def test_a_secret_in_place_of_its_reference_is_refused_and_not_shown(text):
    with pytest.raises(ConfigError, match="is no reference to a secret") as refused:
        Reference.parse(text)
    assert VALUE not in str(refused.value)


def test_a_process_finds_its_secrets_in_files_and_in_its_environment(tmp_path, monkeypatch):
    (tmp_path / "key").write_text(f"{VALUE}\n")
    monkeypatch.setenv(SECRETS, f"PLAIN_TOKEN,FILE_TOKEN={tmp_path / 'key'}")
    monkeypatch.setenv("PLAIN_TOKEN", "there already")
    monkeypatch.setenv("FILE_TOKEN", "older")
    take_secrets()
    assert os.environ["FILE_TOKEN"] == VALUE


@pytest.mark.parametrize(
    ("references", "message"),
    [
        ("MISSING_TOKEN", "MISSING_TOKEN is not in the environment of this node"),
        ("MISSING_TOKEN=/nowhere/key", "MISSING_TOKEN can't be read: No such file"),
    ],
)
def test_a_missing_secret_is_named(monkeypatch, references, message):
    monkeypatch.setenv(SECRETS, references)
    with pytest.raises(ConfigError, match=message):
        take_secrets()


@pytest.mark.parametrize("text", [f"tracking.wandb_project={VALUE}", "run.dir=https://me:pass@host/x"])
def test_a_command_with_a_secret_is_refused_and_the_secret_not_shown(monkeypatch, text):
    monkeypatch.setenv("WANDB_API_KEY", VALUE)
    with pytest.raises(ConfigError, match="by reference") as refused:
        refuse_secrets(["train", text])
    assert VALUE not in str(refused.value) and "pass@" not in str(refused.value)


def test_an_innocent_command_is_sent(monkeypatch):
    monkeypatch.setenv("SHORT_TOKEN", "runs")
    monkeypatch.setenv("EDITOR_OF_CHOICE", VALUE)
    refuse_secrets(["train", "run.dir=runs", f"run.name={VALUE}", "s3://bucket/runs"])
