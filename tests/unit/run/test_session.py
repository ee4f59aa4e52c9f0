"""A run says what is left out of its data, and a resumed one that its data is not what it was."""

import json

import pytest

from vlaa_ray.config import GrpoConfig
from vlaa_ray.data.builtin import BuiltinData
from vlaa_ray.data.fingerprint import fingerprint
from vlaa_ray.records import Defect
from vlaa_ray.run.folder import RunFolder
from vlaa_ray.run.session import Session


def session_of(folder) -> Session:
    config = GrpoConfig.model_validate(
        {
            "run": {"name": "trial", "num_steps": 2, "dir": str(folder)},
            "model": {"path": "m"},
            "tracking": {"tensorboard": False, "wandb": "disabled"},
        }
    )
    return Session(config, RunFolder.open(config))


@pytest.mark.parametrize("changed", [False, True])
def test_changed_data_is_noticed_on_resume(tmp_path, capsys, changed) -> None:
    data = [BuiltinData("train")[index] for index in range(10)]
    session = session_of(tmp_path)
    session.resume_state = {"step": 1, "data": fingerprint(data)}
    session.use_data(data[:-1] if changed else data)
    assert ("10 prompts then, 9 now" in capsys.readouterr().out) == changed


def test_what_is_left_out_is_listed(tmp_path, capsys) -> None:
    defects = [Defect("a", "data.json", 3, "no image"), Defect("b", "data.json", 7, "no gold")]
    session_of(tmp_path).use_data([BuiltinData("train")[0]], defects)
    assert "2 records can't be used and are left out, the first in row 3 of data.json: no image" in " ".join(
        capsys.readouterr().out.split()
    )
    lines = (tmp_path / "trial/quarantine.jsonl").read_text().splitlines()
    assert [json.loads(line)["row"] for line in lines] == [3, 7]
