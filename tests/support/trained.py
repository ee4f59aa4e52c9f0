"""The folder of a finished run without the training: the built-in model as its checkpoint, and figures by hand."""

import json
import shutil
from collections.abc import Sequence
from pathlib import Path

from vlaa_ray.config import AnyConfig, GrpoConfig, dump_config, load_config
from vlaa_ray.models.paths import BUILTIN_MODELS
from vlaa_ray.run.checkpoints import CheckpointStore

ROOT = Path(__file__).parents[2]
FINGERPRINT = "a58ac9ea68b66f33bf3956dec2a27eba18e5efaef76ce7c67bdf27655421e3b7"
METRICS = (
    {"step": 0, "eval/reward/mean": 0.5, "eval/reward/std": 0.4, "eval/reward/count": 100},
    {"step": 4, "eval/reward/mean": 0.75, "eval/reward/std": 0.3, "eval/reward/count": 100},
    {"step": 8, "eval/reward/mean": 0.99, "eval/reward/std": 0.1, "eval/reward/count": 100},
)


def make_run(
    runs: Path,
    *overrides: str,
    step: int = 4,
    name: str = "trained",
    config_file: str = "quickstart.yaml",
    kind: type[AnyConfig] = GrpoConfig,
    metrics: Sequence[dict[str, float]] = METRICS,
) -> Path:
    """Return the folder of a run of a shipped config with a checkpoint at `step`."""
    folder = runs / name
    settings = [f"run.dir={runs}", f"run.name={name}", "eval.num_prompts=100", *overrides]
    config = dump_config(load_config(ROOT / "configs" / config_file, settings, kind))
    store = CheckpointStore(folder / "checkpoints", keep=9, config=config)
    partial = store.begin(step)
    shutil.copytree(BUILTIN_MODELS / "tiny-base", partial / "hf")
    (partial / "optimizer").write_bytes(b"moments")
    store.commit(step, {"step": step, "data": {"num_prompts": 20_000, "sha256": FINGERPRINT}})
    (folder / "config.yaml").write_text(config)
    (folder / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in metrics))
    (folder / "run.json").write_text(json.dumps({"state": "finished", "versions": {"torch": "2.13.0"}}))
    (folder / "quarantine.jsonl").write_text("{}\n{}\n{}\n")
    (folder / "rollouts").mkdir(exist_ok=True)
    row = {"step": step, "verifier_type": "iou", "verifier_params": {"frame": "unit"}}
    (folder / "rollouts/step_000004.jsonl").write_text(json.dumps(row) + "\n")
    return folder
