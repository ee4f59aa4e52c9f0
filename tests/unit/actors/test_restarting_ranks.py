"""The learner's ranks after a loss, on simulated ranks: they come back with the same weights, and not for ever."""

import asyncio

import pytest
from simulated import SimulatedRank
from virtual_time import run_virtually

from actors.fleet.restarting_ranks import RestartingRanks
from vlaa_ray.config import GrpoConfig
from vlaa_ray.errors import CheckpointError, LearnerError
from vlaa_ray.records import OptimizerStep
from vlaa_ray.run.checkpoints import Checkpoint


def config_of(**learner):
    values = {"num_ranks": 2, "max_restarts": 2, "restart_window_s": 600} | learner
    return GrpoConfig.model_validate(
        {
            "run": {"name": "t", "num_steps": 9},
            "model": {"path": "none"},
            "learner": values,
            "deadlines": {"learn_s": 10, "start_s": 10},
        }
    )


class World:
    """Two ranks whose updates are a hash of all that they learned, and the checkpoints that were written.

    It is the run and the places of the ranks at once. `room` says for each later start how many ranks have room.
    """

    def __init__(self, folder, monkeypatch, *, room=(), **learner):
        self.folder, self.saved, self.notes, self.damaged, self.is_announced = folder, [], [], set(), False
        self.starts, self.room, self.checkpoint_request = [], list(room), asyncio.Event()
        self.note = self.notes.append

        def verify(config, path):
            if path in self.damaged:
                raise CheckpointError("altered")

        async def inline(function, *args):  # the simulated clock does not wait for threads
            return function(*args)

        monkeypatch.setattr("asyncio.to_thread", inline)
        monkeypatch.setattr("actors.fleet.restarting_ranks.verify_for_ranks", verify)
        monkeypatch.setattr("ray.kill", lambda actor: actor.die())
        self.spawn_all(2)
        self.learner = RestartingRanks(config_of(**learner), self, self)

    def spawn(self, rank):
        return self.starts[0][rank]

    async def respawn(self):
        return self.spawn_all(self.room.pop(0) if self.room else 2)

    async def has_room(self):
        return not self.room or self.room[0] == 2

    async def respawn_all(self):
        assert await self.has_room()
        return await self.respawn()

    def is_leaving(self):
        return self.is_announced

    def saved_checkpoints(self):
        return self.saved

    def spawn_all(self, count):
        self.starts.append([SimulatedRank(rank, f"node {rank}", start_s=1.0) for rank in range(count)])
        return self.starts[-1]

    @property
    def rank(self):
        return self.starts[-1][0]

    async def step(self):
        step = [[OptimizerStep(groups=(), num_sequences=1, num_tokens=self.learner.weight_version)]] * 2
        await self.learner.accumulate([[], []])
        return await self.learner.update(step)

    async def save(self, step):
        path = self.folder / f"step_{step}"
        await self.learner.save(path)
        await self.learner.written()
        state = {"weight_version": self.learner.weight_version}
        self.saved.insert(0, Checkpoint(step=step, path=path, state=state))

    @property
    def weights(self):
        return self.rank._state.weights


def virtually(main):
    return run_virtually(main, 3000)[0]


async def steps(world, count, *, lose_at=(), save_at=(), how="die"):
    await world.learner.start()
    losses = []
    for number in range(1, count + 1):
        if number in lose_at:
            asyncio.get_running_loop().call_later(0.6, lambda: setattr(world.rank, "hangs", True))
            if how == "die":
                asyncio.get_running_loop().call_later(0.6, world.rank.die)
        losses.append((await world.step())["policy/loss"])
        if number in save_at:
            await world.save(number)
    return losses


