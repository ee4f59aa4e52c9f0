"""Names of the files in a run folder and in its checkpoints."""

CONFIG = "config.yaml"
METRICS = "metrics.jsonl"
DROPPED = "dropped.jsonl"
MANIFEST = "manifest.json"
STATE = "state.json"
