"""Names of the files in a run folder and in its checkpoints."""

CONFIG = "config.yaml"
METRICS = "metrics.jsonl"
DROPPED = "dropped.jsonl"
MANIFEST = "manifest.json"
STATE = "state.json"
NOTES = "logs/notes.txt"
"""Lines for people from the rank that writes a supervised run."""
