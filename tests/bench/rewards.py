"""Rewards of a set with the paper's mix of verifier types, and its math part beside bare Math-Verify in one process.

Every answer differs from every other, so no verdict is remembered. Fails if the sandbox is slower than Math-Verify
called bare, or if another verifier takes more than 20 µs a sample.
"""

from __future__ import annotations

import logging
import random
import sys
import time

from common import show

from vlaa_ray.rewards import Sandbox

MIX = {"digit": 2_000, "mcq": 7_499, "math": 6_696, "iou": 4_000}  # arXiv 2504.11468, figure 4
MATH_SHARE = 0.1  # is enough to time: bare Math-Verify takes about 50 ms a sample
LIMIT_US = 20
NUM_WORKERS = 2
Item = tuple[str, object, str, dict]


def response(rng: random.Random, answer: object) -> str:
    thought = " ".join(rng.choice(["the", "image", "shows", "a", "triangle", "so", "angle", "is"]) for _ in range(120))
    return f"<think>{thought}</think>\n<answer>{answer}</answer>"


def digit(rng: random.Random, number: int) -> Item:
    gold = rng.randint(0, 9)
    sentence = f"I count {gold} cubes in the picture: the others are spheres, near the left edge of the table"
    return response(rng, rng.choice([gold, gold + 1, f"There are {gold} objects", sentence])), gold, "digit", {}


def mcq(rng: random.Random, number: int) -> Item:
    gold = rng.choice("ABCD")
    sentence = f"The lamp stands at {number}° from the door, so the answer is {gold}."
    return response(rng, rng.choice([gold, f"({gold})", f"{gold}. {number}°", "B", sentence])), gold, "mcq", {}


def iou(rng: random.Random, number: int) -> Item:
    box = [round(rng.uniform(0, 0.5), 2), round(rng.uniform(0, 0.5), 2), 0.8, 0.9]
    moved = [round(edge + rng.uniform(0, 0.1), 2) for edge in box]
    return response(rng, moved), str(box), "iou", {"frame": "unit"}


def math(rng: random.Random, number: int) -> Item:
    """Forms of Math PUMA's and GeoQA's golds in LaTeX, as Math-Verify reads it; half of the answers are right."""
    a, b, wrong = rng.randint(2, 9), number + 10, rng.random() < 0.5
    forms = [
        (f"y = -{b}\\sin({a}x)", f"y=-{b} \\sin({a} x)"),
        (f"\\frac{{{a}}}{{{b}}}", f"{a}/{b}"),
        (f"{b}\\sqrt{{{a}}}", f"${b}\\sqrt{{{a}}}$"),
        (f"{b}^\\circ", f"{b}"),
        (f"({a}, {b})", f"({a}, {b})"),
        (f"x^2 + {a}x + {b}", f"x^2+{b}+{a}x"),
        (f"{b}\\pi", f"{b} \\pi"),
        (f"{b}.5", f"\\boxed{{{2 * b + 1}/2}}"),
    ]
    gold, answer = rng.choice(forms)
    return response(rng, answer.replace(str(b), str(b + 1)) if wrong else answer), gold, "math", {}


def bare_math_verify(items: list[Item]) -> float:
    """Seconds that the same pairs take as the package's own example has them, without timeouts."""
    from math_verify import parse, verify

    start = time.perf_counter()
    for text, gold, *_ in items:
        answer = text.rpartition("<answer>")[2].partition("</answer>")[0]
        parsed = [parse(f"${side}$", parsing_timeout=None) for side in (gold, answer)]
        verify(*parsed, timeout_seconds=None)
    return time.perf_counter() - start


def main() -> int:
    logging.disable(logging.WARNING)  # Math-Verify's, of its disabled timeouts
    rng = random.Random(0)
    makers = {"digit": digit, "mcq": mcq, "math": math, "iou": iou}
    counts = MIX | {"math": round(MIX["math"] * MATH_SHARE)}
    sets = {kind: [makers[kind](rng, number) for number in range(count)] for kind, count in counts.items()}
    everything = [item for items in sets.values() for item in items]
    rng.shuffle(everything)
    bare_math_verify(sets["math"][:10])
    bare_s = bare_math_verify(sets["math"])
    table, failed = [], False
    with Sandbox(num_workers=NUM_WORKERS) as sandbox:
        for kind, items in sets.items():
            # What judges at once is timed in processor time, which other work on the machine doesn't touch.
            clock = time.perf_counter if kind == "math" else time.process_time
            start = clock()
            results = sandbox.score_batch(items)
            seconds = clock() - start
            mean = sum(result.value or 0.0 for result in results) / len(results)
            ratio = f"{bare_s / seconds:.2f} x bare Math-Verify" if kind == "math" else ""
            failed |= seconds > bare_s if kind == "math" else seconds / len(items) > LIMIT_US * 1e-6
            table.append([kind, str(len(items)), f"{seconds / len(items) * 1e6:.1f}", f"{mean:.3f}", ratio])
    with Sandbox(num_workers=NUM_WORKERS) as sandbox:  # another one: the first remembers verdicts
        start = time.perf_counter()
        sandbox.score_batch(everything)
        seconds = time.perf_counter() - start
    rate = f"{len(everything) / seconds:.0f} samples/s"
    table.append(["all, mixed", str(len(everything)), f"{seconds / len(everything) * 1e6:.1f}", "", rate])
    show(f"Rewards, {NUM_WORKERS} workers", ["verifier type", "samples", "µs a sample", "mean reward", ""], table)
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
