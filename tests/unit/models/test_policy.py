"""The policy on flat rows of groups against the stock Hugging Face model on one row a sample, in fp32."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from stock import stock_model

from vlaa_ray.config import ModelSection
from vlaa_ray.data.builtin import BuiltinData
from vlaa_ray.images.decode import load
from vlaa_ray.models import scoring
from vlaa_ray.models.batch_tools import packing_tools
from vlaa_ray.models.batches import Row, collate, split_rows
from vlaa_ray.models.chat import chat_format_of
from vlaa_ray.models.loading import load_model
from vlaa_ray.models.policy import Policy

MODEL = ModelSection(path="builtin:tiny-base", min_pixels=3136, max_pixels=12544, system_prompt=None)
LOGPROB_TOLERANCE, GRADIENT_TOLERANCE = 2e-5, 1e-5  # absolute, relative to the largest of the parameter


class World:
    """The model twice over: as the learner uses it and as transformers does; both hold the same numbers."""

    def __init__(self):
        self.chat = chat_format_of(MODEL)
        self.processor = self.chat.processor
        self.model = load_model(MODEL)
        self.stock = stock_model(MODEL)
        self.banned = self.chat.banned_token_ids
        self.tools = packing_tools(self.model, self.chat)
        self.allowed = np.setdiff1d(np.arange(len(self.processor.tokenizer)), self.banned)

    def policy(self, temperature=1.0):
        return Policy(self.model, temperature=temperature, banned_token_ids=self.banned)

    def rows(self):
        """Groups of every kind: one image, three, wide, amid the words, none; completions of 1 to 17 tokens."""
        data, rng = BuiltinData("heldout"), np.random.default_rng(0)
        prompts = [data[index] for index in range(4)]
        prompts.append(replace(data[5], images=(data[5].images + data[6].images + data[8].images)))
        amid = "Is <image> like <image>, and why?"
        prompts.append(replace(data[9], question=amid, images=data[9].images + data[10].images))
        prompts.append(replace(data[7], images=()))
        rows, first = [], 0
        for prompt in prompts:
            completions = tuple(rng.choice(self.allowed, size).astype(np.int32) for size in (1, 9, 2, 17))
            ids = tuple(range(first, first + len(completions)))
            first += len(completions)
            rows.append(
                Row(
                    prompt_token_ids=self.chat.expanded_token_ids(prompt),
                    images=prompt.images,
                    completions=completions,
                    sequence_ids=ids,
                )
            )
        return rows

    def stock_logits(self, row, completion):
        """[C, V]: the logits that predict each token of the completion."""
        ids = torch.from_numpy(np.concatenate([row.prompt_token_ids, completion]).astype(np.int64))[None]
        pixels = {}
        if row.images:
            pixels = self.processor.image_processor([load(image) for image in row.images], return_tensors="pt")
        logits = self.stock(
            input_ids=ids,
            attention_mask=torch.ones_like(ids),
            mm_token_type_ids=(ids == self.stock.config.image_token_id).int(),
            use_cache=False,
            **pixels,
        ).logits
        return logits[0, len(row.prompt_token_ids) - 1 : -1].float()

    def stock_logprobs(self, row, completion, temperature=1.0):
        logits = self.stock_logits(row, completion) / temperature
        logits = logits.index_fill(-1, torch.tensor(self.banned), float("-inf"))
        return logits.log_softmax(-1).gather(-1, torch.from_numpy(completion.astype(np.int64))[:, None])[:, 0]

    def gradient(self, loss, model=None):
        model = model or self.model
        model.zero_grad()
        loss.backward()
        return {
            name: parameter.grad.clone() for name, parameter in model.named_parameters() if parameter.grad is not None
        }


@pytest.fixture(scope="module")
def world():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield World()
    torch.set_num_threads(threads)


def by_sequence(values, batch):
    return {int(i): values[batch.sequence_ids == i] for i in torch.unique(batch.sequence_ids)}


@pytest.mark.parametrize("temperature", [0.6, 1.0, 1.3])
@torch.no_grad()
def test_group_rows_give_the_logprobs_of_single_rows(world, temperature):
    rows = world.rows()
    batch = collate(rows, world.tools)
    found = by_sequence(world.policy(temperature)(batch)[0], batch)
    for row in rows:
        for sequence_id, completion in zip(row.sequence_ids, row.completions, strict=True):
            expected = world.stock_logprobs(row, completion, temperature)
            assert (found[sequence_id] - expected).abs().max() <= LOGPROB_TOLERANCE, (sequence_id, temperature)


@torch.no_grad()
def test_rows_on_their_own_give_the_logprobs_of_rows_together(world):
    rows = world.rows()
    together = collate(rows, world.tools)
    expected = by_sequence(world.policy()(together)[0], together)
    for row in [*split_rows(rows, 60), *reversed(rows)]:  # text-only rows alone get the dummy
        batch = collate([row], world.tools)
        for sequence_id, values in by_sequence(world.policy()(batch)[0], batch).items():
            assert (values - expected[sequence_id]).abs().max() <= LOGPROB_TOLERANCE


def test_group_rows_give_the_gradient_of_single_rows(world):
    rows = world.rows()
    weights = [
        torch.randn(len(one), generator=torch.Generator().manual_seed(len(one)))
        for row in rows
        for one in row.completions
    ]
    batch = collate(rows, world.tools)
    found = world.gradient((world.policy()(batch)[0] * torch.cat(weights)).sum())
    stock = sum(
        (world.stock_logprobs(row, completion) * weights[sequence_id]).sum()
        for row in rows
        for sequence_id, completion in zip(row.sequence_ids, row.completions, strict=True)
    )
    expected = world.gradient(stock, world.stock)
    assert found.keys() == expected.keys() and any("visual" in name for name in found)
    total = torch.cat([value.flatten() for value in expected.values()]).norm()
    for name, value in expected.items():
        assert (found[name] - value).norm() <= GRADIENT_TOLERANCE * total, name


def test_the_dummy_of_a_text_only_batch_has_no_gradient_of_its_own(world):
    row = world.rows()[-1]
    assert not row.images
    gradient = world.gradient(world.policy()(collate([row], world.tools))[0].sum())
    vision = [value for name, value in gradient.items() if "visual" in name]
    assert vision and all(not value.any() for value in vision)  # there, for the collectives, and zero


def test_a_batch_of_nothing_has_a_gradient_of_zero(world):
    logprobs, entropy = world.policy()(collate([world.tools.dummy], world.tools))
    assert logprobs.shape == entropy.shape == (0,)
    gradient = world.gradient(logprobs.sum())
    assert len(gradient) == len(dict(world.model.named_parameters()))
    assert all(not value.any() for value in gradient.values())


@torch.no_grad()
def test_banned_tokens_have_no_probability_and_the_rest_sums_to_one(world):
    prompt = world.rows()[0]
    every_token = np.arange(len(world.processor.tokenizer), dtype=np.int32)
    row = replace(
        prompt,
        completions=tuple(every_token[index : index + 1] for index in every_token),
        sequence_ids=tuple(every_token.tolist()),
    )
    values, entropy = world.policy(0.7)(collate([row], world.tools))
    probabilities = values.exp()
    vision = [f"<|{name}|>" for name in ("image_pad", "video_pad", "vision_start", "vision_end", "vision_pad")]
    assert world.banned == sorted(world.processor.tokenizer.convert_tokens_to_ids(vision))
    assert (probabilities[world.banned] == 0).all()
    assert (np.delete(probabilities.numpy(), world.banned) > 0).all()
    assert probabilities.sum() == pytest.approx(1, abs=1e-5)
    kept = np.delete(values.double().numpy(), world.banned)
    assert entropy.numpy() == pytest.approx(-(np.exp(kept) * kept).sum(), abs=1e-5)


def test_chunks_of_logits_change_nothing(world, monkeypatch):
    def both():
        batch = collate(world.rows(), world.tools)
        values, entropy = world.policy()(batch)
        return values.detach(), entropy, world.gradient(values.square().sum())

    values, entropy, gradient = both()
    monkeypatch.setattr(scoring, "CHUNK_TOKENS", 50)
    assert len(values) > 100
    in_chunks, entropy_in_chunks, gradient_in_chunks = both()
    assert torch.allclose(values, in_chunks, atol=1e-6) and torch.allclose(entropy, entropy_in_chunks, atol=1e-6)
    for name, value in gradient.items():
        assert torch.allclose(value, gradient_in_chunks[name], rtol=1e-4, atol=1e-5 * float(value.abs().max())), name


def test_recomputed_layers_give_the_same_gradient(world):
    batch = collate(world.rows(), world.tools)
    expected = world.gradient(world.policy()(batch)[0].square().sum())
    world.model.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
    world.model.train()
    try:
        found = world.gradient(world.policy()(batch)[0].square().sum())
    finally:
        world.model.eval()
        world.model.gradient_checkpointing_disable()
    for name, value in expected.items():
        assert torch.allclose(found[name], value, rtol=1e-5, atol=1e-6 * float(value.abs().max())), name
