"""What the first minutes on one GPU should measure: one command, figures as they come, one JSON file.

    python tests/gpu/first_minutes.py [--out FILE] [--sizes full|small] [--only NAME …]

It needs the repository, torch 2.11 or newer and transformers 5.17 or newer; no network, no vLLM, no DeepSpeed, no Ray.
`collating` and the plan of `ten_images` also need pydantic and PyYAML, `collating` Pillow and torchvision, `compiled`
and `unchecked_compiled` Triton and a C compiler: without them these fail, with that cause. The time is limited to nine
minutes. Without a GPU small sizes are measured, which shows only that all of it runs. The exit status is 1 if a
measurement failed.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

import torch
from feeding import collating, device_to_shared_memory
from harness import Measurement, measured
from kernels import machine, masked_sdpa, peaks, scoring, varlen_parity, vision_tower
from learner_steps import as_shipped, compiled, fused, ten_images, unchecked, unchecked_compiled, varlen
from sizes import SIZES

BUDGET_S = 520.0
MEASUREMENTS = [
    Measurement("machine", machine, 45),
    Measurement("peaks", peaks, 45),
    Measurement("varlen_parity", varlen_parity, 45),
    Measurement("fused", fused, 80),
    Measurement("as_shipped", as_shipped, 80),
    Measurement("varlen", varlen, 60),
    Measurement("unchecked", unchecked, 60),
    Measurement("ten_images", ten_images, 60),
    Measurement("vision_tower", vision_tower, 60),
    Measurement("scoring", scoring, 45),
    Measurement("masked_sdpa", masked_sdpa, 60),
    Measurement("to_shared_memory", device_to_shared_memory, 60),
    Measurement("collating", collating, 60),
    Measurement("compiled", compiled, 120),
    Measurement("unchecked_compiled", unchecked_compiled, 120),
]
"""In the order of what matters most, since the time may end. They take about half of their deadlines."""


def main() -> int:
    has_gpu = torch.cuda.is_available()
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("gpu_first_minutes.json"))
    parser.add_argument("--sizes", choices=sorted(SIZES), default="full" if has_gpu else "small")
    parser.add_argument("--only", nargs="+", choices=[one.name for one in MEASUREMENTS], metavar="NAME")
    parser.add_argument("--budget-s", type=float, default=BUDGET_S)
    arguments = parser.parse_args()
    if not has_gpu:
        with contextlib.suppress(ImportError):  # once, for all processes that are forked from this one
            import torch._dynamo as _dynamo  # noqa: F401
            import transformers.models.qwen2_5_vl.modeling_qwen2_5_vl  # noqa: F401
    start = time.monotonic()
    chosen = [one for one in MEASUREMENTS if not arguments.only or one.name in arguments.only]
    results = measured(chosen, arguments.sizes, arguments.budget_s)
    failed = [name for name, result in results.items() if result["failure"]]
    summary = {
        "device": torch.cuda.get_device_name() if has_gpu else "cpu",
        "sizes": arguments.sizes,
        "seconds": round(time.monotonic() - start, 1),
        "failed": failed,
        "measurements": results,
    }
    arguments.out.write_text(json.dumps(summary, indent=1) + "\n")
    print(f"{len(results)} measurements, {len(failed)} failed, in {summary['seconds']:.0f} s: {arguments.out}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
