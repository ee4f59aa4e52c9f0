import json

import pytest
import torch

from vlaa_ray.config import ModelSection
from vlaa_ray.config.sections import MIN_IMAGE_PIXELS
from vlaa_ray.errors import ModelError
from vlaa_ray.models.families import FAMILIES, family_of
from vlaa_ray.models.loading import load_model, load_processor
from vlaa_ray.models.paths import local_path

TINY = "builtin:tiny-base"


def test_built_in_models_lie_in_the_package_and_others_where_they_are():
    assert local_path("Qwen/Qwen2.5-VL-3B-Instruct") == "Qwen/Qwen2.5-VL-3B-Instruct"
    with open(f"{local_path(TINY)}/config.json") as file:
        assert json.load(file)["model_type"] == "qwen2_5_vl"
    with pytest.raises(ModelError, match=r"no built-in model 'builtin:huge'.*builtin:tiny-base"):
        local_path("builtin:huge")


def test_a_folder_without_a_checkpoint_is_named(tmp_path):
    section = ModelSection(path=str(tmp_path))
    with pytest.raises(ModelError, match=f"can't load the processor.*{tmp_path}"):
        load_processor(section)
    with pytest.raises(ModelError, match=f"can't load the model.*{tmp_path}"):
        load_model(section)


def test_an_unknown_family_is_refused():
    class Config:
        model_type = "llava"

    with pytest.raises(ModelError, match=r"'llava'.*qwen2_5_vl"):
        family_of(Config())


def test_pixel_limits_are_the_runs():
    processor = load_processor(ModelSection(path=TINY, min_pixels=1000, max_pixels=5000))
    assert dict(processor.image_processor.size) == {"shortest_edge": 1000, "longest_edge": 5000}


@pytest.mark.parametrize(("freeze", "dtype"), [(False, torch.float32), (True, torch.bfloat16)])
def test_dtype_and_frozen_vision_tower(freeze, dtype):
    kind = "fp32" if dtype is torch.float32 else "bf16"
    model = load_model(ModelSection(path=TINY, freeze_vision_tower=freeze, dtype=kind))
    assert {parameter.dtype for parameter in model.parameters()} == {dtype}
    frozen = {name for name, parameter in model.named_parameters() if not parameter.requires_grad}
    tower = {name for name, _ in model.named_parameters() if name.startswith("model.visual.") and "merger" not in name}
    assert frozen == (tower if freeze else set())
    assert len(tower) > 10


def test_the_least_image_of_the_config_is_one_image_token_of_every_family():
    assert {family.pixels_per_token for family in FAMILIES.values()} == {MIN_IMAGE_PIXELS}
