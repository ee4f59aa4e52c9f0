"""The small Qwen2.5-VL of the quickstart: 1.6 M parameters, its own tokenizer, random weights that can learn to see.

    make_tiny_model("runs/tiny") -> a folder that transformers and vLLM load

Two things in transformers' initialisation don't suit a model of this width. First, a standard deviation of 0.02
makes its vision tower almost linear in the pixels: it still confuses colours after 1,800 steps. With 1/sqrt(128)
it learns them in 300. Second, image features start far larger than token embeddings: the patch embedding and the
merger's last layer are rescaled so that both have the same standard deviation.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

MAX_VOCABULARY = 512
_WIDTH = 128
_STD = _WIDTH**-0.5
_SPECIAL = (
    "<|endoftext|>",
    "<|im_start|>",
    "<|im_end|>",
    "<|vision_start|>",
    "<|vision_end|>",
    "<|vision_pad|>",
    "<|image_pad|>",
    "<|video_pad|>",
)
_TAGS = ("<think>", "</think>", "<answer>", "</answer>")  # ordinary tokens: they stay in the decoded text
_CHAT_TEMPLATE = (
    "{% for message in messages %}<|im_start|>{{ message.role }}\n"
    "{% if message.content is string %}{{ message.content }}{% else %}{% for part in message.content %}"
    "{% if part.type == 'image' %}<|vision_start|><|image_pad|><|vision_end|>"
    "{% elif part.type == 'text' %}{{ part.text }}{% endif %}{% endfor %}{% endif %}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


def make_tiny_model(folder: str | Path, *, seed: int = 0) -> Path:
    """Write config, tokenizer, processor and random weights to `folder` and return it; equal seeds give equal bytes."""
    from transformers import Qwen2_5_VLForConditionalGeneration

    folder = Path(folder)
    processor = _processor()
    config = _config(processor.tokenizer)
    generator_state = torch.random.get_rng_state()
    torch.manual_seed(seed)
    model = Qwen2_5_VLForConditionalGeneration(config)
    _balance(model)
    torch.random.set_rng_state(generator_state)
    model.save_pretrained(folder)
    processor.save_pretrained(folder)
    return folder


def _config(tokenizer: Any) -> Any:
    from transformers import Qwen2_5_VLConfig

    ids = tokenizer.get_vocab()
    return Qwen2_5_VLConfig(
        text_config={
            "hidden_size": _WIDTH,
            "intermediate_size": 512,
            "initializer_range": _STD,
            "num_hidden_layers": 3,
            "num_attention_heads": 4,
            "num_key_value_heads": 2,
            "vocab_size": len(tokenizer),
            "max_position_embeddings": 4096,
            "tie_word_embeddings": True,
            "rope_parameters": {"rope_type": "default", "rope_theta": 10_000.0, "mrope_section": [4, 6, 6]},
            "bos_token_id": ids["<|endoftext|>"],
            "eos_token_id": ids["<|im_end|>"],
            "pad_token_id": ids["<|endoftext|>"],
        },
        vision_config={
            "depth": 2,
            "hidden_size": _WIDTH,
            "intermediate_size": 256,
            "num_heads": 4,
            "patch_size": 14,
            "spatial_merge_size": 2,
            "temporal_patch_size": 2,
            "window_size": 112,
            "fullatt_block_indexes": [0, 1],
            "out_hidden_size": _WIDTH,
            "initializer_range": _STD,
        },
        image_token_id=ids["<|image_pad|>"],
        video_token_id=ids["<|video_pad|>"],
        vision_start_token_id=ids["<|vision_start|>"],
        vision_end_token_id=ids["<|vision_end|>"],
        tie_word_embeddings=True,
        initializer_range=_STD,
    )


@torch.no_grad()
def _balance(model: Any) -> None:
    visual = model.model.visual
    torch.nn.init.normal_(visual.patch_embed.proj.weight, std=0.03)
    patches = torch.randn(16, visual.patch_embed.proj.weight[0].numel())
    features = model.model.get_image_features(patches, torch.tensor([[1, 4, 4]])).pooler_output[0]
    wanted = model.get_input_embeddings().weight.std()
    visual.merger.mlp[-1].weight.mul_(wanted / features.std())


def _processor() -> Any:
    from transformers import Qwen2_5_VLProcessor, Qwen2VLImageProcessor, Qwen2VLVideoProcessor

    return Qwen2_5_VLProcessor(
        image_processor=Qwen2VLImageProcessor(min_pixels=56 * 56, max_pixels=112 * 112),
        video_processor=Qwen2VLVideoProcessor(),
        tokenizer=_tokenizer(),
        chat_template=_CHAT_TEMPLATE,
    )


def _tokenizer() -> Any:
    """Return a byte-level BPE tokenizer trained on the texts of the built-in data; digits are single, as in Qwen's."""
    from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    tokenizer = Tokenizer(models.BPE())
    words = Regex(r"\p{N}| ?\p{L}+|\s+| ?[^\s\p{L}\p{N}]+")
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(words, behavior="isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=MAX_VOCABULARY - len(_SPECIAL) - len(_TAGS),
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    tokenizer.train_from_iterator(_corpus(), trainer)
    tokenizer.add_special_tokens([AddedToken(token, special=True) for token in _SPECIAL])
    tokenizer.add_tokens([AddedToken(token, special=False, normalized=False) for token in _TAGS])
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        eos_token="<|im_end|>",
        pad_token="<|endoftext|>",
        model_max_length=4096,
        extra_special_tokens={"image_token": "<|image_pad|>", "video_token": "<|video_pad|>"},
        chat_template=_CHAT_TEMPLATE,
    )


def _corpus() -> list[str]:
    from vlaa_ray.data.builtin import BuiltinData

    data = BuiltinData("train")
    texts = ["user\n", "assistant\n", "system\n"]
    for index in range(2000):
        prompt = data[index]
        solution = str(prompt.solution)
        for tag in _TAGS:
            solution = solution.replace(tag, "\n")
        texts += [prompt.question, *solution.split("\n")]
    return texts
