"""The frame of a model's coordinates: from the verifiers of its run, else from its rollouts, else unknown."""

import json

import pytest
from trained import make_run

from vlaa_ray.run.model_source import resolve_model
from vlaa_ray.run.trained_frame import trained_frame


def test_the_verifiers_of_the_run_come_before_its_rollouts(tmp_path):
    make_run(tmp_path, "rewards.verifiers={iou: {params: {frame: resized_px}}}")
    assert trained_frame(resolve_model("trained", tmp_path)) == "resized_px"


def test_most_of_the_last_rollouts_decide(tmp_path):
    run = make_run(tmp_path)
    assert trained_frame(resolve_model("trained", tmp_path)) == "unit"
    params = [{"frame": "rel1000"}, {"frame": "rel1000"}, {"frame": "unit"}, {}, None, {"frame": ["unit"]}]
    rows = [json.dumps({"verifier_params": each}) + "\n" for each in params]
    (run / "rollouts/step_000005.jsonl").write_text("".join(rows))
    assert trained_frame(resolve_model("trained", tmp_path)) == "rel1000"


@pytest.mark.parametrize("text", ["builtin:tiny-base", "owner/model", "http://127.0.0.1:1/v1"])
def test_where_nothing_says_it_the_frame_is_unknown(text, tmp_path):
    assert trained_frame(resolve_model(text, tmp_path)) is None
