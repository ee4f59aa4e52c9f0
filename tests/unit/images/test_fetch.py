"""Images by URL: a real server that sends, refuses, redirects, stalls and lies."""

import datetime
import io
import ipaddress
import json
import signal
import socket
import ssl
import subprocess
import sys
import threading
import time
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import psutil
import pytest
from PIL import Image
from pydantic import ValidationError

from vlaa_ray.cli import main
from vlaa_ray.config import CurationConfig, FetchSection, load_config
from vlaa_ray.curation.metadata import iterate_samples
from vlaa_ray.data import reading_progress
from vlaa_ray.data.readers import iterate_prompts
from vlaa_ray.errors import DataError, DeadlineExceeded
from vlaa_ray.images import fetch
from vlaa_ray.images.decode import MAX_IMAGE_BYTES, load
from vlaa_ray.images.fetch import Fetcher
from vlaa_ray.services import retries


def png(color="red", size=(60, 50)) -> bytes:
    out = io.BytesIO()
    Image.new("RGB", size, color).save(out, "PNG")
    return out.getvalue()


class Host:
    """Answers with what `pages` has for the path: bytes, a status, or a function that writes the answer itself."""

    def __init__(self) -> None:
        self.pages: dict[str, object] = {}
        self.asked: Counter[str] = Counter()
        self.at_once = self.most_at_once = 0
        self.pause_s = 0.0
        self.lock = threading.Lock()
        host = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                with host.lock:
                    host.asked[self.path] += 1
                    host.at_once += 1
                    host.most_at_once = max(host.most_at_once, host.at_once)
                time.sleep(host.pause_s)
                with host.lock:
                    host.at_once -= 1
                page = host.pages.get(self.path, 404)
                page = page.pop(0) if isinstance(page, list) else page
                if callable(page):
                    page(self)
                    return
                body = page if isinstance(page, bytes) else b""
                self.send_response(200 if isinstance(page, bytes) else page)
                self.send_header("content-length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *args: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.port = self.server.server_port
        self.url = f"http://127.0.0.1:{self.port}"
        threading.Thread(target=self.server.serve_forever, args=(0.02,), daemon=True).start()


@pytest.fixture
def host():
    host = Host()
    yield host
    host.server.shutdown()
    host.server.server_close()


@pytest.fixture
def section(tmp_path, monkeypatch):
    monkeypatch.setattr(retries, "FIRST_WAIT_S", 0.01)
    return FetchSection(hosts=("127.0.0.1",), cache=str(tmp_path / "cache"), timeout_s=1, give_up_s=2)


def test_an_image_is_fetched_once_and_kept(host, section) -> None:
    host.pages["/a.png?size=1"] = png()
    first = Fetcher(section).file(f"{host.url}/a.png?size=1")
    assert Fetcher(section).file(f"{host.url}/a.png?size=1") == first
    assert first.read_bytes() == png()
    assert first.suffix == ".png"
    assert host.asked == {"/a.png?size=1": 1}
    assert list(first.parent.iterdir()) == [first]


@pytest.mark.parametrize(
    "url",
    [
        "http://example.com/a.png",
        "http://127.0.0.1@example.com/a.png",
        "http://user:word@127.0.0.1/a.png",
        "http://127.0.0.2/a.png",
        "http://2130706433/a.png",
        "http://[::ffff:127.0.0.1]/a.png",
        "http://localhost/a.png",
        "http://127.0.0.1.example.com/a.png",
    ],
)
def test_no_other_host_is_asked(section, monkeypatch, url) -> None:
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: pytest.fail("it was looked up"))
    with pytest.raises(DataError, match=r"not fetched.*fetch\.hosts"):
        Fetcher(section).file(url)


@pytest.mark.parametrize("url", ["http://[::1/a.png", "http://a:b:c/", "http://\0/"])
def test_what_is_no_url_is_named(section, url) -> None:
    with pytest.raises(DataError, match="not a URL"):
        Fetcher(section).file(url)


def test_a_name_that_leads_inside_is_not_asked(host, section) -> None:
    host.pages["/a.png"] = png()
    inside = section.model_copy(update={"hosts": ("localhost",)})
    with pytest.raises(DataError, match=r"private address.*127\.0\.0\.1|private address.*::1"):
        Fetcher(inside).file(f"http://localhost:{host.port}/a.png")
    assert not host.asked
    both = section.model_copy(update={"hosts": ("localhost", "127.0.0.0/8")})
    assert Fetcher(both).file(f"http://localhost:{host.port}/a.png").read_bytes() == png()


