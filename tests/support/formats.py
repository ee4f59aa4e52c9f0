"""Small records of every format, after its documented schema, and prompts from files."""

import base64
import io
import json
from pathlib import Path
from typing import Any

from PIL import Image

from vlaa_ray.data.readers import iterate_prompts
from vlaa_ray.errors import DataError
from vlaa_ray.records import Prompt


def png(color: str = "red", size: tuple[int, int] = (40, 30)) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", size, color).save(file, "PNG")
    return file.getvalue()


PNG = png()
COLORS = ("blue", "green")
_BASE64 = base64.b64encode(PNG).decode()
USER = {"role": "user", "content": "<image>How many?"}
ROWS = {
    "vlaa-thinking": {"id": "v", "image": "coco/a.png", "question": "Where?", "gt": "[0.1, 0.2, 0.7, 0.5]"},
    "verl": {
        "data_source": "hiyouga/geometry3k",
        "prompt": [{"role": "system", "content": "Think."}, USER],
        "images": [{"bytes": PNG, "path": None}],
        "ability": "math",
        "reward_model": {"style": "rule", "ground_truth": "2 \\sqrt{3}"},
        "extra_info": {"split": "train", "index": 0},
    },
    "easyr1": {"problem": "<image>Find x.", "answer": "4.5", "images": ["coco/a.png"]},
    "vlm-r1": {
        "id": 1,
        "image": "coco/a.png",
        "conversations": [{"from": "human", "value": "<image>Find the cat."}, {"from": "gpt", "value": [1, 2, 30, 20]}],
    },
    "vlm-r1 evaluation": {"image": "coco/a.png", "problem": "Find the cat.", "solution": [1, 2, 30, 20]},
    "llava-cot": {
        "id": "l",
        "image": "coco/a.png",
        "conversations": [
            {"from": "human", "value": "What colour?"},
            {
                "from": "gpt",
                "value": "<SUMMARY> I look. </SUMMARY>\n\n<CAPTION> Red. </CAPTION>\n\n<REASONING> So red. "
                "</REASONING>\n\n<CONCLUSION> red </CONCLUSION>",
            },
        ],
    },
    "llava-cot r1": {
        "images": ["coco/a.png"],
        "problem": "What colour?",
        "answer": "The square is red.",
        "caption": "A red square.",
    },
    "mmk12": {"id": "m", "question": "<image>?", "answer": "$$6$$", "image": {"bytes": PNG, "path": "1.png"}},
    "virl39k": {
        "question": "<image>?",
        "answer": "\\boxed{60}",
        "PassRate_32BTrained": -1.0,
        "category": "Geometry",
        "source": "Processed",
        "qid": "q-1",
        "image": ["images/coco/a.png"],
    },
    "mm-eureka": {
        "id": "e",
        "message": json.dumps(
            [
                {
                    "role": "user",
                    "content": [{"type": "image", "image": "coco/a.png"}, {"type": "text", "text": "Find x."}],
                }
            ]
        ),
        "answer": "$\\boxed{60}$",
    },
    "vero": {
        "prompt": [{"role": "user", "content": [{"type": "image"}, {"type": "text", "text": "How long?"}]}],
        "images": ["data:image/png;base64," + _BASE64],
        "reward_type": "numeric",
        "data_source": "charts",
        "answer": "12",
        "extra_info": {"tolerance": 0.05},
    },
    "r1-v": {"image": {"bytes": PNG}, "problem": "How many?", "solution": "<answer> 3 </answer>"},
    "messages": {
        "messages": [{"role": "user", "content": "<image>How many squares lie here?"}],
        "images": ["coco/a.png"],
        "solution": "<answer> 5 </answer>",
    },
    "paired turns": {
        "images": ["coco/a.png"],
        "texts": [{"user": "Which shape is it?", "assistant": "a square", "source": "shapes"}],
    },
    "vlmevalkit": {
        "index": 17,
        "image": _BASE64,
        "hint": "Look at the colour.",
        "question": "Which colour is it?",
        "A": "red",
        "B": "blue",
        "answer": "A",
    },
    "instruction and output": {
        "instruction": "Name the colour.",
        "input": "One word.",
        "output": "red",
        "images": ["coco/a.png"],
    },
    "query and response": {"query": "<image>Name the shape.", "response": "a square", "images": ["coco/a.png"]},
    "question and answer": {
        "id": "q",
        "images": ["coco/a.png"],
        "question": "<image>How many corners?",
        "answer": "4",
        "verifier_type": "digit",
    },
    "r1-v evaluation": {"image_path": "coco/a.png", "question": "How many?", "ground_truth": 3},
}

