import asyncio
import random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vlaa_ray.buffer import GroupBuffer
from vlaa_ray.records import Group, Prompt


class Maker:
    """Makes groups when told to; knows which are asked for."""

    def __init__(self):
        self.asked = []
        self.cancelled = []
        self._may_end = {}

    async def __call__(self, position):
        self.asked.append(position)
        try:
            await self._may_end.setdefault(position, asyncio.Event()).wait()
        except asyncio.CancelledError:
            self.cancelled.append(position)
            raise
        if position == 13:
            raise ValueError("thirteen")
        return group(position)

    async def end(self, *positions):
        await asyncio.sleep(0)
        for position in positions:
            self._may_end.setdefault(position, asyncio.Event()).set()
        await asyncio.sleep(0)


def group(position):
    prompt = Prompt(prompt_id=str(position), question="?", gold=1, verifier_type="digit", source="test")
    return Group(prompt=prompt, position=position)


def positions(groups):
    return [one.position for one in groups]


async def taken(task):
    return positions(await asyncio.wait_for(task, 5))


async def test_groups_come_in_order_whatever_the_order_they_are_made_in():
    make = Maker()
    buffer = GroupBuffer(make, num_slots=4, position=20)
    task = asyncio.ensure_future(buffer.take(2))
    await make.end(23, 22, 21)
    assert make.asked == [20, 21, 22, 23] and not task.done()
    await make.end(20)
    assert await taken(task) == [20, 21]
    assert buffer.position == 22
    await buffer.aclose()


async def test_slots_are_only_freed_by_release():
    make = Maker()
    buffer = GroupBuffer(make, num_slots=3, position=0)
    await make.end(0, 1, 2)
    assert await taken(buffer.take(2)) == [0, 1]
    await make.end()
    assert make.asked == [0, 1, 2]
    buffer.release_taken()
    buffer.release_taken()  # nothing is held any more
    await make.end()
    assert make.asked == [0, 1, 2, 3, 4]
    await buffer.aclose()
    assert make.cancelled == [3, 4]


async def test_an_error_is_raised_when_its_turn_has_come_and_close_ends_the_rest():
    make = Maker()
    buffer = GroupBuffer(make, num_slots=4, position=12)
    task = asyncio.ensure_future(buffer.take(3))
    await make.end(13)
    assert not task.done()
    await make.end(12)
    with pytest.raises(ValueError, match="thirteen"):
        await taken(task)
    await buffer.aclose()
    assert make.cancelled == [14, 15]


async def test_a_cancelled_take_leaves_the_group_it_waits_for():
    make = Maker()
    buffer = GroupBuffer(make, num_slots=2, position=0)
    task = asyncio.ensure_future(buffer.take(1))
    await make.end()
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert buffer.position == 0 and make.cancelled == []
    await make.end(0)
    assert await taken(buffer.take(1)) == [0]
    await buffer.aclose()


async def test_unwanted_groups_are_replaced_as_far_as_they_may_be_needed():
    # 2 slots; of 0, 1, 2 ... only the multiples of 3 are wanted. 0; 1 is replaced by 2, 2 by 3; the fourth is the last
    make = Maker()
    await make.end(*range(20))
    buffer = GroupBuffer(make, num_slots=2, position=0)
    assert await taken(buffer.take(2, wanted=lambda one: one.position % 3 == 0, max_taken=4)) == [0, 1, 2, 3]
    assert make.asked == [0, 1, 2, 3], "0 and 3 are held: no slot is free"
    buffer.release_taken()
    await make.end()
    assert make.asked == [0, 1, 2, 3, 4, 5]
    # 4 is replaced by 6; after 5 one more may be taken, and 6 is already there: no replacement, which would get old
    assert await taken(buffer.take(2, wanted=lambda one: False, max_taken=3)) == [4, 5, 6]
    await make.end()
    assert make.asked == [0, 1, 2, 3, 4, 5, 6]
    buffer.release_taken()
    await make.end()
    assert make.asked[7:] == [7, 8]
    await buffer.aclose()


@settings(deadline=None, max_examples=150)
@given(
    max_staleness=st.integers(0, 3),
    count=st.integers(1, 5),
    max_resamples=st.one_of(st.none(), st.integers(1, 4)),
    wanted_share=st.floats(0, 1),
    seed=st.integers(0, 1000),
)
def test_no_group_is_staler_than_allowed_and_none_is_skipped(max_staleness, count, max_resamples, wanted_share, seed):
    rng = random.Random(seed)
    num_steps = 8

    async def run():
        version = 0
        born = {}

        async def make(position):
            born[position] = version
            for _ in range(rng.randrange(4)):
                await asyncio.sleep(0)
            return group(position)

        def wanted(one):
            return np.random.default_rng([seed, one.position]).random() < wanted_share

        buffer = GroupBuffer(make, num_slots=(max_staleness + 1) * count, position=0)
        used = []
        for _ in range(num_steps):
            if max_resamples is None:
                groups = await buffer.take(count)
                assert len(groups) == count
            else:
                groups = await buffer.take(count, wanted=wanted, max_taken=max_resamples * count)
                num_wanted = sum(map(wanted, groups))
                assert num_wanted == count or (num_wanted < count and len(groups) == max_resamples * count)
            assert max(version - born[one.position] for one in groups) <= max_staleness
            used += positions(groups)
            assert buffer.position == len(used)
            for _ in range(rng.randrange(6)):  # learning: others are made meanwhile, with the old weights
                await asyncio.sleep(0)
            version += 1
            buffer.release_taken()
        assert used == list(range(len(used)))
        await buffer.aclose()

    asyncio.run(asyncio.wait_for(run(), 30))
