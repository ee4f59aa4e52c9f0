"""A teacher for trials and tests: a server with the real protocol that understands only the built-in pictures.

    python -m vlaa_ray.curation.scripted --port 8500 --errors 0.1 --stalls 0.02 --garbage 0.02

It recognises handwritten digits and coloured shapes by their pixels, and it reasons, rewrites and verifies by rules.
Like a real teacher it makes mistakes: some captions name a wrong shape, some reasoning doubts itself, some answers are
wrong, and some rewriting adds a sentence. Its reply depends on the request alone, so that two runs end alike. Only the
faults of the service, whose shares are set by the options (errors, stalls, garbage), are random.
"""

from __future__ import annotations

import argparse
import base64
import binascii
import hashlib
import io
import json
import random
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from PIL import Image, UnidentifiedImageError

from vlaa_ray.curation.scripted_answers import caption_of, known_digits, reply_to

_GARBAGE = ("<html>busy</html>", '{"choices": []}', "")
_NONSENSE = "~~~"


class ScriptedTeacher:
    """A running server; `url` is its address, as `teachers.NAME.url` of the config expects it.

    `errors`, `stalls` and `garbage` are shares of the requests that get status 500, a reply after `stall_s` seconds, or
    garbage: a body that is not a completion, or for one in four a completion without sense. Every other reply takes
    `latency_s` seconds. `log` is a file that gets the SHA-256 of each request whose proper reply was sent.
    """

    def __init__(
        self,
        port: int = 0,
        *,
        errors: float = 0.0,
        stalls: float = 0.0,
        garbage: float = 0.0,
        stall_s: float = 30.0,
        latency_s: float = 0.0,
        log: Path | None = None,
    ) -> None:
        self._faults = {"error": errors, "stall": stalls, "garbage": 0.75 * garbage}
        self._nonsense = 0.25 * garbage
        self._stall_s, self._latency_s = stall_s, latency_s
        self._log = log.open("a", buffering=1) if log else None
        self._lock = threading.Lock()
        self._chance = random.Random(0)
        known_digits()  # loading takes seconds; otherwise the first request would wait for it
        self._server = _server(self, port)
        self.url = f"http://127.0.0.1:{self._server.server_port}/v1"
        threading.Thread(target=self._server.serve_forever, name="scripted-teacher", daemon=True).start()

    def close(self) -> None:
        """Stop the server."""
        self._server.shutdown()
        self._server.server_close()

    def answer(self, body: bytes) -> tuple[int, bytes, bool]:
        """Return (HTTP status, body, whether it is a proper reply) for the body of a request for a chat completion."""
        time.sleep(self._latency_s)
        fault = self._fault()
        if fault == "error":
            return 500, b'{"error": {"message": "out of order"}}', False
        if fault == "stall":
            time.sleep(self._stall_s)
            return 504, b'{"error": {"message": "too late"}}', False
        if fault == "garbage":
            with self._lock:
                return 200, self._chance.choice(_GARBAGE).encode(), False
        try:
            request = json.loads(body)
            text, picture = _content(request["messages"][-1]["content"])
            reply = reply_to(text) if picture is None else caption_of(picture, _seed(body))
            if _seed(b"nonsense" + body) < self._nonsense * 2**32:  # no chance: it is a reply, and is recorded as one
                reply = _NONSENSE
        except (ValueError, LookupError, TypeError, UnidentifiedImageError) as error:
            return 400, json.dumps({"error": {"message": f"not a request for a completion: {error}"}}).encode(), False
        return 200, json.dumps(_completion(request.get("model"), text, reply)).encode(), True

    def served(self, body: bytes) -> None:
        """Log that the proper reply to a request was sent."""
        if self._log:
            with self._lock:
                self._log.write(hashlib.sha256(body).hexdigest() + "\n")

    def _fault(self) -> str | None:
        with self._lock:
            chance = self._chance.random()
        for name, share in self._faults.items():
            if chance < share:
                return name
            chance -= share
        return None


def _server(teacher: ScriptedTeacher, port: int) -> ThreadingHTTPServer:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def do_GET(self) -> None:
            self._send(200, b'{"object": "list", "data": [{"id": "scripted", "object": "model"}]}')

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("content-length", 0)))
            status, reply, real = teacher.answer(body)
            if self._send(status, reply) and real:
                teacher.served(body)

        def _send(self, status: int, data: bytes) -> bool:
            try:
                self.send_response(status)
                self.send_header("content-type", "application/json")
                self.send_header("content-length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)
                return True
            except OSError:  # the client has hung up
                self.close_connection = True
                return False

        def log_message(self, *args: object) -> None:
            pass

    class Server(ThreadingHTTPServer):
        daemon_threads = True
        request_queue_size = 256

    return Server(("127.0.0.1", port), Handler)


def _content(content: Any) -> tuple[str, Image.Image | None]:
    if isinstance(content, str):
        return content, None
    text = "\n".join(part["text"] for part in content if part["type"] == "text")
    urls = [part["image_url"]["url"] for part in content if part["type"] == "image_url"]
    if not urls:
        return text, None
    try:
        return text, Image.open(io.BytesIO(base64.b64decode(urls[0].partition(",")[2], validate=True)))
    except binascii.Error as error:
        raise ValueError(f"the picture is not base64: {error}") from error


def _completion(model: Any, text: str, reply: str) -> dict[str, Any]:
    usage = {"prompt_tokens": len(text) // 4, "completion_tokens": max(1, len(reply) // 4)}
    message = {"role": "assistant", "content": reply}
    choice = {"index": 0, "message": message, "finish_reason": "stop"}
    return {"id": "scripted", "object": "chat.completion", "model": model, "choices": [choice], "usage": usage}


def _seed(body: bytes) -> int:
    return int.from_bytes(hashlib.sha256(body).digest()[:4], "big")


def main() -> None:
    """Start the server with the options of the command line, and serve until the process is ended."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--port", type=int, default=8500)
    for name in ("errors", "stalls", "garbage"):
        parser.add_argument(f"--{name}", type=float, default=0.0, help="share of the requests, 0 to 1")
    parser.add_argument("--stall-s", type=float, default=30.0)
    parser.add_argument("--latency-s", type=float, default=0.0)
    parser.add_argument(
        "--log", type=Path, help="file that gets the sha256 of each request whose proper reply was sent, one a line"
    )
    teacher = ScriptedTeacher(**vars(parser.parse_args()))
    print(f"http server at {teacher.url}", flush=True)  # noqa: T201 - tells the user the address
    threading.Event().wait()


if __name__ == "__main__":
    main()
