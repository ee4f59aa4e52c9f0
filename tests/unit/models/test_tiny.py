import hashlib

import pytest
import torch
from PIL import Image

from vlaa_ray.config import ModelSection
from vlaa_ray.models.loading import load_model, load_processor
from vlaa_ray.models.tiny import make_tiny_model


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return make_tiny_model(tmp_path_factory.mktemp("tiny"), seed=1)


def digests(folder):
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.iterdir()}


def test_the_same_seed_gives_the_same_files_and_leaves_torchs_randomness_alone(folder, tmp_path):
    torch.manual_seed(7)
    expected = torch.rand(3)
    torch.manual_seed(7)
    again = make_tiny_model(tmp_path, seed=1)
    assert torch.equal(torch.rand(3), expected)
    assert digests(again) == digests(folder)


def test_image_features_start_out_as_large_as_token_embeddings(folder):
    section = ModelSection(path=str(folder))
    model, processor = load_model(section), load_processor(section)
    assert sum(parameter.numel() for parameter in model.parameters()) == pytest.approx(1.5e6, rel=0.1)
    image = Image.effect_noise((56, 56), 80).convert("RGB")
    inputs = processor.image_processor([image], return_tensors="pt")
    with torch.no_grad():
        features = torch.cat(model.model.get_image_features(**inputs).pooler_output)
        ratio = float(features.std() / model.get_input_embeddings().weight.std())
    assert 0.3 < ratio < 3  # with transformers' own initialisation: about 70


def test_its_tokenizer_splits_numbers_and_keeps_every_text(folder):
    tokenizer = load_processor(ModelSection(path=str(folder))).tokenizer
    assert len(tokenizer.tokenize("1234")) == 4
    for text in ("<think>I see 3 and 4</think><answer>[0.25, 0.50]</answer>", "naïve 漢字 \\frac{1}{2}\n\t🤔"):
        assert tokenizer.decode(tokenizer(text)["input_ids"]) == text
    assert tokenizer.tokenize("<answer>") == ["<answer>"]
