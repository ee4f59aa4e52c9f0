"""Ranks of the learner as processes of their own, which meet on this machine."""

import json
import os
import socket
import subprocess
import sys
from pathlib import Path


def launch_ranks(script: Path, folder: Path, num_ranks: int, cases: list[str]) -> dict[str, list]:
    """Run SCRIPT RANK NUM_RANKS PORT FOLDER CASE… for every rank; return case to what each rank says of it."""
    folder.mkdir()
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    path = [str(Path(__file__).parent), *filter(None, [os.environ.get("PYTHONPATH")])]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path)}
    logs = [folder / f"rank_{rank}.log" for rank in range(num_ranks)]
    ranks = []
    for rank, log in enumerate(logs):
        command = [sys.executable, str(script), str(rank), str(num_ranks), str(port), str(folder), *cases]
        with log.open("w") as file:
            ranks.append(subprocess.Popen(command, stdout=file, stderr=subprocess.STDOUT, env=environment))
    try:
        codes = [rank.wait(timeout=800) for rank in ranks]
    finally:
        for rank in ranks:
            rank.kill()
            rank.wait(30)
    assert not any(codes), "\n\n".join(log.read_text()[-3000:] for log in logs)
    return {
        case: [json.loads((folder / f"{case}.{rank}.json").read_text()) for rank in range(num_ranks)] for case in cases
    }
