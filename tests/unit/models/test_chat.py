import io
import re
from dataclasses import replace
from itertools import groupby
from types import SimpleNamespace

import numpy as np
import pytest
from jinja2 import Environment
from PIL import Image

from vlaa_ray.config import PAPER_SYSTEM_PROMPT, ModelSection
from vlaa_ray.data.builtin import BuiltinData
from vlaa_ray.errors import DataError
from vlaa_ray.images.decode import load
from vlaa_ray.models.chat import ChatFormat
from vlaa_ray.models.loading import load_processor
from vlaa_ray.models.paths import local_path
from vlaa_ray.records import ImageRef, Prompt, Turn

MODEL = ModelSection(path="builtin:tiny-base", min_pixels=3136, max_pixels=50_176)


@pytest.fixture(scope="module")
def processor():
    return load_processor(MODEL)


@pytest.fixture(scope="module")
def model_config():
    from transformers import AutoConfig

    return AutoConfig.from_pretrained(local_path(MODEL.path))


@pytest.fixture(scope="module")
def chat(processor, model_config):
    return ChatFormat(processor, model_config, PAPER_SYSTEM_PROMPT)


def image(width, height):
    buffer = io.BytesIO()
    Image.new("RGB", (width, height), (width % 256, height % 256, 0)).save(buffer, "PNG")
    return ImageRef.from_bytes(buffer.getvalue(), width_px=width, height_px=height)


def prompt(question="What is it?", *images):
    return Prompt(prompt_id="p1", question=question, gold="1", verifier_type="digit", source="test", images=images)


def by_the_processor(processor, asked, system_prompt):
    """The ids that Hugging Face's own processor makes of the conversation, text and pixels in one call."""
    question = asked.question.strip()
    if "<image>" not in question:
        question = "<image>" * len(asked.images) + question
    question = re.sub(r"(?<=<image>)\s+(?=<image>)", "", question)
    question = re.sub(r"\A((?:<image>)+)\s+", r"\1", question)
    question = re.sub(r"\s+((?:<image>)+)\Z", r"\1", question)
    parts = [part for part in re.split("(<image>)", question) if part]
    content = [{"type": "image"} if part == "<image>" else {"type": "text", "text": part} for part in parts]
    messages = [{"role": "user", "content": content}]
    if system_prompt:
        messages.insert(0, {"role": "system", "content": system_prompt})
    text = processor.apply_chat_template(messages, add_generation_prompt=True)
    pictures = [load(ref) for ref in asked.images] or None
    return processor(text=[text], images=pictures, return_tensors="np")["input_ids"][0].tolist()


@pytest.mark.parametrize("system_prompt", [PAPER_SYSTEM_PROMPT, None])
@pytest.mark.parametrize(
    "sizes",
    [(), ((56, 56),), ((30, 30),), ((400, 100),), ((1000, 900),), ((57, 83),), ((56, 56), (300, 200)), ((64, 64),) * 3],
)
def test_expanded_ids_are_the_processors(processor, model_config, system_prompt, sizes):
    asked = prompt("What is 7 × 6 in the picture?", *(image(*size) for size in sizes))
    ids = ChatFormat(processor, model_config, system_prompt).expanded_token_ids(asked)
    assert ids.dtype == np.int32
    assert ids.tolist() == by_the_processor(processor, asked, system_prompt)


TRICKY = [
    "{{ system }} {% raw %} \\frac{1}{2} {#",
    "the answer",
    "\n\n# A title\n\n```json\n[1]\n```\n",
    "<b>3 < 4 &amp; 'é' \"🎉\" 山</b>",
    "\u2028 A \u00a0 B\x0b",
    "system\nuser\nassistant",
    "?",
]


def no_longer_than(width, height, ratio):
    return min(width, ratio * height), min(height, ratio * width)


def random_prompt(rng):
    """0 to 3 images of 1 to 2,000 pixels a side, at most 200 times as long as wide, and words of any kind."""
    sides = np.exp(rng.uniform(0, np.log(2000), (rng.integers(4), 2))).round().astype(int).tolist()
    letters = [chr(code) for code in (*range(32, 127), 0xE9, 0x3B1, 0x5C71, 0x1F389, 10)]
    words = ["".join(rng.choice(letters, rng.integers(1, 9))) for _ in range(rng.integers(12))]
    words += [str(one) for one in rng.choice(TRICKY, rng.integers(2))]
    if rng.random() < 0.5:
        for _ in sides:
            words.insert(rng.integers(len(words) + 1), "<image>")
    return prompt(" ".join(words), *(image(*no_longer_than(*size, 190)) for size in sides))


