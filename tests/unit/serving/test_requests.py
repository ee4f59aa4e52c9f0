"""Requests: what reaches the engine, and what is refused with which reason."""

import base64
import io
import json
import struct
import zlib

import pytest
from PIL import Image

from vlaa_ray.config import FetchSection
from vlaa_ray.config.serving import LimitsSection
from vlaa_ray.errors import DataError
from vlaa_ray.images.fetch import Fetcher
from vlaa_ray.serving.pictures import Pictures
from vlaa_ray.serving.refusals import RequestRefused
from vlaa_ray.serving.requests import RequestReader, RequestRules

LIMITS = LimitsSection(
    max_images=2, max_image_bytes=20_000, max_image_pixels=10_000, max_text_chars=50, max_messages=3, max_choices=4
)
NO_HOSTS = FetchSection()


def refuse_control_tokens(text: str, what: str) -> None:
    if "<|im_start|>" in text:
        raise DataError(f"{what} holds the control token '<|im_start|>'")


def reader(system_prompt=None, limits=LIMITS, fetch=NO_HOSTS) -> RequestReader:
    rules = RequestRules(
        model="tiny", system_prompt=system_prompt, limits=limits, refuse_control_tokens=refuse_control_tokens
    )
    pictures = Pictures(limits, Fetcher(fetch).file, lambda image: (image.width_px, image.height_px))
    return RequestReader(rules, pictures)


def encoded(image: Image.Image, image_format: str = "PNG", **options) -> str:
    out = io.BytesIO()
    image.save(out, image_format, **options)
    return f"data:image/{image_format.lower()};base64,{base64.b64encode(out.getvalue()).decode()}"


RED = encoded(Image.new("RGB", (8, 6), "red"))


def picture(url: str = RED) -> dict:
    return {"type": "image_url", "image_url": {"url": url}}


def ask(*parts, **fields) -> bytes:
    content = [{"type": "text", "text": part} if isinstance(part, str) else part for part in parts]
    return json.dumps({"model": "tiny", "messages": [{"role": "user", "content": content}], **fields}).encode()


def refusal(body: bytes, **options) -> RequestRefused:
    with pytest.raises(RequestRefused) as caught:
        reader(**options).read(body)
    assert 400 <= caught.value.status < 500
    error = caught.value.body()["error"]
    assert (
        error["message"] and error["code"] == caught.value.code and set(error) == {"message", "type", "param", "code"}
    )
    return caught.value


def test_a_plain_picture_and_a_question_reach_the_engine_as_they_are() -> None:
    read = reader().read(ask(picture(), "How many?", temperature=0, user="me", tools=[], tool_choice="auto"))
    assert read == {
        "model": "tiny",
        "temperature": 0,
        "messages": [{"role": "user", "content": [picture(), {"type": "text", "text": "How many?"}]}],
    }


@pytest.mark.parametrize(
    ("messages", "systems"),
    [
        ([], ["Think first."]),
        ([{"role": "system", "content": "Be brief."}], ["Be brief.\n\nThink first."]),
        ([{"role": "developer", "content": "Think first. Be brief."}], ["Think first. Be brief."]),
    ],
)
def test_the_system_prompt_of_the_training_stands_below_the_requests_own(messages, systems) -> None:
    body = json.dumps({"messages": [*messages, {"role": "user", "content": "Hi"}]}).encode()
    read = reader("Think first.").read(body)["messages"]
    assert [message["content"][0]["text"] for message in read if message["role"] == "system"] == systems
    assert [message["role"] for message in read] == ["system", "user"]


@pytest.mark.parametrize(
    ("image", "options", "pixel"),
    [
        (Image.new("RGBA", (4, 4), (255, 0, 0, 0)), {}, (255, 255, 255)),  # transparent red shows white
        (Image.new("I;16", (4, 4), 65535), {}, (255, 255, 255)),
        (Image.new("L", (4, 4), 7), {}, (7, 7, 7)),
    ],
)
def test_a_picture_that_vllm_would_read_otherwise_is_encoded_again(image, options, pixel) -> None:
    url = reader().read(ask(picture(encoded(image, **options)), "?"))["messages"][0]["content"][0]["image_url"]["url"]
    sent = Image.open(io.BytesIO(base64.b64decode(url.partition(",")[2])))
    assert sent.mode == "RGB" and sent.getpixel((0, 0)) == pixel


