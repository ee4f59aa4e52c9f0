"""What hostile answers may cost, and what happens when processes die."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from tests.support.hostile import ENDLESS
from vlaa_ray.errors import RewardError
from vlaa_ray.rewards import Sandbox
from vlaa_ray.rewards.sandbox.fork_server import _environment

LIMIT_S = 1.5
HOSTILE = [
    (rf"\boxed{{{ENDLESS}}}", "timeout"),
    (rf"${ENDLESS} + 1$", "timeout"),
    (r"\boxed{9^{9^{9}}}", "a power of more than"),
    ("$9^{9^{9^9}}$", "a power of more than"),
    ("100000!", "a power of more than"),
    ("{" * 2000 + "1" + "}" * 2000, "2000 brackets inside one another"),
    ("7" * 200_000, "200000 characters"),
    ("7" * 15_000, "15000 digits"),
    ("2^{2^{2^{2^{2^{2}}}}}", "a power of more than"),
]


def item(answer: str, gold: object = "5") -> tuple[str, object, str, dict]:
    return (f"<answer>{answer}</answer>", gold, "math", {})


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    with Sandbox(timeout_s=LIMIT_S, memory_limit_bytes=512 << 20) as sandbox:
        sandbox.worker_pids()  # started, so that no test's time holds the start
        yield sandbox


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return "\nState:\tZ" not in Path(f"/proc/{pid}/status").read_text()


def wait_until_gone(pids: list[int], limit_s: float) -> bool:
    end = time.monotonic() + limit_s
    while any(map(alive, pids)) and time.monotonic() < end:
        time.sleep(0.02)
    return not any(map(alive, pids))


def test_eight_hostile_answers_in_sixty_four_cost_eight_samples(sandbox: Sandbox) -> None:
    honest = [item(rf"${n}\sqrt{{3}}$", f"{n}√3") for n in range(2, 58)]
    start = time.monotonic()
    assert [result.value for result in sandbox.score_batch(honest)] == [1.0] * 56
    normal_s = time.monotonic() - start
    batch = []
    for index, (text, _) in enumerate(HOSTILE):
        batch += [item(text), *(item(rf"${n}\sqrt{{5}}$", f"{n}√5") for n in range(7 * index + 2, 7 * index + 9))]
    start = time.monotonic()
    results = sandbox.score_batch(batch)
    took_s = time.monotonic() - start
    for index, (_, reason) in enumerate(HOSTILE):
        assert results[8 * index].value == (None if reason == "timeout" else 0.0)
        assert reason in results[8 * index].reason
        assert [result.value for result in results[8 * index + 1 : 8 * index + 8]] == [1.0] * 7
    # Twice the normal time and one limit; the rest is for a busy machine.
    assert took_s < 2 * normal_s + LIMIT_S + 3.0
    start = time.monotonic()
    assert sandbox.score_batch([item("1/7", "2/14")])[0].value == 1.0
    assert time.monotonic() - start < 2.0


def test_order_and_types_are_kept(sandbox: Sandbox) -> None:
    items = [
        ("<answer>3</answer>", 3, "digit", {}),
        item("0.25", r"\frac{1}{4}"),
        ("<answer>B</answer>", "C", "mcq", {}),
        item("$x^2$", "x*x"),
        ("<answer>[0, 0, 1, 1]</answer>", [0, 0, 1, 0.5], "iou", {"frame": "unit"}),
        ("<answer>a cat</answer>", "a cat", "open_ended", {}),
        ("no tag", "7", "math", {}),
        ("no tag", "3 +", "math", {}),
        item("0.25", r"\frac{1}{4}"),
    ]
    values = [result.value for result in sandbox.score_batch(items)]
    assert values == [1.0, 1.0, 0.0, 1.0, 0.5, 1.0, 0.0, None, 1.0]


def test_answers_that_need_no_process_start_none() -> None:
    before = set(psutil.Process().children())
    with Sandbox() as sandbox:
        items = [("<answer>3</answer>", 3, "digit", {}), ("no tag", "B", "mcq", {})]
        assert [result.value for result in sandbox.score_batch(items)] == [1.0, 0.0]
        assert not set(psutil.Process().children()) - before
        assert sandbox.score_batch([item("0.5", "1/2")])[0].value == 1.0
        assert len(set(psutil.Process().children()) - before) == 1  # the template; workers are its children
    assert not set(psutil.Process().children()) - before


def test_a_killed_worker_is_replaced_within_two_seconds(sandbox: Sandbox) -> None:
    _, worker = sandbox.worker_pids()
    os.kill(worker, signal.SIGKILL)
    assert wait_until_gone([worker], 2.0)
    start = time.monotonic()
    assert sandbox.score_batch([item("0.125", "1/8")])[0].value == 1.0
    assert time.monotonic() - start < 2.0


def test_a_worker_killed_in_the_middle_costs_its_sample(sandbox: Sandbox) -> None:
    _, worker = sandbox.worker_pids()
    killer = threading.Timer(0.3, os.kill, (worker, signal.SIGKILL))
    killer.start()
    results = sandbox.score_batch([item(f"${ENDLESS} + 8$"), item("0.0625", "1/16")])
    killer.join(timeout=5)
    assert not results[0].valid and "died" in results[0].reason
    assert results[1].value == 1.0


def test_a_stopped_worker_is_given_up_at_the_limit(sandbox: Sandbox) -> None:
    _, worker = sandbox.worker_pids()
    os.kill(worker, signal.SIGSTOP)
    start = time.monotonic()
    result = sandbox.score_batch([item(f"${ENDLESS} + 7$")])[0]
    assert "timeout" in result.reason and time.monotonic() - start < LIMIT_S + 2


def test_the_smallest_memory_limit_of_the_config_suffices() -> None:
    with Sandbox(timeout_s=5, memory_limit_bytes=1 << 28) as sandbox:
        assert sandbox.score_batch([item("$x^2 + 2x + 1$", "(x+1)^2")])[0].value == 1.0


def test_threads_may_share_a_sandbox(sandbox: Sandbox) -> None:
    results: dict[int, list[float | None]] = {}

    def run(seed: int) -> None:
        items = [item(f"{seed}.{n}5", f"{seed}.{n}50") for n in range(20)]
        results[seed] = [result.value for result in sandbox.score_batch(items)]

    threads = [threading.Thread(target=run, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=60)
    assert results == {seed: [1.0] * 20 for seed in range(4)}


def test_payloads_leave_no_trace(sandbox: Sandbox, tmp_path: Path) -> None:
    witness = tmp_path / "witness"
    commands = [
        f"__import__('os').system('touch {witness}')",
        f"open('{witness}', 'w').write('x')",
        f"eval(\"open('{witness}', 'w')\")",
        f"().__class__.__base__.__subclasses__()[0]('{witness}')",
        f"lambda: exec('import os; os.mknod(\"{witness}\")')",
        f"$(touch {witness})",
    ]
    forms = ["{}", "${}$", r"\text{{{}}}", r"\boxed{{{}}}", r"$x_{{{}}}$", r"\mathrm{{{}}}", "1 + {}"]
    items = [item(form.format(command)) for command in commands for form in forms]
    items += [item("5", form.format(command)) for command in commands for form in forms]
    assert not any(result.value for result in sandbox.score_batch(items))
    assert not witness.exists()
    assert sandbox.score_batch([item("0.2", "1/5")])[0].value == 1.0
    assert sandbox.score_batch([item("0.2", "1/4")])[0].value == 0.0


def test_workers_see_no_secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WANDB_API_KEY", "secret-1")
    monkeypatch.setenv("HF_TOKEN", "secret-2")
    with Sandbox() as sandbox:
        for pid in sandbox.worker_pids():
            assert b"secret" not in Path(f"/proc/{pid}/environ").read_bytes()


def test_close_ends_all_processes_and_later_use_is_an_error() -> None:
    sandbox = Sandbox()
    pids = sandbox.worker_pids()
    sandbox.close()
    sandbox.close()
    assert wait_until_gone(pids, 5.0)
    with pytest.raises(RewardError, match="closed"):
        sandbox.score_batch([item("1")])


def test_processes_end_with_a_parent_that_is_killed() -> None:
    # The parent dies while one worker computes and another one is paused.
    program = (
        "import json, threading\n"
        f"ENDLESS = {ENDLESS!r}\n"
        "from vlaa_ray.rewards import Sandbox\n"
        "sandbox = Sandbox(timeout_s=60)\n"
        "print(json.dumps(sandbox.worker_pids()), flush=True)\n"
        "sandbox.score_batch([(f'<answer>${ENDLESS}+{n}$</answer>', '5', 'math', {}) for n in (9, 10)])\n"
    )
    environment = _environment()
    with subprocess.Popen(
        [sys.executable, "-c", program], stdout=subprocess.PIPE, env=environment, text=True
    ) as parent:
        assert parent.stdout
        template, worker = json.loads(parent.stdout.readline())
        time.sleep(0.5)
        children = Path(f"/proc/{template}/task/{template}/children").read_text().split()
        parent.kill()
    assert len(children) >= 2
    assert wait_until_gone([template, worker, *map(int, children)], 5.0)
