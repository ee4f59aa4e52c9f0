"""The same groups as padded rows under a dense mask, through transformers' own attention and whole logits.

This is how rows were computed before there were segments: the measure of what they save.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from vlaa_ray.models.batches import PackingTools, Row


def dense_logprobs(
    stock: Any, rows: Sequence[Row], tools: PackingTools, temperature: float, banned: Sequence[int]
) -> torch.Tensor:
    """The logprobs of all completion tokens, in the rows' order; every row must have an image."""
    size = max(row.num_tokens for row in rows)
    pixels, grids = tools.pixels([image for row in rows for image in row.images])
    ids = torch.zeros(len(rows), size, dtype=torch.long)
    positions = torch.zeros(3, len(rows), size, dtype=torch.long)
    segments = torch.full((len(rows), size), -1)
    predictors, targets, first = [], [], 0
    for number, row in enumerate(rows):
        prompt = torch.from_numpy(row.prompt_token_ids.astype(np.int64))
        end = len(prompt)
        ids[number, :end], segments[number, :end] = prompt, 0
        positions[:, number, :end] = tools.positions(prompt, grids[first : first + len(row.images)])
        first += len(row.images)
        after, last = int(positions[:, number, :end].max()) + 1, end - 1
        for place, completion in enumerate(row.completions, 1):
            start, end = end, end + len(completion) - 1
            ids[number, start:end] = torch.from_numpy(completion[:-1].astype(np.int64))
            positions[:, number, start:end] = torch.arange(after, after + end - start)
            segments[number, start:end] = place
            predictors.append(np.concatenate([[last], np.arange(start, end)]) + number * size)
            targets.append(completion)
    hidden = _hidden(stock, ids, positions, _mask(segments), pixels, grids)
    logits = stock.lm_head(hidden[torch.from_numpy(np.concatenate(predictors))]).float() / temperature
    logprobs = logits.index_fill(-1, torch.tensor(banned), float("-inf")).log_softmax(-1)
    return logprobs.gather(-1, torch.from_numpy(np.concatenate(targets).astype(np.int64))[:, None])[:, 0]


def padded_batches(rows: Sequence[Row], limit_tokens: int) -> list[list[Row]]:
    """The rows, the shortest first, in lists of at most `limit_tokens` with padding."""
    batches: list[list[Row]] = []
    for row in sorted(rows, key=lambda row: row.num_tokens):
        if batches and (len(batches[-1]) + 1) * row.num_tokens <= limit_tokens:
            batches[-1].append(row)
        else:
            batches.append([row])
    return batches


def _mask(segments: torch.Tensor) -> torch.Tensor:
    query, key = segments[:, :, None], segments[:, None, :]
    causal = torch.ones(segments.shape[1], segments.shape[1], dtype=torch.bool).tril()
    sees = (causal & ((key == 0) & (query >= 0) | (key == query)))[:, None]
    return torch.zeros(sees.shape).masked_fill_(~sees, torch.finfo(torch.float32).min)


def _hidden(stock: Any, ids: Any, positions: Any, mask: Any, pixels: Any, grids: Any) -> torch.Tensor:
    embeddings = stock.model.get_input_embeddings()(ids)
    features = torch.cat(stock.model.get_image_features(pixels, grids).pooler_output)
    embeddings = embeddings.masked_scatter((ids == stock.config.image_token_id)[..., None], features)
    model = stock.model.language_model
    result = model(inputs_embeds=embeddings, attention_mask=mask, position_ids=positions, use_cache=False)
    return result.last_hidden_state.flatten(0, 1)
