"""Forward and backward over rows of groups: flat rows of segments, against padded rows under a dense mask.

Both compute the same logprobs. The second is how this project computed them before; each has the size of micro-batch
that suits it. They are timed in turn in one process, so that a machine that slows down slows down both; each has its
memory measured in a process of its own.
"""

from __future__ import annotations

import multiprocessing
import resource
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from common import CONFIG, in_turn, show

sys.path.insert(0, str(Path(__file__).parents[1] / "support"))

NUM_TURNS = 7
DENSE_LIMIT = 8192  # of the quickstart when it had padded rows


def main() -> None:
    table = []
    for name in ("the demo's rows", "1,000 + 8 × 500 tokens"):
        seconds = in_own_process(_seconds_in_turn, name)
        peaks = {kind: in_own_process(_peak_bytes, kind, name) for kind in KINDS}
        ratios = [dense / flat for dense, flat in zip(seconds["dense"], seconds["flat"], strict=True)]
        cells = [f"{statistics.median(seconds[kind]):.2f} s, {peaks[kind] / 2**30:.2f} GiB" for kind in KINDS]
        table.append([name, *cells, f"{statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})"])
    show(
        f"Forward and backward, one thread: seconds of processor time in {NUM_TURNS} turns, largest resident memory",
        ["", "padded rows, mask", "flat rows", "ratio of a turn"],
        table,
        "Medians. At least 1.3 and 2 are wanted.",
    )


def in_own_process(measure: Callable[..., Any], *args: str) -> Any:
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(measure, args)


def _seconds_in_turn(name: str) -> dict[str, list[float]]:
    """The seconds of each kind in each turn; the kinds must agree on the logprobs."""
    steps = {kind: _step(kind, name) for kind in KINDS}
    dense, flat = (step() for step in steps.values())  # to warm up, too
    difference = np.abs(dense - flat).max()
    assert difference < 1e-4, difference
    seconds: dict[str, list[float]] = {kind: [] for kind in KINDS}
    for number in range(NUM_TURNS):
        for kind in in_turn(KINDS, number):
            start = time.process_time()
            steps[kind]()
            seconds[kind].append(time.process_time() - start)
    return seconds


def _peak_bytes(kind: str, name: str) -> int:
    """The largest resident memory after two steps."""
    step = _step(kind, name)
    for _ in range(2):
        step()
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def _step(kind: str, name: str) -> Callable[[], np.ndarray]:
    """The forward and backward passes over all rows; it returns the logprobs."""
    import torch

    from vlaa_ray.config import load_config
    from vlaa_ray.models.batch_tools import packing_tools
    from vlaa_ray.models.chat import chat_format_of
    from vlaa_ray.models.loading import load_model

    torch.set_num_threads(1)
    config = load_config(CONFIG)
    model, chat = load_model(config.model), chat_format_of(config.model)
    tools = packing_tools(model, chat)
    return KINDS[kind](config, model, chat, tools, ROWS[name](chat))


def _flat(config: Any, model: Any, chat: Any, tools: Any, rows: Sequence[Any]) -> Callable[[], np.ndarray]:
    from vlaa_ray.models.batches import collate, micro_batches
    from vlaa_ray.models.policy import policy_at

    policy = policy_at(config.rollout.temperature)(model, chat)

    def step() -> np.ndarray:
        ids, found = [], []
        for part in micro_batches(rows, config.learner.micro_batch_tokens):
            batch = collate(part, tools)
            logprobs, _ = policy(batch)
            logprobs.mean().backward()
            ids.append(batch.sequence_ids.numpy())
            found.append(logprobs.detach().numpy())
        policy.zero_grad()
        return np.concatenate(found)[np.argsort(np.concatenate(ids), kind="stable")]

    return step


def _dense(config: Any, model: Any, chat: Any, tools: Any, rows: Sequence[Any]) -> Callable[[], np.ndarray]:
    from dense_rows import dense_logprobs, padded_batches
    from stock import stock_model

    stock = stock_model(config.model)

    def step() -> np.ndarray:
        found = {}
        for part in padded_batches(rows, DENSE_LIMIT):
            logprobs = dense_logprobs(stock, part, tools, config.rollout.temperature, chat.banned_token_ids)
            logprobs.mean().backward()
            start = 0
            for row in part:
                for number, completion in zip(row.sequence_ids, row.completions, strict=True):
                    found[number] = logprobs[start : start + len(completion)].detach().numpy()
                    start += len(completion)
        stock.zero_grad()
        return np.concatenate([found[number] for number in sorted(found)])

    return step


def _demo_rows(chat: Any) -> list[Any]:
    return _rows(chat, num=64, lengths=(8, 40), prompt_tokens=None)


def _long_rows(chat: Any) -> list[Any]:
    return _rows(chat, num=1, lengths=(500, 501), prompt_tokens=1000)


def _rows(chat: Any, *, num: int, lengths: tuple[int, int], prompt_tokens: int | None) -> list[Any]:
    from vlaa_ray.data.builtin import BuiltinData
    from vlaa_ray.models.batches import Row

    data, rng = BuiltinData("train"), np.random.default_rng(0)
    allowed = np.setdiff1d(np.arange(len(chat.tokenizer)), chat.banned_token_ids).astype(np.int32)
    rows = []
    for number in range(num):
        prompt = data[number]
        ids = chat.expanded_token_ids(prompt)
        if prompt_tokens:
            ids = np.concatenate([ids, rng.choice(allowed, prompt_tokens - len(ids))])
        rows.append(
            Row(
                prompt_token_ids=ids,
                images=prompt.images,
                completions=tuple(rng.choice(allowed, length) for length in rng.integers(*lengths, 8)),
                sequence_ids=tuple(range(8 * number, 8 * number + 8)),
            )
        )
    return rows


ROWS = {"the demo's rows": _demo_rows, "1,000 + 8 × 500 tokens": _long_rows}

KINDS = {"dense": _dense, "flat": _flat}


if __name__ == "__main__":
    main()