_ALPACA = {  # LLaMA-Factory, "alpaca"
    "instruction": "And red ones?",
    "input": "",
    "output": "2",
    "system": "Be brief.",
    "history": [["<image>How many squares?", "6"]],
    "images": ["coco/a.png"],
    "verifier_type": "digit",
}
_SHAREGPT = {  # LLaMA-Factory, "sharegpt"
    "conversations": [
        {"from": "human", "value": "<image>How many squares?"},
        {"from": "gpt", "value": "6"},
        {"from": "human", "value": "And red ones?"},
        {"from": "gpt", "value": "2"},
    ],
    "system": "Be brief.",
    "images": ["coco/a.png"],
    "verifier_type": "digit",
}
_SWIFT = {  # ms-swift, GRPO
    "messages": [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "<image>How many squares?"},
        {"role": "assistant", "content": "6"},
        {"role": "user", "content": "And red ones?"},
    ],
    "images": ["coco/a.png"],
    "solution": "2",
    "verifier_type": "digit",
}
_VERL = {
    "data_source": "mine",
    "prompt": _SWIFT["messages"],
    "images": ["coco/a.png"],
    "reward_model": {"style": "rule", "ground_truth": "2"},
    "verifier_type": "digit",
}
_QUERY = {  # ms-swift, the older layout
    "query": "And red ones?",
    "response": "2",
    "system": "Be brief.",
    "history": [["<image>How many squares?", "6"]],
    "images": ["coco/a.png"],
    "verifier_type": "digit",
}
CONVERSATIONS: dict[str, dict[str, Any]] = {
    "alpaca history": _ALPACA,
    "sharegpt turns": _SHAREGPT,
    "ms-swift turns": _SWIFT,
    "verl turns": _VERL,
    "query history": _QUERY,
}
"""The same conversation, with a system text and an earlier turn, in every layout that can hold one."""


def variant(value: Any, color: str) -> Any:
    """A record, or part of one, with a picture of another colour."""
    if isinstance(value, dict):
        return {key: variant(one, color) for key, one in value.items()}
    if isinstance(value, list):
        return [variant(one, color) for one in value]
    if isinstance(value, str):
        return value.replace("coco/a.png", f"coco/{color}.png").replace(_BASE64, base64.b64encode(png(color)).decode())
    return png(color) if value == PNG else value


def written(folder: Path, *rows: dict[str, Any]) -> str:
    """The rows as the format's publishers ship them: parquet where they hold bytes, else JSON Lines."""
    (folder / "images/coco").mkdir(parents=True, exist_ok=True)
    for name, color in (("a", "red"), *((color, color) for color in COLORS)):
        (folder / f"images/coco/{name}.png").write_bytes(png(color))
    try:
        text = "".join(json.dumps(row) + "\n" for row in rows)
    except TypeError:
        from datasets import Dataset

        Dataset.from_list(list(rows)).to_parquet(str(folder / "data.parquet"))
        return str(folder / "data.parquet")
    (folder / "data.jsonl").write_text(text)
    return str(folder / "data.jsonl")


def read_prompts(file: Path | str, image_root: Path | str | None, **options) -> list[Prompt]:
    """All prompts of a file; the first error that there is."""
    prompts = []
    for _, read in iterate_prompts(file, image_root, **options):
        if isinstance(read, DataError):
            raise read
        prompts.append(read)
    return prompts
