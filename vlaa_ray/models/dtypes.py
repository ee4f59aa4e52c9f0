"""Number formats of weights: their names in the config and in torch, and their sizes. Imports no torch by itself."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch

TORCH_NAMES = {"fp32": "float32", "bf16": "bfloat16"}
"""The config's name of a format to the name that torch and vLLM use."""
ITEM_BYTES = {"float32": 4, "bfloat16": 2, "float16": 2}
"""Torch's name of a format to the bytes of one number."""


def config_item_bytes(dtype: str) -> int:
    """Bytes of one number, from the config's name of the format, such as "bf16"."""
    return ITEM_BYTES[TORCH_NAMES[dtype]]


def dtype_name(dtype: Any) -> str:
    """`float32` for torch.float32."""
    return str(dtype).removeprefix("torch.")


def torch_dtype(name: str) -> torch.dtype:
    """torch.float32 for `float32`; the inverse of `dtype_name`."""
    import torch

    dtype: torch.dtype = getattr(torch, name)
    return dtype
