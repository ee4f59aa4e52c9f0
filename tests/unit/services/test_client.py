"""Retries, the circuit breaker and the end of patience, against a real server that misbehaves."""

import random
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from vlaa_ray.config import ServiceSection
from vlaa_ray.errors import RewardError
from vlaa_ray.services.client import Service, Unanswered


def service(url: str, **changes) -> Service:
    settings = {"url": url, "timeout_s": 0.5, "give_up_s": 3.0, "concurrency": 8} | changes
    return Service(ServiceSection.model_validate(settings), "the judge", "judge", RewardError)


def test_a_tenth_of_errors_and_a_tenth_of_stalls_lose_nothing(endpoint) -> None:
    rng, lock = random.Random(0), threading.Lock()

    def flaky(body):
        with lock:
            chance = rng.random()
        if chance < 0.1:
            return random.choice([500, 502, 503, 429, 408]), {"error": "busy"}
        if chance < 0.2:
            time.sleep(1.0)  # longer than the client waits
        if chance < 0.25:
            return 200, b"<html>garbage"
        return 200, {"echo": body["n"]}

    endpoint.answer = flaky
    one = service(endpoint.url, give_up_s=30)
    with ThreadPoolExecutor(16) as threads:
        replies = list(threads.map(lambda n: one.post("x", {"n": n})["echo"], range(200)))
    assert replies == list(range(200))
    assert endpoint.most_at_once <= 8 + 30  # stalled ones are still there after their clients have gone
    assert len(endpoint.bodies) < 320


@pytest.mark.parametrize("down", ["errors", "stalls", "nobody"])
def test_down_for_good_is_one_error_in_time(endpoint, down) -> None:
    def answer(body):
        time.sleep(1.0 if down == "stalls" else 0.0)
        return 500, {"error": "down"}

    endpoint.answer = answer
    if down == "nobody":
        endpoint.close()
    one = service(endpoint.url)
    start = time.monotonic()
    with ThreadPoolExecutor(16) as threads:
        errors = [threads.submit(one.post, "x", {}).exception for _ in range(40)]
        kinds = {type(error(timeout=20)) for error in errors}
    assert kinds == {RewardError}
    assert time.monotonic() - start < 3.0 + 4.0
    if down != "nobody":
        assert len(endpoint.bodies) < 150  # the circuit is open: no herd


def test_what_one_request_is_to_blame_for_is_its_own(endpoint) -> None:
    endpoint.answer = lambda body: (400, {"error": "too long"}) if body.get("bad") else (200, {"ok": 1})
    one = service(endpoint.url)
    with pytest.raises(Unanswered, match=r"400.*too long"):
        one.post("x", {"bad": True})
    assert one.post("x", {}) == {"ok": 1}
    assert len(endpoint.bodies) == 2  # no retry


def test_one_request_fails_where_others_are_served(endpoint) -> None:
    endpoint.answer = lambda body: (503, {}) if body.get("bad") else (200, {})
    one = service(endpoint.url, max_attempts=3, give_up_s=30)
    done = threading.Event()

    def keep_asking() -> None:
        while not done.is_set():
            one.post("x", {})
            time.sleep(0.02)

    thread = threading.Thread(target=keep_asking)
    thread.start()
    try:
        with pytest.raises(Unanswered, match="3 attempts: 503"):
            one.post("x", {"bad": True})
    finally:
        done.set()
        thread.join()


@pytest.mark.parametrize("status", [401, 403, 404])
def test_a_refusal_of_every_request_ends_the_run_at_once(endpoint, status) -> None:
    endpoint.answer = lambda body: (status, {"error": "who are you?"})
    with pytest.raises(RewardError, match=f"the judge refuses requests: {status}.*who are you"):
        service(endpoint.url).post("x", {})
    assert len(endpoint.bodies) == 1


def test_a_service_that_comes_back_is_used_again(endpoint) -> None:
    back = time.monotonic() + 1.5
    endpoint.answer = lambda body: (200, {"n": body["n"]}) if time.monotonic() > back else (503, {})
    one = service(endpoint.url, give_up_s=20)
    with ThreadPoolExecutor(8) as threads:
        assert [reply["n"] for reply in threads.map(lambda n: one.post("x", {"n": n}), range(24))] == list(range(24))


def test_the_key_comes_from_the_environment(endpoint, monkeypatch) -> None:
    monkeypatch.setenv("JUDGE_KEY", "k1")
    service(endpoint.url, api_key_env="JUDGE_KEY").post("x", {})
    service(endpoint.url, api_key_env="NO_KEY").post("x", {})
    assert endpoint.headers[0]["authorization"] == "Bearer k1" and "authorization" not in endpoint.headers[1]
