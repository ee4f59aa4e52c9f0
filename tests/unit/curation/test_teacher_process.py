"""The process that asks: a real one, whose driver, clients and self come to every kind of end."""

import asyncio
import fcntl
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from pathlib import Path

import psutil
import pytest
from curating import completion, config
from processes import with_command

from vlaa_ray.config import dump_config
from vlaa_ray.curation.steps import Call
from vlaa_ray.curation.teacher_process import TeacherProcess, TeacherProxy
from vlaa_ray.errors import DataError, TeacherError
from vlaa_ray.services.call_store import CALLS, CallStore, Reply

pytestmark = pytest.mark.timeout(240)
WAIT_S = 60
CALL = Call(step="verify", prompt="Is it so?")
DRIVER = """
import asyncio, sys
from pathlib import Path
from vlaa_ray.config import CurationConfig, load_config
from vlaa_ray.curation.teacher_process import TeacherProxy, TeacherProcess
from vlaa_ray.curation.steps import Call

folder = Path(sys.argv[1])
process = TeacherProcess(load_config(folder / "config.yaml", kind=CurationConfig), folder, {"t": sys.argv[2]})
print(process.address, flush=True)
asyncio.run(TeacherProxy(process.address).ask(Call(step="verify", prompt="Is it so?")))
"""


def eventually(condition, what):
    """Waits until it holds."""
    end = time.monotonic() + WAIT_S
    while not condition():
        assert time.monotonic() < end, f"{what}: not within {WAIT_S} s"
        time.sleep(0.02)


def written(folder: Path, url: str, **changes):
    """The config, in a folder as a run has it."""
    made = config(url, **changes)
    (folder / "logs").mkdir(exist_ok=True)
    (folder / "config.yaml").write_text(dump_config(made))
    return made


def unlocked(folder: Path) -> bool:
    """Whether no process has the recorded calls open."""
    with (folder / CALLS).with_suffix(".lock").open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True


def pid_of(folder: Path) -> int:
    """The process that works in a folder."""
    found = with_command(str(folder), with_command("vlaa_ray.curation.teacher_process", psutil.process_iter()))
    assert found, "no such process"
    return found[0].pid


def ask_all(address: str, calls):
    """What came back for each call, or its error; with a deadline."""

    async def ask():
        client = TeacherProxy(address)
        async with asyncio.timeout(WAIT_S):
            return await asyncio.gather(*map(client.ask, calls), return_exceptions=True)

    return asyncio.run(ask())


@pytest.fixture
def started(tmp_path, endpoint):
    """A function that starts the process with changes to the config."""
    made = []

    def start(**changes):
        loaded = written(tmp_path, endpoint.url, **changes)
        made.append(TeacherProcess(loaded, tmp_path, {"t": endpoint.url}))
        return made[-1]

    yield start
    for process in made:
        process.close()
    if made:
        eventually(lambda: unlocked(tmp_path), "the process ends")


def test_many_ask_and_each_gets_its_own_reply(started, endpoint):
    endpoint.answer = lambda body: (200, completion("re: " + body["messages"][0]["content"]))
    process = started()
    calls = [Call(step="verify", prompt=f"question {number % 40} \u2028 ü \ud800") for number in range(80)]
    replies = ask_all(process.address, calls)
    assert replies == [Reply(text="re: " + call.prompt) for call in calls]
    assert max(Counter(body["messages"][0]["content"] for body in endpoint.bodies).values()) == 1
    state = process.state()
    assert state["spent"]["verify"]["calls"] == 40 and state["in_flight"] == 0
    assert state["recalled"] == {"caption": 0, "distill": 0, "rewrite": 0, "verify": 40}


