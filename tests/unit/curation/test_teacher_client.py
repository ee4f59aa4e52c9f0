"""Asking a real server: once for each call, within the budget, with everything written down."""

import base64
import dataclasses
import io
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from curating import completion, config
from PIL import Image

from vlaa_ray.curation.steps import Call
from vlaa_ray.curation.teacher_client import TeacherClient, estimated_usage
from vlaa_ray.errors import DataError, TeacherError
from vlaa_ray.services.call_store import CALLS, CallStore, Reply

pytestmark = pytest.mark.timeout(120)
PRICES = {"input_price": 2.0, "output_price": 10.0}
WAIT_S = 30
CALL = Call(step="verify", prompt="Is it so?")


@pytest.fixture
def new_client(tmp_path, endpoint):
    """A function that makes a TeacherClient with changes to the config; the store is the same for all."""
    store = CallStore(tmp_path / CALLS)
    yield lambda url=endpoint.url, **changes: TeacherClient(config(url, **changes), tmp_path, store, {"t": url})
    store.close()


def usage(prompt, reply):
    return {"prompt_tokens": prompt, "completion_tokens": reply}


def spent(one, step="verify"):
    return one.state()["spent"].get(step, {})


def test_a_call_is_made_once_and_recorded(new_client, endpoint):
    endpoint.answer = lambda body: (200, completion("Yes", usage(1000, 200)))
    one = new_client(teacher=PRICES)
    assert one.ask(CALL) == one.ask(CALL) == Reply(text="Yes")
    assert endpoint.bodies == [{"model": "m", "messages": [{"role": "user", "content": "Is it so?"}], "max_tokens": 4}]
    found = spent(one)
    assert (found["calls"], found["input_tokens"], found["output_tokens"]) == (1, 1000, 200)
    assert found["cost"] == pytest.approx(0.004)  # 1000 · 2 and 200 · 10 of a million
    assert one.state()["recalled"]["verify"] == 1 and one.state()["in_flight"] == 0
    again = new_client(teacher=PRICES)  # as another attempt at the run
    assert again.ask(CALL) == Reply(text="Yes") and len(endpoint.bodies) == 1
    assert spent(again)["cost"] == pytest.approx(0.004)


def test_who_is_asked_again_is_asked_for_something_else(new_client, endpoint):
    endpoint.answer = lambda body: (200, completion("Yes"))
    one = new_client(steps={"verify": {"extra": {"seed": 7}}})
    for attempt in range(3):
        one.ask(dataclasses.replace(CALL, attempt=attempt))
    assert [body["seed"] for body in endpoint.bodies] == [7, 8, 9]
    new_client().ask(dataclasses.replace(CALL, attempt=1))
    new_client().ask(CALL)
    assert [body.get("seed") for body in endpoint.bodies[3:]] == [1, None]


