"""Attention of segments against a dense mask, written out."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn.functional import scaled_dot_product_attention

from vlaa_ray.errors import ModelError
from vlaa_ray.models.attention import attend
from vlaa_ray.models.padded_attention import padded_calls, picked
from vlaa_ray.models.segments import segments_of

HEADS, KEY_HEADS, WIDTH = 4, 2, 8
GROUPS = st.lists(st.tuples(st.integers(1, 30), st.lists(st.integers(0, 20), max_size=5)), min_size=1, max_size=6)


class Tower:
    def __init__(self, is_causal):
        self.is_causal = is_causal


def tensors(num_tokens, key_heads, dtype=torch.float64):
    generator = torch.Generator().manual_seed(num_tokens)
    sizes = (HEADS, key_heads, key_heads)
    made = [torch.randn(1, heads, num_tokens, WIDTH, generator=generator, dtype=dtype) for heads in sizes]
    return [tensor.requires_grad_() for tensor in made]


def dense(query, key, value, mask):
    repeats = query.shape[1] // key.shape[1]
    key, value = (tensor.repeat_interleave(repeats, 1) for tensor in (key, value))
    return scaled_dot_product_attention(query, key, value, attn_mask=mask, scale=0.3).transpose(1, 2)


def group_mask(groups):
    """True where a token of a row of groups sees another: the prompt's earlier tokens, and its own segment's."""
    owner, segment = [], []
    for number, (prompt, completions) in enumerate(groups):
        for place, length in enumerate([prompt, *completions]):
            owner += [number] * length
            segment += [place] * length
    owner, segment = np.array(owner), np.array(segment)
    same = owner[:, None] == owner[None, :]
    return torch.from_numpy(
        same & np.tri(len(owner), dtype=bool) & ((segment[None, :] == 0) | (segment[:, None] == segment[None, :]))
    )


def check_alike(found, expected, inputs):
    assert (found - expected).abs().max() < 1e-9
    weight = torch.linspace(-1, 1, found.numel(), dtype=found.dtype).view_as(found)
    gradients = torch.autograd.grad((found * weight).sum(), inputs)
    wanted = torch.autograd.grad((expected * weight).sum(), inputs)
    for one, other in zip(gradients, wanted, strict=True):
        assert (one - other).abs().max() < 1e-5  # gradients of keys are added up in fp32


@settings(deadline=None, max_examples=60)
@given(GROUPS)
def test_groups_see_what_a_dense_mask_lets_them_see(groups):
    num_tokens = sum(prompt + sum(completions) for prompt, completions in groups)
    query, key, value = inputs = tensors(num_tokens, KEY_HEADS)
    found, _ = attend(Tower(True), query, key, value, None, scaling=0.3, segments=segments_of(groups))
    check_alike(found, dense(query, key, value, group_mask(groups)), inputs)


@settings(deadline=None, max_examples=40)
@given(st.lists(st.integers(1, 40), min_size=1, max_size=8))
def test_windows_see_themselves_whole(lengths):
    query, key, value = inputs = tensors(sum(lengths), HEADS)
    window = torch.repeat_interleave(torch.arange(len(lengths)), torch.tensor(lengths))
    ends = torch.tensor([0, *np.cumsum(lengths)], dtype=torch.int32)
    found, _ = attend(Tower(False), query, key, value, None, scaling=0.3, cu_seq_lens_q=ends, max_length_q=max(lengths))
    check_alike(found, dense(query, key, value, window[:, None] == window[None, :]), inputs)


def test_segments_of_the_same_size_share_one_call_without_a_mask():
    calls = padded_calls([64] * 9, [64] * 9, None, causal=False).calls
    assert [(call.num_segments, call.mask) for call in calls] == [(9, None)]


def test_a_long_segment_does_not_make_short_ones_longer():
    calls = padded_calls([1000, 10, 11, 9], [1000, 10, 11, 9], None, causal=True).calls
    assert sorted((call.num_segments, call.query_length) for call in calls) == [(1, 1000), (3, 11)]


def test_gradients_of_a_row_that_is_picked_often_are_added_up_in_fp32():
    source = torch.zeros(2, 1, dtype=torch.bfloat16, requires_grad=True)
    picked(source, torch.tensor([0] * 1000 + [1])).sum().backward()
    assert source.grad.tolist() == [[1000.0], [1.0]]  # in bf16 a sum of ones ends at 256


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"attention_mask": torch.ones(1)}, "segments only"),
        ({"sliding_window": 8}, "segments only"),
        ({}, "without segments"),
    ],
)
def test_what_it_cannot_do_is_refused(more, message):
    query, key, value = tensors(4, KEY_HEADS)
    more = {"attention_mask": None, **more}
    with pytest.raises(ModelError, match=message):
        attend(Tower(True), query, key, value, more.pop("attention_mask"), scaling=1.0, **more)
