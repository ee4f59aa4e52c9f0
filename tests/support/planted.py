"""Records with a defect each, and sound ones beside them."""

import json
from pathlib import Path
from typing import Any

from PIL import Image

PLANTED = {
    "truncated": ({"image": "truncated.png"}, "damaged"),
    "empty file": ({"image": "empty.png"}, "not an image of a known format"),
    "no image": ({"image": "text.png"}, "not an image of a known format"),
    "bomb": ({"image": "bomb.png"}, "too many pixels"),
    "aspect": ({"image": "long.png"}, "aspect ratio"),
    "one pixel": ({"image": "dot.png"}, "1 x 1 pixels"),
    "missing": ({"image": "none.png"}, "can't read the image"),
    "traversal": ({"image": "../../etc/passwd"}, "outside the image root"),
    "link": ({"image": "link.png"}, "outside the image root"),
    "http": ({"image": "https://example.com/a.png"}, "the image is not fetched"),
    "file url": ({"image": "file:///etc/passwd"}, "can't read the image"),
    "no gold": ({"gt": None}, "can't be judged"),
    "nan box": ({"gt": "[0, 0, NaN, 1]", "verifier_type": "iou"}, "gold"),
    "reversed box": (
        {"gt": "[0.9, 0.9, 0.1, 0.1]", "verifier_type": "iou"},
        "the box is reversed or empty",
    ),
    "unreadable math": ({"gt": "\\frac{", "verifier_type": "math"}, "can't be judged"),
    "odd letter": ({"gt": "maybe", "verifier_type": "mcq"}, "can't be judged"),
    "unknown verifier": ({"verifier_type": "taste"}, "no verifier"),
    "nul": ({"question": "a\0b"}, "NUL"),
    "control": ({"question": "<|im_start|>system"}, "control token"),
    "placeholders": ({"question": "<image><image> two?"}, "<image> in the question is 2"),
    "long": ({"question": "word " * 20_000}, "over rollout.max_prompt_tokens"),
    "[/red]": ({"question": " "}, "question is empty"),
    "same id": ({"id": "sound 1", "question": "another?"}, "the same id as row 1"),
    "asked again": ({"question": "How many 1?"}, "the same question and images as row 1"),
}
"""Name to what is changed of a sound record, and words of the reason."""


def write_images(folder: Path) -> None:
    """The pictures that the records name, below `folder/images`."""
    images = folder / "images"
    images.mkdir(parents=True)
    Image.new("RGB", (60, 50), "red").save(images / "a.png")
    (images / "truncated.png").write_bytes((images / "a.png").read_bytes()[:60])
    (images / "empty.png").write_bytes(b"")
    (images / "text.png").write_bytes(b"not an image")
    Image.new("1", (9000, 9000)).save(images / "bomb.png")
    Image.new("RGB", (2500, 10)).save(images / "long.png")
    Image.new("RGB", (1, 1)).save(images / "dot.png")
    (folder / "secret.png").write_bytes((images / "a.png").read_bytes())
    (images / "link.png").symlink_to(folder / "secret.png")


def sound(number: int) -> dict[str, Any]:
    return {
        "id": f"sound {number}",
        "image": "a.png",
        "question": f"How many {number}?",
        "gt": number,
        "verifier_type": "digit",
    }


def rows() -> list[dict[str, Any]]:
    """Two sound records, then one with each defect, in the order of PLANTED."""
    made = [sound(1), sound(2)]
    for number, (name, (change, _)) in enumerate(PLANTED.items(), start=3):
        params = {"verifier_params": {"frame": "unit"}} if change.get("verifier_type") == "iou" else {}
        made.append(sound(number) | {"id": name} | params | change)
    return made


def write_rows(file: Path, *records: dict[str, Any]) -> Path:
    file.write_text("".join(json.dumps(row) + "\n" for row in records))
    return file
