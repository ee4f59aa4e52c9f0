"""The metrics of all nodes as one text that Prometheus reads."""

from __future__ import annotations

from collections.abc import Iterable

PREFIXES = ("ray_vlaa_", "ray_serve_", "ray_vllm")
"""The metrics that concern the server; those of Ray itself are left to Ray's own ports."""


def merged(texts: Iterable[str], prefixes: tuple[str, ...] = PREFIXES) -> str:
    """Return the metrics of several texts in Prometheus' format whose names begin with one of the prefixes.

    Help and type of a metric stand once, before its values of all texts, as the format asks for.
    """
    heads: dict[str, list[str]] = {}
    values: dict[str, list[str]] = {}
    for text in texts:
        family = ""
        for line in text.splitlines():
            words = line.split(" ", 3)
            if line.startswith(("# HELP ", "# TYPE ")):
                family = words[2]
                head = heads.setdefault(family, [])
                if not any(known.startswith(f"# {words[1]} ") for known in head):
                    head.append(line)
            elif line and not line.startswith("#"):
                name = family if line.startswith(family) else line.split("{")[0].split(" ")[0]
                values.setdefault(name, []).append(line)
    wanted = sorted(name for name in values if name.startswith(prefixes))
    return "".join(f"{line}\n" for name in wanted for line in (*heads.get(name, ()), *values[name]))