def test_several_clients_and_rounds(started, endpoint, tmp_path):
    endpoint.answer = lambda body: (200, completion("Yes"))
    process = started()

    async def rounds():
        async with asyncio.timeout(WAIT_S):
            for number in range(3):
                clients = [TeacherProxy(process.address) for _ in range(3)]
                replies = await asyncio.gather(*(one.ask(Call(step="verify", prompt=f"{number}")) for one in clients))
                assert replies == [Reply(text="Yes")] * 3

    asyncio.run(rounds())
    assert len(endpoint.bodies) == 3
    process.close()
    eventually(lambda: unlocked(tmp_path), "the process ends")
    assert not Path(process.address).parent.exists()
    with pytest.raises(TeacherError, match="is gone"):
        process.state()
    (error,) = ask_all(process.address, [CALL])
    assert isinstance(error, TeacherError) and "is gone" in str(error) and error.fix


def test_one_who_no_longer_waits_holds_up_nobody(started, endpoint):
    def answer(body):
        time.sleep(0.5 if body["messages"][0]["content"] == "slow" else 0)
        return 200, completion("Yes")

    endpoint.answer = answer
    process = started()

    async def ask():
        client = TeacherProxy(process.address)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.1):
                await client.ask(Call(step="verify", prompt="slow"))
        async with asyncio.timeout(WAIT_S):
            slow = await client.ask(Call(step="verify", prompt="slow"))
            return slow, await client.ask(Call(step="verify", prompt="quick"))

    assert asyncio.run(ask()) == (Reply(text="Yes"), Reply(text="Yes"))
    assert len(endpoint.bodies) == 2


def test_errors_come_back_typed_with_their_fix(started, endpoint, tmp_path):
    endpoint.answer = lambda body: (200, completion("Yes"))
    process = started(budget={"calls": 1})
    gone = Call(step="caption", prompt="Describe.", image="gone.png", image_sha256="x")
    (error,) = ask_all(process.address, [gone])
    assert type(error) is DataError and error.facts["file"] == str(tmp_path / "images" / "gone.png")
    assert ask_all(process.address, [CALL]) == [Reply(text="Yes")]
    (error,) = ask_all(process.address, [Call(step="verify", prompt="another")])
    assert type(error) is TeacherError and error.message == "the budget of calls is used up"
    assert error.fix == "raise budget.calls, then run the same command again to continue"
    assert error.facts == {"calls": {"verify": 1}}


def test_a_refusal_of_every_request_comes_back_to_all(started, endpoint):
    endpoint.answer = lambda body: (401, {"error": "who are you?"})
    errors = ask_all(started().address, [Call(step="verify", prompt=f"{number}") for number in range(5)])
    assert {type(error) for error in errors} == {TeacherError}
    assert all("401" in str(error) and "teachers.t" in error.fix for error in errors)


def test_an_error_that_nobody_foresaw_leaves_nobody_waiting(started, endpoint):
    process = started()
    (error,) = ask_all(process.address, [Call(step="no such step", prompt="?")])
    assert type(error) is TeacherError and error.facts["log"] == "logs/caller.log"
    endpoint.answer = lambda body: (200, completion("Yes"))
    assert ask_all(process.address, [CALL]) == [Reply(text="Yes")]


def test_a_killed_driver_loses_no_reply(tmp_path, endpoint):
    arrived, leave = threading.Event(), threading.Event()

    def slow(body):
        arrived.set()
        assert leave.wait(WAIT_S)
        return 200, completion("Yes")

    endpoint.answer = slow
    written(tmp_path, endpoint.url, teacher={"timeout_s": 60})
    driver = subprocess.Popen(
        [sys.executable, "-c", DRIVER, str(tmp_path), endpoint.url], stdout=subprocess.PIPE, text=True
    )
    try:
        address = Path(driver.stdout.readline().strip())
        assert arrived.wait(WAIT_S)
    finally:
        driver.kill()
        driver.wait(WAIT_S)
        driver.stdout.close()
    pid = pid_of(tmp_path)
    assert pid != driver.pid and not unlocked(tmp_path)
    leave.set()
    eventually(lambda: not Path(f"/proc/{pid}").exists(), "the process ends")
    assert not address.parent.exists()  # it leaves nothing behind
    store = CallStore(tmp_path / CALLS)
    assert store.spent()["verify"].calls == 1
    store.close()
    process = TeacherProcess(config(endpoint.url), tmp_path, {"t": endpoint.url})
    assert ask_all(process.address, [CALL]) == [Reply(text="Yes")] and len(endpoint.bodies) == 1
    process.close()
    eventually(lambda: unlocked(tmp_path), "the process ends")


