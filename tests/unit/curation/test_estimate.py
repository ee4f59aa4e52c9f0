"""What a curation would ask for, by hand."""

import pytest
from curating import config

from vlaa_ray.curation.estimate import estimate, estimate_table, over_budget
from vlaa_ray.curation.metadata import iterate_samples
from vlaa_ray.curation.sample import STEPS
from vlaa_ray.curation.steps import Steps
from vlaa_ray.services.call_store import Spent

BUILTIN = [{"path": "builtin:train", "max_samples": 10}]
PRICES = {"input_price": 2.0, "output_price": 10.0}


def shown(table):
    return [[*column.cells, column.footer] for column in table.columns]


def test_every_sample_is_taken_to_pass_every_step():
    made = config(sources=BUILTIN, teacher=PRICES)
    found = estimate(made, {})
    assert {step: one.spent.calls for step, one in found.items()} == dict.fromkeys(STEPS, 10)
    assert [found[step].spent.output_tokens for step in STEPS] == [640, 1280, 1280, 40]  # ten times max_tokens
    prompts = {step: [] for step in STEPS}
    for sample in iterate_samples(made, None):
        for call in Steps(made).longest_calls(sample):
            prompts[call.step].append(call.prompt)
    assert all(prompt.isascii() for prompt in prompts["caption"])
    by_hand = sum(-(-len(prompt) * 2 // 7) + 1024 for prompt in prompts["caption"])  # 3.5 characters a token
    assert found["caption"].spent.input_tokens == by_hand
    assert found["caption"].spent.cost == pytest.approx((by_hand * 2 + 640 * 10) / 1e6)
    caption_tokens = 64
    assert all(len(prompt) > 3.5 * caption_tokens for prompt in prompts["distill"])
    assert all(len(prompt) > 3.5 * 128 for prompt in prompts["rewrite"] + prompts["verify"])


def test_a_step_with_recorded_calls_is_reckoned_with_their_mean():
    recorded = {"distill": Spent(4, 4000, 800, 2.0, 1.0), "perplexity": Spent(3)}
    found = estimate(config(sources=BUILTIN), recorded)
    distill = found["distill"]
    assert (distill.measured_on, found["verify"].measured_on) == (4, 0)
    assert (distill.spent.input_tokens, distill.spent.output_tokens) == (10_000, 2000)
    assert distill.spent.cost == pytest.approx(5.0)


def test_what_is_not_to_be_distilled_costs_nothing():
    section = {**BUILTIN[0], "use": "rl_only"}
    found = estimate(config(sources=[section]), {})
    assert all(one.spent == Spent() for one in found.values())


def test_the_table_adds_up():
    found = estimate(config(sources=BUILTIN, teacher=PRICES), {"verify": Spent(2, 20, 2, 0.5)})
    steps, calls, _, outputs, cost, basis = shown(estimate_table(found))
    assert steps == [*STEPS, "total"] and calls == ["10"] * 4 + ["40"]
    assert outputs == ["640", "1,280", "1,280", "10", "3,210"]
    assert basis == ["maximum length"] * 3 + ["mean of 2 recorded", ""]
    total = sum(one.spent.cost for one in found.values())
    assert cost[3] == "2.50" and cost[-1] == f"{total:.2f}"


def test_a_budget_that_is_too_small_is_told_beforehand():
    made = config(sources=BUILTIN, teacher=PRICES, budget={"calls": 39, "tokens": 10**9})
    (line,) = over_budget(estimate(made, {}), made)
    assert line.startswith("budget.calls = 39 is below the estimate of 40")