@pytest.mark.parametrize(
    ("address", "public"),
    [
        ("8.8.8.8", True),
        ("2606:4700::1111", True),
        ("::ffff:8.8.8.8", True),
        *((one, False) for one in ("10.0.0.1", "127.0.0.1", "169.254.169.254", "100.64.0.1", "0.0.0.0", "224.0.0.1")),
        *((one, False) for one in ("::1", "::ffff:10.0.0.1", "64:ff9b::a00:1", "2002:a00:1::1", "fec0::1", "fe80::1")),
        *((one, False) for one in ("::127.0.0.1", "fd00::1", "ff02::1", "2001:0:a00:1::1")),
    ],
)
def test_which_addresses_lead_outside(address, public) -> None:
    assert fetch._is_public(ipaddress.ip_address(address)) == public


def test_a_name_may_be_listed_in_its_own_letters(section, monkeypatch) -> None:
    asked = []

    def look_up(host, *_, **__):
        asked.append(host)
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("10.0.0.1", 80))]

    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    for listed, written in (("Bücher.example", "xn--bcher-kva.example"), ("xn--bcher-kva.example", "bücher.example")):
        with pytest.raises(DataError, match=r"private address.*10\.0\.0\.1"):
            Fetcher(section.model_copy(update={"hosts": (listed.lower(),)})).file(f"http://{written}/a.png")
    assert asked == ["xn--bcher-kva.example"] * 2


def test_the_name_is_told_to_the_host(host, section) -> None:
    names = []

    def note(handler) -> None:
        names.append(handler.headers["host"])
        handler.send_response(404)
        handler.end_headers()

    host.pages["/a.png"] = note
    both = section.model_copy(update={"hosts": ("localhost", "127.0.0.1")})
    with pytest.raises(DataError, match="status 404"):
        Fetcher(both).file(f"http://LOCALHOST:{host.port}/a.png")
    assert names == [f"localhost:{host.port}"]


def test_a_redirect_is_not_followed(host, section) -> None:
    def elsewhere(handler) -> None:
        handler.send_response(302)
        handler.send_header("location", f"{host.url}/secret.png")
        handler.end_headers()

    host.pages |= {"/a.png": elsewhere, "/secret.png": png()}
    with pytest.raises(DataError, match=r"redirects are not followed.*/secret\.png"):
        Fetcher(section).file(f"{host.url}/a.png")
    assert host.asked == {"/a.png": 1}


def endless(handler) -> None:
    handler.send_response(200)
    handler.end_headers()
    with pytest.raises(OSError):
        while True:
            handler.wfile.write(bytes(1 << 20))


def slow(handler) -> None:
    handler.send_response(200)
    handler.send_header("content-length", "1000")
    handler.end_headers()
    with pytest.raises(OSError):
        for _ in range(1000):
            handler.wfile.write(b"x")
            time.sleep(0.05)


def never_begun(handler) -> None:
    with pytest.raises(OSError):
        for _ in range(1000):
            handler.wfile.write(b"HTTP/1.1 102 Processing\r\n\r\n")
            time.sleep(0.05)


def cut_short(handler) -> None:
    handler.send_response(200)
    handler.send_header("content-length", "1000")
    handler.end_headers()
    handler.wfile.write(png()[:20])


@pytest.mark.parametrize(
    ("page", "message", "times"),
    [
        (b"<html>log in</html>", "not an image of a known format", 1),
        (404, "status 404", 1),
        (403, "status 403", 1),
        (204, "status 204", 1),
        (500, "can't fetch the image, tried 3 times: status 500", 3),
        (endless, rf"too large.*{MAX_IMAGE_BYTES}", 1),
        (slow, "can't fetch the image, tried 3 times: the image did not arrive within 1 s", 3),
        (never_begun, "can't fetch the image, tried 3 times: the image did not arrive within 1 s", 3),
        (cut_short, "can't fetch the image, tried 3 times: RemoteProtocolError", 3),
    ],
)
def test_what_is_no_image_is_named_and_not_kept(host, section, tmp_path, page, message, times) -> None:
    host.pages["/a.png"] = page
    with pytest.raises(DataError, match=message):
        Fetcher(section).file(f"{host.url}/a.png")
    assert host.asked == {"/a.png": times}
    assert not [path for path in (tmp_path / "cache").rglob("*") if path.is_file()]


