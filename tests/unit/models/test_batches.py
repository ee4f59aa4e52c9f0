import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from vlaa_ray.errors import DataError
from vlaa_ray.models.batches import PackingTools, Row, collate, micro_batches, split_rows
from vlaa_ray.records import ImageRef

IMAGE = 9  # the image token of these toys; an image of w x h pixels has w x h patches, four to a token
SMALL, WIDE = ImageRef(sha256="s", width_px=2, height_px=2), ImageRef(sha256="w", width_px=4, height_px=2)


def ids(*values):
    return np.array(values, dtype=np.int32)


def row(prompt, images, *completions, first_id=0):
    ids_of_completions = tuple(range(first_id, first_id + len(completions)))
    return Row(prompt_token_ids=prompt, images=images, completions=completions, sequence_ids=ids_of_completions)


def toy_pixels(images):
    grids = torch.tensor([[1, image.height_px, image.width_px] for image in images])
    return torch.cat(
        [torch.full((image.height_px * image.width_px, 1), float(ord(image.sha256[0]))) for image in images]
    ), grids


def toy_positions(prompt_ids, grids):
    """Text counts on; the tokens of an image share one time position, so that the last one is below the length - 1."""
    is_image = prompt_ids == IMAGE
    steps = torch.ones(len(prompt_ids), dtype=torch.long)
    steps[0] = 0
    steps[1:][is_image[1:] & is_image[:-1]] = 0
    return steps.cumsum(0).expand(3, -1)


TOOLS = PackingTools(
    image_token_id=IMAGE,
    pixels=toy_pixels,
    positions=toy_positions,
    num_features=lambda grid: int(grid.prod(-1).sum()) // 4,
    dummy=Row(prompt_token_ids=ids(7, IMAGE, 8), images=(SMALL,), completions=(), sequence_ids=()),
)


def visible(batch, query):
    """The places that a token may look at, as the segments say."""
    segments = batch.segments
    number = int(torch.searchsorted(segments.query_ends, query, right=True)) - 1
    keys = segments.key_index[segments.key_ends[number] : segments.key_ends[number + 1]].tolist()
    return keys[: keys.index(query) + 1]


def test_one_group_by_hand():
    # prompt 1 ‹img› ‹img› 2 at places 0–3 and positions 0 1 1 2; completions 3 4 5, then 6 alone, then 5 2;
    # inputs: 3 4 at places 4 5, none, 5 at place 6; each starts at position 3
    batch = collate([row(ids(1, IMAGE, IMAGE, 2), (WIDE,), ids(3, 4, 5), ids(6), ids(5, 2), first_id=10)], TOOLS)
    assert batch.input_ids.tolist() == [[1, 9, 9, 2, 3, 4, 5]]
    assert batch.position_ids.tolist() == [[[0, 1, 1, 2, 3, 4, 3]]] * 3
    assert batch.targets.tolist() == [3, 4, 5, 6, 5, 2]
    assert batch.sequence_ids.tolist() == [10, 10, 10, 11, 12, 12]
    # the first token of each is predicted by the prompt's last one
    assert batch.logprob_index.tolist() == [3, 4, 5, 3, 3, 6]
    assert [visible(batch, query) for query in range(7)] == [
        [0],
        [0, 1],
        [0, 1, 2],
        [0, 1, 2, 3],
        [0, 1, 2, 3, 4],
        [0, 1, 2, 3, 4, 5],
        [0, 1, 2, 3, 6],
    ]
    assert batch.segments.query_lengths == (4, 2, 1) and batch.segments.key_lengths == (4, 6, 5)
    assert batch.segments.query_ends.tolist() == [0, 4, 6, 7] and batch.segments.key_ends.tolist() == [0, 4, 10, 15]
    assert batch.image_grid_thw.tolist() == [[1, 2, 4]]
    assert len(batch.pixel_values) == 8


def test_two_rows_by_hand():
    rows = [row(ids(1, IMAGE), (SMALL,), ids(2, 3, 4)), row(ids(5), (), ids(6, 7), first_id=1)]
    batch = collate(rows, TOOLS)
    assert batch.input_ids.tolist() == [[1, 9, 2, 3, 5, 6]]
    assert batch.position_ids[0].tolist() == [[0, 1, 2, 3, 0, 1]]
    assert batch.logprob_index.tolist() == [1, 2, 3, 4, 5]
    assert batch.targets.tolist() == [2, 3, 4, 6, 7]
    assert batch.sequence_ids.tolist() == [0, 0, 0, 1, 1]
    assert [visible(batch, query) for query in (3, 4, 5)] == [[0, 1, 2, 3], [4], [4, 5]]


def test_images_are_in_the_order_of_the_rows():
    rows = [
        row(ids(IMAGE, IMAGE, 1, IMAGE), (WIDE, SMALL), ids(2)),
        row(ids(IMAGE, IMAGE), (WIDE,), ids(2), first_id=1),
    ]
    batch = collate(rows, TOOLS)
    assert batch.image_grid_thw.tolist() == [[1, 2, 4], [1, 2, 2], [1, 2, 4]]
    assert batch.pixel_values[:, 0].tolist() == [ord("w")] * 8 + [ord("s")] * 4 + [ord("w")] * 8


