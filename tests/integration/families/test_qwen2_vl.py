"""A small random Qwen2-VL samples in vLLM, learns, and both agree on logprobs: no code but its own file knows it."""

import json
import os
import socket
import subprocess
import sys
from contextlib import aclosing
from pathlib import Path

import engines
import numpy as np
import pytest
import torch
from stock import stock_model

from vlaa_ray.config import ModelSection, RolloutSection
from vlaa_ray.data.builtin import BuiltinData
from vlaa_ray.images.decode import load
from vlaa_ray.models.chat import chat_format_of
from vlaa_ray.models.tiny import make_tiny_model
from vlaa_ray.weight_sync.manifest import Manifest

pytest.importorskip("vllm")
pytestmark = [pytest.mark.integration, pytest.mark.timeout(600)]
TOLERANCE = 1e-4
WIDTH = 128


def make_model(folder: Path) -> str:
    """The tokenizer and processor of the built-in small model, with random weights of the other family."""
    from transformers import Qwen2VLConfig, Qwen2VLForConditionalGeneration

    config = json.loads((make_tiny_model(folder) / "config.json").read_text())
    text = config["text_config"] | {"model_type": "qwen2_vl_text"}
    vision = {"depth": 2, "embed_dim": WIDTH, "hidden_size": WIDTH, "mlp_ratio": 2, "num_heads": 4}
    kept = ("image_token_id", "video_token_id", "vision_start_token_id", "vision_end_token_id", "tie_word_embeddings")
    torch.manual_seed(0)
    made = Qwen2VLForConditionalGeneration(
        Qwen2VLConfig(text_config=text, vision_config=vision, **{name: config[name] for name in kept})
    )
    made.save_pretrained(folder)
    processor = folder / "processor_config.json"
    processor.write_text(processor.read_text().replace("Qwen2_5_VLProcessor", "Qwen2VLProcessor"))
    tokenizer = folder / "tokenizer_config.json"
    tokenizer.write_text(tokenizer.read_text().replace("Qwen2_5_VLProcessor", "Qwen2VLProcessor"))
    return str(folder)


def learn(model: str, folder: Path) -> dict:
    """What the learner says of the completions in FOLDER/asked.json, before and after training."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    script = Path(__file__).with_name("learner.py")
    environment = os.environ | {"OMP_NUM_THREADS": "1", "DS_ACCELERATOR": "cpu"}
    command = [sys.executable, str(script), model, str(folder), str(port)]
    result = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=400)
    assert result.returncode == 0, result.stdout[-2000:] + result.stderr[-3000:]
    return json.loads((folder / "learned.json").read_text())


async def load_into(engine, weights: dict[str, torch.Tensor]) -> None:
    """One weight update, as the rollout actor does it."""
    manifest = Manifest.of(weights.items())
    await engine.weights.check_manifest(manifest)
    await engine.weights.init_weight_transfer_engine({})
    async with aclosing(engines.buckets_of(weights, f"vlaa-family-{os.getpid()}-")) as buckets:
        await engines.update_weights(engine, buckets, 1)


async def test_it_samples_learns_and_agrees_on_logprobs(tmp_path) -> None:
    from vlaa_ray.rollout.engine import RolloutEngine

    path = make_model(tmp_path / "model")
    section = ModelSection(path=path, max_pixels=12544, system_prompt=None)
    rollout = RolloutSection(max_prompt_tokens=200, max_completion_tokens=24, max_num_seqs=32, kv_cache_bytes=256 << 20)
    chat, data = chat_format_of(section), BuiltinData("train")
    banned = chat.banned_token_ids
    engine = await RolloutEngine.start(section, rollout, path, banned_token_ids=banned, sync_deadline_s=60)
    try:
        asked, sampled_logprobs = [], []
        for index in range(4):
            prompt = data[index]
            sampled = await engine.sample(
                chat.prompt_token_ids(prompt),
                [load(image) for image in prompt.images],
                num_samples=2,
                seed=index,
                temperature=1.0,
                max_tokens=16,
                deadline_s=120,
            )
            assert np.array_equal(sampled.prompt_token_ids, chat.expanded_token_ids(prompt))
            for completion in sampled.completions:
                asked.append({"prompt": index, "token_ids": completion.token_ids.tolist()})
                sampled_logprobs.append(completion.rollout_logprobs)
        (tmp_path / "asked.json").write_text(json.dumps(asked))
        learned = learn(path, tmp_path)
        assert max(
            np.abs(np.subtract(*pair)).max() for pair in zip(sampled_logprobs, learned["before"], strict=True)
        ) <= (TOLERANCE)
        assert learned["losses"][-1] < 0.8 * learned["losses"][0]
        trained = stock_model(section, tmp_path / "hf")
        await load_into(engine, trained.state_dict())
        gaps, moves = [], []
        for one, before, after in zip(asked, learned["before"], learned["after"], strict=True):
            prompt = data[one["prompt"]]
            images = [load(image) for image in prompt.images]
            found = await engine.logprobs(chat.prompt_token_ids(prompt), images, one["token_ids"], deadline_s=120)
            gaps.append(np.abs(_without_bans(trained, chat, prompt, one["token_ids"]) - found).max())
            moves.append(np.abs(np.subtract(before, after)).max())
        assert max(gaps) <= TOLERANCE and max(moves) > 0.1
    finally:
        await engines.end(engine)


@torch.no_grad()
def _without_bans(model, chat, prompt, completion: list[int]) -> np.ndarray:
    """[C] logprobs of the trained model by transformers' own forward pass; engine.logprobs has no bans either."""
    ids = torch.from_numpy(np.concatenate([chat.expanded_token_ids(prompt), completion])).long()[None]
    processor = chat.processor.image_processor
    pixels = processor([load(image) for image in prompt.images], return_tensors="pt")
    types = (ids == model.config.image_token_id).int()
    logits = model(input_ids=ids, attention_mask=torch.ones_like(ids), mm_token_type_ids=types, **pixels).logits
    logprobs = logits[0, -len(completion) - 1 : -1].log_softmax(-1)
    return logprobs.gather(-1, torch.tensor(completion)[:, None])[:, 0].numpy()
