"""The results of an experiment in a bucket: the command itself, on runs that are finished already."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from buckets import bucket_server, reached
from experiments import SCORES, experiment, finish

from vlaa_ray.config import dump_config
from vlaa_ray.experiments.plan import plan_experiment
from vlaa_ray.storage.places import BucketPath

pytestmark = [pytest.mark.acceptance, pytest.mark.timeout(240)]
ROOT = Path(__file__).parents[2]


def test_page_and_result_are_in_the_bucket_and_the_runs_are_not(tmp_path):
    with bucket_server("s3", tmp_path) as server, reached(server):
        runs = server.new_folder()
        config = experiment(tmp_path, run={"name": "e", "dir": runs, "local_dir": str(tmp_path / "local")})
        finish(plan_experiment(config), SCORES)
        (tmp_path / "compare.yaml").write_text(dump_config(config))
        command = [sys.executable, "-m", "vlaa_ray", "compare", "--config", str(tmp_path / "compare.yaml")]
        for _ in range(2):  # the second one finds what the first one has left
            done = subprocess.run(command, cwd=ROOT, env=os.environ, capture_output=True, text=True, timeout=100)
            assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
            assert f"Page: {runs}/e/page.html" in done.stdout
        place = BucketPath.parse(runs) / "e"
        names = set(place.files())
        result = json.loads((place / "result.json").read())
        page = (place / "page.html").read().decode()
    assert {"page.html", "result.json", "arms.json", "run.json", "config.yaml"} <= names
    assert not any(name.startswith(("stages", "evaluations")) for name in names), names
    assert result["state"] == "complete" and "sft-grpo" in page
    assert result["arms"]["grpo"]["mean"]["mean"]["value"] == pytest.approx(77.5)  # of 0.7, 0.8 and 0.8, 0.8
