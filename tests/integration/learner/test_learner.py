"""The learner on one and two real ranks against transformers' own forward pass, one row a sample, and against itself.

`worker.py` holds the cases. They run in three launches, each of which starts its ranks once.
"""

import math
from pathlib import Path

import pytest
from ranks import launch_ranks

from vlaa_ray.algorithms.advantages import ADVANTAGES
from vlaa_ray.algorithms.losses import LOSSES

ONE = [
    "gradient",
    "checkpointing",
    "frozen",
    "two_updates",
    "methods",
    "kl",
    "bf16",
    "clipping",
    "supervised",
    "banned",
]
TWO = ["gradient_of_two", "streamed", "optimizer_in_ram", "zero_stages", "few_groups", "save"]
STAGES = ("0", "1", "2", "3")

pytestmark = [pytest.mark.integration, pytest.mark.timeout(900)]


def launch(folder: Path, num_ranks: int, cases: list[str]) -> dict[str, list]:
    """Case to what each rank says of it."""
    return launch_ranks(Path(__file__).with_name("worker.py"), folder, num_ranks, cases)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("learner")


@pytest.fixture(scope="module")
def one(folder):
    return {case: ranks[0] for case, ranks in launch(folder / "one", 1, ONE).items()}


@pytest.fixture(scope="module")
def two(folder, one):  # `gradient_of_two` compares with what `gradient` left
    return launch(folder / "two", 2, TWO)


@pytest.fixture(scope="module")
def resumed(folder, two):
    return launch(folder / "resumed", 2, ["resume"])["resume"]


@pytest.mark.parametrize("aggregation", ["grpo", "dapo", "dr_grpo"])
def test_group_rows_give_the_loss_and_gradient_of_one_row_a_sample(one, aggregation):
    found = one["gradient"][aggregation]
    assert found["loss"] == pytest.approx(found["stock_loss"], abs=1e-6)
    assert found["distance"] <= 1e-5
    assert found["norm"][0] == pytest.approx(found["norm"][1], rel=1e-5)


def test_the_gradient_is_the_same_for_any_micro_batch_and_any_order(one):
    found = one["gradient"]
    most = [max(case["rows"]) for case in found["micro_batches"]]  # short rows leave room for more than were asked for
    assert 1 <= most[0] < most[1] < most[2] < most[3] == 8
    assert sum(found["split"]["rows"]) > 8  # groups were split into rows of fewer completions
    for case in [*found["micro_batches"], found["shuffled"], found["split"]]:
        assert case["distance"] <= 1e-5, case


def test_two_ranks_give_the_gradient_of_one(one, two):
    for rank in two["gradient_of_two"]:
        for case in rank:
            assert case["distance"] <= 1e-5
            assert case["norm"] == pytest.approx(one["gradient"]["grpo"]["norm"][1], rel=1e-5)


@pytest.mark.parametrize("case", ["fp32/0/0.0", "fp32/1/0.0", "fp32/2/0.0", "fp32/3/0.0", "fp32/2/0.5", "bf16/0/0.0"])
def test_a_step_learned_part_by_part_is_the_step_learned_at_once(two, case):
    for rank in two["streamed"]:
        found = rank[case]
        # bf16 rounds at 4e-3, and rows of other lengths at other places; how far, depends on the CPU's kernels
        first, second = (1e-6, 1e-5) if case.startswith("fp32") else (5e-2, 5e-2)
        assert found["metrics"][0] <= first and found["metrics"][1] <= second, found
        # AdamW's first steps go by the signs of gradients: those close to 0 may turn, in bf16 more of them
        assert found["weights"] <= (1e-4 if case.startswith("fp32") else 0.3), found
        assert found["norm"] > 0.05  # it was clipped


@pytest.mark.parametrize("case", ["fp32/2", "fp32/3", "bf16/2", "bf16/3"])
def test_an_optimizer_in_ram_does_the_same_steps(two, case):
    for rank in two["optimizer_in_ram"]:
        found = rank[case]
        assert found["norms"][1] == pytest.approx(found["norms"][0], rel=1e-5)
        assert found["largest"] <= (1e-5 if case.startswith("fp32") else 1e-2), found  # a step is 1e-3


def test_gradient_checkpointing_changes_nothing_but_memory(one):
    found = one["checkpointing"]
    assert found["distance"] <= 1e-6
    assert found["layers"][0] == 0 and found["layers"][1] > 0


def test_a_frozen_vision_tower_stays_while_merger_and_language_model_learn(one):
    for stage, changed in one["frozen"].items():
        tower = {name for name in changed if ".visual." in name and ".merger." not in name}
        assert tower and not any(changed[name] for name in tower), stage
        assert all(changed[name] for name in changed.keys() - tower), stage


def test_two_updates_on_one_set_of_rollouts_equal_adamw_and_the_clipped_surrogate(one):
    found = one["two_updates"]
    assert found["version"] == 2
    # AdamW's first step is the rate times the gradient's sign: where a gradient is rounding, the weights differ by it
    assert found["loss"][0] == pytest.approx(found["loss"][1], rel=5e-4)
    assert found["clip_share"][0] == pytest.approx(found["clip_share"][1], abs=1e-3) and found["clip_share"][1] > 0
    assert found["distance"] <= 0.01


