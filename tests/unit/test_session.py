"""A resumed run says that its data is not what it was."""

import pytest

from vlaa_ray.config import RunConfig
from vlaa_ray.data.dataset import fingerprint
from vlaa_ray.data.embedded import EmbeddedData
from vlaa_ray.run_folder import RunFolder
from vlaa_ray.session import Session


@pytest.mark.parametrize("changed", [False, True])
def test_changed_data_is_noticed_on_resume(tmp_path, capsys, changed) -> None:
    config = RunConfig.model_validate(
        {
            "run": {"name": "trial", "num_steps": 2, "dir": str(tmp_path)},
            "model": {"path": "m"},
            "tracking": {"tensorboard": False, "wandb": "disabled"},
        }
    )
    data = [EmbeddedData("train")[index] for index in range(10)]
    session = Session(config, RunFolder.open(config))
    session.resume_state = {"step": 1, "data": fingerprint(data)}
    session.use_data(data[:-1] if changed else data)
    said = "10 prompts then, 9 now" in capsys.readouterr().out
    assert said == changed
