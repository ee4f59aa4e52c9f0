"""Real ranks of DeepSpeed whose memory is moved out and back between two steps, under every ZeRO stage.

Run as a script, this file is one of the two ranks. On the CPU the memory goes from RAM to RAM; the code is the same.
"""

import json
import sys
from pathlib import Path

import pytest

STAGES = ("zero0", "zero2 with a reference", "zero3", "bf16 zero2")

pytestmark = [pytest.mark.integration, pytest.mark.timeout(600)]


@pytest.fixture(scope="module")
def ranks(tmp_path_factory):
    from ranks import launch_ranks

    return launch_ranks(Path(__file__), tmp_path_factory.mktemp("offloading") / "two", 2, ["offloaded"])["offloaded"]


@pytest.mark.parametrize("stage", STAGES)
def test_steps_with_journeys_between_them_equal_steps_without(ranks, stage) -> None:
    for rank in ranks:
        assert rank[stage]["largest"] == 0.0 and rank[stage]["journeys"] == rank[stage]["without"]


@pytest.mark.parametrize("stage", STAGES)
def test_nothing_stays(ranks, stage) -> None:
    for rank in ranks:
        before, after = rank[stage]["bytes"]
        assert before > 5_000_000 and after == 0, "weights, optimizer states, flat buffers"


def offloaded(world):
    from worker import end, steps_of

    from vlaa_ray.learner.offloading import tensors_of

    options = {
        "zero0": {"learner": {"zero_stage": 0}},
        "zero2 with a reference": {"learner": {"zero_stage": 2}, "grpo": {"kl": {"coefficient": 0.1}}},
        "zero3": {"learner": {"zero_stage": 3}},
        "bf16 zero2": {"learner": {"zero_stage": 2}, "model": {"dtype": "bf16"}},
    }

    def size(learner):
        engine, reference = learner.core.engine, learner._reference
        tensors = tensors_of(engine._engine.module, engine._engine.optimizer, engine._optimizer, reference)
        storages = {
            tensor.untyped_storage()._cdata: tensor.untyped_storage() for tensor in tensors if not tensor.is_meta
        }
        # on the CPU the weights of a checkpoint may be a mapped file, which takes no memory to give back
        return sum(storage.nbytes() for storage in storages.values() if storage.resizable())

    def run(journeys, **changes):
        learner = world.learner(**changes, optim={"learning_rate": 1e-3, "max_grad_norm": 1.0}, num_steps=3)
        rows, sizes = [], None
        for step in range(3):
            rows += steps_of(world, learner, step, step + 1)
            if journeys and step < 2:
                before = size(learner)
                learner.offload()
                sizes = before, size(learner)
                learner.reload()
        weights = {name: value.clone() for name, value in learner.core.weights()}
        end(learner)
        return rows, weights, sizes

    results = {}
    for name, changes in options.items():
        without, expected, _ = run(False, **changes)
        journeys, weights, sizes = run(True, **changes)
        largest = max(float((weights[key] - expected[key]).abs().max()) for key in weights)
        results[name] = {"without": without, "journeys": journeys, "largest": largest, "bytes": sizes}
    return results


def main() -> None:
    import torch
    from worker import World

    from vlaa_ray.learner.deepspeed import set_rank_environment

    rank, num_ranks, port, folder = *map(int, sys.argv[1:4]), Path(sys.argv[4])
    set_rank_environment(rank, num_ranks, "127.0.0.1", port, cpu=True)
    torch.set_num_threads(1)
    (folder / f"offloaded.{rank}.json").write_text(json.dumps(offloaded(World(rank, num_ranks, folder))))


if __name__ == "__main__":
    main()
