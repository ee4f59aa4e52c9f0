"""The layout of a flat row: which keys the tokens of each segment see.

    row = [prompt A][completion A1]…[completion AG][prompt B][completion B1]…

A segment is a prompt or a completion. A prompt sees itself. A completion sees its prompt and itself. Both see only what
is before them. So causal attention of each segment over its own keys is the whole rule: no mask and no padding exist.

Legend: T tokens of the row, S segments, K keys of all segments; a prompt's keys come once for each of its segments.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import torch

from vlaa_ray.models.padded_attention import PaddedCalls, padded_calls


@dataclass(frozen=True, kw_only=True, eq=False)
class Segments:
    """The query tokens and the key tokens of each segment, in the order of the row.

    The last query of a segment is also its last key; causal attention is aligned there (at the bottom right).
    """

    query_lengths: tuple[int, ...]  # S numbers, which add up to T
    key_lengths: tuple[int, ...]  # S numbers, which add up to K
    key_index: torch.Tensor  # [K] into the T tokens
    query_ends: torch.Tensor  # [S + 1] int32: 0, then the end of each segment among the queries
    key_ends: torch.Tensor  # [S + 1] int32: 0, then the end of each segment among the keys

    @cached_property
    def longest_query(self) -> int:
        """The number of tokens of the longest segment."""
        return max(self.query_lengths)

    @cached_property
    def longest_key(self) -> int:
        """The largest number of keys of a segment."""
        return max(self.key_lengths)

    @cached_property
    def padded_calls(self) -> PaddedCalls:
        """The attention of all segments as padded calls, for devices without a kernel for segments."""
        index = self.key_index.cpu().numpy()
        return padded_calls(self.query_lengths, self.key_lengths, index, causal=True).to(self.key_index.device)

    def mapped(self, change: Callable[[torch.Tensor], torch.Tensor]) -> Segments:
        """Return the segments with the result of `change` in place of each tensor, such as its copy on a device."""
        return replace(
            self,
            key_index=change(self.key_index),
            query_ends=change(self.query_ends),
            key_ends=change(self.key_ends),
        )


def segments_of(groups: Iterable[tuple[int, Sequence[int]]]) -> Segments:
    """Return the segments of groups: (tokens of the prompt, tokens of each completion); empty completions have none."""
    query_lengths, key_lengths = [], []
    keys: list[np.ndarray] = []
    start = 0
    for prompt_tokens, completions in groups:
        prompt = np.arange(start, start + prompt_tokens)
        start += prompt_tokens
        query_lengths.append(prompt_tokens)
        key_lengths.append(prompt_tokens)
        keys.append(prompt)
        for tokens in completions:
            if tokens == 0:
                continue
            query_lengths.append(tokens)
            key_lengths.append(prompt_tokens + tokens)
            keys += [prompt, np.arange(start, start + tokens)]
            start += tokens
    return Segments(
        query_lengths=tuple(query_lengths),
        key_lengths=tuple(key_lengths),
        key_index=torch.from_numpy(np.concatenate(keys)),
        query_ends=_ends(query_lengths),
        key_ends=_ends(key_lengths),
    )


def _ends(lengths: list[int]) -> torch.Tensor:
    return torch.tensor(np.cumsum([0, *lengths]), dtype=torch.int32)
