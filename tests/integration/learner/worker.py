"""A learner rank for the tests beside this file: `worker.py RANK NUM_RANKS PORT FOLDER CASE…`.

Every case is a function of `World`; what it returns is written to FOLDER/CASE.RANK.json. Ranks call alike.
"""

import gc
import json
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from stock import stock_model, stock_with_weights_of

from vlaa_ray.algorithms.advantages import ADVANTAGES
from vlaa_ray.algorithms.losses import LOSSES
from vlaa_ray.algorithms.step_plan import Dealer, last_part, optimizer_steps, with_advantages
from vlaa_ray.config import GrpoConfig, SftConfig
from vlaa_ray.data.builtin import BuiltinData
from vlaa_ray.images.decode import load
from vlaa_ray.learner import feeding
from vlaa_ray.learner.deepspeed import set_rank_environment
from vlaa_ray.learner.rl import RLLearner
from vlaa_ray.models.batches import Row
from vlaa_ray.records import Completion, Group, OptimizerStep, RewardResult, Rollout

GROUP_SIZE = 4
MODEL = {"path": "builtin:tiny-base", "min_pixels": 3136, "max_pixels": 12544, "system_prompt": None}
NO_CLIP = 1e9


def config_of(
    *, learner: Any = None, optim: Any = None, model: Any = None, rollout: Any = None, num_steps: int = 10, **more: Any
) -> GrpoConfig:
    optim = {"learning_rate": 1e-4, "max_grad_norm": NO_CLIP, "warmup_share": 0.0, **(optim or {})}
    return GrpoConfig.model_validate(
        {
            "run": {"name": "test", "num_steps": num_steps},
            "model": {**MODEL, **(model or {})},
            "rollout": {"prompts_per_step": 8, "max_prompt_tokens": 64, "max_completion_tokens": 20, **(rollout or {})},
            "learner": {"num_threads": 1, "optim": optim, **(learner or {})},
            **more,
        }
    )


class World:
    def __init__(self, rank: int, num_ranks: int, folder: Path) -> None:
        self.rank, self.num_ranks, self.folder = rank, num_ranks, folder
        self.micro_batches: list[int] = []
        """Rows of each micro-batch since it was last cleared."""
        collate = feeding.collate

        def counting(rows: Any, *rest: Any) -> Any:
            self.micro_batches.append(len(rows))
            return collate(rows, *rest)

        feeding.collate = counting

    def learner(self, **changes: Any) -> RLLearner:
        changes["learner"] = {"num_ranks": self.num_ranks, **changes.get("learner", {})}
        torch.manual_seed(0)
        return RLLearner(config_of(**changes))

    def groups(
        self, learner: RLLearner, step: int, num: int = 8, text_only: Callable[[int], bool] = lambda i: False
    ) -> list[Group]:
        """Groups of samples drawn at random, with advantages; the same on every rank."""
        data, rng = BuiltinData("train"), np.random.default_rng(step)
        allowed = np.setdiff1d(np.arange(len(learner.core.chat.tokenizer)), learner.core.chat.banned_token_ids)
        made = []
        for i in range(num):
            prompt = data[step * num + i]
            if text_only(i):
                prompt = replace(prompt, images=())
            lengths = rng.integers(8, 15, GROUP_SIZE)
            rollouts = [
                Rollout(
                    completion=Completion(
                        text="",
                        token_ids=rng.choice(allowed, length).astype(np.int32),
                        rollout_logprobs=rng.uniform(-9, -1, length).astype(np.float32),
                        weight_versions=((0, 0, int(length)),),
                        finish_reason="stop",
                    ),
                    reward=RewardResult(value=0.0, valid=True),
                    advantage=float(advantage),
                )
                for length, advantage in zip(lengths, rng.normal(size=GROUP_SIZE), strict=True)
            ]
            ids = learner.core.chat.expanded_token_ids(prompt)
            made.append(Group(prompt=prompt, position=i, prompt_token_ids=ids, rollouts=tuple(rollouts)))
        return made

    def share(self, learner: RLLearner, groups: list[Group]) -> list[OptimizerStep]:
        config = learner._config
        return optimizer_steps(groups, config.grpo, config.learner)[self.rank]


# --- the witness: transformers' own forward pass on one row a sample, the loss written out -------------------