def test_what_passes_is_tried_again(host, section) -> None:
    host.pages["/a.png"] = [503, 429, png()]
    assert Fetcher(section).file(f"{host.url}/a.png").read_bytes() == png()


def test_a_host_that_is_gone_ends_it_with_one_error(section) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    fetcher = Fetcher(section)
    for number in range(5):  # five in a row may be the images' own fault
        with pytest.raises(DataError, match="ConnectError"):
            fetcher.file(f"http://127.0.0.1:{port}/{number}.png")
    with pytest.raises(DeadlineExceeded, match=r"no image came from 127\.0\.0\.1 for 2 s: ConnectError.*it continues"):
        fetcher.file(f"http://127.0.0.1:{port}/5.png")


def test_an_outage_costs_no_image(host, section) -> None:
    fetcher = Fetcher(section.model_copy(update={"give_up_s": 30}))
    fetcher._failed_in_a_row[b"127.0.0.1"] = 5
    host.pages["/a.png"] = [500, 500, 500, 500, png()]
    host.pages["/"] = 502
    assert fetcher.file(f"{host.url}/a.png").read_bytes() == png()
    host.pages["/b.png"] = [*[429] * 9, png()]
    assert fetcher.file(f"{host.url}/b.png").read_bytes() == png()


def test_any_number_of_bad_images_is_told_from_an_outage(host, section) -> None:
    fetcher = Fetcher(section)
    for number in range(8):
        host.pages[f"/{number}.png"] = 500
        with pytest.raises(DataError, match="3 times: status 500"):
            fetcher.file(f"{host.url}/{number}.png")


@pytest.mark.parametrize("host", ["http://a.org", "a.org/x", "a.org:80", "*.a.org", "", "10.0.0.1/8", "a b", "[::1]"])
def test_a_host_is_a_name_or_an_address(host) -> None:
    with pytest.raises(ValidationError, match="neither a host's name alone nor an address or a network"):
        FetchSection(hosts=(host,))


