"""Runs whose folder is in a bucket, without Ray; `python -m bucket_runs` is a process that is killed while it sends."""

from __future__ import annotations

import json
import os
import random
import sys
import time
from pathlib import Path
from typing import Any

from vlaa_ray.config import GrpoConfig


def config_of(run_dir: str, local_dir: Path, **run: Any) -> GrpoConfig:
    """Return the config of a run in a bucket; each `local_dir` is the disk of another machine."""
    return GrpoConfig.model_validate(
        {
            "run": {
                "name": "trial",
                "num_steps": 1000,
                "dir": run_dir,
                "local_dir": str(local_dir),
                "lease_s": 2.0,
                "upload_s": 60.0,
                **run,
            },
            "model": {"path": "m"},
            "tracking": {"tensorboard": False, "wandb": "disabled"},
        }
    )


def write_learner(partial: Path, step: int, size_bytes: int = 3 << 20) -> None:
    """Write what a learner of one rank writes, different in each step."""
    (partial / "hf").mkdir(parents=True)
    (partial / "hf/config.json").write_text(json.dumps({"step": step}))
    (partial / "hf/model.safetensors").write_bytes(random.Random(step).randbytes(size_bytes))
    (partial / "optimizer").mkdir()
    (partial / "optimizer/rank_0.pt").write_bytes(random.Random(-step).randbytes(size_bytes))
    (partial / ".num_ranks").write_text('{"num_ranks": 1, "of": 1}')


def save(run: Any, step: int, size_bytes: int = 3 << 20) -> None:
    """Log a step and save its checkpoint, as the loop does."""
    run.log(step, {"reward/mean": step / 1000})
    write_learner(run.begin_checkpoint(step), step, size_bytes)
    run.commit_checkpoint(step, {"step": step})


def main() -> None:
    """Save one checkpoint after another until the process is killed."""
    from vlaa_ray.run.session import open_run

    with open_run(config_of(sys.argv[1], Path(sys.argv[2]))) as run:
        step = run.resume_from.step if run.resume_from else 0
        while True:
            step += 1
            time.sleep(0.2)
            save(run, step)
            os.write(1, f"saved {step}\n".encode())


if __name__ == "__main__":
    main()