def test_a_thousand_random_prompts_are_as_long_as_the_processors(processor, chat):
    rng, aspects = np.random.default_rng(0), []
    for number in range(1000):
        asked = random_prompt(rng)
        aspects += [max(one.width_px, one.height_px) / min(one.width_px, one.height_px) for one in asked.images]
        expected = by_the_processor(processor, asked, PAPER_SYSTEM_PROMPT)
        assert chat.expanded_token_ids(asked).tolist() == expected, number
    assert max(aspects) > 180


@pytest.mark.parametrize("question", TRICKY)
@pytest.mark.parametrize("num_images", [0, 1, 3])
def test_tricky_questions_are_put_into_the_template_as_they_are(processor, chat, question, num_images):
    asked = prompt(question, *[image(56, 84)] * num_images)
    for _ in range(2):  # the second time with what the first one found out
        assert chat.expanded_token_ids(asked).tolist() == by_the_processor(processor, asked, PAPER_SYSTEM_PROMPT)


@pytest.mark.parametrize(
    "template",
    [
        "{{ messages[-1].content[-1].text | upper }}",
        "{{ messages[-1].content[-1].text | e }}",
        "{% if messages[-1].content[-1].text | length > 3 %}long: {% endif %}{{ messages[-1].content[-1].text }}",
    ],
)
def test_a_template_that_changes_questions_is_asked_each_time(processor, model_config, template):
    rendered = Environment().from_string(template).render
    changing = SimpleNamespace(
        tokenizer=processor.tokenizer,
        image_processor=processor.image_processor,
        apply_chat_template=lambda messages, **_: rendered(messages=messages),
    )
    chat = ChatFormat(changing, model_config, None)
    for question in ("a < b", "ab", "abcd"):
        text = rendered(messages=[{"content": [{"text": question}]}])
        assert chat.prompt_token_ids(prompt(question)) == processor.tokenizer(text)["input_ids"]


def test_built_in_prompts_expand_as_the_processor_does(processor, chat):
    data = BuiltinData("heldout")
    for index in range(10):
        assert chat.expanded_token_ids(data[index]).tolist() == by_the_processor(
            processor, data[index], PAPER_SYSTEM_PROMPT
        )


def test_image_tokens_by_hand(chat):
    # 28 x 28 pixels a token: 56 x 84 is 2 x 3; 1000 x 900 is brought below 50,176 pixels: 224 x 196 is 8 x 7;
    # 28 x 28 is enlarged to 3,136 = 56 x 56
    assert chat.num_image_tokens(image(84, 56)) == 6
    assert chat.num_image_tokens(image(1000, 900)) == 56
    assert chat.num_image_tokens(image(28, 28)) == 4


def test_image_tokens_of_a_thousand_sizes_are_the_processors(processor, chat):
    rng = np.random.default_rng(0)
    for width, height in rng.integers(20, 3000, (1000, 2)).tolist():
        ref = ImageRef(sha256="", width_px=width, height_px=height)
        patches = processor.image_processor.get_number_of_image_patches(height, width, {})
        assert chat.num_image_tokens(ref) == patches // 4, (width, height)


def test_an_image_that_is_a_line_is_refused(chat):
    with pytest.raises(DataError, match=r"no image of this shape.*ratio"):
        chat.num_image_tokens(ImageRef(sha256="", width_px=2_010, height_px=10))


def test_unexpanded_ids_hold_one_token_an_image(chat):
    two = prompt("Compare.", image(56, 56), image(300, 200))
    assert chat.prompt_token_ids(two).count(chat.image_token_id) == 2
    assert chat.prompt_token_ids(prompt()).count(chat.image_token_id) == 0


def test_the_text_around_the_question(chat):
    text = chat.tokenizer.decode(chat.prompt_token_ids(prompt("Add 1 and 2.", image(56, 56))))
    assert text == (
        f"<|im_start|>system\n{PAPER_SYSTEM_PROMPT}<|im_end|>\n<|im_start|>user\n"
        "<|vision_start|><|image_pad|><|vision_end|>Add 1 and 2.<|im_end|>\n<|im_start|>assistant\n"
    )


def test_an_image_marked_in_front_is_where_it_would_be_anyway(chat):
    marked = prompt("<image>\nWhat is it?", image(56, 56))
    assert chat.prompt_token_ids(marked) == chat.prompt_token_ids(prompt("What is it?", image(56, 56)))


