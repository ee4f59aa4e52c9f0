"""Attention of segments with `scaled_dot_product_attention`: segments of about the same size in one padded call.

A call for each segment would spend more time on calls than on numbers where segments are short. Padding stands before
the segment, so that the last query and the last key of every segment are aligned.

Legend: H query heads, J key heads, T tokens, W head width, B segments of a call, Q and K its padded lengths.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch.nn.functional import scaled_dot_product_attention

_MAX_WASTE = 1.25
"""The largest ratio of padded to real work that is taken for fewer calls."""
_CALL_COST = 1 << 14
"""The number of query-key pairs that take about as long as one more call."""


@dataclass(frozen=True, kw_only=True, eq=False)
class PaddedCall:
    """The shape of one call, and what its queries see."""

    num_segments: int  # B
    query_length: int  # Q
    key_length: int  # K
    mask: torch.Tensor | None  # [B or 1, 1, Q, K], 0 where the query sees the key, else the lowest number
    is_causal: bool


@dataclass(frozen=True, kw_only=True, eq=False)
class PaddedCalls:
    """The calls for all segments of a row; index 0 stands for padding: a mask hides it, or nobody reads its result."""

    calls: tuple[PaddedCall, ...]
    query_index: torch.Tensor  # [sum of B · Q] into the T tokens
    key_index: torch.Tensor  # [sum of B · K] into the T tokens
    result_index: torch.Tensor  # [T] into the sum of B · Q results

    def to(self, device: torch.device) -> PaddedCalls:
        """Return the calls with their tensors on the device."""
        return PaddedCalls(
            calls=tuple(replace(call, mask=None if call.mask is None else call.mask.to(device)) for call in self.calls),
            query_index=self.query_index.to(device),
            key_index=self.key_index.to(device),
            result_index=self.result_index.to(device),
        )

    def attend(self, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, scaling: float) -> torch.Tensor:
        """Return the attention [T, H, W] of query [T, H, W], key and value [T, J, W]."""
        queries = picked(query, self.query_index).split([call.num_segments * call.query_length for call in self.calls])
        sizes = [call.num_segments * call.key_length for call in self.calls]
        keys, values = (picked(tensor, self.key_index).split(sizes) for tensor in (key, value))
        results = []
        for call, one_query, one_key, one_value in zip(self.calls, queries, keys, values, strict=True):
            found = scaled_dot_product_attention(
                one_query.unflatten(0, (call.num_segments, -1)).transpose(1, 2),  # [B, H, Q, W]
                one_key.unflatten(0, (call.num_segments, -1)).transpose(1, 2),
                one_value.unflatten(0, (call.num_segments, -1)).transpose(1, 2),
                attn_mask=None if call.mask is None else call.mask.to(query.dtype),
                is_causal=call.is_causal,
                scale=scaling,
                enable_gqa=query.shape[1] != key.shape[1],
            )
            results.append(found.transpose(1, 2).flatten(0, 1))
        return torch.cat(results).index_select(0, self.result_index)


def picked(source: torch.Tensor, index: torch.Tensor) -> torch.Tensor:
    """Return the rows of a tensor [T, …] at an index [N]; the gradients of a row are added up in fp32."""
    result: torch.Tensor = _Picked.apply(source, index)
    return result


class _Picked(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, source: torch.Tensor, index: torch.Tensor) -> torch.Tensor:
        ctx.save_for_backward(index)
        ctx.num_rows = source.shape[0]
        return source.index_select(0, index)

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> tuple[torch.Tensor, None]:
        (gradient,) = gradients
        (index,) = ctx.saved_tensors
        total = torch.zeros(ctx.num_rows, *gradient.shape[1:], dtype=torch.float32, device=gradient.device)
        return total.index_add_(0, index, gradient.float()).to(gradient.dtype), None


def padded_calls(
    query_lengths: Sequence[int], key_lengths: Sequence[int], key_index: np.ndarray | None, *, causal: bool
) -> PaddedCalls:
    """Return the calls for segments; `key_index` names their keys among the tokens, by default their own queries."""
    queries = _segments(np.arange(sum(query_lengths)), query_lengths)
    keys = queries if key_index is None else _segments(key_index, key_lengths)
    calls, padded_queries, padded_keys = [], [], []
    for members in _alike(query_lengths, key_lengths):
        mine, seen = [queries[number] for number in members], [keys[number] for number in members]
        calls.append(_call(_lengths(mine), _lengths(seen), causal))
        padded_queries.append(_padded(mine))
        padded_keys.append(_padded(seen))
    query_index = np.concatenate(padded_queries)
    real = np.flatnonzero(query_index >= 0)
    result_index = np.empty(len(real), dtype=np.int64)
    result_index[query_index[real]] = real
    return PaddedCalls(
        calls=tuple(calls),
        query_index=torch.from_numpy(query_index.clip(0)),
        key_index=torch.from_numpy(np.concatenate(padded_keys).clip(0)),
        result_index=torch.from_numpy(result_index),
    )


def _lengths(parts: list[np.ndarray]) -> np.ndarray:
    return np.array([len(part) for part in parts])


def _segments(index: np.ndarray, lengths: Sequence[int]) -> list[np.ndarray]:
    return np.split(index, np.cumsum(lengths)[:-1])


def _alike(query_lengths: Sequence[int], key_lengths: Sequence[int]) -> list[list[int]]:
    """Return the segments' numbers, those of about the same size together."""
    order = sorted(
        range(len(query_lengths)), key=lambda i: (query_lengths[i] == key_lengths[i], query_lengths[i], key_lengths[i])
    )
    result: list[list[int]] = []
    longest_query = longest_key = work = 0
    for i in order:
        query, key = query_lengths[i], key_lengths[i]
        padded = max(longest_query, query) * max(longest_key, key)
        members = len(result[-1]) + 1 if result else 1
        if result and members * padded <= _MAX_WASTE * (work + query * key) + _CALL_COST:
            result[-1].append(i)
            longest_query, longest_key, work = max(longest_query, query), max(longest_key, key), work + query * key
        else:
            result.append([i])
            longest_query, longest_key, work = query, key, query * key
    return result


def _call(num_queries: np.ndarray, num_keys: np.ndarray, causal: bool) -> PaddedCall:
    """Return the call for segments of these lengths [B]."""
    longest_query, longest_key = int(num_queries.max()), int(num_keys.max())
    sees = np.arange(longest_key) >= longest_key - num_keys[:, None, None]  # [B, 1, K]
    if sees.all():
        sees = sees[:1]
    is_causal = causal and bool(sees.all()) and longest_query == longest_key
    if causal and not is_causal:
        sees = sees & np.tri(longest_query, longest_key, longest_key - longest_query, dtype=bool)  # [B or 1, Q, K]
    mask = None
    if not sees.all():
        lowest = torch.finfo(torch.bfloat16).min  # not -inf: queries of padding would see nothing and give NaN
        mask = torch.zeros(sees.shape).masked_fill_(torch.from_numpy(~sees), lowest)[:, None]
    return PaddedCall(
        num_segments=len(num_queries),
        query_length=longest_query,
        key_length=longest_key,
        mask=mask,
        is_causal=is_causal,
    )


def _padded(parts: list[np.ndarray]) -> np.ndarray:
    """Return the parts one after another, each with -1 before it up to the longest one's length."""
    length = max(len(part) for part in parts)
    result = np.full((len(parts), length), -1, dtype=np.int64)
    for row, part in zip(result, parts, strict=True):
        row[length - len(part) :] = part
    return result.flatten()
