"""Functions as users write them, and as they shouldn't."""

import os
import socket
import subprocess
import time
from pathlib import Path

from vlaa_ray.records import RewardResult


def close(answer, gold, *, tolerance=0.0):
    return 1.0 if abs(float(answer) - gold) <= tolerance else 0.0


def in_range(answer, gold):
    return gold["min"] <= float(answer) <= gold["max"]


def is_long(answer, gold):
    return len(answer) > 3


def explained(answer, gold):
    return RewardResult(value=0.5, valid=True, reason="half of it", parts={"half": 0.5})


def unsure(answer, gold):
    return None


def too_much(answer, gold):
    return 333


def hangs(answer, gold):
    while answer == "hang":
        pass
    return 1.0


def sleeps(answer, gold):
    time.sleep(60 if answer == "hang" else 0)
    return 1.0


def eats(answer, gold):
    return float(len(bytearray(8 << 30)) > 0) if answer == "eat" else 1.0


def calls_out(answer, gold):
    socket.create_connection(("127.0.0.1", 9), timeout=1)
    return 1.0


def runs(answer, gold):
    subprocess.run(["true"], check=True)
    return 1.0


def shells(answer, gold):
    os.system("true")
    return 1.0


def forks(answer, gold):
    if os.fork() == 0:
        os._exit(0)
    return 1.0


def writes(answer, gold):
    Path(gold).write_text("x")
    return 1.0


def executes(answer, gold):
    return float(eval(answer))


def secret(answer, gold):
    return "SECRET_KEY" in os.environ