@pytest.mark.parametrize(
    ("question", "shown"),
    [
        ("<image>\n<image>\nAlike?", "@@Alike?"),
        ("Is <image> like <image>?", "Is @ like @?"),
        ("Alike? <image> <image>\n", "Alike?@@"),
        ("First:\n<image>\nsecond:\n<image>\n\nAlike?", "First:\n@\nsecond:\n@\n\nAlike?"),
    ],
)
def test_images_stand_where_the_question_has_them(chat, question, shown):
    small, large = image(56, 56), image(300, 200)
    asked = prompt(question, small, large)
    text = chat.tokenizer.decode(chat.prompt_token_ids(asked))
    shown = shown.replace("@", "<|vision_start|><|image_pad|><|vision_end|>")
    assert f"<|im_start|>user\n{shown}<|im_end|>" in text
    pads = groupby(chat.expanded_token_ids(asked) == chat.image_token_id)
    sizes = [len(list(run)) for is_pad, run in pads if is_pad]
    assert sizes == [chat.num_image_tokens(small), chat.num_image_tokens(large)]


@pytest.mark.parametrize(("question", "num_images"), [("<image>?", 0), ("<image><image>?", 1), ("<image>?", 2)])
def test_another_number_of_markers_than_images_is_refused(chat, question, num_images):
    counts = f"in the question is {question.count('<image>')}, but the number of images is {num_images} .*p1"
    with pytest.raises(DataError, match=counts):
        chat.prompt_token_ids(prompt(question, *[image(56, 56)] * num_images))


CONTROL = ["<|im_end|>", "<|im_start|>", "<|image_pad|>", "<|vision_start|>", "<|video_pad|>", "<|endoftext|>"]


@pytest.mark.parametrize("token", CONTROL)
def test_control_tokens_are_refused(chat, token):
    with pytest.raises(DataError, match=r"the question holds the control token.*p1"):
        chat.expanded_token_ids(prompt(f"Hello {token} there"))
    with pytest.raises(DataError, match="the solution holds the control token"):
        chat.completion_token_ids(f"<answer>{token}</answer>")


def test_no_control_token_appears_around_a_marker(chat):
    split = prompt("Hello <|im_<image>end|>\n<|im_<image>start|>system", image(56, 56), image(56, 56))
    names = ("<|im_start|>", "<|im_end|>")
    for token in map(chat.tokenizer.convert_tokens_to_ids, names):
        counts = [chat.prompt_token_ids(one).count(token) for one in (split, prompt("Hello", *split.images))]
        assert counts[0] == counts[1]


def test_a_template_that_drops_the_image_is_noticed(processor, model_config):
    blind = SimpleNamespace(
        tokenizer=processor.tokenizer,
        image_processor=processor.image_processor,
        apply_chat_template=lambda messages, **_: messages[-1]["content"][-1]["text"],
    )
    with pytest.raises(DataError, match=r"placeholders and images don't match.*p1"):
        ChatFormat(blind, model_config, None).prompt_token_ids(prompt("?", image(56, 56)))


def test_a_written_answer_ends_the_turn(chat):
    text = "<think>I see 3</think><answer>\\frac{1}{2}</answer>"
    ids = chat.completion_token_ids(text)
    assert ids.dtype == np.int32
    assert ids[-1] == chat.tokenizer.convert_tokens_to_ids("<|im_end|>")
    assert chat.tokenizer.decode(ids[:-1]) == text


SMALL, LARGE = (56, 56), (300, 200)
EARLIER = [
    ("user", "<image>\nHow many squares?", 1),
    ("assistant", "<think>I count.</think>\n6", 0),
    ("user", "Is <image> larger?", 1),
    ("assistant", "{{ no }}", 0),
]


def conversation(*turns, question="Why?", sizes=(SMALL, LARGE), system=None):
    history = tuple(Turn(role=role, text=text, num_images=number) for role, text, number in turns)
    return replace(prompt(question, *(image(*size) for size in sizes)), history=history, system=system)


def by_the_template(processor, messages, asked):
    """The ids that Hugging Face's own processor makes of messages with {"type": "image"} parts."""
    text = processor.apply_chat_template(messages, add_generation_prompt=True)
    pictures = [load(ref) for ref in asked.images] or None
    return processor(text=[text], images=pictures, return_tensors="np")["input_ids"][0].tolist()


def text_part(text):
    return {"type": "text", "text": text}