@pytest.mark.parametrize("method", [*LOSSES, *ADVANTAGES])
def test_every_loss_and_estimator_raises_what_its_advantages_reward(one, method):
    found = one["methods"][method]
    for updates, run in enumerate(found["runs"], start=1):
        assert all(math.isfinite(value) for value in run.values())
        assert run["gained"] > 0 and run["policy/grad_norm"] > 0
        assert (run["policy/ratio_max"] == 1) == (updates == 1)  # the first update is on policy
        shares = run["policy/clip_low_share"], run["policy/clip_high_share"]
        assert sum(shares) == pytest.approx(run["policy/clip_share"])
    assert found["trains_flat"] == (method == "reinforce_pp")


@pytest.mark.parametrize("loss", LOSSES)
def test_on_policy_every_loss_has_the_gradient_of_the_plain_policy_gradient(one, loss):
    assert one["methods"][loss]["distance"] <= 1e-5


@pytest.mark.parametrize("estimator", ["k1", "k2", "k3"])
def test_kl_is_that_of_stock_logprobs_and_steers_its_coefficient(one, estimator):
    coefficient = 0.5
    for step, (found, expected, used) in enumerate(one["kl"][estimator]):
        assert found == pytest.approx(expected, rel=1e-4, abs=1e-5)
        assert (abs(found) < 1e-6) == (step == 0)  # the first policy is its own reference
        assert used == pytest.approx(coefficient)
        coefficient *= 1 + max(-0.2, min(0.2, found / 0.05 - 1)) * 16 / 100


def test_the_gradient_of_kl_alone_is_that_of_its_formula(one):
    assert one["kl"]["distance"] <= 1e-5


@pytest.mark.parametrize("stage", STAGES)
def test_bf16_learns_as_fp32_does(one, stage):
    found = one["bf16"][stage]
    assert found["dtypes"] == ["bfloat16", "torch.bfloat16"]
    assert found["losses"][0] == pytest.approx(found["fp32_losses"][0], abs=0.02)
    assert found["moved"] > 0 and all(0 < norm < 100 for norm in found["norms"])


@pytest.mark.parametrize("stage", STAGES)
def test_a_gradient_is_clipped_to_its_limit_and_reported_before(one, stage):
    found = one["clipping"][stage]
    assert found["norms"][0] == pytest.approx(found["norms"][1], rel=1e-4) and found["norms"][0] > 0.01
    assert found["norms"][0] == pytest.approx(one["clipping"]["0"]["norms"][0], rel=1e-4)
    assert found["clipped"] == pytest.approx(0.01, rel=1e-3)


def test_supervised_loss_and_gradient_are_the_mean_over_answer_tokens(one):
    found = one["supervised"]
    assert found["loss"][0] == pytest.approx(found["loss"][1], rel=1e-5)
    assert found["distance"] <= 1e-5
    assert min(found["later"]) < found["loss"][0] / 4


def test_a_banned_token_is_refused_before_the_weights_change(one):
    assert "not finite" in one["banned"]["message"]
    assert one["banned"]["moved"] == 0


@pytest.mark.parametrize("mix", ["images", "half", "text"])
@pytest.mark.parametrize("stage", STAGES)
def test_all_zero_stages_agree_step_by_step(two, mix, stage):
    for rank in two["zero_stages"]:
        found, reference = rank[f"{mix}/{stage}"], rank[f"{mix}/0"]
        assert found["losses"] == pytest.approx(reference["losses"], abs=1e-4)
        assert found["norms"] == pytest.approx(reference["norms"], rel=1e-3)
        assert found["largest"] <= 1e-4 < found["moved"]


@pytest.mark.parametrize("stage", STAGES)
def test_ranks_without_a_group_take_part_in_everything(two, stage):
    first, second = (rank[stage] for rank in two["few_groups"])
    assert first == second
    assert first == [pytest.approx(row, abs=1e-4) for row in two["few_groups"][0]["0"]]
    assert first[1] == [0, 0]  # a step without any group


@pytest.mark.parametrize("kind", ["zero0", "zero2", "zero3", "bf16"])
def test_what_is_sent_and_exported_is_the_model(two, kind):
    found = two["save"][0][kind]
    assert found["sent"] == found["manifest"]
    assert found["export"]["missing"] == [] and found["export"]["largest"] == 0
    assert found["export"]["logprobs"] <= (0.1 if kind == "bf16" else 1e-4)
    assert {"config.json", "model.safetensors", "tokenizer.json"} <= set(found["export"]["files"])


@pytest.mark.parametrize("kind", ["zero0", "zero2", "zero3", "bf16"])
def test_two_steps_a_checkpoint_and_two_more_equal_four(two, resumed, kind):
    for rank, before in zip(resumed, two["save"], strict=True):
        found = rank[kind]
        assert found["version"] == 2
        for row, expected in zip(found["rows"], before[kind]["whole"][2:], strict=True):
            assert row == pytest.approx(expected, abs=1e-6)
        assert found["largest"] <= 1e-7
