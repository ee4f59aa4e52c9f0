"""The tokens a second of an evaluation over those of its bare engine: the same 500 rows, at the same temperature.

Both begin with a new engine, whose first batch is slow. The bare engine gets all prompts at once.
"""

from __future__ import annotations

import asyncio
import os
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from common import ROOT, show

from vlaa_ray.config import EvalConfig, load_config
from vlaa_ray.evaluation.benchmarks import benchmark
from vlaa_ray.evaluation.questions import BenchmarkQuestions
from vlaa_ray.records import SampledGroup

CONFIG = ROOT / "configs/eval/quickstart.yaml"
NUM_ROWS = 500
WANTED = 0.9


def main() -> None:
    sys.path.insert(0, str(ROOT / "tests/support"))
    from benchmark_files import write_benchmark_tsv

    with tempfile.TemporaryDirectory() as name:
        data = write_benchmark_tsv("MathVista", Path(name) / "MathVista_MINI.tsv", NUM_ROWS, 0)
        evaluated = evaluation_pace(data, Path(name) / "out")
        bare = asyncio.run(bare_pace(data))
    rows = [["evaluation", f"{evaluated:,.0f}"], ["bare engine", f"{bare:,.0f}"]]
    note = f"Ratio {evaluated / bare:.2f}; at least {WANTED} is wanted."
    show(f"Tokens a second over {NUM_ROWS} rows", ["", "tokens/s"], rows, note)


def evaluation_pace(data: Path, out: Path) -> float:
    """Return the tokens a second that `vlaa-ray eval` reports."""
    command = [sys.executable, "-m", "vlaa_ray", "eval", "--model", "builtin", "--config", str(CONFIG)]
    command += ["--benchmark", "MathVista", "--data", str(data), "--out", str(out)]
    done = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True, timeout=1200)
    (pace,) = re.findall(r"tokens, ([\d,]+) tokens/s", done.stdout)
    return float(pace.replace(",", ""))


async def bare_pace(data: Path) -> float:
    """Return the tokens a second of an engine without anything around it."""
    from vlaa_ray.images.decode import load
    from vlaa_ray.models.chat import chat_format_of
    from vlaa_ray.models.paths import local_path
    from vlaa_ray.rollout.engine import RolloutEngine

    config = load_config(CONFIG, [], EvalConfig)
    os.environ["OMP_NUM_THREADS"] = str(int(config.rollout.cpus_per_actor))
    suite = benchmark("MathVista")
    questions = BenchmarkQuestions(suite, suite.read(data), config.conditions.style)
    chat = chat_format_of(config.model)
    path = local_path(config.model.path)
    engine = await RolloutEngine.start(config.model, config.rollout, path, banned_token_ids=chat.banned_token_ids)

    async def answer(number: int) -> SampledGroup:
        prompt = questions.prompt(number)
        return await engine.sample(
            chat.prompt_token_ids(prompt),
            [load(image) for image in prompt.images],
            num_samples=1,
            seed=0,
            temperature=0.0,
            max_tokens=config.rollout.max_completion_tokens,
            deadline_s=600,
        )

    start = time.monotonic()
    groups = await asyncio.gather(*map(answer, range(len(questions))))
    seconds = time.monotonic() - start
    return sum(len(group.completions[0].token_ids) for group in groups) / seconds


if __name__ == "__main__":
    main()
