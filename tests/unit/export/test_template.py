"""The exported chat template makes the token ids of the training, whatever the template of the base does."""

import pytest
from transformers import AutoProcessor

from vlaa_ray.config import PAPER_SYSTEM_PROMPT, ModelSection
from vlaa_ray.errors import ModelError
from vlaa_ray.export.template import as_messages, check_template, with_system_prompt
from vlaa_ray.models.chat import chat_format_of
from vlaa_ray.models.paths import BUILTIN_MODELS
from vlaa_ray.records import ImageRef, Prompt, Turn

BASE = BUILTIN_MODELS / "tiny-base"
TINY = (BASE / "chat_template.jinja").read_text()
PICTURE = ImageRef(sha256="0" * 64, width_px=56, height_px=56)
TRICKY = "It's {% raw %} {{ messages }} {# \\frac{1}{2} \"q\" %}\r\n\n\tfürs 🤔 \\n 'end'"
# Of Qwen2.5-VL's own template: a system turn of its own where the conversation has none, and several forms of content.
QWEN = (
    "{% set image_count = namespace(value=0) %}{% for message in messages %}{% if loop.first and message['role'] != "
    "'system' %}<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n{% endif %}<|im_start|>{{ message['role'] "
    "}}\n{% if message['content'] is string %}{{ message['content'] }}<|im_end|>\n{% else %}{% for content in "
    "message['content'] %}{% if content['type'] == 'image' or 'image' in content or 'image_url' in content %}{% set "
    "image_count.value = image_count.value + 1 %}{% if add_vision_id %}Picture {{ image_count.value }}: {% endif %}"
    "<|vision_start|><|image_pad|><|vision_end|>{% elif 'text' in content %}{{ content['text'] }}{% endif %}{% endfor "
    "%}<|im_end|>\n{% endif %}{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
HISTORY = (Turn(role="user", text="Look: <image>", num_images=1), Turn(role="assistant", text="<think>I do</think>"))
ASKED = {
    "text alone": {"question": "What is 7 × 6?"},
    "an image": {"question": "How many digits are there?", "images": (PICTURE,)},
    "images among words": {"question": "Is <image> larger than <image>?", "images": (PICTURE, PICTURE)},
    "earlier turns": {"question": "And <image> now?", "images": (PICTURE, PICTURE), "history": HISTORY},
    "a system text": {"question": "Et alors?", "images": (PICTURE,), "system": "Answer in French."},
}


@pytest.fixture(scope="module")
def processor():
    return AutoProcessor.from_pretrained(BASE)


def chat_and_exported(processor, template, system_prompt):
    """The chat format of the training with the base's template, and a function that asks the exported one."""
    model = ModelSection(path="builtin:tiny-base", system_prompt=system_prompt)
    chat = chat_format_of(model, BASE)
    chat.processor.chat_template = template
    exported = with_system_prompt(template, system_prompt)

    def ids(messages):
        text = processor.apply_chat_template(
            messages, chat_template=exported, add_generation_prompt=True, tokenize=False
        )
        return processor.tokenizer(text, add_special_tokens=False)["input_ids"]

    return chat, ids


@pytest.mark.parametrize("system_prompt", [None, PAPER_SYSTEM_PROMPT, TRICKY], ids=["none", "paper", "tricky"])
@pytest.mark.parametrize("template", [TINY, QWEN, f"\n {TINY}"], ids=["tiny", "qwen", "indented"])
@pytest.mark.parametrize("asked", ASKED)
def test_the_ids_are_those_of_the_training(processor, template, system_prompt, asked):
    prompt = Prompt(prompt_id="p", gold="", verifier_type="text", source="test", **ASKED[asked])
    chat, ids = chat_and_exported(processor, template, system_prompt)
    assert ids(as_messages(prompt, system_prompt)) == chat.prompt_token_ids(prompt)


def test_a_system_turn_of_the_caller_takes_the_place_of_the_trainings(processor):
    _, ids = chat_and_exported(processor, QWEN, "Think.")
    text = processor.tokenizer.decode(
        ids([{"role": "system", "content": "Be brief."}, {"role": "user", "content": "?"}])
    )
    assert text == "<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\n?<|im_end|>\n<|im_start|>assistant\n"


def test_contents_that_are_plain_strings_get_the_system_prompt_too(processor):
    _, ids = chat_and_exported(processor, QWEN, "Think.")
    text = processor.tokenizer.decode(ids([{"role": "user", "content": "?"}]))
    assert text == "<|im_start|>system\nThink.<|im_end|>\n<|im_start|>user\n?<|im_end|>\n<|im_start|>assistant\n"


def test_without_a_system_prompt_the_template_stays_to_the_letter():
    assert with_system_prompt(QWEN, None) == QWEN


def test_a_template_that_asks_otherwise_is_refused(processor):
    model = ModelSection(path="builtin:tiny-base", system_prompt="Think.")
    with pytest.raises(ModelError, match="other tokens than the training"):
        check_template(processor, model, BASE)  # without the system prompt
