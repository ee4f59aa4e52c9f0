"""Measurements of single kernels: matrix products, copies, attention with a mask and by segments, the vision tower."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from types import SimpleNamespace
from typing import Any

import torch
from harness import Bench
from rows import PATCH_VALUES, additive, group_mask, model_config
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.nn.functional import scaled_dot_product_attention

from vlaa_ray.models.attention import attend, use_segment_attention
from vlaa_ray.models.scoring import ScoringHead
from vlaa_ray.models.segments import Segments, segments_of

BACKENDS = (
    SDPBackend.CUDNN_ATTENTION,
    SDPBackend.EFFICIENT_ATTENTION,
    SDPBackend.FLASH_ATTENTION,
    SDPBackend.MATH,
)
GROUPS = ((80, (25, 10, 1, 24)), (7, (5, 64)), (129, (40, 128, 3)))
"""Prompts and completions whose attention is compared with the dense rule."""
COMPARED = ("output", "gradient of q", "gradient of k", "gradient of v")
TOLERANCE = {torch.bfloat16: 0.03, torch.float32: 1e-4}
"""The largest error, over the largest number. bf16 has 8 bits: one rounding is 0.004."""


def machine(bench: Bench) -> None:
    """The machine and the versions."""
    import importlib.util
    import os

    bench.note("torch", torch.__version__)
    bench.note("CPU cores", os.cpu_count())
    if bench.device.type == "cuda":
        properties = torch.cuda.get_device_properties(0)
        bench.note("device", properties.name)
        bench.note("memory", properties.total_memory / 1e9, "GB")
        bench.note("multiprocessors", properties.multi_processor_count)
        bench.note("CUDA of torch", str(torch.version.cuda))
    else:
        bench.note("device", "CPU: small sizes, figures without a meaning")
    for package in ("transformers", "pydantic", "PIL", "torchvision", "yaml"):
        bench.note(f"{package} is there", str(importlib.util.find_spec(package) is not None))


def peaks(bench: Bench) -> None:
    """The rates that all others are compared with: a large matrix product, and copies."""
    size = bench.sizes.gemm
    left, right = (torch.randn(size, size, device=bench.device, dtype=bench.dtype) for _ in range(2))
    _, seconds = bench.timed(lambda: left @ right, 10)
    bench.note("matrix product", 2 * size**3 / seconds / 1e12, "TFLOP/s")
    source = torch.empty(bench.sizes.copy_bytes, dtype=torch.uint8, device=bench.device)
    target = torch.empty_like(source)
    _, seconds = bench.timed(lambda: target.copy_(source), 10)
    bench.note("copy on the device, read and written", 2 * source.nbytes / seconds / 1e9, "GB/s")
    for pinned in (False, True) if bench.device.type == "cuda" else (False,):
        host = torch.zeros(source.nbytes, dtype=torch.uint8, pin_memory=pinned)
        name = "pinned" if pinned else "pageable"
        for way, work in (("to", partial(target.copy_, host)), ("from", partial(host.copy_, source))):
            _, seconds = bench.timed(work)
            bench.note(f"copy {way} the device, {name} memory", source.nbytes / seconds / 1e9, "GB/s")


def masked_sdpa(bench: Bench) -> None:
    """Which kernel takes the dense mask of padded rows, forward and backward, and what a new shape costs."""
    for shape in bench.sizes.masks:
        rows, prompt, completions, length = shape
        name = f"{rows} x {prompt + completions * length}"
        mask = group_mask(prompt, [length] * completions, bench.device)
        mask = additive(mask, bench.dtype)[None, None].expand(rows, 1, -1, -1).contiguous()
        work = _masked_pass(bench, mask)
        bench.note(f"{name}: taken by", _kernel_name(work))
        first, later = bench.timed(work)
        bench.note(f"{name}: as torch chooses", later * 1e3, "ms")
        longer = torch.nn.functional.pad(mask, (8, 0, 8, 0))  # a shape that no kernel has seen
        first, later = bench.timed(_masked_pass(bench, longer), 2)
        bench.note(f"{name} + 8 tokens: a first call costs more by", (first - later) * 1e3, "ms")
        for backend in BACKENDS:
            _time_backend(bench, backend, work, name)


def varlen_parity(bench: Bench) -> None:
    """The project's attention by segments against the dense rule in fp32; a wrong alignment must show."""
    heads, kv_heads, width = _heads(bench)
    segments = segments_of(GROUPS)
    tokens = sum(segments.query_lengths)
    shapes = [(1, count, tokens, width) for count in (heads, kv_heads, kv_heads)]
    tensors = [torch.randn(shape, device=bench.device).to(bench.dtype) for shape in shapes]
    slope = torch.randn(1, tokens, heads, width, device=bench.device)
    moved = segments.mapped(lambda tensor: tensor.to(bench.device))
    module, scaling = SimpleNamespace(is_causal=True), width**-0.5

    def ours(*inputs: torch.Tensor) -> torch.Tensor:
        return attend(module, *inputs, None, scaling=scaling, segments=moved)[0].float()

    got = _with_gradients(ours, tensors, slope)
    bench.note("computed by", "varlen kernel" if bench.device.type == "cuda" else "padded calls")
    errors = {}
    for name, at_bottom in (("bottom right", True), ("top left", False)):
        mask = _segments_rule(segments, at_bottom).to(bench.device)
        dense = _with_gradients(partial(_dense, mask=mask), [tensor.float() for tensor in tensors], slope)
        errors[name] = [float((a - b).abs().max() / b.abs().max()) for a, b in zip(got, dense, strict=True)]
        for what, error in zip(COMPARED, errors[name], strict=True):
            bench.note(f"{what}, error against dense fp32, {name}", error)
    worst, limit = max(errors["bottom right"]), TOLERANCE[bench.dtype]
    if not worst <= limit:
        raise AssertionError(f"attention differs from the dense rule by {worst:.3g}, more than {limit}")
    if errors["top left"][0] < 10 * errors["bottom right"][0]:
        raise AssertionError("the attention is not aligned at the bottom right, or the check is blind")