def test_the_picture_goes_along(new_client, endpoint, tmp_path):
    endpoint.answer = lambda body: (200, completion("A red square on white."))
    buffer = io.BytesIO()
    Image.new("RGB", (8, 8), "red").save(buffer, "PNG")
    (tmp_path / "a.png").write_bytes(buffer.getvalue())
    new_client().ask(Call(step="caption", prompt="Describe.", image="a.png", image_sha256="x"))
    picture, text = endpoint.bodies[0]["messages"][0]["content"]
    assert text == {"type": "text", "text": "Describe."}
    encoded = base64.b64encode(buffer.getvalue()).decode()
    assert picture == {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{encoded}"}}


def test_a_picture_that_is_gone_is_named(new_client, endpoint, tmp_path):
    one = new_client()
    for _ in range(2):
        with pytest.raises(DataError, match="can't read the image") as caught:
            one.ask(Call(step="caption", prompt="Describe.", image="gone.png", image_sha256="x"))
        assert caught.value.facts["file"] == str(tmp_path / "gone.png")
    assert endpoint.bodies == [] and one.state()["in_flight"] == 0


CHANGED_CALLS = [{"prompt": "Isn't it so?"}, {"attempt": 1}, {"image_sha256": "a"}]
CHANGED_CONFIGS = [
    {"teacher": {"model": "other"}},
    {"steps": {"verify": {"temperature": 0.5}}},
    {"steps": {"verify": {"top_p": 0.5}}},
    {"steps": {"verify": {"max_tokens": 5}}},
    {"steps": {"verify": {"extra": {"seed": 1}}}},
]
SAME_CONFIGS = [
    {"url": "http://elsewhere:1/v1"},
    {"teacher": {"timeout_s": 1, "concurrency": 1, "give_up_s": 9, **PRICES}},
    {"budget": {"calls": 7}},
    {"steps": {"caption": {"temperature": 0.5}}},
]


def test_what_changes_the_key(new_client):
    key = new_client().key(CALL)
    keys = {new_client().key(dataclasses.replace(CALL, **changes)) for changes in CHANGED_CALLS}
    keys |= {new_client(**changes).key(CALL) for changes in CHANGED_CONFIGS}
    assert len(keys) == len(CHANGED_CALLS) + len(CHANGED_CONFIGS) and key not in keys
    assert {new_client(**changes).key(CALL) for changes in SAME_CONFIGS} == {key}
    pictures = [Call(step="caption", prompt="p", image=name, image_sha256="a") for name in ("x.png", "y.png")]
    assert len({new_client().key(one) for one in pictures}) == 1  # its content counts, not its name


def test_two_that_ask_the_same_at_once_make_one_request(new_client, endpoint):
    def slow(body):
        time.sleep(0.3)
        return 200, completion("Yes")

    endpoint.answer = slow
    one = new_client()
    with ThreadPoolExecutor(8) as threads:
        asked = [threads.submit(one.ask, CALL) for _ in range(8)]
        assert [future.result(WAIT_S) for future in asked] == [Reply(text="Yes")] * 8
    assert len(endpoint.bodies) == 1 and spent(one)["calls"] == 1
    assert one.state()["recalled"]["verify"] == 7


def test_two_that_ask_the_same_share_the_error(new_client, endpoint):
    def refuse(body):
        time.sleep(0.2)
        return 401, {"error": "who are you?"}

    endpoint.answer = refuse
    one = new_client()
    with ThreadPoolExecutor(4) as threads:
        asked = [threads.submit(one.ask, CALL) for _ in range(4)]
        errors = [future.exception(WAIT_S) for future in asked]
    assert {type(error) for error in errors} == {TeacherError}
    assert all("the teacher 't' refuses requests: 401" in str(error) for error in errors)
    assert "teachers.t" in errors[0].fix


@pytest.mark.parametrize(
    ("told", "tokens"),
    [
        (None, (4, 2)),  # 14 and 7 characters at 3.5 a token
        ({}, (4, 2)),
        ("nonsense", (4, 2)),
        ([1], (4, 2)),
        (usage(-1, 7), (4, 7)),
        (usage("12", 3.5), (4, 2)),
        (usage(True, None), (4, 2)),
        (usage(10**30, 9), (4, 9)),
        (usage(float("nan"), float("inf")), (4, 2)),
        (usage(0, 0), (0, 0)),
    ],
)
def test_usage_that_is_missing_or_nonsense_is_estimated(new_client, endpoint, told, tokens):
    endpoint.answer = lambda body: (200, completion("1234567", told))
    one = new_client(teacher=PRICES)
    assert one.ask(Call(step="verify", prompt="x" * 14)).text == "1234567"
    found = spent(one)
    assert (found["input_tokens"], found["output_tokens"]) == tokens
    assert found["cost"] == pytest.approx((tokens[0] * 2 + tokens[1] * 10) / 1e6)


@pytest.mark.parametrize(
    "garbage",
    [
        b"",
        b"<html>busy</html>",
        b"[]",
        b"null",
        {},
        {"choices": []},
        {"choices": None},
        {"choices": [{}]},
        {"choices": [{"message": None}]},
        {"choices": [{"message": "Yes"}]},
        completion(["Yes"]),
        completion({"text": "Yes"}),
        completion(3),
        completion("Yes", reasoning_content=["thinking"]),
        {"error": {"message": "overloaded"}},
    ],
)
def test_a_malformed_reply_is_asked_for_again(new_client, endpoint, garbage):
    endpoint.answer = lambda body: (200, garbage) if len(endpoint.bodies) == 1 else (200, completion("Yes"))
    one = new_client()
    assert one.ask(CALL) == Reply(text="Yes")
    assert len(endpoint.bodies) == 2 and spent(one)["calls"] == 1


@pytest.mark.parametrize(
    ("body", "reply"),
    [
        (completion("Yes", reasoning_content="Hm."), Reply(text="Yes", thought="Hm.")),
        (completion("Yes", reasoning="Hm."), Reply(text="Yes", thought="Hm.")),
        (completion(None), Reply()),
        (completion("Yes", finish=None), Reply(text="Yes")),
        (completion("Ye", finish="length"), Reply(text="Ye", finish_reason="length")),
        (completion("\ud800"), Reply(text="\ud800")),
        (
            completion(None, finish="content_filter"),
            Reply(finish_reason="content_filter", refused="refused by a content filter"),
        ),
        (completion(None, refusal="I can't."), Reply(refused="refused: I can't.")),
    ],
)
def test_what_a_reply_says(new_client, endpoint, body, reply):
    endpoint.answer = lambda _: (200, body)
    one = new_client()
    assert one.ask(CALL) == one.ask(CALL) == reply
    assert len(endpoint.bodies) == 1  # a refusal is recorded, too


def test_a_400_is_not_tried_again_and_not_recorded(new_client, endpoint):
    """The service may have a higher limit the next time."""
    endpoint.answer = lambda body: (400, {"error": "too long"})
    one = new_client(teacher=PRICES)
    refused = one.ask(CALL).refused
    assert "400" in refused and "too long" in refused and len(endpoint.bodies) == 1
    endpoint.answer = lambda body: (200, completion("Yes"))
    assert one.ask(CALL) == Reply(text="Yes")


def test_a_500_is_not_recorded(new_client, endpoint):
    """Others are served meanwhile: the request is to blame, but the next attempt at the run may try again."""
    broken = threading.Event()
    broken.set()

    def answer(body):
        bad = body["messages"][0]["content"] == CALL.prompt and broken.is_set()
        return (500, {"error": "out of order"}) if bad else (200, completion("Yes"))

    endpoint.answer = answer
    one = new_client(teacher={"max_attempts": 2, "give_up_s": 20})
    end, refused = time.monotonic() + WAIT_S, []
    with ThreadPoolExecutor(1) as threads:
        asked = threads.submit(lambda: refused.append(one.ask(CALL).refused))
        number = 0
        while not asked.done() and time.monotonic() < end:
            number += 1
            assert one.ask(Call(step="verify", prompt=f"another {number}")).text == "Yes"
            time.sleep(0.02)
    assert refused and "500" in refused[0] and spent(one)["calls"] == number
    broken.clear()
    assert one.ask(CALL) == Reply(text="Yes") and spent(one)["calls"] == number + 1


def test_a_service_that_is_down_is_one_typed_error(new_client, endpoint):
    endpoint.answer = lambda body: (500, {})
    with pytest.raises(TeacherError, match="the teacher 't' doesn't answer") as caught:
        new_client(teacher={"give_up_s": 0.5}).ask(CALL)
    assert caught.value.fix


def test_half_a_surrogate_pair_is_sent_as_it_is(new_client, endpoint):
    endpoint.answer = lambda body: (200, completion("Yes"))
    new_client().ask(Call(step="verify", prompt="a\ud800b ü"))
    assert endpoint.bodies[0]["messages"][0]["content"] == "a\ud800b ü"


def test_tokens_per_minute_are_kept(new_client, endpoint):
    """Each call may take 3 + 4 tokens of 420 a minute, so one a second."""
    endpoint.answer = lambda body: (200, completion("Yes", usage(3, 1)))
    one = new_client(teacher={"tokens_per_minute": 420})
    start = time.monotonic()
    for number in range(3):
        one.ask(Call(step="verify", prompt=f"Is it {number}?"))
    assert time.monotonic() - start > 1.0  # never faster, however fast the machine


def test_an_estimate_by_hand():
    section, teacher = config(teacher=PRICES).steps.caption, config(teacher=PRICES).teachers["t"]
    found = estimated_usage(Call(step="caption", prompt="x" * 35, image="a", image_sha256="a"), section, teacher)
    assert (found.input_tokens, found.output_tokens) == (10 + 1024, 64)
    assert found.cost == pytest.approx((1034 * 2 + 64 * 10) / 1e6)
    assert estimated_usage(Call(step="caption", prompt="图" * 7), section, teacher).input_tokens == 7


BUDGETS = {"calls": 5.0, "tokens": 60.0, "cost": 0.0005}


@pytest.mark.parametrize("measure", BUDGETS)
@pytest.mark.parametrize("num_threads", [1, 12])
def test_the_budget_is_never_exceeded_and_ends_with_one_error(new_client, endpoint, measure, num_threads):
    """A call takes 3 + 4 tokens at most by the estimate, and 3 + 2 in truth."""
    endpoint.answer = lambda body: (200, completion("Yes", usage(3, 2)))
    prices = {"input_price": 2.0, "output_price": 10.0}
    one = new_client(teacher=prices, budget={measure: BUDGETS[measure]})
    replies, errors = [], []

    def ask(number):
        try:
            replies.append((number, one.ask(numbered(number))))
        except TeacherError as error:
            errors.append(error)

    with ThreadPoolExecutor(num_threads) as threads:
        list(threads.map(ask, range(40), timeout=WAIT_S))
    found = spent(one)
    taken = {"calls": found["calls"], "tokens": found["input_tokens"] + found["output_tokens"], "cost": found["cost"]}
    at_most = {"calls": 1, "tokens": 7, "cost": (3 * 2 + 4 * 10) / 1e6}[measure]
    assert BUDGETS[measure] - at_most < taken[measure] <= BUDGETS[measure]
    assert len(endpoint.bodies) == len(replies) == found["calls"] and len(errors) == 40 - len(replies)
    assert {(str(error), error.fix) for error in errors} == {(str(errors[0]), errors[0].fix)}
    assert f"the budget of {measure} is used up" in str(errors[0]) and f"raise budget.{measure}" in errors[0].fix
    number, reply = replies[0]
    assert one.ask(numbered(number)) == reply  # what is recorded is still there
    more = new_client(teacher=prices, budget={measure: 2 * BUDGETS[measure]})
    assert all(more.ask(numbered(number)) == reply for number, reply in replies)
    assert more.ask(numbered(99)).text == "Yes" and spent(more)["calls"] == found["calls"] + 1


def numbered(number):
    """A call of 3 tokens by the estimate."""
    return Call(step="verify", prompt=f"q{number:07}")


def test_a_budget_is_counted_over_all_attempts_at_the_run(new_client, endpoint):
    endpoint.answer = lambda body: (200, completion("Yes", usage(3, 2)))
    for attempt in range(3):
        assert new_client(budget={"calls": 3}).ask(Call(step="verify", prompt=f"{attempt}")).text == "Yes"
    with pytest.raises(TeacherError, match="budget of calls") as caught:
        new_client(budget={"calls": 3}).ask(Call(step="verify", prompt="one more"))
    assert caught.value.facts["calls"] == {"verify": 3}


def test_room_that_a_call_leaves_is_used_by_those_who_wait(new_client, endpoint):
    """Two calls may be on their way by the estimate of 7 tokens; each takes 5, so three fit into 17."""

    def slow(body):
        time.sleep(0.1)
        return 200, completion("Yes", usage(3, 2))

    endpoint.answer = slow
    one = new_client(budget={"tokens": 17})
    with ThreadPoolExecutor(3) as threads:
        asked = [threads.submit(one.ask, numbered(number)) for number in range(3)]
        assert [future.result(WAIT_S).text for future in asked] == ["Yes"] * 3
    assert endpoint.most_at_once == 2


def test_a_budget_of_nothing_asks_nothing(new_client, endpoint):
    with pytest.raises(TeacherError, match="budget of calls"):
        new_client(budget={"calls": 0}).ask(CALL)
    assert endpoint.bodies == []


def test_stop_lets_calls_on_their_way_come_back_and_no_other(new_client, endpoint):
    arrived, leave = threading.Event(), threading.Event()

    def slow(body):
        arrived.set()
        assert leave.wait(WAIT_S)
        return 200, completion("Yes")

    endpoint.answer = slow
    one = new_client(teacher={"timeout_s": 60})
    with ThreadPoolExecutor(2) as threads:
        asked = threads.submit(one.ask, CALL)
        assert arrived.wait(WAIT_S)
        one.stop(TeacherError("the run has ended"))
        with pytest.raises(TeacherError, match="the run has ended"):
            one.ask(numbered(1))
        one.drain(0.1)
        assert not asked.done() and one.state()["in_flight"] == 1  # its deadline is kept
        drained = threads.submit(one.drain, WAIT_S)
        leave.set()
        drained.result(WAIT_S)
        assert one.state()["in_flight"] == 0
        assert asked.result(WAIT_S) == Reply(text="Yes")
    assert new_client().ask(CALL) == Reply(text="Yes") and len(endpoint.bodies) == 1


def test_stop_ends_trying_again(new_client, endpoint):
    endpoint.answer = lambda body: (503, {})
    one = new_client(teacher={"give_up_s": 300, "max_attempts": 1000})
    with ThreadPoolExecutor(1) as threads:
        asked = threads.submit(one.ask, CALL)
        end = time.monotonic() + WAIT_S
        while not endpoint.bodies and time.monotonic() < end:
            time.sleep(0.01)
        one.stop(TeacherError("the run has ended"))
        assert "stopped" in asked.result(WAIT_S).refused
    assert spent(one) == {}  # and it isn't recorded