@pytest.mark.parametrize("run_prompt", [PAPER_SYSTEM_PROMPT, None])
@pytest.mark.parametrize("system", [None, "Answer in French."])
def test_ids_of_a_conversation_are_the_processors(processor, model_config, run_prompt, system):
    asked = conversation(*EARLIER, question="And <image>?\n", sizes=(SMALL, LARGE, SMALL), system=system)
    messages = [
        {"role": "user", "content": [{"type": "image"}, text_part("How many squares?")]},
        {"role": "assistant", "content": "<think>I count.</think>\n6"},
        {"role": "user", "content": [text_part("Is "), {"type": "image"}, text_part(" larger?")]},
        {"role": "assistant", "content": [text_part("{{ no }}")]},
        {"role": "user", "content": [text_part("And "), {"type": "image"}, text_part("?")]},
    ]
    if told := "\n\n".join(filter(None, [system, run_prompt])):
        messages.insert(0, {"role": "system", "content": told})
    chat = ChatFormat(processor, model_config, run_prompt)
    for _ in range(2):  # the second time with what the first one found out
        assert chat.expanded_token_ids(asked).tolist() == by_the_template(processor, messages, asked)
    pads = groupby(chat.expanded_token_ids(asked) == chat.image_token_id)
    sizes = [len(list(run)) for is_pad, run in pads if is_pad]
    assert sizes == [chat.num_image_tokens(one) for one in asked.images]


def test_other_texts_of_the_same_shape_are_the_processors_too(processor, chat):
    for number in range(3):
        asked = conversation(("user", f"{number} < 4?", 0), ("assistant", f"{number}" * number, 0), sizes=())
        messages = [
            {"role": "system", "content": PAPER_SYSTEM_PROMPT},
            {"role": "user", "content": f"{number} < 4?"},
            {"role": "assistant", "content": f"{number}" * number},
            {"role": "user", "content": "Why?"},
        ]
        assert chat.expanded_token_ids(asked).tolist() == by_the_template(processor, messages, asked)


def test_an_assistant_may_speak_first(processor, chat):
    asked = conversation(("assistant", "Hello!", 0), question="How many?", sizes=(SMALL,))
    messages = [
        {"role": "system", "content": PAPER_SYSTEM_PROMPT},
        {"role": "assistant", "content": "Hello!"},
        {"role": "user", "content": [{"type": "image"}, text_part("How many?")]},
    ]
    assert chat.expanded_token_ids(asked).tolist() == by_the_template(processor, messages, asked)


def test_the_runs_system_prompt_is_not_repeated(chat):
    for own in (PAPER_SYSTEM_PROMPT, f"  {PAPER_SYSTEM_PROMPT}\n", f"{PAPER_SYSTEM_PROMPT}\nBe brief."):
        text = chat.tokenizer.decode(chat.prompt_token_ids(conversation(sizes=(), system=own)))
        assert text.startswith(f"<|im_start|>system\n{own.strip()}<|im_end|>\n")


def test_a_template_that_strips_thoughts_is_asked_each_time(processor, model_config):
    source = (
        "{% for m in messages %}[{{ m.role }}]{% for c in m.content %}{{ c.text.split('</think>')[-1] }}{% endfor %}"
        "{% endfor %}"
    )
    rendered = Environment().from_string(source).render
    stripping = SimpleNamespace(
        tokenizer=processor.tokenizer,
        image_processor=processor.image_processor,
        apply_chat_template=lambda messages, **_: rendered(messages=messages),
    )
    chat = ChatFormat(stripping, model_config, None)
    for thoughts in ("", "<think>I count.</think>"):
        asked = conversation(("user", "How many?", 0), ("assistant", f"{thoughts}6", 0), sizes=())
        assert chat.tokenizer.decode(chat.prompt_token_ids(asked)) == "[user]How many?[assistant]6[user]Why?"


@pytest.mark.parametrize(
    ("asked", "says"),
    [
        (conversation(("user", "<|im_end|>", 0), sizes=()), "an earlier turn holds the control token"),
        (conversation(("assistant", "<|im_start|>", 0), sizes=()), "an earlier turn holds the control token"),
        (conversation(sizes=(), system="<|image_pad|>"), "the system text holds the control token"),
        (conversation(("user", "<image>?", 1), sizes=()), "images don't match"),
    ],
)
def test_control_tokens_before_the_question_are_refused(chat, asked, says):
    with pytest.raises(DataError, match=rf"{says}.*p1"):
        chat.expanded_token_ids(asked)
