"""The notices of clouds, told by a server that answers as their metadata services do."""

import threading
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from vlaa_ray.errors import VlaaRayError
from vlaa_ray.services import spot_notice
from vlaa_ray.services.spot_notice import CLOUDS, wait_for_notice


@contextmanager
def metadata(answer):
    """A metadata service; `answer(method, path, headers)` returns (status, text)."""

    class Handler(BaseHTTPRequestHandler):
        def _answer(self):
            status, text = answer(self.command, self.path, self.headers)
            self.send_response(status)
            self.end_headers()
            self.wfile.write(text.encode())

        do_GET = do_PUT = _answer

        def log_message(self, *args):
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join(5)


def test_amazon_says_when_a_machine_is_terminated():
    end = (datetime.now(UTC) + timedelta(seconds=120)).strftime("%Y-%m-%dT%H:%M:%SZ")
    asked = []

    def answer(method, path, headers):
        if (method, path) == ("PUT", "/latest/api/token"):
            assert headers["X-aws-ec2-metadata-token-ttl-seconds"]
            return 200, "secret"
        assert (method, path) == ("GET", "/latest/meta-data/spot/instance-action")
        assert headers["X-aws-ec2-metadata-token"] == "secret"
        asked.append(path)
        return (404, "not found") if len(asked) < 3 else (200, f'{{"action": "terminate", "time": "{end}"}}')

    with metadata(answer) as url:
        notice = wait_for_notice(CLOUDS["aws"], url, poll_s=0.01)
    assert 110 < notice.leave_s <= 120 and notice.reason == "AWS spot: terminate" and len(asked) == 3


def test_google_says_when_a_machine_is_preempted():
    answers = ["FALSE", "FALSE", "TRUE"]

    def answer(method, path, headers):
        assert (method, path) == ("GET", "/computeMetadata/v1/instance/preempted")
        assert headers["Metadata-Flavor"] == "Google"
        return 200, answers.pop(0)

    with metadata(answer) as url:
        notice = wait_for_notice(CLOUDS["gcp"], url, poll_s=0.01)
    assert notice == (30.0, "Google spot: preempted") and not answers


def test_a_service_that_fails_now_and_then_is_asked_again():
    answers = [(200, "FALSE"), (503, "busy"), (200, "TRUE")]
    with metadata(lambda *_: answers.pop(0)) as url:
        assert wait_for_notice(CLOUDS["gcp"], url, poll_s=0.01).leave_s == 30


def test_a_machine_of_no_cloud_says_so(monkeypatch):
    monkeypatch.setattr(spot_notice, "_FIRST_ANSWER_S", 0.05)
    with pytest.raises(VlaaRayError, match="doesn't answer") as caught:
        wait_for_notice(CLOUDS["gcp"], "http://127.0.0.1:9", poll_s=0.01)
    assert "--cloud" in caught.value.fix
