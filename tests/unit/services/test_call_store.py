"""Recorded replies: there after reopening, counted, and written by one process at a time."""

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vlaa_ray.errors import TeacherError
from vlaa_ray.services.call_store import CALLS, CallStore, Reply, Spent, Usage, recorded

pytestmark = pytest.mark.timeout(120)
TEXTS = st.text(st.characters() | st.sampled_from("\0\ud800\u2028\x85'\""), max_size=20)


@given(TEXTS, st.none() | TEXTS, TEXTS)
@settings(max_examples=40, deadline=None)
def test_a_reply_is_there_after_reopening(tmp_path_factory, text, thought, refused):
    path = tmp_path_factory.mktemp("store") / CALLS
    reply = Reply(text=text, thought=thought, finish_reason="length", refused=refused)
    store = CallStore(path)
    assert store.get("k") is None
    store.put("k", "caption", reply, Usage(1, 2, 0.5, 0.25))
    assert store.get("k") == reply
    store.close()
    again = CallStore(path)
    assert again.get("k") == reply and again.get("other") is None
    assert again.spent() == {"caption": Spent(1, 1, 2, 0.5, 0.25)}
    again.close()


def test_the_first_reply_stands(tmp_path):
    store = CallStore(tmp_path / CALLS)
    store.put("k", "caption", Reply(text="one"), Usage(1, 1, 1.0, 1.0))
    store.put("k", "caption", Reply(text="two"), Usage(1, 1, 1.0, 1.0))
    assert store.get("k") == Reply(text="one") and store.spent()["caption"].calls == 1
    store.close()


def test_what_was_spent_by_step(tmp_path):
    store = CallStore(tmp_path / CALLS)
    for number, step in enumerate(["caption", "distill", "caption", "perplexity"], start=1):
        store.put(f"k{number}", step, Reply(text="x"), Usage(number, 10 * number, 0.5 * number, 0.25))
    expected = {"caption": Spent(2, 4, 40, 2.0, 0.5), "distill": Spent(1, 2, 20, 1.0, 0.25)}
    assert store.spent() == expected | {"perplexity": Spent(1, 4, 40, 2.0, 0.25)}
    assert store.keys("caption") == {"k1", "k3"} and store.keys("verify") == frozenset()
    store.close()
    assert recorded(tmp_path)["caption"] == expected["caption"]
    assert recorded(tmp_path / "nowhere") == {} and not (tmp_path / "nowhere").exists()


def test_many_threads(tmp_path):
    store = CallStore(tmp_path / CALLS)
    with ThreadPoolExecutor(8) as threads:
        list(threads.map(lambda n: store.put(f"k{n % 50}", "verify", Reply(text=str(n % 50)), Usage(1)), range(200)))
        replies = list(threads.map(lambda n: store.get(f"k{n}"), range(50)))
    assert replies == [Reply(text=str(n)) for n in range(50)]
    assert store.spent()["verify"] == Spent(50, 50)
    store.close()


def test_one_process_at_a_time(tmp_path):
    store = CallStore(tmp_path / CALLS)
    with pytest.raises(TeacherError, match="another process is recording calls here") as caught:
        CallStore(tmp_path / CALLS)
    assert caught.value.fix and caught.value.facts["file"].endswith("calls.lock")
    with pytest.raises(TeacherError, match="another process"):
        recorded(tmp_path)
    closing = threading.Timer(0.3, store.close)
    closing.start()
    CallStore(tmp_path / CALLS, wait_s=30).close()  # waits for whoever has it
    closing.join(30)


def test_a_file_that_is_no_store_is_named(tmp_path):
    (tmp_path / CALLS).write_bytes(b"not a database, whatever its name says" * 50)
    for _ in range(2):  # and it is unlocked again
        with pytest.raises(TeacherError, match="can't open the recorded calls") as caught:
            CallStore(tmp_path / CALLS)
        assert caught.value.facts["file"] == str(tmp_path / CALLS)


def test_a_call_that_cannot_be_recorded_is_an_error(tmp_path):
    store = CallStore(tmp_path / CALLS)
    store.close()
    with pytest.raises(TeacherError, match="can't record a call") as caught:
        store.put("k", "caption", Reply(), Usage())
    assert "free disk space" in caught.value.fix


def test_taking_back_what_was_counted():
    spent = Spent()
    spent.add(Usage(3, 4, 0.5, 1.0))
    spent.add(Usage(1, 1, 0.25, 1.0))
    spent.add(Usage(3, 4, 0.5, 1.0), -1)
    assert spent == Spent(1, 1, 1, 0.25, 1.0)
