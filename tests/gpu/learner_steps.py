"""Measurements of a learner's forward and backward pass with a random model of the 3B's dimensions."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from harness import Bench
from rows import additive, batch_of, group_mask, random_model
from sizes import Groups
from torch.utils.checkpoint import checkpoint

from vlaa_ray.models.attention import NAME, attend
from vlaa_ray.models.batches import Batch
from vlaa_ray.models.dimensions import count_parameters
from vlaa_ray.models.families import family_of
from vlaa_ray.models.scoring import ScoringHead

ROOT = Path(__file__).parents[2]
CHUNK_TOKENS = 4096  # the old path scored this number of tokens at a time
NOT_IN_THE_PASS = (
    "optimizer states",
    "reference policy",
    "weight sync",
    "margin",
    "process",
    "norm of the gradient",
    "gradients in fp32",
    "gradient of a sub-group",
    "AdamW",
    "gradient reduction",
    "gathered weights",
)
"""The items of the plan that this script does not make: it has no optimizer, no second rank and no engine."""

Logprobs = Callable[[], torch.Tensor]


def as_shipped(bench: Bench) -> None:
    """The path before flat rows: padded rows, a dense mask, a call for each window, chunks of logits."""
    model = random_model(bench, checkpointing=True, segments=False)
    groups = bench.sizes.groups
    batch, mask = batch_of(bench, model, groups), _dense_mask(bench, groups)

    def logprobs() -> torch.Tensor:
        return _chunked(model, _padded_hidden_states(model, batch, mask, groups.count), batch.targets)

    _measure(bench, model, batch, groups, logprobs)


def varlen(bench: Bench) -> None:
    """Attention by segments in both towers, with the old chunks of logits."""
    model = random_model(bench, checkpointing=True, segments=True)
    batch = batch_of(bench, model, bench.sizes.groups)
    family = family_of(model.config)

    def logprobs() -> torch.Tensor:
        return _chunked(model, family.completion_hidden_states(model, batch), batch.targets)

    _measure(bench, model, batch, bench.sizes.groups, logprobs)


def fused(bench: Bench) -> None:
    """Attention by segments and the fused head: the path as it is now."""
    _current(bench, bench.sizes.groups, checkpointing=True)


def unchecked(bench: Bench) -> None:
    """Half of the tokens, and no gradient checkpointing."""
    _current(bench, bench.sizes.half, checkpointing=False)


def compiled(bench: Bench) -> None:
    """As `fused`, with torch.compile of every layer of both towers."""
    import torch._dynamo.utils as dynamo

    _current(bench, bench.sizes.groups, checkpointing=True, compiles=True)
    bench.note("graphs", dynamo.counters["stats"]["unique_graphs"])
    bench.note("kinds of graph breaks", len(dynamo.counters["graph_break"]))
    for reason in list(dynamo.counters["graph_break"])[:3]:
        bench.note("a graph break", reason.splitlines()[0][:160])


def unchecked_compiled(bench: Bench) -> None:
    """As `unchecked`, with torch.compile of every layer of both towers."""
    _current(bench, bench.sizes.half, checkpointing=False, compiles=True)


def ten_images(bench: Bench) -> None:
    """The peak of rows that are nearly all images, against the plan of `train --dry-run`."""
    groups = bench.sizes.images
    model = random_model(bench, checkpointing=True, segments=True)
    batch = batch_of(bench, model, groups)
    _measure(bench, model, batch, groups, _current_logprobs(model, batch))
    _note_plan(bench)


def _current(bench: Bench, groups: Groups, *, checkpointing: bool, compiles: bool = False) -> None:
    model = random_model(bench, checkpointing=checkpointing, segments=True)
    batch = batch_of(bench, model, groups)
    if compiles:
        _attention_stays_out()
        for layer in (*model.model.language_model.layers, *model.model.visual.blocks):
            layer.compile(dynamic=True, backend=bench.sizes.compile_backend)
    _measure(bench, model, batch, groups, _current_logprobs(model, batch))


def _attention_stays_out() -> None:
    """Keep attention by segments out of compiled graphs: it is one kernel, and numpy plans it on a CPU."""
    from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

    ALL_ATTENTION_FUNCTIONS.register(NAME, torch.compiler.disable(attend))


def _current_logprobs(model: Any, batch: Batch) -> Logprobs:
    family = family_of(model.config)
    head = ScoringHead(model.lm_head, banned_token_ids=[model.config.image_token_id]).to(batch.targets.device)
    return lambda: head(family.completion_hidden_states(model, batch), batch.targets)[0]


def _measure(bench: Bench, model: Any, batch: Batch, groups: Groups, logprobs: Logprobs) -> None:
    """Note seconds, rates and peak memory of forward and backward."""

    def step() -> None:
        logprobs().mean().backward()

    tokens = batch.input_ids.numel()
    bench.note("tokens", tokens)
    first, _ = bench.timed(step, 1)  # now there are gradients, which are part of every later peak
    bench.note("first forward and backward", first, "s")
    with bench.peak("forward and backward"):
        _, seconds = bench.timed(step)
    bench.note("forward and backward", seconds, "s")
    bench.note("tokens a second", tokens / seconds)
    rate = _flop(bench, batch, groups) / seconds / 1e12
    bench.note("rate, without what is computed twice", rate, "TFLOP/s")
    best = bench.noted("peaks", "matrix product")
    bench.note("MFU, of the matrix product of `peaks`", rate / best if best else None)
    gradients = [parameter.grad for parameter in model.parameters() if parameter.grad is not None]
    norm = torch.stack([gradient.float().norm() for gradient in gradients]).norm()
    if not torch.isfinite(norm):
        raise AssertionError("the gradient is not finite")
    bench.note("norm of the gradient", float(norm))
    bench.note("bytes of weights", sum(parameter.nbytes for parameter in model.parameters()) / 1e9, "GB")
    bench.note("bytes of gradients", sum(gradient.nbytes for gradient in gradients) / 1e9, "GB")


def _flop(bench: Bench, batch: Batch, groups: Groups) -> float:
    """Return the operations of forward and backward: 6 a parameter and token, and the attention of the language model.

    The attention of the vision tower is left out; its windows are small.
    """
    text, count = bench.sizes.model, count_parameters(bench.sizes.model)
    head = text["vocab_size"] * text["hidden_size"]
    tables = 1 if text["tie_word_embeddings"] else 2
    tokens, patches = batch.input_ids.numel(), batch.pixel_values.shape[0]
    products = (count.text - tables * head) * tokens + head * batch.targets.numel()
    products += count.vision * patches + count.merger * patches / 4
    prompt, completion = groups.prompt_tokens, groups.completion_tokens - 1
    pairs = prompt * (prompt + 1) / 2 + groups.group_size * (completion * prompt + completion * (completion + 1) / 2)
    return 6 * products + 3 * 4 * text["hidden_size"] * text["num_hidden_layers"] * groups.count * pairs


def _dense_mask(bench: Bench, groups: Groups) -> torch.Tensor:
    """Return the mask [B, 1, S, S] of the groups, one group a row."""
    completions = [groups.completion_tokens - 1] * groups.group_size
    mask = additive(group_mask(groups.prompt_tokens, completions, bench.device), bench.dtype)
    return mask[None, None].expand(groups.count, 1, -1, -1).contiguous()


def _padded_hidden_states(model: Any, batch: Batch, mask: torch.Tensor, num_rows: int) -> torch.Tensor:
    """Return the hidden states [N, D] before the completions' tokens; the groups are rows, as they were before."""
    base = model.model
    ids = batch.input_ids.view(num_rows, -1)
    embeddings = base.get_input_embeddings()(ids)
    features = torch.cat(base.get_image_features(batch.pixel_values, batch.image_grid_thw).pooler_output)
    is_image = (ids == model.config.image_token_id)[..., None]
    embeddings = embeddings.masked_scatter(is_image, features.to(embeddings.dtype))
    positions = batch.position_ids.view(3, num_rows, -1)
    hidden = base.language_model(
        inputs_embeds=embeddings, attention_mask=mask, position_ids=positions, use_cache=False
    ).last_hidden_state
    return hidden.flatten(0, 1).index_select(0, batch.logprob_index)