@pytest.mark.parametrize("how", ["die", "hang"])
@pytest.mark.parametrize("save_at", [(), (2,), (2, 4)])
def test_a_lost_rank_costs_no_step_and_changes_no_weight(tmp_path, monkeypatch, how, save_at):
    whole = World(tmp_path / "whole", monkeypatch)
    expected = virtually(steps(whole, 6))
    world = World(tmp_path / "disturbed", monkeypatch)
    assert virtually(steps(world, 6, lose_at=(5,), save_at=save_at, how=how)) == expected
    assert world.weights == whole.weights and world.learner.restarts == 1 and len(world.starts) == 2
    base = f"step {save_at[-1]}" if save_at else "the start"
    repeated = 4 - (save_at[-1] if save_at else 0)
    assert f"from {base}; {repeated} updates repeated, whose losses differ by at most 0.0e+00" in world.notes[-1]


def test_a_damaged_checkpoint_is_passed_over(tmp_path, monkeypatch):
    whole = World(tmp_path / "whole", monkeypatch)
    virtually(steps(whole, 6))
    world = World(tmp_path / "disturbed", monkeypatch)
    world.damaged.add(world.folder / "step_4")
    virtually(steps(world, 6, lose_at=(6,), save_at=(2, 4)))
    assert world.weights == whole.weights
    assert (
        "the ranks can't start from step_4: altered" in world.notes[-2]
        and "from step 2; 3 updates repeated" in world.notes[-1]
    )


def test_ranks_that_are_lost_again_and_again_end_the_run_with_one_cause(tmp_path, monkeypatch):
    world = World(tmp_path, monkeypatch)
    with pytest.raises(LearnerError, match="lost 3 times within 600 s: a learner rank was lost during the update"):
        virtually(steps(world, 6, lose_at=(2, 3, 4)))
    assert world.learner.restarts == 2


def test_a_loss_that_was_announced_does_not_count(tmp_path, monkeypatch):
    world = World(tmp_path, monkeypatch, max_restarts=0)
    world.is_announced = True
    assert len(virtually(steps(world, 3, lose_at=(2,)))) == 3


def test_fewer_ranks_take_the_shares_of_all(tmp_path, monkeypatch):
    world = World(tmp_path, monkeypatch, room=[1, 1], min_ranks=1)
    assert len(virtually(steps(world, 4, lose_at=(3,)))) == 4
    assert len(world.starts[-1]) == 1 and "1 ranks" in world.notes[-1]


def test_a_rank_that_is_lost_between_two_steps_is_found_by_the_next_one(tmp_path, monkeypatch):
    world = World(tmp_path, monkeypatch)

    async def main():
        await steps(world, 2)
        world.rank.die()
        assert await world.learner.metrics() == {"learner/restarts": 0}
        await world.step()
        return await world.learner.metrics()

    assert virtually(main()) == {"memory/learner_rss_bytes": 1.0, "learner/restarts": 1, "learner/ranks": 2}


def test_all_ranks_come_back_when_there_is_room_and_no_step_is_repeated(tmp_path, monkeypatch):
    world = World(tmp_path, monkeypatch, room=[1, 1], min_ranks=1)

    async def main():
        await steps(world, 3, lose_at=(3,))
        assert len(world.starts[-1]) == 1 and not world.checkpoint_request.is_set()
        await world.step()
        assert not world.checkpoint_request.is_set(), "there is no room yet"
        world.room.pop()
        await world.step()
        assert world.checkpoint_request.is_set() and len(world.starts) == 2, "first, the steps are saved"
        await world.save(5)
        await world.step()
        return await world.learner.metrics()

    assert virtually(main())["learner/ranks"] == 2 and len(world.starts) == 3
    assert world.learner.weight_version == 6
    assert "goes on with 2 ranks from step 5; 0 updates repeated" in world.notes[-1]


def test_a_rank_lost_while_all_come_back_leaves_no_gap(tmp_path, monkeypatch):
    world = World(tmp_path, monkeypatch, room=[1], min_ranks=1)

    async def main():
        await steps(world, 3, lose_at=(2,), save_at=(3,))
        asyncio.get_running_loop().call_later(0.5, lambda: world.rank.die())  # in the middle of the new start
        await world.step()
        return await world.learner.metrics()

    assert virtually(main())["learner/ranks"] == 2
    assert [len(start) for start in world.starts] == [2, 1, 2, 2] and world.learner.weight_version == 4
