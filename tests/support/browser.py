"""A headless browser for tests of pages, and a server that notes what is asked of it."""

import contextlib
import functools
import http.server
import json
import os
import re
import shutil
import subprocess
import threading
from html import unescape

import pytest

BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
MISSING = "no browser: apt-get install chromium"
NEEDS_BROWSER = pytest.mark.skipif(BROWSER is None and "CI" not in os.environ, reason=MISSING)
# Another page acts on the one that is tested: it presses keys, chooses filters, and says what it sees
ACTING = """<!doctype html><body style="margin:0">
<iframe src="PAGE" width="WIDTH" height="900" style="border:0"></iframe>
<pre id="seen"></pre><script>onload = async () => {
const frame = document.querySelector("iframe"), page = frame.contentDocument, view = frame.contentWindow;
const get = (query) => page.querySelector(query);
const text = (query) => [...page.querySelectorAll(query)].map((one) => one.textContent);
const wait = (ms) => new Promise((done) => setTimeout(done, ms));
const press = (key, query = "body") =>
  get(query).dispatchEvent(new view.KeyboardEvent("keydown", { key, bubbles: true, cancelable: true }));
const choose = (name, value) => {
  const select = get(`select[data-filter=${name}]`);
  select.value = value;
  select.dispatchEvent(new view.Event("change"));
};
const find = async (wanted) => {
  get("input[type=search]").value = wanted;
  get("input[type=search]").dispatchEvent(new view.Event("input"));
  await wait(500);
};
const result = await (async () => { STEPS })();
document.getElementById("seen").textContent = JSON.stringify(result);
}</script>"""


class Noting(http.server.SimpleHTTPRequestHandler):
    """Serves files, and notes the paths that were asked for in the list `requested` of its server."""

    def log_message(self, *args):
        pass

    def do_GET(self):
        self.server.requested.append(self.path)
        super().do_GET()


@contextlib.contextmanager
def serving(folder):
    """(the folder's address, the list of the paths that are requested), while the block runs."""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Noting, directory=str(folder)))
    server.requested = []
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", server.requested
    finally:
        server.shutdown()
        thread.join(timeout=30)
        server.server_close()


def browse(tmp_path, *options):
    """(what the browser says on its standard output, what went to the console)."""
    assert BROWSER, MISSING  # where CI is set a missing browser is an error, elsewhere these tests are skipped
    command = [
        BROWSER,
        "--headless=new",
        "--no-sandbox",
        "--disable-gpu",
        "--hide-scrollbars",
        "--enable-logging=stderr",
    ]
    command += [f"--user-data-dir={tmp_path / 'browser'}", "--force-device-scale-factor=1", "--no-first-run", *options]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    return done.stdout, [line for line in done.stderr.splitlines() if "CONSOLE" in line]


def acted(tmp_path, site, page, steps, width=1280):
    """What the steps (JavaScript that returns a value) see on the page; fails if anything went to the console."""
    acting = ACTING.replace("PAGE", page).replace("WIDTH", str(width)).replace("STEPS", steps)
    (tmp_path / "acting.html").write_text(acting)
    dom, console = browse(tmp_path, "--virtual-time-budget=20000", "--dump-dom", f"{site}/acting.html")
    assert console == []
    return json.loads(unescape(re.search(r'<pre id="seen">(.*?)</pre>', dom, re.DOTALL)[1]))
