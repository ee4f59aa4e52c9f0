"""One rank with two linear layers in bf16, for `test_accumulation.py`: `accumulation.py PORT` prints JSON."""

import json
import sys
import tempfile
from pathlib import Path

import torch
from torch import nn

from vlaa_ray.config import LearnerSection
from vlaa_ray.learner.deepspeed import DeepSpeedEngine, set_rank_environment

NUM_BATCHES, WIDTH, BETA = 64, 64, 0.9


class Fused(torch.optim.AdamW):
    """AdamW as it is on a GPU; torch has the kernel for CPUs, too."""

    def __init__(self, parameters, **options):
        super().__init__(parameters, **{**options, "fused": True})


def layers() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(WIDTH, WIDTH, bias=False), nn.Linear(WIDTH, WIDTH, bias=False)).bfloat16()


def losses(module, seed):
    """The losses of 64 micro-batches, one after another."""
    draw = torch.Generator().manual_seed(seed)
    for _ in range(NUM_BATCHES):
        inputs, targets = (torch.randn(4, WIDTH, generator=draw).bfloat16() for _ in range(2))
        yield ((module(inputs) - targets).float() ** 2).sum() / NUM_BATCHES


def exact_gradient():
    """The sum of the micro-batches' bf16 gradients in fp64."""
    module = layers()
    total = [torch.zeros_like(weight, dtype=torch.float64) for weight in module.parameters()]
    for loss in losses(module, seed=1):
        for part, gradient in zip(total, torch.autograd.grad(loss, list(module.parameters())), strict=True):
            part += gradient.double()
    return torch.cat([part.flatten() for part in total])


def stage(number, expected):
    learner = LearnerSection.model_validate(
        {"zero_stage": number, "optim": {"max_grad_norm": 1e9, "betas": [BETA, 0.99]}}
    )
    engine = DeepSpeedEngine(layers(), learner, "bf16")
    for loss in losses(engine, seed=1):
        engine.backward(loss)
    norm = engine.step(1e-3)
    optimizer = getattr(engine._optimizer, "optimizer", engine._optimizer)
    moments = [state["exp_avg"].flatten() for state in optimizer.state.values() if "exp_avg" in state]
    gradient = torch.cat(moments)[: len(expected)].double() / (1 - BETA)  # AdamW's first moment after one step
    found = {"error": float((gradient - expected).norm() / expected.norm()), "norm": norm / float(expected.norm())}
    if number == 3:
        found["complete"] = traces(engine)
    return found


def traces(engine):
    """Whether DeepSpeed's trace of modules, which prefetching needs, was whole after each of 4 steps' parts."""
    coordinator = engine._engine.optimizer.parameter_offload.param_coordinator
    complete = []
    for seed in range(4):
        with torch.no_grad():
            list(losses(engine, seed))
        complete.append(coordinator.is_complete_trace())
        for loss in losses(engine, seed):
            engine.backward(loss)
        engine.step(1e-3)
        complete.append(coordinator.is_complete_trace())
    return complete


def resumed(number, folder):
    """The largest difference of any weight: 4 steps in one go, and 2 steps, a checkpoint and 2 more in a new engine."""

    def engine_of(seeds, load):
        learner = LearnerSection.model_validate({"zero_stage": number, "optim": {"max_grad_norm": 1.0}})
        engine = DeepSpeedEngine(layers(), learner, "bf16")
        if load:
            engine.load(folder)
        for seed in seeds:
            for loss in losses(engine, seed):
                engine.backward(loss)
            engine.step(1e-2)
        return engine

    whole = {name: value.clone() for name, value in engine_of(range(4), load=False).full_parameters()}
    engine_of(range(2), load=False).save(folder, torch.save)
    continued = engine_of(range(2, 4), load=True)
    return max(float((value - whole[name]).abs().max()) for name, value in continued.full_parameters())


if __name__ == "__main__":
    set_rank_environment(0, 1, "127.0.0.1", int(sys.argv[1]), cpu=True)
    torch.set_num_threads(1)
    witness = exact_gradient()
    found = {number: stage(number, witness) for number in (1, 2, 3)}
    torch.optim.AdamW = Fused
    with tempfile.TemporaryDirectory() as folder:
        found["resumed"] = {number: resumed(number, Path(folder, str(number))) for number in (0, 1, 2, 3)}
    print(json.dumps(found))
