"""Samples per second of TRL's GRPOTrainer and of vlaa-ray on this machine: same model, prompts, G, tokens and rewards.

TRL generates with transformers, as it does on a machine without a GPU; both may use all cores. vlaa-ray is timed twice:
on-policy, as TRL is, and with samples that may be one step old.
"""

from __future__ import annotations

import itertools
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from common import CONFIG, WARM_UP_STEPS, median, show, steady, train, without_evaluation

from vlaa_ray.config import load_config

OUR_STEPS, TRL_STEPS = 10, 6
WANTED = {0: 2.0, 1: 2.3}
"""The smallest ratio to TRL by `max_staleness`."""


def main() -> None:
    if sys.argv[1:] == ["--trl"]:
        sys.stdout.write(f"samples_per_s {trl_samples_per_s():.3f}\n")
        return
    ours = {staleness: our_samples_per_s(staleness) for staleness in WANTED}
    # a process of its own: threads and memory of neither are in the other's way
    answer = subprocess.run([sys.executable, __file__, "--trl"], check=True, stdout=subprocess.PIPE, text=True)
    trl = float(answer.stdout.split("samples_per_s")[-1])
    table = [["TRL GRPOTrainer", f"{trl:.1f}", "", ""]]
    table += [
        [
            f"vlaa-ray, max_staleness {staleness}",
            f"{ours[staleness]:.1f}",
            f"{ours[staleness] / trl:.2f}",
            f"{wanted:.1f}",
        ]
        for staleness, wanted in WANTED.items()
    ]
    show("Samples per second", ["", "samples/s", "ratio", "wanted at least"], table)


def our_samples_per_s(max_staleness: int) -> float:
    with tempfile.TemporaryDirectory() as folder:
        rows = train(Path(folder), f"max_staleness={max_staleness}", *without_evaluation(OUR_STEPS))
    return median(steady(rows), "throughput/samples_per_s")


def trl_samples_per_s() -> float:
    import torch
    from transformers import AutoModelForImageTextToText, TrainerCallback
    from trl import GRPOConfig, GRPOTrainer

    from vlaa_ray.models.loading import load_processor
    from vlaa_ray.models.paths import local_path
    from vlaa_ray.rewards import score

    config = load_config(CONFIG)
    rollout, optim = config.rollout, config.learner.optim
    num_samples = rollout.prompts_per_step * rollout.group_size
    micro_batch = 64
    starts: list[float] = []

    class Clock(TrainerCallback):
        def on_step_end(self, *args: Any, **kwargs: Any) -> None:
            starts.append(time.monotonic())

    def reward(completions: list[Any], gold: list[str], verifier: list[str], frame: list[str], **_: Any) -> list[float]:
        return [
            score(completion[0]["content"], right, kind, **({"frame": where} if where else {})).value
            for completion, right, kind, where in zip(completions, gold, verifier, frame, strict=True)
        ]

    with tempfile.TemporaryDirectory() as folder:
        trainer = GRPOTrainer(
            model=AutoModelForImageTextToText.from_pretrained(local_path(config.model.path), dtype=torch.float32),
            processing_class=load_processor(config.model),
            reward_funcs=reward,
            train_dataset=dataset(config),
            args=GRPOConfig(
                output_dir=folder,
                use_cpu=True,
                bf16=False,
                max_steps=TRL_STEPS,
                per_device_train_batch_size=micro_batch,
                gradient_accumulation_steps=num_samples // micro_batch,
                num_generations=rollout.group_size,
                max_completion_length=rollout.max_completion_tokens,
                temperature=rollout.temperature,
                loss_type=config.grpo.aggregation,
                beta=0.0,
                learning_rate=optim.learning_rate,
                gradient_checkpointing=False,
                logging_steps=1,
                save_strategy="no",
                report_to=[],
                seed=config.run.seed,
            ),
            callbacks=[Clock()],
        )
        trainer.train()
    times = [later - earlier for earlier, later in itertools.pairwise(starts)]
    return num_samples / statistics.median(times[WARM_UP_STEPS - 1 :])


def dataset(config: Any) -> Any:
    from datasets import Dataset

    from vlaa_ray.data.dataset import open_dataset
    from vlaa_ray.images.decode import load

    prompts = open_dataset(config.data.train, config.data, TRL_STEPS * config.rollout.prompts_per_step)
    return Dataset.from_list(
        [
            {
                "prompt": [{"role": "user", "content": prompts[i].question}],
                "image": load(prompts[i].images[0]),
                "gold": str(prompts[i].gold),
                "verifier": prompts[i].verifier_type,
                "frame": prompts[i].verifier_params.get("frame", ""),
            }
            for i in range(len(prompts))
        ]
    )


if __name__ == "__main__":
    main()
