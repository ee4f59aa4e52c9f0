"""Which rollouts are shown, how a completion is cut into pieces, and pictures that may not be what they claim."""

import base64
import io
import json
import random
import struct
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from vlaa_ray.report.samples import picture, pieces, samples_of
from vlaa_ray.run.reader import RecordedRun


@pytest.mark.parametrize(
    ("completion", "expected"),
    [
        ("<think>a\nb</think><answer>3</answer>", [("think", "<think>a\nb</think>"), ("answer", "<answer>3</answer>")]),
        ("hm <think>cut off", [("plain", "hm "), ("think", "<think>cut off")]),
        ("3", [("plain", "3")]),
        ("", []),
        ("</think>x<answer></answer>", [("plain", "</think>x"), ("answer", "<answer></answer>")]),
    ],
)
def test_the_reasoning_is_told_apart_from_the_answer(completion, expected):
    assert list(pieces(completion)) == expected


@given(st.lists(st.sampled_from(["<think>", "</think>", "<answer>", "</answer>", "x", "\n", "<", ">"])).map("".join))
def test_pieces_joined_are_the_completion(completion):
    assert "".join(text for _, text in pieces(completion)) == completion


def row(kind, step, reward, **changes):
    return {"verifier_type": kind, "step": step, "reward": reward, "question": "?", "completion": "x", **changes}


def run_with(path, steps):
    (path / "rollouts").mkdir()
    for step, rows in steps.items():
        lines = "".join(json.dumps(row) + "\n" for row in rows)
        (path / "rollouts" / f"step_{step:06d}.jsonl").write_text(lines)
    return RecordedRun.read(path)


def shown(run):
    return {
        kind: [(period.title, [(sample.label, sample.reward) for sample in period.samples]) for period in periods]
        for kind, periods in samples_of(run).items()
    }


def test_the_best_and_the_worst_of_the_first_and_the_last_step(tmp_path):
    middle = [row("mcq", 5, 0.5)]
    run = run_with(
        tmp_path,
        {
            1: [row("mcq", 1, 0.2), row("mcq", 1, 0.9), row("mcq", 1, None), row("mcq", 1, 0.4)],
            5: middle,
            9: [row("mcq", 9, 0.7), row("mcq", 9, 1.0), row("iou", 9, None, reason="no gold")],
        },
    )
    assert shown(run) == {
        "mcq": [
            ("Early: step 1", [("best", "0.900"), ("worst", "0.200")]),
            ("Late: step 9", [("best", "1.000"), ("worst", "0.700")]),
        ],
        "iou": [("Step 9", [("not judged", "not judged")])],
    }


def test_a_type_that_only_other_steps_hold_is_found(tmp_path):
    run = run_with(tmp_path, {1: [row("mcq", 1, 1.0)], 2: [row("iou", 2, 0.5)], 3: [row("mcq", 3, 0.0)]})
    assert shown(run)["iou"] == [("Step 2", [("best", "0.500")])]


def test_lines_that_are_no_rollouts_are_passed_over(tmp_path):
    run = run_with(tmp_path, {1: [row("mcq", 1, 1.0)]})
    with (tmp_path / "rollouts" / "step_000001.jsonl").open("a") as file:
        file.write('null\n[1]\n{"verifier_type": "mcq", "step": 1, "images": "no", "reward": "high"}\n{"torn')
    assert shown(run) == {"mcq": [("Step 1", [("best", "1.000")])]}


def test_long_text_is_cut_with_the_number_of_characters_left_out(tmp_path):
    run = run_with(tmp_path, {1: [row("mcq", 1, 1.0, completion="y" * 7000)]})
    (_, text) = samples_of(run)["mcq"][0].samples[0].completion[0]
    assert text == "y" * 6000 + " … (1000 more characters)"


def png(width, height):
    file = io.BytesIO()
    Image.new("RGB", (width, height), (10, 20, 30)).save(file, "PNG")
    return file.getvalue()


def decoded(uri):
    return Image.open(io.BytesIO(base64.b64decode(uri.removeprefix("data:image/png;base64,"))))


def test_a_picture_goes_in_as_new_small_pixels(tmp_path):
    (tmp_path / "big.png").write_bytes(png(1200, 600) + b"<script>alert(1)</script>")
    found = picture(tmp_path, {"path": "big.png"}, {})
    assert decoded(found.uri).size == (448, 224) and decoded(found.uri).getpixel((5, 5)) == (10, 20, 30)
    assert not found.pixelated and b"script" not in base64.b64decode(found.uri.split(",")[1])
    (tmp_path / "small.png").write_bytes(png(56, 56))
    assert picture(tmp_path, {"path": "small.png"}, {}).pixelated


def bomb():
    """A PNG of a few bytes that claims 20,000 x 20,000 pixels."""

    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", 20_000, 20_000, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"0")) + chunk(b"IEND", b"")


def test_pictures_that_are_none_get_a_sentence_instead(tmp_path):
    outside = tmp_path / "secret.png"
    outside.write_bytes(png(8, 8))
    run = tmp_path / "run"
    run.mkdir()
    (run / "text.png").write_bytes(b"<svg onload=alert(1)>")
    (run / "bomb.png").write_bytes(bomb())
    (run / "link.png").symlink_to(outside)
    for name, reason in {
        "text.png": "can't be read",
        "bomb.png": "can't be read",
        "gone.png": "does not exist",
        "../secret.png": "outside",
        str(outside): "outside",
        "link.png": "outside",
        "": "names no picture",
    }.items():
        found = picture(run, {"path": name}, {})
        assert reason in found.missing and not found.uri, name
    assert "names no picture" in picture(run, "not a mapping", {}).missing


def test_damaged_files_never_raise(tmp_path):
    rng = random.Random(0)
    good = png(32, 32)
    for number in range(150):
        data = bytearray(good[: rng.randrange(8, len(good) + 1)])
        for _ in range(rng.randrange(4)):
            data[rng.randrange(len(data))] = rng.randrange(256)
        (tmp_path / "x.png").write_bytes(data)
        found = picture(tmp_path, {"path": "x.png"}, {})
        assert bool(found.uri) != bool(found.missing), number
