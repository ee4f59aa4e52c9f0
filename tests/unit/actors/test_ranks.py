"""The learner's ranks on fake handles: called alike and together, and one failure means one thing for all."""

import pytest
from handles import Handle
from ray.exceptions import ActorDiedError

from actors.fleet.ranks import LearnerRanks
from vlaa_ray.config import GrpoConfig
from vlaa_ray.errors import CheckpointError, DeadlineExceeded, LearnerError

CONFIG = GrpoConfig.model_validate(
    {"run": {"name": "t", "num_steps": 1}, "model": {"path": "none"}, "learner": {"num_ranks": 2}}
)
MEETING = ("10.0.0.1", 4711, "node")


def ranks_of(**methods):
    handles = [Handle(f"rank {rank}", meeting_point=[MEETING], **methods) for rank in range(2)]
    return LearnerRanks(CONFIG, handles.__getitem__), handles


async def test_all_ranks_meet_where_rank_0_says() -> None:
    ranks, handles = ranks_of()
    await ranks.start()
    assert [handle.calls[-1] for handle in handles] == [("start", "10.0.0.1", 4711)] * 2 and ranks.node_id == "node"


async def test_each_rank_gets_its_share(tmp_path) -> None:
    ranks, handles = ranks_of(update=[(3, {"policy/loss": 0.5})], load=[7], rss_bytes=[10])
    assert await ranks.update([["mine"], ["yours"]]) == {"policy/loss": 0.5} and ranks.weight_version == 3
    assert [handle.calls for handle in handles] == [[("update", ["mine"])], [("update", ["yours"])]]
    await ranks.save(tmp_path)
    await ranks.load(tmp_path)
    assert ranks.weight_version == 7 and await ranks.metrics() == {"memory/learner_rss_bytes": 10.0}


@pytest.mark.parametrize("failure", [ActorDiedError(), DeadlineExceeded("no answer")])
async def test_a_lost_rank_ends_the_run(failure) -> None:
    ranks, _ = ranks_of(update=[failure])
    with pytest.raises(LearnerError, match="a learner rank was lost during the update") as caught:
        await ranks.update([[], []])
    assert caught.value.__cause__ is failure and "last checkpoint" in caught.value.fix


async def test_what_a_rank_says_itself_is_raised_as_it_is(tmp_path) -> None:
    full = CheckpointError("disk full")
    ranks, _ = ranks_of(save=[full])
    with pytest.raises(CheckpointError) as caught:
        await ranks.save(tmp_path)
    assert caught.value is full


async def test_a_checkpoint_is_written_when_all_ranks_have_written_and_then_handed_over(tmp_path) -> None:
    ranks, handles = ranks_of(is_written=[False, True])
    await ranks.save(tmp_path)
    await ranks.written()
    for handle in handles:
        assert handle.called() == ["save", "is_written", "is_written", "hand_over"]
        assert handle.calls[-1] == ("hand_over", str(tmp_path))


@pytest.mark.parametrize("failure", [ActorDiedError(), CheckpointError("disk full")])
async def test_a_checkpoint_that_is_not_written_is_given_up_and_the_ranks_are_not(failure, tmp_path) -> None:
    ranks, handles = ranks_of(is_written=[False, failure], update=[(3, {})])
    handles[1]._methods["is_written"]._answers = [False, False, False, True]
    await ranks.save(tmp_path)
    with pytest.raises(CheckpointError):
        await ranks.written()
    assert handles[1].called().count("is_written") == 4, "no rank writes any more"
    await ranks.update([[], []])


async def test_a_checkpoint_that_is_never_written_has_a_deadline(tmp_path) -> None:
    ranks, _ = ranks_of(is_written=[False])
    ranks._deadlines = ranks._deadlines.model_copy(update={"checkpoint_s": 0.2, "learn_s": 0.1})
    await ranks.save(tmp_path)
    with pytest.raises(CheckpointError, match=r"not written in 0.3 s"):
        await ranks.written()
