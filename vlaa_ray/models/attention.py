"""Attention of variable length in both towers, registered with transformers: no mask, no padding, one call a layer.

transformers hands the vision tower's lengths over in one call, and builds no mask for the language model, only if the
name of the implementation contains "flash". The language model's `Segments` travel as a keyword argument of its
forward pass, so that checkpointed layers get them again in the backward pass.

On a CUDA GPU in half precision torch's own variable-length kernel (FlashAttention-2) computes all segments at once.
Everywhere else segments of about the same size are one padded call of `scaled_dot_product_attention`.

Legend: H query heads, J key heads, T tokens, K keys, W head width.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import torch

from vlaa_ray.errors import ModelError
from vlaa_ray.models.padded_attention import PaddedCalls, padded_calls, picked
from vlaa_ray.models.segments import Segments

NAME = "vlaa_flash_segments"


def use_segment_attention(model: Any) -> None:
    """Make both towers of a transformers model use this file's attention."""
    from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

    ALL_ATTENTION_FUNCTIONS.register(NAME, attend)
    for config in (model.config.text_config, model.config.vision_config):
        config._attn_implementation = NAME


def attend(
    module: Any,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    *,
    scaling: float,
    segments: Segments | None = None,
    cu_seq_lens_q: torch.Tensor | None = None,
    max_length_q: int | None = None,
    sliding_window: int | None = None,
    **_: Any,
) -> tuple[torch.Tensor, None]:
    """Return (attention [1, T, H, W], None) of query [1, H, T, W], key and value [1, J, T, W].

    The language model gives `segments`. The vision tower gives the ends `cu_seq_lens_q` of its windows, which see
    themselves whole.

    Raises:
        ModelError: the model wants a mask or a sliding window.

    """
    if attention_mask is not None or sliding_window is not None:
        raise ModelError("this attention knows segments only", fix="use a model without sliding windows")
    query, key, value = (tensor[0].transpose(0, 1) for tensor in (query, key, value))  # [T, heads, W]
    if segments is not None:
        if not _has_kernel(query):
            return segments.padded_calls.attend(query, key, value, scaling)[None], None
        key, value = picked(key, segments.key_index), picked(value, segments.key_index)
        ends, longest = (segments.query_ends, segments.key_ends), (segments.longest_query, segments.longest_key)
        return _kernel(query, key, value, ends, longest, scaling, causal=True), None
    if cu_seq_lens_q is None or module.is_causal:
        raise ModelError("the language model was called without segments")
    if not _has_kernel(query):
        calls = _calls_of_windows(tuple(cu_seq_lens_q.diff().tolist()), query.device)
        return calls.attend(query, key, value, scaling)[None], None
    ends, longest = (cu_seq_lens_q, cu_seq_lens_q), (int(max_length_q or 0),) * 2
    return _kernel(query, key, value, ends, longest, scaling, causal=False), None


@lru_cache(maxsize=16)
def _calls_of_windows(lengths: tuple[int, ...], device: torch.device) -> PaddedCalls:
    """Return the calls for windows that see themselves whole; the layers of one pass share them."""
    return padded_calls(lengths, lengths, None, causal=False).to(device)


def _has_kernel(query: torch.Tensor) -> bool:
    return query.is_cuda and query.dtype in (torch.float16, torch.bfloat16)


def _kernel(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    ends: tuple[torch.Tensor, torch.Tensor],
    longest: tuple[int, int],
    scaling: float,
    *,
    causal: bool,
) -> torch.Tensor:
    from torch.nn.attention.varlen import varlen_attn

    result = varlen_attn(
        query,
        key,
        value,
        *ends,
        *longest,
        scale=scaling,
        window_size=(-1, 0) if causal else (-1, -1),
        enable_gqa=query.shape[1] != key.shape[1],
    )
    assert isinstance(result, torch.Tensor)  # a pair only if asked for
    return result[None]
