"""Reward models behind one interface: the paper's formula, its cache, the remote one, the paper's own, embeddings."""

import math
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vlaa_ray.config import OpenEndedSection
from vlaa_ray.errors import RewardError
from vlaa_ray.rewards.scorers import make_scorer
from vlaa_ray.rewards.scorers.relative import RelativeScorer
from vlaa_ray.rewards.scorers.xcomposer import with_places
from vlaa_ray.services.client import Unanswered


class Lengths:
    """A ScoreModel whose S is the answer's length; "?" can't be scored, "~" is not finite."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.down = False

    def scores(self, prompt, answers):
        if self.down:
            raise Unanswered("busy")
        self.asked += answers
        return ["unreadable" if one == "?" else math.nan if one == "~" else float(len(one)) for one in answers]

    def offload(self) -> None:
        pass


def test_the_papers_formula_and_its_reasons(prompt) -> None:
    scorer = RelativeScorer(Lengths(), beta=0.2)
    longer, same, unreadable, unfinite = scorer.score(prompt, ["x" * 17, "y" * 12, "?", "~"])
    assert longer.value == pytest.approx(1 - math.exp(-1.0))  # the gold has 12 characters
    assert longer.parts == {"score": 17.0, "reference_score": 12.0}
    assert same.value == 0.0 and "not above the reference's 12.00" in same.reason
    assert unreadable.value == 0.0 and unreadable.reason == "unreadable"
    assert not unfinite.valid


def test_the_references_score_is_asked_once_and_a_failure_is_not_remembered(prompt) -> None:
    model = Lengths()
    scorer = RelativeScorer(model, beta=1.0)
    model.down = True
    assert not scorer.score(prompt, ["x"])[0].valid
    model.down = False
    scorer.score(prompt, ["x", "x"])
    scorer.score(prompt, ["z"])
    assert model.asked == [prompt.gold, "x", "z"]


def test_a_sample_may_name_another_reference(prompt) -> None:
    other = type(prompt)(**(vars(prompt) | {"verifier_params": {"reference": "ab"}}))
    assert RelativeScorer(Lengths(), beta=1.0).score(other, ["abc"])[0].value == pytest.approx(1 - math.exp(-1))


@given(st.lists(st.integers(0, 60), min_size=2, max_size=8), st.floats(0.01, 5))
def test_more_score_is_never_less_reward(lengths, beta) -> None:
    from vlaa_ray.records import Prompt

    prompt = Prompt(prompt_id="p", question="q", gold="reference", verifier_type="open_ended", source="s")
    results = RelativeScorer(Lengths(), beta).score(prompt, ["x" * length for length in lengths])
    values = [result.value for _, result in sorted(zip(lengths, results, strict=True), key=lambda pair: pair[0])]
    assert values == sorted(values) and all(0 <= value < 1 for value in values)


def test_a_shared_reward_model_over_http(endpoint, prompt) -> None:
    endpoint.answer = lambda body: (200, {"scores": [float(len(one)) for one in body["answers"]]})
    section = {"scorer": "reward_model", "beta": 1.0, "service": {"url": endpoint.url, "give_up_s": 2.0}}
    scorer = make_scorer(OpenEndedSection.model_validate(section))
    assert scorer.score(prompt, ["x" * 13])[0].value == pytest.approx(1 - math.exp(-1))
    assert len(endpoint.bodies[0]["images"]) == 1
    endpoint.answer = lambda body: (422, {"error": "no picture"})
    assert not scorer.score(prompt, ["new"])[0].valid
    for broken in ({"scores": []}, {"scores": [None]}, []):
        endpoint.answer = lambda body, broken=broken: (200, broken)
        with pytest.raises(RewardError, match="the reply is not that of a reward model's server"):
            scorer.score(prompt, ["newer"])


CODE = """
import torch
from PIL import Image
from transformers import PretrainedConfig, PreTrainedModel

