"""`model.dtype` where a config leaves it out: bf16 with GPUs, fp32 without."""

import pytest

from vlaa_ray.config import GrpoConfig, SftConfig, dump_config, load_config

GPU_LEARNER, GPU_ENGINE = {"learner": {"gpus_per_rank": 1}}, {"rollout": {"gpus_per_actor": 0.7}}


@pytest.mark.parametrize(
    ("sections", "dtype"),
    [
        ({}, "fp32"),
        (GPU_LEARNER, "bf16"),
        (GPU_ENGINE, "bf16"),
        (GPU_LEARNER | GPU_ENGINE, "bf16"),
        ({"learner": {"gpus_per_rank": 0}, "rollout": {"gpus_per_actor": 0}}, "fp32"),
    ],
)
def test_a_run_with_gpus_is_in_bf16_unless_it_says_otherwise(sections, dtype):
    def made(**model):
        tree = {"run": {"name": "t", "num_steps": 1}, "model": {"path": "m", **model}, **sections}
        return GrpoConfig.model_validate(tree)

    assert made().model.dtype == dtype
    assert made(dtype="fp32").model.dtype == "fp32" and made(dtype="bf16").model.dtype == "bf16"


def test_training_on_written_answers_follows_the_learner():
    tree = {"run": {"name": "t", "num_steps": 1}, "model": {"path": "m"}, **GPU_LEARNER}
    assert SftConfig.model_validate(tree).model.dtype == "bf16"


def test_an_override_counts_and_the_resolved_config_names_the_format(tmp_path):
    file = tmp_path / "config.yaml"
    file.write_text("run: {name: t, num_steps: 1}\nmodel: {path: m}\n")
    config = load_config(file, ["learner.gpus_per_rank=1"])
    assert config.model.dtype == "bf16" and "dtype: bf16" in dump_config(config)
    assert load_config(file, ["learner.gpus_per_rank=1", "model.dtype=fp32"]).model.dtype == "fp32"
