"""`config --explain`: what each key says of itself, and the page that is made from it."""

import re
from pathlib import Path

import pytest

from vlaa_ray.cli import main
from vlaa_ray.config.explain import KINDS, explain, keys, markdown, tree
from vlaa_ray.errors import ConfigError

PAGE = Path(__file__).parents[2] / "docs" / "config.md"
KEYS = keys()


def test_the_page_is_made_from_the_code() -> None:
    assert PAGE.read_text(encoding="utf-8") == markdown()


@pytest.mark.parametrize("path", KEYS)
def test_every_key_can_be_read_alone(path) -> None:
    meaning = KEYS[path].meaning
    assert len(meaning.split()) >= 3 and meaning[0].isupper(), meaning
    assert not re.match(r"(Of|Likewise)\b", meaning)


def test_a_key_says_type_default_bounds_and_who_uses_it() -> None:
    text = explain("rollout.group_size")
    assert "whole number, at least 2" in text and "default:  8" in text and "used by:  vlaa-ray train" in text
    assert "clipped or gspo or cispo or sapo" in explain("grpo.loss")
    assert "default:  null" in explain("grpo.kl.target")
    assert KEYS["run.name"].commands == tuple(kind.command for kind in KINDS)
    assert KEYS["run.num_steps"].default == "required; sft, reward-model: null"


def test_a_section_shows_its_keys_and_members_have_placeholders() -> None:
    assert "checkpoint.every_steps" in explain("checkpoint")
    assert {"rewards.verifiers.NAME.weights", "sources[].path", "data.train", "data.train[].weight"} <= set(KEYS)


def test_the_tree_has_every_key() -> None:
    lines = tree().splitlines()
    assert len(lines) == len(KEYS) and all(any(path in line for line in lines) for path in KEYS)


def test_an_unknown_key_names_the_nearest(capsys) -> None:
    with pytest.raises(ConfigError) as caught:
        explain("rollot.group_size")
    assert "did you mean 'rollout.group_size'?" in caught.value.fix
    assert main(["config", "--explain", "rollot.group_size"]) == 2


def test_the_command(capsys) -> None:
    assert main(["config", "--explain", "grpo.loss"]) == 0
    assert "default:  clipped" in capsys.readouterr().out
    assert main(["config", "--explain"]) == 0
    assert "rollout.temperature" in capsys.readouterr().out
    assert main(["config"]) == 2
