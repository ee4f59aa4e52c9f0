"""What GRPO gets in each arm: prompts, their order, samples and tokens; an arm that gets something else must say so."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from vlaa_ray.config import GrpoConfig, Varied

_DATA_KEYS = ("train", "verifier_types", "verifier_type", "image_root", "num_train")


@dataclass(frozen=True)
class Budget:
    """What all GRPO stages of an arm get together, with one seed.

    `order` is what fixes the sequence of the prompts besides the data: the number of prompts of each stage. The seeds
    are the same in all arms.
    """

    data: tuple[tuple[str, str], ...]
    order: tuple[int, ...]
    num_samples: int
    max_tokens: int
    """The most completion tokens that the samples can have."""

    @property
    def num_prompts(self) -> int:
        """The number of prompts, those that come twice counted twice."""
        return sum(self.order)

    def text(self) -> str:
        """Return the budget in words."""
        return (
            f"{self.num_samples:,} samples of {self.num_prompts:,} prompts, "
            f"at most {self.max_tokens:,} completion tokens"
        )

    def as_dict(self) -> dict[str, Any]:
        """Return the numbers as `result.json` holds them."""
        return {"prompts": self.num_prompts, "samples": self.num_samples, "max_completion_tokens": self.max_tokens}


def budget_of(stages: tuple[GrpoConfig, ...]) -> Budget | None:
    """Return what these GRPO stages get; None without any."""
    if not stages:
        return None
    data = tuple((key, repr(getattr(stage.data, key))) for stage in stages for key in _DATA_KEYS)
    order = tuple(stage.run.num_steps * stage.rollout.prompts_per_step for stage in stages)
    samples = [count * stage.rollout.group_size for count, stage in zip(order, stages, strict=True)]
    tokens = sum(count * stage.rollout.max_completion_tokens for count, stage in zip(samples, stages, strict=True))
    return Budget(data, order, sum(samples), tokens)


def differences(budget: Budget, reference: Budget) -> dict[Varied, str]:
    """Return what differs between two budgets, with both values in words."""
    found: dict[Varied, str] = {}
    if changed := [key for (key, value) in budget.data if (key, value) not in reference.data]:
        found["data"] = f"data.{', data.'.join(dict.fromkeys(changed))}"
    elif len(budget.data) != len(reference.data):
        found["data"] = "the number of GRPO stages"
    if budget.order != reference.order:
        found["order"] = f"{budget.num_prompts:,} prompts instead of {reference.num_prompts:,}"
    if (budget.num_samples, budget.max_tokens) != (reference.num_samples, reference.max_tokens):
        found["budget"] = f"{budget.text()} instead of {reference.text()}"
    return found


def budget_problems(budgets: Mapping[str, Budget], varies: Mapping[str, tuple[Varied, ...]]) -> dict[str, list[str]]:
    """Return by arm what it gets differently from the first arm with GRPO without saying so."""
    reference = next(iter(budgets.values()), None)
    problems: dict[str, list[str]] = {}
    for name, budget in budgets.items():
        assert reference is not None
        for what, words in differences(budget, reference).items():
            if what not in varies[name]:
                text = f"its GRPO has another {what} than the first arm's: {words}; add `varies: [{what}]` if it should"
                problems.setdefault(name, []).append(text)
    return problems
