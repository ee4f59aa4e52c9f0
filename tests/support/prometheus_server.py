"""Debian's Prometheus, with the project's own config, beside a Ray cluster on this machine."""

import contextlib
import json
import re
import shutil
import subprocess
import time
import urllib.parse
import urllib.request
from pathlib import Path

import yaml

CLUSTER = Path(__file__).parents[2] / "cluster"
PORT = 19090


def why_not():
    """Why there is no Prometheus here; an empty text if there is one."""
    return "" if shutil.which("prometheus") else "prometheus is missing: Debian has a package of this name"


@contextlib.contextmanager
def prometheus(folder, interval="1s"):
    """Run Prometheus until the block ends, with the project's config; it only scrapes more often."""
    config = yaml.safe_load((CLUSTER / "prometheus/prometheus.yaml").read_text())
    config["global"] = {"scrape_interval": interval, "evaluation_interval": interval}
    config["rule_files"] = [str(CLUSTER / "prometheus/rules.yaml")]
    (folder / "prometheus.yaml").write_text(yaml.safe_dump(config))
    command = [
        *("prometheus", f"--config.file={folder / 'prometheus.yaml'}", f"--storage.tsdb.path={folder / 'tsdb'}"),
        *(f"--web.listen-address=127.0.0.1:{PORT}", "--log.level=warn"),
    ]
    with (folder / "prometheus.log").open("w") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log)
        try:
            deadline = time.monotonic() + 30
            while not answers():
                assert process.poll() is None and time.monotonic() < deadline, (folder / "prometheus.log").read_text()
                time.sleep(0.2)
            yield
        finally:
            process.terminate()
            process.wait(20)


def answers():
    try:
        return bool(query("vector(1)"))
    except OSError:
        return False


def query(expression):
    """The series that an expression has now: a list of (labels, value)."""
    url = f"http://127.0.0.1:{PORT}/api/v1/query?" + urllib.parse.urlencode({"query": expression})
    with urllib.request.urlopen(url, timeout=10) as answer:
        result = json.load(answer)["data"]["result"]
    return (
        [({}, result[1])]
        if result and not isinstance(result[0], dict)
        else [(series["metric"], float(series["value"][1])) for series in result]
    )


def selectors_of_rules():
    """Every series that the rules ask for, each as an expression of its own."""
    groups = yaml.safe_load((CLUSTER / "prometheus/rules.yaml").read_text())["groups"]
    text = " ".join(rule["expr"] for group in groups for rule in group["rules"])
    return sorted(set(re.findall(r"ray_\w+(?:\{[^}]*\})?", text)))
