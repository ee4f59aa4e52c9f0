"""A model behind an endpoint: what it is sent, what of its replies is kept, and what its failures are."""

import asyncio
from dataclasses import replace

import pytest
from endpoint import Endpoint
from evaluating import SAMPLING

from vlaa_ray.config import EndpointSection
from vlaa_ray.errors import DataError, RolloutError
from vlaa_ray.evaluation.samplers import EndpointSampler, GivenAnswer
from vlaa_ray.images.decode import reference_of
from vlaa_ray.records import Prompt, Turn

PNG = bytes.fromhex(
    "89504e470d0a1a0a0000000d49484452000000010000000108020000009077"
    "53de0000000c49444154789c63f8cfc000000301010018dd8db00000000049454e44ae426082"
)


def reply(text, **message):
    choice = {"message": {"content": text, **message}, "finish_reason": "length"}
    return {"choices": [choice], "usage": {"completion_tokens": 3}}


@pytest.fixture
def endpoint():
    server = Endpoint(lambda body: (200, reply(f"seed {body['seed']}")))
    yield server
    server.close()


def ask(endpoint, prompt, num_samples=1, system_prompt=None, **section):
    sampler = EndpointSampler(EndpointSection(url=endpoint.url, model="m", **section), system_prompt)
    sampling = replace(SAMPLING, num_samples=num_samples)
    request = replace(sampling.request(prompt), seed=7)
    try:
        return asyncio.run(sampler.answers(request))
    finally:
        sampler.close()


def prompt(**changes):
    return Prompt(
        **{"prompt_id": "p", "question": "How many?", "gold": 1, "verifier_type": "digit", "source": "s"} | changes
    )


def test_each_sample_is_a_request_with_a_seed_of_its_own(endpoint):
    assert sorted(ask(endpoint, prompt(), num_samples=2)) == [
        GivenAnswer("seed 7", "length", 3),
        GivenAnswer("seed 8", "length", 3),
    ]
    body = endpoint.bodies[0]
    assert (body["model"], body["temperature"], body["top_p"], body["max_tokens"]) == ("m", 0.7, 1.0, 16)
    assert body["messages"] == [{"role": "user", "content": "How many?"}]


def test_pictures_and_earlier_turns_stand_where_the_prompt_has_them(endpoint):
    picture = reference_of(PNG)
    history = (Turn(role="user", text="<image>What?", num_images=1), Turn(role="assistant", text="A cat."))
    ask(endpoint, prompt(history=history, images=(picture, picture), system="Own."), system_prompt="Think.")
    system, user, assistant, question = endpoint.bodies[0]["messages"]
    assert system == {"role": "system", "content": "Own.\n\nThink."}
    assert [part["type"] for part in user["content"]] == ["image_url", "text"]
    assert assistant == {"role": "assistant", "content": "A cat."}
    assert question["content"][0]["image_url"]["url"].startswith("data:image/png;base64,")


def test_thinking_that_comes_apart_stands_before_the_answer(endpoint):
    endpoint.answer = lambda body: (200, reply("<answer>3</answer>", reasoning_content="so"))
    assert ask(endpoint, prompt())[0].text == "<think>so</think><answer>3</answer>"
    endpoint.answer = lambda body: (200, reply("3", reasoning="so"))  # the service has taken away all tags
    assert ask(endpoint, prompt())[0].text == "<think>so</think><answer>3</answer>"
    endpoint.answer = lambda body: (200, reply(None, reasoning="so"))
    assert ask(endpoint, prompt())[0].text == "<think>so</think>"


def test_a_refused_question_has_no_answer_and_a_wrong_key_ends_the_run(endpoint):
    ask(endpoint, prompt())
    endpoint.answer = lambda body: (400, "too long")
    with pytest.raises(DataError, match="too long"):
        ask(endpoint, prompt())
    endpoint.answer = lambda body: (401, "no key")
    with pytest.raises(RolloutError, match="refuses requests"):
        ask(endpoint, prompt())


def test_the_key_comes_from_the_environment(endpoint, monkeypatch):
    monkeypatch.setenv("A_KEY", "secret")
    ask(endpoint, prompt(), api_key_env="A_KEY")
    assert endpoint.headers[0]["authorization"] == "Bearer secret"


def test_an_endpoint_that_lists_no_models_is_a_typed_error(endpoint):
    with pytest.raises(RolloutError, match="lists no models"):
        EndpointSampler(EndpointSection(url=endpoint.url), None)