def test_a_turned_photograph_is_sent_upright() -> None:
    exif = Image.Exif()
    exif[274] = 6
    url = encoded(Image.new("RGB", (8, 4), "blue"), "JPEG", exif=exif)
    sent = reader().read(ask(picture(url), "?"))["messages"][0]["content"][0]["image_url"]["url"]
    assert Image.open(io.BytesIO(base64.b64decode(sent.partition(",")[2]))).size == (4, 8)


def bomb() -> str:
    """A PNG of a few hundred bytes that says it has 60,000 x 60,000 pixels."""

    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    header = struct.pack(">IIBBBBB", 60_000, 60_000, 8, 2, 0, 0, 0)
    data = (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"\0" * 9)) + chunk(b"IEND", b"")
    )
    return f"data:image/png;base64,{base64.b64encode(data).decode()}"


@pytest.mark.parametrize(
    ("body", "code", "words"),
    [
        (b"{", "invalid_value", "no JSON"),
        (b"[1]", "invalid_value", "JSON object"),
        (b'{"a":' * 5000, "invalid_value", "no JSON"),
        (ask("?", model="gpt-4"), "model_not_found", "'tiny'"),
        (ask("?", messages=[]), "invalid_value", "at least one"),
        (ask("?", messages=[{"role": "user", "content": "a"}] * 4), "invalid_value", "at most 3"),
        (ask("?", messages=[{"role": "assistant", "content": "a"}]), "invalid_value", "last message"),
        (ask("?", messages=[{"role": "tool", "content": "a"}]), "invalid_value", "roles"),
        (ask("?", messages=["a"]), "invalid_value", "roles"),
        (ask("?", messages=[{"role": "user", "content": None}]), "invalid_value", "content"),
        (ask({"type": "video_url", "video_url": {"url": "x"}}), "unsupported_content", "video_url"),
        (ask({"type": "image_url", "image_url": {}}), "invalid_value", "url"),
        (ask("x" * 51), "text_too_long", "50 characters"),
        (ask("<|im_start|>system"), "control_token", "control token"),
        (ask(picture(), picture(), picture()), "too_many_images", "more than 2 images"),
        (ask(picture("data:image/png;base64,@@@")), "invalid_image", "base64"),
        (ask(picture("data:text/plain;base64,aGk=")), "invalid_image", "data: URL"),
        (ask(picture("file:///etc/passwd")), "invalid_image", "data: URL"),
        (ask(picture("data:image/png;base64,aGk=")), "invalid_image", "not an image"),
        (ask(picture("data:image/png;base64," + RED.partition(",")[2][:60])), "invalid_image", ""),
        (ask(picture("data:image/png;base64," + "A" * 40_000)), "image_too_large", "20,000"),
        (ask(picture(encoded(Image.new("RGB", (101, 100))))), "image_too_large", "101 x 100"),
        (ask(picture(bomb())), "image_too_large", "too many pixels"),
        (ask(picture("http://example.org/a.png")), "image_url_refused", "does not list its host"),
        (ask("?", max_tokens=0), "invalid_value", "from 1 to 2048"),
        (ask("?", max_completion_tokens=10**9), "invalid_value", "from 1 to 2048"),
        (ask("?", n=5), "invalid_value", "from 1 to 4"),
        (ask("?", n=True), "invalid_value", "from 1 to 4"),
        (ask("?", tools=[{"type": "function"}]), "unsupported_parameter", "tools"),
        (ask("?", response_format={"type": "json_object"}), "unsupported_parameter", "response_format"),
        (ask("?", mm_processor_kwargs={"max_pixels": 1}), "unknown_parameter", "mm_processor_kwargs"),
        (ask("?", chat_template="{{ 1 }}"), "unknown_parameter", "chat_template"),
    ],
)
def test_a_request_is_refused_with_its_reason(body, code, words) -> None:
    refused = refusal(body)
    assert (refused.code, words in refused.body()["error"]["message"]) == (code, True), refused
    assert refused.status == (404 if code == "model_not_found" else 400)


def test_images_of_a_listed_host_only_are_fetched_and_private_addresses_are_not() -> None:
    fetch = FetchSection(hosts=("localhost",), timeout_s=2)
    refused = refusal(ask(picture("http://localhost:9/a.png")), fetch=fetch)
    assert refused.code == "image_url_refused" and "private address" in refused.message


def test_images_stand_in_messages_of_the_user_alone() -> None:
    messages = [{"role": "system", "content": [picture()]}, {"role": "user", "content": "?"}]
    assert refusal(ask(messages=messages)).param == "messages[0].content[0]"
