"""Reward models: the same score in a packed row as by the stock model alone, saved and loaded, and refused."""

import json
import shutil

import pytest
import torch
from safetensors.torch import save_file
from stock import stock_model

from vlaa_ray.config import ModelSection
from vlaa_ray.data.builtin import BuiltinData
from vlaa_ray.errors import ModelError
from vlaa_ray.images.decode import load
from vlaa_ray.models.batch_tools import packing_tools
from vlaa_ray.models.batches import collate
from vlaa_ray.models.chat import ChatFormat
from vlaa_ray.models.loading import load_model, load_processor
from vlaa_ray.models.paths import local_path
from vlaa_ray.models.reward_model import HEAD_FILE, RewardModel, answers_row, last_tokens, load_reward_model

SECTION = ModelSection(path="builtin:tiny-base", system_prompt=None, min_pixels=3136, max_pixels=12544)
ANSWERS = ("a red circle at the top left", "a circle", "")


@pytest.fixture(scope="module")
def world():
    torch.manual_seed(0)
    model = RewardModel(load_model(SECTION)).eval()
    torch.nn.init.normal_(model.v_head["summary"].weight)
    processor = load_processor(SECTION)
    stock = stock_model(SECTION)
    return model, stock, processor, ChatFormat(processor, model.model.config, None)


@torch.no_grad()
def test_answers_in_one_row_score_as_each_alone_in_the_stock_model(world) -> None:
    model, stock, processor, chat = world
    prompts = [BuiltinData("heldout", ["open_ended"])[index] for index in (0, 1)]
    rows = [answers_row(chat, prompt, ANSWERS, number) for number, prompt in enumerate(prompts)]
    batch = collate(rows, packing_tools(model.model, chat))
    scores = model(batch)[0].reshape(2, 3)
    for row, prompt in zip(scores, prompts, strict=True):
        for score, answer in zip(row, ANSWERS, strict=True):
            messages = [
                {"role": "user", "content": [{"type": "image"}, {"type": "text", "text": prompt.question}]},
                {"role": "assistant", "content": answer},
            ]
            text = processor.apply_chat_template(messages, tokenize=False)
            inputs = processor(text=[text], images=[load(prompt.images[0])], return_tensors="pt")
            hidden = stock.model(**inputs).last_hidden_state[0, -1]
            assert float(model.v_head["summary"](hidden)) == pytest.approx(float(score), abs=1e-4)
    assert len({round(float(score), 3) for score in scores.flatten()}) == 6


def test_last_tokens() -> None:
    assert last_tokens(torch.tensor([0, 0, 2, 2, 2, 1])).tolist() == [1, 4, 5]
    assert last_tokens(torch.tensor([], dtype=torch.long)).tolist() == []


def test_saved_and_loaded_scores_are_the_same(world, tmp_path) -> None:
    model, _, processor, _ = world
    model.save(tmp_path, {name.removeprefix("model."): value for name, value in model.state_dict().items()})
    processor.save_pretrained(tmp_path)
    loaded = load_reward_model(SECTION.model_copy(update={"path": str(tmp_path)}))
    for (name, one), (_, other) in zip(model.state_dict().items(), loaded.state_dict().items(), strict=True):
        assert torch.equal(one, other), name
    config = json.loads((tmp_path / "config.json").read_text())
    assert config["architectures"] == ["Qwen2_5_VLForConditionalGeneration"]


def test_a_folder_without_a_head_or_with_another_models_is_refused(tmp_path) -> None:
    folder = tmp_path / "model"
    shutil.copytree(local_path("builtin:tiny-base"), folder)
    section = SECTION.model_copy(update={"path": str(folder)})
    with pytest.raises(ModelError, match="not a reward model"):
        load_reward_model(section)
    save_file({"v_head.summary.weight": torch.zeros(1, 7), "v_head.summary.bias": torch.zeros(1)}, folder / HEAD_FILE)
    with pytest.raises(ModelError, match="doesn't fit"):
        load_reward_model(section)