def _chunked(model: Any, hidden: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    def logprobs(part: torch.Tensor, wanted: torch.Tensor) -> torch.Tensor:
        return model.lm_head(part).float().log_softmax(-1).gather(-1, wanted[:, None])[:, 0]

    chunks = [slice(start, start + CHUNK_TOKENS) for start in range(0, len(targets), CHUNK_TOKENS)]
    return torch.cat([checkpoint(logprobs, hidden[part], targets[part], use_reentrant=False) for part in chunks])


def _note_plan(bench: Bench) -> None:
    """Note what the plan says of the same pass, item by item."""
    from vlaa_ray.config import GrpoConfig, load_config
    from vlaa_ray.models.dimensions import model_dimensions
    from vlaa_ray.planning.memory import memory_estimate

    alone = ["learner.num_ranks=1", "learner.zero_stage=0"]
    config: Any = load_config(ROOT / "configs/vlaa_thinker_3b.yaml", alone)
    if not isinstance(config, GrpoConfig):
        raise TypeError("the config of the 3B model is not one of GRPO")
    planned = 0
    for row in memory_estimate(config, model_dimensions(config.model.path)):
        if row.role == "learner" and row.item not in NOT_IN_THE_PASS:
            planned += row.num_bytes
            bench.note(f"planned: {row.item}", row.num_bytes / 1e9, "GB")
    bench.note("planned: all of these", planned / 1e9, "GB")
    peak = bench.noted(bench.name, "forward and backward: peak memory")
    bench.note("peak over the plan, at most 1 is wanted", peak / (planned / 1e9) if peak else None)