def vision_tower(bench: Bench) -> None:
    """The vision tower over as many images as a micro-batch has: a call for each window, and one for all of them."""
    from transformers.models.qwen2_5_vl.modeling_qwen2_5_vl import Qwen2_5_VisionTransformerPretrainedModel

    config, groups = model_config(bench.sizes), bench.sizes.groups
    with bench.device:
        tower: Any = Qwen2_5_VisionTransformerPretrainedModel._from_config(
            config.vision_config, dtype=bench.dtype, attn_implementation="sdpa"
        )
    grids = torch.tensor([[1, *groups.grid]] * groups.count, device=bench.device)
    pixels = torch.randn(int(grids.prod(-1).sum()), PATCH_VALUES, device=bench.device, dtype=bench.dtype)

    def work() -> None:
        tower(pixels, grid_thw=grids).pooler_output.float().square().mean().backward()

    seconds = {}
    for name in ("loop", "segments"):
        if name == "segments":
            configs = SimpleNamespace(text_config=config.text_config, vision_config=tower.config)
            use_segment_attention(SimpleNamespace(config=configs))
        with bench.peak(name):
            first, seconds[name] = bench.timed(work)
        bench.note(f"{name}: first forward and backward", first, "s")
        bench.note(f"{name}: forward and backward", seconds[name], "s")
    bench.note("loop over segments", seconds["loop"] / seconds["segments"])


def scoring(bench: Bench) -> None:
    """Logprobs of tokens from hidden states: log-softmax of all logits as before, and the fused head."""
    size, vocabulary = bench.sizes.model["hidden_size"], bench.sizes.model["vocab_size"]
    head = torch.nn.Linear(size, vocabulary, bias=False, device=bench.device, dtype=bench.dtype)
    tokens = bench.sizes.scored_tokens
    hidden = torch.randn(tokens, size, device=bench.device, dtype=bench.dtype, requires_grad=True)
    targets = torch.randint(vocabulary, (tokens,), device=bench.device)
    fused = ScoringHead(head, banned_token_ids=[0]).to(bench.device)

    def plain() -> torch.Tensor:
        logits = head(hidden).float().index_fill(-1, fused.banned, float("-inf"))
        return logits.log_softmax(-1).gather(-1, targets[:, None])[:, 0]

    for name, score in (("log-softmax", plain), ("fused", lambda: fused(hidden, targets)[0])):
        with bench.peak(name):
            _, later = bench.timed(lambda score=score: score()[targets > 0].mean().backward())
        bench.note(f"{name}: {tokens} tokens, forward and backward", later * 1e3, "ms")
    error = float((plain() - fused(hidden, targets)[0])[targets > 0].abs().max())
    bench.note("largest difference of logprobs", error)