def test_text_only_rows_get_a_dummy_that_nothing_sees():
    rows = [row(ids(1, 2), (), ids(3, 4)), row(ids(5), (), ids(6, 7, 8, 2), first_id=1)]
    batch = collate(rows, TOOLS)
    # the dummy 7 ‹img› 8 stands behind the rows, at places 7–9, with positions of its own
    assert batch.input_ids.tolist() == [[1, 2, 3, 5, 6, 7, 8, 7, 9, 8]]
    assert batch.position_ids[0, 0].tolist() == [0, 1, 2, 0, 1, 2, 3, 0, 1, 2]
    assert batch.image_grid_thw.tolist() == [[1, 2, 2]] and len(batch.pixel_values) == 4
    assert batch.logprob_index.tolist() == [1, 2, 3, 4, 5, 6]
    assert visible(batch, 6) == [3, 4, 5, 6] and visible(batch, 9) == [7, 8, 9]


def test_a_rank_without_rows_trains_on_nothing():
    batch = collate([TOOLS.dummy], TOOLS)
    assert batch.input_ids.tolist() == [[7, 9, 8]]
    assert batch.logprob_index.shape == batch.targets.shape == batch.sequence_ids.shape == (0,)
    assert batch.targets.dtype == batch.logprob_index.dtype == torch.long


@pytest.mark.parametrize(
    ("prompt", "images", "completion", "got", "expected"),
    [
        ((1, IMAGE), (WIDE,), (2,), 1, 2),  # cut inside the image
        ((1, IMAGE, IMAGE), (SMALL,), (2,), 2, 1),  # expanded twice
        ((1, 2), (SMALL,), (2,), 0, 1),
        ((1, IMAGE), (), (2,), 1, 0),
        ((1, IMAGE), (SMALL,), (2, IMAGE, 3), 2, 1),  # sampled by the policy
    ],
)
def test_image_tokens_that_dont_match_the_images_are_refused(prompt, images, completion, got, expected):
    with pytest.raises(DataError, match="image tokens and image features don't match") as caught:
        collate([row(ids(*prompt), images, ids(*completion))], TOOLS)
    assert caught.value.facts == {"got": got, "expected": expected}


def test_split_by_hand():
    # a prompt of 4; completions of 3, 3, 5 and 1 tokens take 2, 2, 4 and 0 more. At most 8: 4+2+2 | 4+4+0
    whole = row(ids(1, 2, 3, 4), (SMALL,), ids(1, 1, 1), ids(2, 2, 2), ids(3, 3, 3, 3, 3), ids(4), first_id=5)
    parts = split_rows([whole], 8)
    assert [part.sequence_ids for part in parts] == [(5, 6), (7, 8)]
    assert [part.num_tokens for part in parts] == [8, 8]
    assert all(part.images == (SMALL,) and part.prompt_token_ids is whole.prompt_token_ids for part in parts)
    assert [part.sequence_ids for part in split_rows([whole], 12)] == [(5, 6, 7, 8)]
    with pytest.raises(DataError, match=r"longer than a micro-batch.*got=8, expected=7.*micro_batch_tokens"):
        split_rows([whole], 7)


ROWS = st.lists(
    st.tuples(st.integers(1, 12), st.lists(st.integers(1, 9), min_size=1, max_size=6)), min_size=0, max_size=8
)


def text(num_tokens):
    return np.arange(num_tokens, dtype=np.int32) % IMAGE


def rows_of(shapes):
    rows, first = [], 0
    for prompt_tokens, lengths in shapes:
        rows.append(row(text(prompt_tokens), (), *(text(length) for length in lengths), first_id=first))
        first += len(lengths)
    return rows


@settings(deadline=None, max_examples=200)
@given(ROWS, st.integers(20, 60))
def test_splitting_and_batching_keep_every_completion_and_the_limit(shapes, limit):
    rows = rows_of(shapes)
    parts = split_rows(rows, limit)
    assert [i for part in parts for i in part.sequence_ids] == [i for one in rows for i in one.sequence_ids]
    assert all(part.num_tokens <= limit and part.completions for part in parts)
    batches = list(micro_batches(rows, limit))
    assert [i for batch in batches for part in batch for i in part.sequence_ids] == list(
        range(sum(len(lengths) for _, lengths in shapes))
    )
    assert all(sum(part.num_tokens for part in batch) <= limit for batch in batches)


def test_micro_batches_by_hand():
    rows = rows_of([(5, [1]), (3, [1]), (2, [1]), (3, [1])])
    assert [[one.num_tokens for one in batch] for batch in micro_batches(rows, 10)] == [[5, 3, 2], [3]]
    assert [[one.num_tokens for one in batch] for batch in micro_batches(rows, 7)] == [[5], [3, 2], [3]]
    assert list(micro_batches([], 8)) == []


@settings(deadline=None, max_examples=100)
@given(ROWS.filter(len))
def test_every_token_is_scored_once_by_the_one_before_it(shapes):
    rows = rows_of(shapes)
    batch = collate(rows, TOOLS)
    for one in rows:
        for sequence_id, completion in zip(one.sequence_ids, one.completions, strict=True):
            mine = batch.sequence_ids == sequence_id
            assert batch.targets[mine].tolist() == completion.tolist()
            predictors = batch.logprob_index[mine]
            seen = batch.input_ids[0, predictors]
            assert seen.tolist() == [one.prompt_token_ids[-1], *completion[:-1]]
            places = visible(batch, int(predictors[-1]))
            assert batch.input_ids[0, places].tolist() == [*one.prompt_token_ids, *completion[:-1]]
            assert batch.position_ids[0, 0, places].tolist() == list(range(len(places)))
