"""A headless Chromium that does what a user does: it opens a page, runs steps in it, and takes pictures of it."""

from __future__ import annotations

import base64
import json
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
from browser import BROWSER
from websockets.sync.client import connect


class Tab:
    """An open page, spoken to over Chromium's DevTools protocol."""

    def __init__(self, socket: Any) -> None:
        self._socket, self._number, self.errors = socket, 0, list[str]()
        for domain in ("Runtime", "Page", "Log"):
            self.call(f"{domain}.enable")

    def call(self, method: str, **params: Any) -> dict[str, Any]:
        self._number += 1
        self._socket.send(json.dumps({"id": self._number, "method": method, "params": params}))
        while True:
            message = json.loads(self._socket.recv(timeout=60))
            if message.get("method") == "Runtime.exceptionThrown":
                self.errors.append(json.dumps(message["params"])[:500])
            if message.get("id") == self._number:
                assert "error" not in message, message
                return message["result"]

    def open(self, url: str) -> None:
        """Go to another page, and wait until it has a body: scripts may look into it from then on."""
        self.call("Page.navigate", url=url)
        self.wait_for("document.body !== null")

    def evaluate(self, script: str) -> Any:
        """The value of an expression in the page."""
        result = self.call("Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in result, result
        return result["result"].get("value")

    def wait_for(self, script: str, seconds: float = 60) -> Any:
        """The value of an expression as soon as it is true."""
        end = time.monotonic() + seconds
        while not (value := self.evaluate(script)):
            assert time.monotonic() < end, (script, self.evaluate("document.body?.innerText ?? ''")[:2000])
            time.sleep(0.2)
        return value

    def picture(self, file: Path) -> None:
        file.write_bytes(base64.b64decode(self.call("Page.captureScreenshot", format="png")["data"]))

    def give_file(self, query: str, file: Path) -> None:
        """Choose a file in an input of the page."""
        root = self.call("DOM.getDocument")["root"]["nodeId"]
        node = self.call("DOM.querySelector", nodeId=root, selector=query)["nodeId"]
        self.call("DOM.setFileInputFiles", nodeId=node, files=[str(file)])


@contextmanager
def tab(url: str, folder: Path) -> Iterator[Tab]:
    """A page in a browser of its own."""
    assert BROWSER
    command = [BROWSER, "--headless=new", "--no-sandbox", "--disable-gpu", "--no-first-run", "--window-size=1200,900"]
    command += [f"--user-data-dir={folder / 'browser'}", "--remote-debugging-port=0", "about:blank"]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        note, end = folder / "browser" / "DevToolsActivePort", time.monotonic() + 60
        while not note.exists() or len(note.read_text().split()) < 2:
            assert process.poll() is None and time.monotonic() < end
            time.sleep(0.1)
        port = note.read_text().split()[0]
        (page,) = [one for one in httpx.get(f"http://127.0.0.1:{port}/json").json() if one["type"] == "page"]
        with connect(page["webSocketDebuggerUrl"], max_size=None) as socket:
            one = Tab(socket)
            one.open(url)
            yield one
    finally:
        process.terminate()
        process.wait(30)
