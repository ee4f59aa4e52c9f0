"""Placement, and parameters counted against transformers' own models."""

import json
from pathlib import Path

import pytest
from plans import QWEN_3B, QWEN_7B, TINY, make

from vlaa_ray.config import PoolSection, SftConfig
from vlaa_ray.errors import ModelError
from vlaa_ray.models.dimensions import KNOWN_MODELS, count_parameters, model_dimensions
from vlaa_ray.planning.memory import memory_estimate
from vlaa_ray.planning.placement import market_labels, plan, strategy


@pytest.mark.parametrize("untied", [False, True])
@pytest.mark.parametrize("dimensions", [TINY, *KNOWN_MODELS.values()], ids=["tiny", *KNOWN_MODELS])
def test_parameters_are_counted_as_transformers_builds_them(dimensions: dict, untied: bool) -> None:
    import torch
    from transformers import AutoConfig, AutoModelForImageTextToText

    if untied:
        text = {**dimensions.get("text_config", {}), "tie_word_embeddings": False}
        dimensions = {**dimensions, "tie_word_embeddings": False} | ({"text_config": text} if len(text) > 1 else {})
    config = AutoConfig.for_model(**dimensions)
    with torch.device("meta"):
        model = AutoModelForImageTextToText.from_config(config)
    sizes = {name: parameter.numel() for name, parameter in model.named_parameters()}
    count = count_parameters(dimensions)
    assert count.total == sum(sizes.values())
    assert count.merger == sum(size for name, size in sizes.items() if ".merger." in name)
    assert count.vision == sum(s for name, s in sizes.items() if ".visual." in name and ".merger." not in name)
    assert count.largest == max(sizes.values())
    assert count_parameters(json.loads(config.to_json_string())) == count  # the layout that transformers saves


def test_the_published_sizes() -> None:
    assert count_parameters(QWEN_3B).total == 3_754_622_976  # "3.75B" and "8.29B" on the models' pages
    assert count_parameters(QWEN_7B).total == 8_292_166_656


def test_every_actor_has_a_bundle() -> None:
    config = make(
        rollout={"num_actors": 3, "cpus_per_actor": 2, "gpus_per_actor": 2, "prompts_per_step": 8},
        rewards={"num_actors": 2, "cpus_per_actor": 0.5},
        learner={"num_ranks": 4, "cpus_per_rank": 1.5, "gpus_per_rank": 1},
    )
    placement = plan(config)
    assert placement.bundles == {
        "learner": [{"CPU": 1.5, "GPU": 1}] * 4,
        "rollout": [{"CPU": 2, "GPU": 2}] * 3,
        "reward": [{"CPU": 0.5}] * 2,
    }
    assert (placement.total_cpus, placement.total_gpus) == (4 * 1.5 + 3 * 2 + 2 * 0.5, 10)


def test_a_supervised_run_has_only_a_learner() -> None:
    config = SftConfig.model_validate({"run": {"name": "x", "num_steps": 1}, "model": {"path": "m"}})
    assert plan(config).bundles == {"learner": [{"CPU": 1}]}
    assert {row.role for row in memory_estimate(config, TINY)} == {"learner"}


def test_dimensions_come_from_the_folder_then_from_the_table(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps(TINY))
    assert model_dimensions(str(tmp_path)) == TINY
    assert model_dimensions("Qwen/Qwen2.5-VL-3B-Instruct") == QWEN_3B
    with pytest.raises(ModelError, match="dimensions are unknown") as caught:
        model_dimensions("someone/else")
    assert "download" in caught.value.fix
    (tmp_path / "config.json").write_text("{")
    with pytest.raises(ModelError, match="not a JSON object"):
        model_dimensions(str(tmp_path))


RANKS = [{"CPU": 2, "GPU": 1}] * 4
NODE = {"CPU": 32, "GPU": 8, "memory": 1e11}


@pytest.mark.parametrize(
    ("learner", "nodes", "expected"),
    [
        (RANKS, [NODE], "PACK"),
        (RANKS, [NODE, NODE], "STRICT_PACK"),
        (RANKS, [{"CPU": 32}, NODE], "STRICT_PACK"),
        (RANKS, [{"CPU": 32, "GPU": 2}, {"CPU": 32, "GPU": 3}], "PACK"),  # no node has 4 GPUs
        (RANKS, [{"CPU": 7, "GPU": 8}] * 2, "PACK"),  # nor 8 CPUs
        (RANKS[:1], [NODE, NODE], "PACK"),
        (RANKS, [], "PACK"),  # an autoscaler has not made a node yet
    ],
)
def test_all_ranks_are_on_one_node_of_several_if_one_can_hold_them(learner, nodes, expected) -> None:
    assert strategy(learner, nodes) == expected


def test_only_the_learner_is_reserved_as_a_whole() -> None:
    placement = plan(make(rollout={"num_actors": 3, "max": 5}, learner={"num_ranks": 2})).gang()
    assert placement.reserved() == [{"CPU": 1}] * 2 and placement.bundles.keys() == {"learner"}


def test_a_plan_has_room_for_the_largest_pools() -> None:
    placement = plan(make(rollout={"num_actors": 2, "max": 5}, rewards={"min": 1, "max": 3}))
    assert {role: len(bundles) for role, bundles in placement.bundles.items()} == {
        "learner": 1,
        "rollout": 5,
        "reward": 3,
    }


@pytest.mark.parametrize(
    ("nodes", "avoided", "expected"),
    [
        ({}, (), [{}]),
        ({"prefer": "spot"}, (), [{"ray.io/market-type": "spot"}]),
        (
            {"prefer": "spot", "fallback": "on-demand"},
            (),
            [{"ray.io/market-type": "spot"}, {"ray.io/market-type": "on-demand"}],
        ),
        ({}, ("b", "a"), [{"ray.io/node-id": "!in(a,b)"}]),
        ({"prefer": "spot"}, ("a",), [{"ray.io/market-type": "spot", "ray.io/node-id": "!in(a)"}]),
    ],
)
def test_actors_of_a_pool_ask_for_their_kind_of_node(nodes, avoided, expected) -> None:
    assert market_labels(PoolSection.model_validate({"nodes": nodes}), avoided) == expected
