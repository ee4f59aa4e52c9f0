"""The teacher that knows the built-in pictures only: what it sees, what it answers, and its server."""

import asyncio
import base64
import io
import json
from collections import Counter
from itertools import islice

import httpx
import pytest
from curating import config
from PIL import Image

from vlaa_ray.curation.metadata import iterate_samples
from vlaa_ray.curation.sample import Sample
from vlaa_ray.curation.scripted import ScriptedTeacher
from vlaa_ray.curation.scripted_answers import answer_from, caption_of, read_caption, reply_to
from vlaa_ray.curation.steps import Steps
from vlaa_ray.data.builtin import BuiltinData
from vlaa_ray.rewards import score
from vlaa_ray.services.call_store import Reply

HELDOUT = 300
NO_MISTAKE = 1  # a seed that isn't one of those that miss an edge


def test_it_answers_the_heldout_questions():
    prompts = list(islice(BuiltinData("heldout"), HELDOUT))
    assert len(prompts) == HELDOUT
    worths, kinds = [], Counter()
    for prompt in prompts:
        picture = Image.open(io.BytesIO(prompt.images[0].data))
        answer = answer_from(read_caption(caption_of(picture, NO_MISTAKE)), prompt.question)
        given = f"<think>.</think><answer>{answer}</answer>"
        result = score(given, prompt.gold, prompt.verifier_type, **prompt.verifier_params)
        worths.append(result.value if prompt.verifier_type != "iou" else float(result.value > 0.8))
        kinds[prompt.verifier_type] += 1
    assert set(kinds) == {"digit", "mcq", "math", "iou", "open_ended"}
    right = sum(worth is not None and worth > 0.99 for worth in worths)
    assert right >= 0.95 * HELDOUT, right


def test_through_all_steps_it_errs_now_and_then():
    made = config(sources=[{"path": "builtin:train", "max_samples": 100}])
    pictures = {one.prompt_id: one.images[0].data for one in islice(BuiltinData("train"), 100)}

    def asked(sample: Sample):
        async def ask(call):
            if call.image is None:
                return Reply(text=reply_to(call.prompt))
            return Reply(text=caption_of(Image.open(io.BytesIO(pictures[sample.sample_id])), sample.index))

        return ask

    steps = Steps(made)
    done = [asyncio.run(steps.run(one, asked(one))) for one in iterate_samples(made, None)]
    counts_of_source = Counter(one.dropped_at for one in done)
    assert counts_of_source[""] > 60 and counts_of_source["rewrite"] > 0 and counts_of_source["verify"] > 0
    assert not any("caption" in one.rewritten.lower() for one in done if not one.dropped_at)
    again = [asyncio.run(steps.run(one, asked(one))) for one in islice(iterate_samples(made, None), 10)]
    assert again == done[:10]


def test_what_it_does_not_know_is_an_error():
    with pytest.raises(ValueError, match="not a prompt of one of the steps"):
        reply_to("What is the weather like?")
    with pytest.raises(ValueError, match="not a built-in"):
        answer_from(read_caption("a red circle at the top left, at [0, 0, 1, 1]"), "What is the weather like?")
    with pytest.raises(ValueError, match="not a built-in"):
        caption_of(Image.new("RGB", (84, 84), "white"), NO_MISTAKE)


@pytest.fixture
def teacher():
    made = []

    def start(**options):
        made.append(ScriptedTeacher(**options))
        return made[-1]

    yield start
    for one in made:
        one.close()


def post(teacher, content, client=httpx):
    body = {"model": "scripted", "messages": [{"role": "user", "content": content}]}
    return client.post(f"{teacher.url}/chat/completions", json=body, timeout=30)


def test_it_speaks_the_protocol(teacher):
    one = teacher()
    picture = next(iter(BuiltinData("train"))).images[0].data
    url = f"data:image/png;base64,{base64.b64encode(picture).decode()}"
    reply = post(one, [{"type": "image_url", "image_url": {"url": url}}, {"type": "text", "text": "Describe."}])
    (choice,) = reply.json()["choices"]
    assert choice["finish_reason"] == "stop" and len(choice["message"]["content"].split()) >= 5
    assert reply.json()["usage"]["completion_tokens"] > 0
    assert httpx.get(f"{one.url}/models", timeout=30).json()["object"] == "list"


@pytest.mark.parametrize(
    "content", ["What is the weather like?", [{"type": "image_url", "image_url": {"url": "data:,%"}}]]
)
def test_other_requests_are_refused(teacher, content):
    reply = post(teacher(), content)
    assert reply.status_code == 400 and "not a request" in reply.json()["error"]["message"]


def test_faults_are_drawn_in_their_shares(teacher, tmp_path):
    one = teacher(errors=0.5, garbage=0.2, log=tmp_path / "served")
    question = "Yes or No?\n```\n3\n```\n```\n3\n```"
    with httpx.Client() as client:
        codes = Counter(post(one, question, client).status_code for _ in range(200))
    assert 60 < codes[500] < 140 and codes[500] + codes[200] == 200
    served = (tmp_path / "served").read_text().split()
    assert 0 < len(served) < codes[200] and len(set(served)) == 1


def test_what_a_completion_says_is_no_matter_of_chance(teacher):
    one = teacher(garbage=0.8)
    said = {f"Yes or No?\n```\n{number}\n```\n```\n3\n```": set() for number in range(30)}
    with httpx.Client() as client:
        for _ in range(8):
            for question, replies in said.items():
                text = post(one, question, client).text
                replies |= {completion_text(text)} - {None}
    assert all(len(replies) <= 1 for replies in said.values())
    assert {"~~~", "No"} <= set().union(*said.values())


def completion_text(body):
    """What the body of a completion says; None if it is none."""
    try:
        return json.loads(body)["choices"][0]["message"]["content"]
    except (ValueError, LookupError):
        return None


@pytest.mark.parametrize(
    ("size", "colour"), [((112, 84), "teal"), ((64, 64), "black"), ((64, 64), "white"), ((56, 56), "white")]
)
def test_a_picture_that_is_not_built_in_is_refused(size, colour):
    picture = Image.new("RGB", size, colour)
    picture.putpixel((3, 3), (255, 0, 0) if colour != "white" else (255, 255, 255))
    with pytest.raises(ValueError, match="not a built-in picture"):
        caption_of(picture, NO_MISTAKE)
