"""Run folders with made-up rollouts: a known number of steps, prompts and rollouts, with pictures and boxes."""

import json
import random

from PIL import Image

TYPES = ("mcq", "math", "iou", "digit")
WORDS = "the angle at the base is equal so we look again and count every triangle in the left half of it".split()


def write_rollouts(run, num_steps, num_groups, group_size, num_words=60, **changes):
    """Write `rollouts/` of a run and its pictures, one for each group of a step, which all steps share.

    Rewards are 0, 0.25, 0.5, 0.75 and 1 in turn, tokens 10, 11, 12, …; group g has type g modulo 4 and source g modulo
    3. `changes` replace values of every rollout.
    """
    rng = random.Random(0)
    (run / "rollouts").mkdir(parents=True)
    (run / "images").mkdir()
    for group in range(num_groups):
        Image.new("RGB", (400, 300), (40 * group % 256, 90, 160)).save(run / f"images/{group}.png")
    for step in range(1, num_steps + 1):
        rows = [
            rollout(step, group, sample, rng, num_words) | changes
            for group in range(num_groups)
            for sample in range(group_size)
        ]
        file = run / f"rollouts/step_{step:06d}.jsonl"
        file.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return run


def rollout(step, group, sample, rng, num_words):
    kind = TYPES[group % 4]
    answer = json.dumps([0.5, 0.25, 0.75, 0.5]) if kind == "iou" else str(sample)
    said = " ".join(rng.choices(WORDS, k=num_words))
    return {
        "step": step, "position": group, "sample": sample, "prompt_id": f"made/{step}/{group}", "verifier_type": kind,
        "source": f"source-{group % 3}", "question": f"<image>What is at place {group} of step {step}?",
        "gold": [0.25, 0.25, 0.5, 0.75] if kind == "iou" else "2", "verifier_params": {},
        "images": [{"path": f"images/{group}.png", "width_px": 400, "height_px": 300}],
        "completion": f"<think>{said} {step}-{group}-{sample}</think><answer>{answer}</answer>",
        "num_tokens": 10 + sample, "finish_reason": "stop", "reward": 0.25 * (sample % 5), "valid": True,
        "extracted": answer, "reason": "" if sample else f"the answer is another one than in {group}",
        "parts": {"accuracy": 0.25 * (sample % 5)}, "advantage": 0.123456789, "rollout_logprob_mean": -0.3,
        "weight_version": step - 1,
    }  # fmt: skip
