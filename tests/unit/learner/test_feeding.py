"""Micro-batches are collated once, in order, one ahead of the one in use, and kept until their last pass."""

import threading
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import numpy as np
import pytest
import torch

from vlaa_ray.errors import DataError
from vlaa_ray.learner import feeding
from vlaa_ray.learner.feeding import Feed
from vlaa_ray.models.batches import PackingTools, Row, collate

CPU = torch.device("cpu")


def row(number, *ids):
    completion = np.array(ids, dtype=np.int32)
    return Row(prompt_token_ids=completion, images=(), completions=(completion,), sequence_ids=(number,))


TOOLS = PackingTools(
    image_token_id=9,
    pixels=lambda images: (torch.zeros(4 * len(images), 1), torch.tensor([[1, 2, 2]] * len(images)).reshape(-1, 3)),
    positions=lambda ids, grid: torch.arange(len(ids)).expand(3, -1),
    num_features=lambda grid: len(grid),
    dummy=Row(prompt_token_ids=np.array([9]), images=(None,), completions=(), sequence_ids=()),
)
STEPS = [[[row(0, 1, 2)], [row(1, 3)]], [[row(2, 4, 5)], [row(3, 6)], [row(4, 7)]]]


@pytest.fixture
def collated(monkeypatch):
    """The sequence ids of the batches that were collated so far."""
    found = []

    def collating(rows, tools):
        assert threading.current_thread() is not threading.main_thread()
        found.append(rows[0].sequence_ids[0])
        return collate(rows, tools)

    monkeypatch.setattr(feeding, "collate", collating)
    return found


@pytest.fixture
def feed(collated):
    with ThreadPoolExecutor(1) as thread:
        yield partial(Feed, tools=TOOLS, device=CPU, thread=thread)


def first_ids(batches):
    return [int(batch.sequence_ids[0]) for batch in batches]


def test_each_step_has_its_batches_as_collate_makes_them(feed):
    made = feed(STEPS, [1, 1])
    batches = [*made.batches(0), *made.batches(1)]
    assert first_ids(batches) == [0, 1, 2, 3, 4]
    for batch, part in zip(batches, [part for step in STEPS for part in step], strict=True):
        expected = collate(part, TOOLS)
        for name in ("input_ids", "position_ids", "pixel_values", "logprob_index", "targets", "sequence_ids"):
            assert torch.equal(getattr(batch, name), getattr(expected, name)), name
        assert torch.equal(batch.segments.key_index, expected.segments.key_index)


def test_passes_share_their_batches(feed, collated):
    made = feed(STEPS, [2, 3])
    whole = [*made.batches(0), *made.batches(1)]
    later = list(made.batches(1))
    last = [*made.batches(0), *made.batches(1)]
    assert all(one is other for one, other in zip(whole, last, strict=True))
    assert all(one is other for one, other in zip(whole[2:], later, strict=True))
    assert whole[0].segments.padded_calls is last[0].segments.padded_calls
    assert collated == [0, 1, 2, 3, 4]
    assert not made._batches  # nothing is kept after the last pass


def test_the_next_batch_is_collated_while_one_is_in_use_and_no_more(feed, collated):
    made = feed(STEPS, [1, 1])
    batches = made.batches(0)
    for number in range(2):
        next(batches)
        made._batches[number + 1].result(timeout=10)  # also the first one of the next step
        assert collated == list(range(number + 2))
    assert first_ids(made.batches(1)) == [2, 3, 4]


def test_an_error_of_collation_is_raised_by_the_pass_that_needs_the_batch(feed):
    made = feed([[[row(0, 1)], [row(1, 9)]]], [1])  # an image token without an image
    batches = made.batches(0)
    next(batches)
    with pytest.raises(DataError, match="don't match"):
        next(batches)