def stock_logprobs(
    learner: RLLearner, model: Any, group: Group, completion: np.ndarray, temperature: float
) -> torch.Tensor:
    ids = torch.from_numpy(np.concatenate([group.prompt_token_ids, completion]).astype(np.int64))[None]
    pixels = {}
    if group.prompt.images:
        images = [load(image) for image in group.prompt.images]
        pixels = learner.core.chat.processor.image_processor(images, return_tensors="pt")
    logits = model(
        input_ids=ids,
        attention_mask=torch.ones_like(ids),
        mm_token_type_ids=(ids == model.config.image_token_id).int(),
        use_cache=False,
        **pixels,
    ).logits[0, len(group.prompt_token_ids) - 1 : -1]
    logits = (logits.float() / temperature).index_fill(-1, learner.core.module.model.lm_head.banned, float("-inf"))
    return logits.log_softmax(-1).gather(-1, ids[0, len(group.prompt_token_ids) :, None])[:, 0]


def samples(groups: list[Group]) -> list[tuple[Group, Rollout]]:
    return [(group, rollout) for group in groups for rollout in group.rollouts]


def parameters(model: Any) -> dict[str, torch.Tensor]:
    return {name: parameter.detach().clone() for name, parameter in model.named_parameters()}


def gradients(model: Any) -> dict[str, torch.Tensor]:
    return {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}


def distance(found: dict[str, torch.Tensor], expected: dict[str, torch.Tensor]) -> float:
    """The largest of |found - expected| over the norm of all that is expected, parameter by parameter."""
    assert found.keys() == expected.keys()
    norm = torch.cat([value.flatten() for value in expected.values()]).norm()
    return float(max((found[name] - expected[name]).norm() / norm for name in expected))


def largest(found: dict[str, torch.Tensor], expected: dict[str, torch.Tensor]) -> float:
    assert found.keys() == expected.keys()
    return float(max((found[name].float() - expected[name].float()).abs().max() for name in expected))


def distance_moved(found: dict[str, Any], expected: dict[str, Any], start: dict[str, Any]) -> float:
    """How far `found` is from `expected`, over how far that is from `start`."""
    flat = [torch.cat([weights[name].double().flatten() for name in start]) for weights in (found, expected, start)]
    return float((flat[0] - flat[1]).norm() / (flat[1] - flat[2]).norm())


def relative(found: Any, expected: Any, start: Any) -> float:
    """How far `found` is from `expected`, over how far that is from `start`."""
    flat = [
        torch.cat([p.detach().double().flatten() for p in model.parameters()]) for model in (found, expected, start)
    ]
    return float((flat[0] - flat[1]).norm() / (flat[1] - flat[2]).norm())


def update_and_gradient(
    learner: RLLearner, share: list[OptimizerStep]
) -> tuple[dict[str, float], dict[str, torch.Tensor]]:
    """A whole update under ZeRO-0, and the gradient that its optimizer saw."""
    seen: dict[str, torch.Tensor] = {}
    hook = learner.core.engine._optimizer.register_step_pre_hook(
        lambda *_: seen.update(gradients(learner.core.module.model))
    )
    metrics = learner.update(share)
    hook.remove()
    return metrics, seen


def end(learner: RLLearner) -> None:
    learner.core.engine._engine.destroy()
    gc.collect()
    gc.freeze()  # what is left are modules, and the next collection would walk through them for longer than an update


# --- cases of one rank ---------------------------------------------------------------------------------------