def _heads(bench: Bench) -> tuple[int, int, int]:
    model = bench.sizes.model
    heads = model["num_attention_heads"]
    return heads, model["num_key_value_heads"], model["hidden_size"] // heads


def _masked_pass(bench: Bench, mask: torch.Tensor) -> Callable[[], None]:
    """Return a forward and backward pass of attention with the mask; keys are repeated, as transformers does it."""
    heads, _, width = _heads(bench)
    shape = (mask.shape[0], heads, mask.shape[-1], width)
    query, key, value = (
        torch.randn(shape, device=bench.device, dtype=bench.dtype, requires_grad=True) for _ in range(3)
    )
    slope = torch.randn(shape, device=bench.device, dtype=bench.dtype)

    def work() -> None:
        torch.autograd.grad(scaled_dot_product_attention(query, key, value, attn_mask=mask), (query, key, value), slope)

    return work


def _kernel_name(work: Callable[[], None]) -> str:
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU]) as profiler:
        work()
    names = {event.key for event in profiler.key_averages() if "_scaled_dot_product_" in event.key}
    return ", ".join(sorted(name for name in names if "backward" not in name)) or "unknown"


def _time_backend(bench: Bench, backend: SDPBackend, work: Callable[[], None], name: str) -> None:
    try:
        with sdpa_kernel(backend):
            _, later = bench.timed(work)
        bench.note(f"{name}: {backend.name}", later * 1e3, "ms")
    except RuntimeError as error:  # "No available kernel", or there is not enough memory
        bench.note(f"{name}: {backend.name}", f"refused: {str(error).splitlines()[0]}")


def _with_gradients(
    work: Callable[..., torch.Tensor], tensors: list[torch.Tensor], slope: torch.Tensor
) -> list[torch.Tensor]:
    """Return the result and the gradients of all inputs, in fp32."""
    inputs = [tensor.detach().requires_grad_() for tensor in tensors]
    result = work(*inputs)
    return [result.detach(), *(gradient.float() for gradient in torch.autograd.grad(result, inputs, slope))]


def _dense(query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, *, mask: torch.Tensor) -> torch.Tensor:
    """Attention [1, T, H, W] written out; `mask` [T, T] is True where a token sees another."""
    repeats = query.shape[1] // key.shape[1]
    key, value = key.repeat_interleave(repeats, 1), value.repeat_interleave(repeats, 1)
    scores = (query @ key.transpose(2, 3)) * query.shape[-1] ** -0.5
    return (scores.masked_fill(~mask, float("-inf")).softmax(-1) @ value).transpose(1, 2)


def _segments_rule(segments: Segments, at_bottom: bool) -> torch.Tensor:
    """Return who sees whom [T, T]: causal in each segment, aligned at its last, or first, query and key."""
    tokens = sum(segments.query_lengths)
    mask = torch.zeros(tokens, tokens, dtype=torch.bool)
    for query, num_queries, keys in _queries_and_keys(segments):
        shift = len(keys) - num_queries if at_bottom else 0
        for number in range(num_queries):
            mask[query + number, keys[: number + shift + 1]] = True
    return mask


def _queries_and_keys(segments: Segments) -> Iterator[tuple[int, int, torch.Tensor]]:
    """Yield (first query, number of queries, keys) of each segment."""
    parts = segments.key_index.cpu().split(list(segments.key_lengths))
    starts = [int(start) for start in segments.query_ends[:-1]]
    yield from zip(starts, segments.query_lengths, parts, strict=True)
