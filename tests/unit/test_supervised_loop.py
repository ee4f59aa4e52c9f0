"""The loop of training on written answers, with a learner that only counts: its length, its early end, its resume."""

import json

import pytest

from vlaa_ray import supervised_loop
from vlaa_ray.config import SftConfig
from vlaa_ray.run.checkpoints import CheckpointStore
from vlaa_ray.storage.layout import HELDOUT_MODEL, NOTES, PLAN


class OneRank:
    """A group of one rank: what it gathers is its own."""

    rank, num_ranks, is_first = 0, 1, True

    def gather(self, item):
        return [item]

    def from_first(self, item):
        return item

    def barrier(self):
        pass


class Counting:
    """A learner whose held-out loss is given for each step, and whose checkpoint is the number of its steps."""

    def __init__(self, losses, seen):
        self.losses, self.seen, self.steps = losses, seen, 0
        self.core = self

    def update(self, prompts, step, num_steps):
        assert step == self.steps
        self.steps += 1
        self.seen.append(([prompt.prompt_id for prompt in prompts], step, num_steps))
        return {"policy/loss": 1.0, "samples/dropped": 0}

    def evaluate(self, prompts):
        return {"eval/loss": self.losses[self.steps], "eval/samples/dropped": 0}

    def save(self, folder, step):
        (folder / "hf").mkdir()
        (folder / "hf/config.json").write_text(json.dumps({"step": step}))

    def load(self, folder):
        self.steps = json.loads((folder / "hf/config.json").read_text())["step"]
        return self.steps

    def export(self, folder):
        folder.mkdir(exist_ok=True)
        (folder / "config.json").write_text(json.dumps({"step": self.steps}))


class Rewards:
    """Held-out rewards that need two waits; the reward is the step of the model that was written."""

    def __init__(self, folder):
        self.folder, self.began, self.waits = folder, [], 0

    def begin(self, step):
        self.began.append(step)

    def result(self, timeout_s):
        self.waits += 1
        if self.waits % 2:
            return None
        model = json.loads((self.folder / HELDOUT_MODEL / "config.json").read_text())
        return {"eval/reward/mean": float(model["step"])}


@pytest.fixture
def train(tmp_path, monkeypatch):
    """Runs the loop on ten records, two a step, in `tmp_path`; from step 0, or from the newest checkpoint."""
    turns = [{"from": "human", "value": "Say it."}, {"from": "gpt", "value": "<CONCLUSION>1</CONCLUSION>"}]
    (tmp_path / "said.json").write_text(json.dumps([{"conversations": turns}] * 10))
    (tmp_path / "logs").mkdir()
    monkeypatch.setattr(supervised_loop, "join_ranks", lambda learner: None)
    monkeypatch.setattr(supervised_loop, "RankGroup", OneRank)

    def run(losses, *, resume=False, rewards=None, length=None, **early_stopping):
        seen = []
        config = SftConfig.model_validate(
            {
                "run": {"name": "x", **(length or {"num_steps": 8})},
                "model": {"path": "m"},
                "data": {"train": str(tmp_path / "said.json"), "heldout": str(tmp_path / "said.json")},
                "sft": {"samples_per_step": 2, "early_stopping": early_stopping or None},
                "eval": {"every_steps": 2},
                "checkpoint": {"every_steps": 3, "keep": 9},
                "tracking": {"tensorboard": False, "wandb": "disabled"},
            }
        )
        monkeypatch.setattr(supervised_loop, "make_learner", lambda config, folder: Counting(losses, seen))
        newest = CheckpointStore(tmp_path / "checkpoints", keep=9).latest() if resume else None
        supervised_loop.train(config, tmp_path, newest, rewards)
        return seen

    return run


def rows(folder):
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]


def saved(folder):
    return [path.name for path in CheckpointStore(folder / "checkpoints", keep=9).paths()]


FALLING = [1 / (step + 1) for step in range(20)]


def test_epochs_become_steps_once_the_data_is_read(train, tmp_path):
    seen = train(FALLING, length={"num_epochs": 1.5})
    assert [(step, total) for _, step, total in seen] == [(step, 8) for step in range(8)]  # 15 samples, two a step
    taken = [prompt for prompts, _, _ in seen for prompt in prompts]
    assert len(set(taken[:10])) == 10 and len(set(taken[10:])) == 6  # the last step is filled from the second pass
    assert json.loads((tmp_path / PLAN).read_text()) == {"num_steps": 8, "num_epochs": 1.5}
    assert [row["step"] for row in rows(tmp_path) if "eval/loss" in row] == [2, 4, 6, 8]
    assert saved(tmp_path) == ["step_000003", "step_000006", "step_000008"]


def test_a_run_ends_early_and_saves_its_last_step(train, tmp_path):
    losses = [0, 0, 1.0, 0, 0.95, 0, 0.92, 0, 0.5]  # by step; 0.95 and 0.92 are not below 1.0 - 0.1
    seen = train(losses, patience=2, min_delta=0.1)
    assert len(seen) == 6 and {total for _, _, total in seen} == {8}  # the schedule is that of the whole run
    assert saved(tmp_path) == ["step_000003", "step_000006"]
    assert json.loads((tmp_path / PLAN).read_text())["stopped_early"] == {"patience": 2, "min_delta": 0.1}
    assert (
        "not lower in 2 evaluations; it was lowest at step 2: 1; the run has ended early"
        in (tmp_path / NOTES).read_text()
    )
    assert train(losses, resume=True, patience=2, min_delta=0.1) == []  # it is over
    assert len(train(losses, resume=True)) == 2  # without the early end it goes on


def test_a_resumed_run_ends_early_where_the_undisturbed_one_does(train, tmp_path):
    losses = [0, 0, 1.0, 0, 0.95, 0, 0.92, 0, 0.5]
    with pytest.raises(IndexError):  # dies at the evaluation of step 4, after the checkpoint of step 3
        train(losses[:4], patience=2, min_delta=0.1)
    assert saved(tmp_path) == ["step_000003"]
    seen = train(losses, resume=True, patience=2, min_delta=0.1)
    assert [step for _, step, _ in seen] == [3, 4, 5]


def test_held_out_rewards_are_those_of_the_newest_model(train, tmp_path):
    rewards = Rewards(tmp_path)
    train(FALLING, rewards=rewards)
    assert rewards.began == [0, 2, 4, 6, 8]
    evaluated = {row["step"]: row["eval/reward/mean"] for row in rows(tmp_path) if "eval/reward/mean" in row}
    assert evaluated == {0: 0, 2: 2, 4: 4, 6: 6, 8: 8}
    assert rows(tmp_path)[0] == {"step": 0, "eval/loss": 1.0, "eval/samples/dropped": 0, "eval/reward/mean": 0.0}


def test_a_run_without_held_out_rewards_begins_at_step_1(train, tmp_path):
    train(FALLING)
    assert [row["step"] for row in rows(tmp_path)] == list(range(1, 9))
    assert not (tmp_path / HELDOUT_MODEL).exists()