class Config(PretrainedConfig):
    model_type = "composer"

class Reward(PreTrainedModel):
    config_class = Config
    def __init__(self, config):
        super().__init__(config)
        self.bias = torch.nn.Parameter(torch.zeros(1))
        self.post_init()
    def get_scores(self, conversations, images, hd_num=9):
        assert self.tokenizer is not None and hd_num == 9
        width = [Image.open(files[0]).width for files in images]
        said = [chat[1]["content"] for chat in conversations]
        return [float(w + len(text) + self.bias) for w, text in zip(width, said)]
"""


def test_the_papers_reward_model_by_its_own_interface(tmp_path, prompt) -> None:
    """Its 7 B parameters can't be here: a small model with the same interface, as remote code of a checkpoint."""
    import json
    import shutil

    import torch
    from safetensors.torch import save_file

    from vlaa_ray.models.paths import local_path

    for name in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copy(f"{local_path('builtin:tiny-base')}/{name}", tmp_path)
    (tmp_path / "composer.py").write_text(CODE)
    auto = {"AutoConfig": "composer.Config", "AutoModel": "composer.Reward"}
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "composer", "auto_map": auto}))
    save_file({"bias": torch.tensor([0.5])}, tmp_path / "model.safetensors", metadata={"format": "pt"})
    section = {"scorer": "xcomposer", "model": str(tmp_path), "trust_remote_code": True, "beta": 1.0}
    scorer = make_scorer(OpenEndedSection.model_validate(section))
    (result,) = scorer.score(prompt, ["x" * 13])
    assert result.parts == {"score": 53.5, "reference_score": 52.5}
    with pytest.raises(ValueError, match="trust_remote_code"):
        OpenEndedSection.model_validate(section | {"trust_remote_code": False})


def test_the_papers_reward_model_is_told_where_several_images_stand(prompt) -> None:
    two = replace(prompt, images=prompt.images * 2)
    in_front = with_places(replace(two, question="Alike?"))
    assert in_front == "Image1 <ImageHere>; Image2 <ImageHere>; Alike?"
    amid = with_places(replace(two, question="Is <image> like <image>?"))
    assert amid == "Is Image1 <ImageHere> like Image2 <ImageHere>?"


def test_embeddings_are_close_in_meaning(prompt) -> None:
    scorer = make_scorer(OpenEndedSection(scorer="embedding"))
    same, near, far, empty = scorer.score(
        prompt, [prompt.gold, "a crimson quadrilateral", "the stock market fell on Tuesday", " "]
    )
    assert same.value == pytest.approx(1.0, abs=1e-5)
    assert 0.35 < near.value < 1.0 and far.value < 0.2 and empty.value == 0.0


@pytest.mark.parametrize(
    ("section", "words"),
    [
        ({"scorer": "reward_model"}, "needs a model"),
        ({"scorer": "judge", "model": "m"}, "needs service.url"),
        ({"scorer": "judge", "model": "m", "service": {"url": "localhost"}}, "pattern"),
    ],
)
def test_an_incomplete_scorer_is_a_config_error(section, words) -> None:
    with pytest.raises(ValueError, match=words):
        OpenEndedSection.model_validate(section)


def test_answers_that_need_several_passes_keep_their_scores() -> None:
    from vlaa_ray.data.builtin import BuiltinData
    from vlaa_ray.rewards.scorers import score_model

    prompt = BuiltinData("heldout", ["open_ended"])[0]
    answers = ["a red circle at the top left", "a circle", prompt.gold, "digits"]
    whole, parts = (
        score_model(
            OpenEndedSection(scorer="reward_model", model="builtin:tiny-reward", max_pixels=12544, max_tokens=limit)
        ).scores(prompt, answers)
        for limit in (4096, 45)
    )
    assert parts == pytest.approx(whole, abs=1e-4)
    assert len({round(score, 3) for score in whole}) == 4
