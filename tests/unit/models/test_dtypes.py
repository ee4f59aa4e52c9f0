import pytest
import torch

from vlaa_ray.models.dtypes import ITEM_BYTES, TORCH_NAMES, config_item_bytes, dtype_name, torch_dtype


@pytest.mark.parametrize("name", ITEM_BYTES)
def test_names_and_sizes_are_torchs(name):
    dtype = torch_dtype(name)
    assert (dtype_name(dtype), dtype.itemsize) == (name, ITEM_BYTES[name])


def test_the_configs_formats_are_those_of_torch():
    assert {name: torch_dtype(TORCH_NAMES[name]) for name in TORCH_NAMES} == {
        "fp32": torch.float32,
        "bf16": torch.bfloat16,
    }
    assert (config_item_bytes("fp32"), config_item_bytes("bf16")) == (4, 2)