def gradient(world: World) -> Any:
    """Group rows in micro-batches of all sizes against stock rows, and the file for `gradient_of_two`."""
    results: dict[str, Any] = {}
    for aggregation, staleness in (("grpo", 0), ("dapo", 1), ("dr_grpo", 0)):
        options: Any = {
            "rollout": {"temperature": 0.8},
            "grpo": {"aggregation": aggregation},
            "max_staleness": staleness,
        }
        learner = world.learner(**options)
        groups = world.groups(learner, 0, text_only=lambda i: i % 4 == 3)
        model = stock_model(learner._config.model)
        counts = {
            "grpo": 8 * GROUP_SIZE,
            "dapo": sum(len(r.completion.token_ids) for _, r in samples(groups)),
            "dr_grpo": 8 * GROUP_SIZE * 20,
        }
        stock_loss = 0.0
        for group, rollout in samples(groups):
            logprobs = stock_logprobs(learner, model, group, rollout.completion.token_ids, 0.8)
            rollout_logprobs = torch.from_numpy(rollout.completion.rollout_logprobs)
            importance = torch.exp(logprobs.detach() - rollout_logprobs).clamp(max=2.0) if staleness else 1.0
            weight = 1 / counts[aggregation] / (len(logprobs) if aggregation == "grpo" else 1)
            ratio = torch.exp(logprobs - logprobs.detach())
            loss = -(weight * importance * ratio * rollout.advantage).sum()
            loss.backward()
            stock_loss += float(loss)
        expected = gradients(model)
        metrics, found = update_and_gradient(learner, world.share(learner, groups))
        results[aggregation] = {
            "loss": metrics["policy/loss"],
            "stock_loss": stock_loss,
            "distance": distance(found, expected),
        }
        results[aggregation]["norm"] = [
            metrics["policy/grad_norm"],
            float(torch.cat([v.flatten() for v in expected.values()]).double().norm()),
        ]
        end(learner)
        if aggregation == "grpo":
            torch.save(expected, world.folder / "gradient.pt")
            longest = max(
                len(g.prompt_token_ids) + sum(len(r.completion.token_ids) - 1 for r in g.rollouts) for g in groups
            )
            results["micro_batches"] = [
                micro_batches(world, options, rows * longest, expected, 0) for rows in (1, 2, 4, 8)
            ]
            results["shuffled"] = micro_batches(world, options, 3 * longest, expected, 1)
            results["split"] = micro_batches(world, options, longest * 2 // 3, expected, 0)
    return results


def micro_batches(world: World, options: Any, limit: int, expected: dict[str, torch.Tensor], shuffle: int) -> Any:
    learner = world.learner(**options, learner={"micro_batch_tokens": max(limit, 84)})
    learner.core._learner = learner.core._learner.model_copy(
        update={"micro_batch_tokens": limit}
    )  # the config asks for more
    groups = world.groups(learner, 0, text_only=lambda i: i % 4 == 3)
    if shuffle:
        order = np.random.default_rng(shuffle).permutation(len(groups))
        groups = [replace(groups[i], rollouts=groups[i].rollouts[::-1]) for i in order]
    world.micro_batches.clear()
    _, found = update_and_gradient(learner, world.share(learner, groups))
    end(learner)
    return {"rows": list(world.micro_batches), "distance": distance(found, expected)}


def streamed(world: World) -> Any:
    """A step that is learned part by part against the same step at once: metrics and weights, under every stage."""
    results = {}
    for dtype, stage, kl in [*(("fp32", stage, 0.0) for stage in (0, 1, 2, 3)), ("fp32", 2, 0.5), ("bf16", 0, 0.0)]:
        found = []
        for in_parts in (False, True):
            learner = world.learner(
                model={"dtype": dtype},
                learner={"zero_stage": stage},
                optim={"max_grad_norm": 0.05, "learning_rate": 1e-3},
                grpo={"kl": {"coefficient": kl}, "aggregation": "grpo"},
            )
            metrics = []
            before = {name: value.clone() for name, value in learner.core.weights()}
            for step in range(2):
                groups = world.groups(learner, step)
                grpo = learner._config.grpo
                if not in_parts:
                    shares = [[*groups[rank :: world.num_ranks]] for rank in range(world.num_ranks)]
                    metrics.append(learner.update(last_part(groups, shares, grpo)[world.rank]))
                    continue
                dealer = Dealer(learner._config.learner.model_copy(update={"micro_batch_tokens": 84}))
                for group in groups:
                    if part := dealer.add(group):
                        learner.accumulate(part[world.rank])
                metrics.append(learner.update(last_part(groups, dealer.rest(), grpo)[world.rank]))
            found.append((metrics, {name: value.clone() for name, value in learner.core.weights()}))
            end(learner)
        (whole, weights), (parts, weights_in_parts) = found
        results[f"{dtype}/{stage}/{kl}"] = {
            "metrics": [  # of each step
                max(abs(one[name] - other[name]) / max(1.0, abs(one[name])) for name in one)
                for one, other in zip(whole, parts, strict=True)
            ],
            "weights": distance_moved(weights_in_parts, weights, before),
            "norm": whole[0]["policy/grad_norm"],
        }
    return results


def optimizer_in_ram(world: World) -> Any:
    """Steps whose optimizer is in RAM against steps whose optimizer is with the weights: the same on a CPU."""
    results = {}
    for dtype, stage in (("fp32", 2), ("fp32", 3), ("bf16", 2), ("bf16", 3)):
        found = []
        for in_ram in (False, True):
            learner = world.learner(
                model={"dtype": dtype},
                learner={"zero_stage": stage, "optimizer_in_ram": in_ram},
                optim={"max_grad_norm": 0.05, "learning_rate": 1e-3},
            )
            norms = [
                learner.update(world.share(learner, world.groups(learner, step, 4)))["policy/grad_norm"]
                for step in range(2)
            ]
            found.append((norms, {name: value.clone().float() for name, value in learner.core.weights()}))
            end(learner)
        (norms, weights), (norms_in_ram, weights_in_ram) = found
        results[f"{dtype}/{stage}"] = {
            "norms": [norms, norms_in_ram],
            "largest": largest(weights_in_ram, weights),
        }
    return results


def checkpointing(world: World) -> Any:
    found = []
    for on in (False, True):
        learner = world.learner(learner={"gradient_checkpointing": on})
        _, gradient = update_and_gradient(learner, world.share(learner, world.groups(learner, 0)))
        layers = [m for m in learner.core.module.model.modules() if getattr(m, "gradient_checkpointing", False)]
        found.append((gradient, len(layers)))
        end(learner)
    return {"distance": distance(found[1][0], found[0][0]), "layers": [one[1] for one in found]}


def frozen(world: World) -> Any:
    results = {}
    for stage in (0, 3):
        learner = world.learner(
            model={"freeze_vision_tower": True}, learner={"zero_stage": stage}, optim={"weight_decay": 0.1}
        )
        before = {name: value.clone() for name, value in learner.core.weights()}
        for step in range(2):
            learner.update(world.share(learner, world.groups(learner, step, 4)))
        after = {name: value.clone() for name, value in learner.core.weights()}
        results[str(stage)] = {name: not torch.equal(before[name], after[name]) for name in before}
        end(learner)
    return results


def two_updates(world: World) -> Any:
    """Two optimizer steps on one set of rollouts against AdamW and the clipped surrogate written out."""
    options: Any = {"learner": {"updates_per_step": 2}, "optim": {"learning_rate": 2e-3, "weight_decay": 0.01}}
    learner = world.learner(**options)
    config = learner._config
    groups = world.groups(learner, 0)
    stock = stock_model(config.model)
    optim = config.learner.optim
    adam = torch.optim.AdamW(stock.parameters(), lr=0, betas=optim.betas, weight_decay=optim.weight_decay)
    with torch.no_grad():
        old = {
            id(rollout): stock_logprobs(learner, stock, group, rollout.completion.token_ids, 1.0)
            for group, rollout in samples(groups)
        }
    losses, clipped, tokens = [], 0, 0
    for number, part in enumerate((groups[0::2], groups[1::2])):
        total = 0.0
        for group, rollout in samples(part):
            logprobs = stock_logprobs(learner, stock, group, rollout.completion.token_ids, 1.0)
            ratio, advantage = torch.exp(logprobs - old[id(rollout)]), float(rollout.advantage or 0)
            surrogate = torch.minimum(ratio * advantage, ratio.clamp(0.8, 1.2) * advantage)
            loss = -surrogate.mean() / (len(part) * GROUP_SIZE)
            loss.backward()
            total += float(loss)
            clipped += int(((ratio > 1.2) if advantage > 0 else (ratio < 0.8)).sum())
            tokens += len(logprobs)
        adam.param_groups[0]["lr"] = learner_rate(config, number)
        adam.step()
        adam.zero_grad()
        losses.append(total)
    metrics = learner.update(world.share(learner, groups))
    result = {
        "version": learner.weight_version,
        "loss": [metrics["policy/loss"], sum(losses) / 2],
        "clip_share": [metrics["policy/clip_share"], clipped / tokens],
        "distance": relative(learner.core.module.model, stock, stock_model(config.model)),
    }
    end(learner)
    return result


def methods(world: World) -> Any:
    """One update, then two from the same weights, with each loss and each estimator on one set of rewards."""
    learner = world.learner()
    model, optimizer = learner.core.module.model, learner.core.engine._optimizer
    start, rng = parameters(model), np.random.default_rng(5)
    drawn = world.groups(learner, 0, 4)
    rewards = [np.ones(GROUP_SIZE), *rng.uniform(0, 1, (3, GROUP_SIZE))]  # the first group has no variance
    rewarded = [
        replace(
            group,
            rollouts=tuple(
                replace(rollout, reward=RewardResult(value=float(value), valid=True), advantage=None)
                for rollout, value in zip(group.rollouts, values, strict=True)
            ),
        )
        for group, values in zip(drawn, rewards, strict=True)
    ]

    def gain(groups: list[Group]) -> float:
        """The sum of advantage times mean logprob: what an update must raise."""
        total = 0.0
        stock = stock_with_weights_of(model, learner._config.model)
        with torch.no_grad():
            for group, rollout in samples(groups):
                if rollout.advantage is not None:
                    logprobs = stock_logprobs(learner, stock, group, rollout.completion.token_ids, 1.0)
                    total += rollout.advantage * float(logprobs.mean())
        return total

    results: dict[str, Any] = {}
    plain: dict[str, torch.Tensor] = {}
    for section in [*({"loss": name} for name in LOSSES), *({"advantage": name} for name in ADVANTAGES)]:
        runs = []
        for updates in (1, 2):
            learner._config = config_of(grpo=section, learner={"updates_per_step": updates})
            groups = with_advantages(rewarded, learner._config.grpo)
            before = gain(groups)
            metrics, seen = update_and_gradient(learner, world.share(learner, groups))
            runs.append({"gained": gain(groups) - before, **metrics})
            if updates == 1:
                found = seen
            with torch.no_grad():
                for name, parameter in model.named_parameters():
                    parameter.copy_(start[name])
            optimizer.state.clear()
            learner.weight_version = 0
        plain = plain or found
        results[next(iter(section.values()))] = {
            "runs": runs,
            "distance": distance(found, plain),
            "trains_flat": any(rollout.advantage is not None for rollout in groups[0].rollouts),
        }
    end(learner)
    return results


def learner_rate(config: GrpoConfig, version: int) -> float:
    """A cosine from the peak to 0 over all optimizer steps, at the end of step `version`."""
    total = config.run.num_steps * config.learner.updates_per_step
    return config.learner.optim.learning_rate * (1 + np.cos(np.pi * (version + 1) / total)) / 2


def kl(world: World) -> Any:
    """The KL metric and the adaptive coefficient against stock logprobs of policy and first policy."""
    results: dict[str, Any] = {}
    for estimator in ("k1", "k2", "k3"):
        section = {"coefficient": 0.5, "target": 0.05, "horizon": 100, "estimator": estimator}
        learner = world.learner(grpo={"kl": section}, optim={"learning_rate": 1e-3})
        first = stock_model(learner._config.model)
        steps = []
        for step in range(3):
            groups = world.groups(learner, step, 4)
            differences = []
            with torch.no_grad():
                for group, rollout in samples(groups):
                    both = [
                        stock_logprobs(learner, model, group, rollout.completion.token_ids, 1.0)
                        for model in (stock_with_weights_of(learner.core.module.model, learner._config.model), first)
                    ]
                    differences.append((both[0] - both[1]).double().numpy())
            d = np.concatenate(differences)
            formula = {"k1": d, "k2": d * d / 2, "k3": np.exp(-d) - 1 + d}[estimator]
            metrics = learner.update(world.share(learner, groups))
            steps.append([metrics["policy/kl"], float(formula.mean()), metrics["policy/kl_coefficient"]])
        results[estimator] = steps
        end(learner)
    # with KL alone, the gradient is that of the coefficient times the mean of k3: exp(-d) of the reference turned round
    learner = world.learner(grpo={"kl": {"coefficient": 0.5}, "aggregation": "dapo"})
    groups = world.groups(learner, 0, 4)
    moved = stock_model(learner._config.model)  # what the policy is moved away from: the first one
    with torch.no_grad():
        for parameter in learner.core.module.model.parameters():
            parameter.mul_(1.02)
    groups = [replace(g, rollouts=tuple(replace(r, advantage=0.0) for r in g.rollouts)) for g in groups]
    tokens = sum(len(r.completion.token_ids) for _, r in samples(groups))
    stock = stock_with_weights_of(learner.core.module.model, learner._config.model)
    for group, rollout in samples(groups):
        policy, reference = (
            stock_logprobs(learner, model, group, rollout.completion.token_ids, 1.0) for model in (stock, moved)
        )
        d = policy - reference.detach()
        (0.5 * (torch.exp(-d) - 1 + d).sum() / tokens).backward()
    expected = gradients(stock)
    _, found = update_and_gradient(learner, world.share(learner, groups))
    results["distance"] = distance(found, expected)
    end(learner)
    return results


def bf16(world: World) -> Any:
    results = {}
    reference = world.learner(max_staleness=1)  # with importance weights, as bf16 has them always
    expected = [
        reference.update(world.share(reference, world.groups(reference, step, 4)))["policy/loss"] for step in range(3)
    ]
    end(reference)
    for stage in (0, 1, 2, 3):
        learner = world.learner(
            model={"dtype": "bf16"}, learner={"zero_stage": stage}, optim={"learning_rate": 1e-3, "max_grad_norm": 1.0}
        )
        before = {name: value.clone() for name, value in learner.core.weights()}
        metrics = [learner.update(world.share(learner, world.groups(learner, step, 4))) for step in range(3)]
        after = {name: value.clone() for name, value in learner.core.weights()}
        results[str(stage)] = {
            "losses": [one["policy/loss"] for one in metrics],
            "norms": [one["policy/grad_norm"] for one in metrics],
            "fp32_losses": expected,
            "dtypes": sorted(
                {str(value.dtype) for value in after.values()} | {e.dtype for e in learner.core.manifest()}
            ),
            "moved": largest(after, before),
        }
        end(learner)
    return results


def clipping(world: World) -> Any:
    """The update of a clipped gradient, which AdamW hides unless its second moment forgets nothing of the size."""
    results = {}
    for stage in (0, 1, 2, 3):
        norms = []
        for limit in (NO_CLIP, 0.01):
            learner = world.learner(learner={"zero_stage": stage}, optim={"max_grad_norm": limit})
            norms.append(learner.update(world.share(learner, world.groups(learner, 0, 4)))["policy/grad_norm"])
            moment = clipped_norm(learner)
            end(learner)
        results[str(stage)] = {"norms": norms, "clipped": moment}
    return results


def clipped_norm(learner: RLLearner) -> float:
    """Norm of the gradient that AdamW was given at its first step: its first moment over 1 - beta1."""
    optimizer = learner.core.engine._optimizer
    optimizer = getattr(optimizer, "optimizer", optimizer)
    moments = [state["exp_avg"] for state in optimizer.state.values() if "exp_avg" in state]
    return float(torch.cat([moment.flatten() for moment in moments]).norm()) / 0.1


def supervised(world: World) -> Any:
    from vlaa_ray.learner.sft import SftLearner

    config = SftConfig.model_validate(
        {
            "run": {"name": "test", "num_steps": 10},
            "model": MODEL,
            "sft": {"samples_per_step": 4, "max_completion_tokens": 48},
            "learner": {"num_threads": 1, "optim": {"learning_rate": 1e-3, "max_grad_norm": NO_CLIP}},
        }
    )
    learner = SftLearner(config, world.folder)
    data = BuiltinData("train")
    prompts = [
        data[0],
        replace(data[1], images=()),
        data[2],
        replace(data[3], solution="word " * 60),
    ]  # the last is too long
    model, stock = learner.core.module.model, stock_model(config.model)
    total, tokens = torch.zeros(()), 0
    for prompt in prompts[:3]:
        completion = learner.core.chat.completion_token_ids(str(prompt.solution))
        group = Group(prompt=prompt, position=0, prompt_token_ids=learner.core.chat.expanded_token_ids(prompt))
        logprobs = stock_logprobs(learner, stock, group, completion, 1.0)
        total, tokens = total - logprobs.sum(), tokens + len(logprobs)
    (total / tokens).backward()
    expected = gradients(stock)
    seen: dict[str, torch.Tensor] = {}
    hook = learner.core.engine._optimizer.register_step_pre_hook(lambda *_: seen.update(gradients(model)))
    first = learner.update(prompts, 0, config.num_steps)
    hook.remove()
    later = [learner.update(prompts, step, config.num_steps)["policy/loss"] for step in range(1, 6)]
    result = {
        "loss": [first["policy/loss"], float(total / tokens)],
        "distance": distance(seen, expected),
        "later": later,
    }
    end(learner)
    return result


def banned(world: World) -> Any:
    """What a sampled banned token would do to the learner: the update is refused before the weights change."""
    from vlaa_ray.errors import LearnerError

    learner = world.learner()
    groups = world.groups(learner, 0, 2)
    rollout = groups[0].rollouts[0]
    tokens = rollout.completion.token_ids.copy()
    tokens[-1] = int(learner.core.module.model.lm_head.banned[0])
    bad = replace(rollout, completion=replace(rollout.completion, token_ids=tokens))
    groups[0] = replace(groups[0], rollouts=(bad, *groups[0].rollouts[1:]))
    before = parameters(learner.core.module.model)
    try:
        learner.update(world.share(learner, groups))
        message = ""
    except LearnerError as error:
        message = str(error)
    result = {"message": message, "moved": largest(parameters(learner.core.module.model), before)}
    end(learner)
    return result


# --- cases of two ranks --------------------------------------------------------------------------------------


def gradient_of_two(world: World) -> Any:
    expected = torch.load(world.folder.parent / "one" / "gradient.pt", weights_only=True)
    results = []
    for limit in (16_384, 100):
        learner = world.learner(rollout={"temperature": 0.8}, learner={"micro_batch_tokens": limit})
        groups = world.groups(learner, 0, text_only=lambda i: i % 4 == 3)
        metrics, found = update_and_gradient(learner, world.share(learner, groups))
        results.append({"distance": distance(found, expected), "norm": metrics["policy/grad_norm"]})
        end(learner)
    return results


MIXES: dict[str, Callable[[int], bool]] = {"images": lambda i: False, "half": lambda i: i < 2, "text": lambda i: True}


def zero_stages(world: World) -> Any:
    """Some steps under every stage; 20 with `half`, where rank 0 has text alone and rank 1 images alone."""
    results: dict[str, Any] = {}
    for mix, text_only in MIXES.items():
        reference: dict[str, torch.Tensor] = {}
        for stage in (0, 1, 2, 3):
            learner = world.learner(learner={"zero_stage": stage}, optim={"max_grad_norm": 1.0}, num_steps=20)
            losses, norms = [], []
            for step in range(20 if mix == "half" else 6):
                groups = world.groups(learner, step, 4, text_only)
                share = replace(
                    world.share(learner, groups)[0], groups=tuple(groups[2 * world.rank : 2 * world.rank + 2])
                )
                metrics = learner.update([share])
                losses.append(metrics["policy/loss"])
                norms.append(metrics["policy/grad_norm"])
            weights = {name: value.clone() for name, value in learner.core.weights()}
            reference = reference or weights
            start = parameters(stock_model(learner._config.model))
            moved = max(float((weights[name] - start[name]).abs().max()) for name in start)
            results[f"{mix}/{stage}"] = {
                "losses": losses,
                "norms": norms,
                "largest": largest(weights, reference),
                "moved": moved,
            }
            end(learner)
    return results


def few_groups(world: World) -> Any:
    """One group on two ranks, then none at all: the idle ranks take part in everything."""
    results = {}
    for stage in (0, 1, 2, 3):
        learner = world.learner(learner={"zero_stage": stage})
        losses = []
        for num in (1, 0, 3):
            metrics = learner.update(world.share(learner, world.groups(learner, num, 4)[:num]))
            losses.append([metrics["policy/loss"], metrics["policy/grad_norm"]])
        results[str(stage)] = losses
        end(learner)
    return results


KINDS: dict[str, Any] = {
    "zero0": {"learner": {"zero_stage": 0}},
    "zero2": {"learner": {"zero_stage": 2}, "grpo": {"kl": {"coefficient": 0.1, "target": 0.01, "horizon": 100}}},
    "zero3": {"learner": {"zero_stage": 3}},
    "bf16": {"learner": {"zero_stage": 2}, "model": {"dtype": "bf16"}},
}


def steps_of(world: World, learner: RLLearner, first: int, last: int) -> list[list[float]]:
    rows = []
    for step in range(first, last):
        metrics = learner.update(world.share(learner, world.groups(learner, step, 4, lambda i: i == 1)))
        rows.append([metrics[name] for name in ("policy/loss", "policy/grad_norm", "learning_rate")])
        rows[-1].append(metrics.get("policy/kl_coefficient", 0.0))
    return rows


def save(world: World) -> Any:
    """Four steps in one go; two steps and a checkpoint; what is exported."""
    results: dict[str, Any] = {}
    for kind, options in KINDS.items():
        options = {**options, "optim": {"learning_rate": 1e-3, "max_grad_norm": 1.0}, "num_steps": 4}
        learner = world.learner(**options)
        whole = steps_of(world, learner, 0, 4)
        weights = {name: value.clone() for name, value in learner.core.weights()}
        if world.rank == 0:
            torch.save(weights, world.folder / f"{kind}.pt")
        end(learner)
        learner = world.learner(**options)
        steps_of(world, learner, 0, 2)
        learner.save(world.folder / f"{kind} at once")
        listed = [(e.name, e.dtype, list(e.shape)) for e in learner.core.manifest()]
        sent = [
            (name, str(value.dtype).removeprefix("torch."), list(value.shape)) for name, value in learner.core.weights()
        ]
        results[kind] = {
            "whole": whole,
            "manifest": listed,
            "sent": sent,
            "export": exported(world, learner, world.folder / f"{kind} at once" / "hf"),
        }
        save_while_learning(world, learner, world.folder / kind)
        end(learner)
    return results


def save_while_learning(world: World, learner: RLLearner, folder: Path) -> None:
    """Begin a checkpoint, and learn another step before its files may be written."""
    may_write, write = threading.Event(), torch.save

    def held(*arguments: Any, **options: Any) -> None:
        assert may_write.wait(60)
        write(*arguments, **options)

    torch.save = held
    learner.begin_save(folder)
    steps_of(world, learner, 2, 3)
    assert world.rank or not learner.core.is_written()  # under ZeRO 0 the other ranks write nothing
    may_write.set()
    while not learner.core.is_written():
        time.sleep(0.01)
    torch.save = write
    torch.distributed.barrier()


def exported(world: World, learner: RLLearner, folder: Path) -> Any:
    """The exported model against the one in training: all weights, and the logits of a stock forward pass."""
    weights = {name: value.clone() for name, value in learner.core.weights()}
    group = world.groups(learner, 0, 1)[0]
    row = Row(
        prompt_token_ids=group.prompt_token_ids,
        images=group.prompt.images,
        completions=(group.rollouts[0].completion.token_ids,),
        sequence_ids=(0,),
    )
    logprobs = learner.core.logprobs(learner.core.batches([row]))[0]
    torch.distributed.barrier()
    model = stock_model(learner._config.model, folder)
    again = {**model.state_dict()}
    stock = stock_logprobs(learner, model, group, group.rollouts[0].completion.token_ids, 1.0)
    return {
        "missing": sorted(again.keys() ^ weights.keys()),
        "largest": max(float((again[name].float() - weights[name].float()).abs().max()) for name in weights),
        "logprobs": float(np.abs(stock.detach().numpy() - logprobs).max()),
        "files": sorted(path.name for path in folder.iterdir()),
    }


def resume(world: World) -> Any:
    """In a new process: load, and two more steps."""
    results: dict[str, Any] = {}
    saved = world.folder.parent / "two"
    for kind, options in KINDS.items():
        learner = world.learner(**options, optim={"learning_rate": 1e-3, "max_grad_norm": 1.0}, num_steps=4)
        learner.load(saved / kind)
        version = learner.weight_version
        rows = steps_of(world, learner, 2, 4)
        weights = {name: value.clone() for name, value in learner.core.weights()}
        expected = torch.load(saved / f"{kind}.pt", weights_only=True)
        results[kind] = {"version": version, "rows": rows, "largest": largest(weights, expected)}
        end(learner)
    return results


def main() -> None:
    rank, num_ranks, port = map(int, sys.argv[1:4])
    folder = Path(sys.argv[4])
    set_rank_environment(rank, num_ranks, "127.0.0.1", port, cpu=True)
    torch.set_num_threads(1)
    world = World(rank, num_ranks, folder)
    for case in sys.argv[5:]:
        result = globals()[case](world)
        (folder / f"{case}.{rank}.json").write_text(json.dumps(result))


if __name__ == "__main__":
    main()