def test_signals_to_the_run_do_not_end_it(started, endpoint, tmp_path):
    endpoint.answer = lambda body: (200, completion("Yes"))
    process = started()
    for number in (signal.SIGINT, signal.SIGTERM):
        os.kill(pid_of(tmp_path), number)
    assert ask_all(process.address, [CALL]) == [Reply(text="Yes")]


def test_a_second_one_waits_until_the_first_has_ended(tmp_path, endpoint):
    endpoint.answer = lambda body: (200, completion("Yes"))
    loaded = written(tmp_path, endpoint.url)
    first = TeacherProcess(loaded, tmp_path, {"t": endpoint.url})
    second = []
    thread = threading.Thread(target=lambda: second.append(TeacherProcess(loaded, tmp_path, {"t": endpoint.url})))
    thread.start()
    assert ask_all(first.address, [CALL]) == [Reply(text="Yes")]
    assert not second  # while the first one has the lock
    first.close()
    thread.join(WAIT_S)
    assert ask_all(second[0].address, [CALL]) == [Reply(text="Yes")] and len(endpoint.bodies) == 1
    second[0].close()
    eventually(lambda: unlocked(tmp_path), "the process ends")


def test_it_says_why_it_cannot_start(tmp_path, endpoint):
    loaded = written(tmp_path, endpoint.url)
    (tmp_path / CALLS).write_bytes(b"not a database, whatever its name says" * 50)
    with pytest.raises(TeacherError, match="can't open the recorded calls") as caught:
        TeacherProcess(loaded, tmp_path, {"t": endpoint.url})
    assert caught.value.facts["file"] == str(tmp_path / CALLS)
    eventually(lambda: unlocked(tmp_path), "the process ends")


def test_a_killed_process_leaves_nobody_waiting(tmp_path, endpoint):
    arrived, leave = threading.Event(), threading.Event()

    def slow(body):
        arrived.set()
        leave.wait(WAIT_S)
        return 200, completion("Yes")

    endpoint.answer = slow
    process = TeacherProcess(written(tmp_path, endpoint.url), tmp_path, {"t": endpoint.url})

    async def ask():
        client = TeacherProxy(process.address)
        asking = [asyncio.create_task(client.ask(Call(step="verify", prompt=f"{number}"))) for number in range(4)]
        async with asyncio.timeout(WAIT_S):
            assert await asyncio.to_thread(arrived.wait, WAIT_S)
            os.kill(pid_of(tmp_path), signal.SIGKILL)
            errors = await asyncio.gather(*asking, return_exceptions=True)
            later = await asyncio.gather(client.ask(CALL), return_exceptions=True)
        return errors + later

    errors = asyncio.run(ask())
    leave.set()
    assert [type(error) for error in errors] == [TeacherError] * 5
    assert all("is gone" in str(error) and error.fix for error in errors)
    with pytest.raises(TeacherError, match="is gone") as caught:
        process.state()
    assert caught.value.facts["log"] == str(tmp_path / "logs" / "caller.log")
    process.close()  # which is no error


def test_a_process_killed_in_the_middle_of_a_line(tmp_path):
    """As a client sees it: half of a message, and the end."""

    async def talk():
        async def half(reader, writer):
            await reader.readline()
            writer.write(json.dumps({"id": 1, "reply": {"text": "Yes"}}).encode()[:-4])
            await writer.drain()
            writer.close()

        server = await asyncio.start_unix_server(half, str(tmp_path / "s"))
        client = TeacherProxy(str(tmp_path / "s"))
        async with asyncio.timeout(WAIT_S):
            found = await asyncio.gather(client.ask(CALL), client.ask(CALL), return_exceptions=True)
        server.close()
        return found

    assert [type(error) for error in asyncio.run(talk())] == [TeacherError] * 2