def certificate(folder, name):
    """(certificate, key) files for a host's name, which signs itself."""
    x509 = pytest.importorskip("cryptography.x509")
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    now = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder(subject, subject, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    plain = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    (folder / "cert.pem").write_bytes(made.public_bytes(serialization.Encoding.PEM))
    (folder / "key.pem").write_bytes(key.private_bytes(serialization.Encoding.PEM, *plain))
    return folder / "cert.pem", folder / "key.pem"


@pytest.mark.parametrize(("name", "trusted"), [("localhost", True), ("elsewhere.example", False)])
def test_https_is_checked_for_the_hosts_name(host, section, tmp_path, monkeypatch, name, trusted) -> None:
    cert, key = certificate(tmp_path, name)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(cert, key)
    host.server.socket = context.wrap_socket(host.server.socket, server_side=True)
    host.pages["/a.png"] = png()
    monkeypatch.setenv("SSL_CERT_FILE", str(cert))
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:9")  # nobody is there
    fetcher = Fetcher(section.model_copy(update={"hosts": ("localhost", "127.0.0.1")}))
    url = f"https://localhost:{host.port}/a.png"
    if trusted:
        assert fetcher.file(url).read_bytes() == png()
        return
    with pytest.raises(DataError, match="certificate is not valid for 'localhost'"):
        fetcher.file(url)


def test_records_are_read_in_their_order_while_images_are_fetched_side_by_side(host, section, tmp_path) -> None:
    host.pages |= {f"/{number}.png": png("red", (28 + number, 28)) for number in range(32)}
    host.pause_s = 0.05
    rows = [
        {"id": number, "image": f"{host.url}/{number}.png", "question": "?", "gt": number, "verifier_type": "digit"}
        for number in range(32)
    ]
    rows[9]["image"] = f"{host.url}/gone.png"
    file = tmp_path / "data.json"
    file.write_text(json.dumps(rows))
    read = list(iterate_prompts(file, None, fetch=section.model_copy(update={"concurrency": 8, "timeout_s": 30})))
    assert [number for number, _ in read] == list(range(1, 33))
    assert isinstance(read[9][1], DataError)
    assert read[9][1].facts["row"] == 10
    assert 1 < host.most_at_once <= 8
    assert not [one for one in psutil.Process().net_connections("tcp") if one.raddr and one.raddr.port == host.port]
    for number, prompt in read[:9] + read[10:]:
        assert prompt.gold == number - 1
        assert load(prompt.images[0]).size == (27 + number, 28)


def test_data_check_fetches_from_the_hosts_it_is_told(host, tmp_path, monkeypatch, capsys) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    host.pages["/a.png"] = png()
    record = {"image": {"url": f"{host.url}/a.png"}, "question": "How many?", "gt": 3, "verifier_type": "digit"}
    (tmp_path / "data.json").write_text(json.dumps([record]))
    assert main(["data", "check", str(tmp_path / "data.json"), "--report", str(tmp_path / "report.json")]) == 1
    (defect,) = json.loads((tmp_path / "report.json").read_text())["defects"]
    assert defect["reason"] == f"the image is not fetched: fetch.hosts does not list its host ({host.url}/a.png)"
    assert not host.asked
    assert main(["data", "check", str(tmp_path / "data.json"), "--image-host", "127.0.0.1"]) == 0
    assert main(["data", "check", str(tmp_path / "data.json"), "--image-host", host.url]) == 2
    assert "--image-host" in capsys.readouterr().err
    assert (tmp_path / ".cache/vlaa-ray/images").exists()


def test_curation_puts_fetched_images_into_its_folder(host, section, tmp_path) -> None:
    host.pages["/a.png"] = png()
    record = {"image": f"{host.url}/a.png", "question": "How many?", "gt": 3, "verifier_type": "digit"}
    (tmp_path / "data.json").write_text(json.dumps([record]))
    config = load_config("configs/curate_quickstart.yaml", kind=CurationConfig)
    sources = (config.sources[0].model_copy(update={"path": str(tmp_path / "data.json")}),)
    teachers = {  # the scripted teacher knows no picture of this host
        name: teacher.model_copy(update={"url": "http://127.0.0.1:1/v1"}) for name, teacher in config.teachers.items()
    }
    config = config.model_copy(update={"sources": sources, "fetch": section, "teachers": teachers})
    (sample,) = iterate_samples(config, tmp_path / "images")
    assert not sample.reason
    assert (tmp_path / "images" / sample.image).read_bytes() == png()


def test_long_reading_says_how_far_it_is(host, tmp_path, monkeypatch, capsys) -> None:
    monkeypatch.setattr(reading_progress, "REPORT_EVERY_S", 0)
    host.pages["/a.png"] = png()
    record = {"image": f"{host.url}/a.png", "question": "How many?", "gt": 3, "verifier_type": "digit"}
    (tmp_path / "data.json").write_text(json.dumps([record | {"id": number} for number in range(1234)]))
    main(["data", "check", str(tmp_path / "data.json")])
    assert "data.json: 1,234 records read\n" in capsys.readouterr().err


def test_a_run_can_be_stopped_while_it_fetches(host, tmp_path) -> None:
    host.pages |= {f"/{number}.png": slow for number in range(100)}
    rows = [
        {"image": f"{host.url}/{number}.png", "question": "How many?", "gt": 3, "verifier_type": "digit"}
        for number in range(100)
    ]
    (tmp_path / "data.json").write_text(json.dumps(rows))
    fetched = [f"data.train={tmp_path}/data.json", "data.fetch.hosts=[127.0.0.1]", "data.fetch.concurrency=2"]
    fetched += [f"data.fetch.cache={tmp_path}/cache", f"run.dir={tmp_path}"]
    command = [sys.executable, "-m", "vlaa_ray", "train", "--config", "configs/quickstart.yaml", *fetched]
    with subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True) as run:
        end = time.monotonic() + 60
        while not host.asked and time.monotonic() < end:
            time.sleep(0.05)
        assert host.asked
        run.send_signal(signal.SIGINT)
        _, said = run.communicate(timeout=20)  # an image has 30 s
    assert run.returncode == 130
    assert "RunInterrupted: stopped by SIGINT" in said
    assert json.loads((tmp_path / "quickstart/run.json").read_text())["error"]["type"] == "RunInterrupted"
