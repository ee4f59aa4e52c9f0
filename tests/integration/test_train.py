"""The quickstart's run, shortened, as a user starts it: real Ray, vLLM and DeepSpeed."""

import json
import shutil

import pytest
from quickstart import ROOT, metrics, train

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs")
    result = train(folder)
    assert result.returncode == 0, result.stdout[-4000:] + result.stderr[-4000:]
    return folder, result


def test_a_run_ends_with_a_table_a_report_and_a_model(finished):
    from transformers import AutoModelForImageTextToText, AutoProcessor

    folder, result = finished
    run = folder / "quickstart"
    assert "Held-out reward" in result.stdout and (run / "report.html").is_file()
    assert json.loads((run / "run.json").read_text())["state"] == "finished"
    steps = metrics(folder)
    assert [step["step"] for step in steps] == [0, 1, 2, 3, 4]
    assert all("eval/reward/mean" in steps[number] for number in (0, 4))
    hf = run / "checkpoints/step_000004/hf"
    trained = AutoModelForImageTextToText.from_pretrained(hf)
    base = AutoModelForImageTextToText.from_pretrained(ROOT / "vlaa_ray/models/builtin/tiny-base")
    assert any(
        (one - other).abs().max() > 0 for one, other in zip(trained.parameters(), base.parameters(), strict=True)
    )
    AutoProcessor.from_pretrained(hf)


def test_engine_and_learner_agree_on_every_token_of_every_step(finished):
    for step in metrics(finished[0])[1:]:
        assert step["logprob_diff/max_abs"] <= 1e-4, step
        assert step["staleness/max"] == 0
        assert step["reward/invalid_share"] == 0


def test_a_resumed_run_takes_the_same_steps(finished, tmp_path):
    """Steps 3 and 4 again, from the checkpoint of step 2, in new processes."""
    shutil.copytree(finished[0] / "quickstart", tmp_path / "quickstart")
    shutil.rmtree(tmp_path / "quickstart/checkpoints/step_000004")
    state = json.loads((tmp_path / "quickstart/run.json").read_text())
    (tmp_path / "quickstart/run.json").write_text(json.dumps(state | {"state": "failed"}))
    result = train(tmp_path)
    assert result.returncode == 0, result.stdout[-4000:] + result.stderr[-4000:]
    before, after = metrics(finished[0]), metrics(tmp_path)
    assert [step["step"] for step in after] == [0, 1, 2, 3, 4]
    for one, other in zip(before[3:], after[3:], strict=True):
        for name in ("policy/loss", "policy/grad_norm", "reward/mean", "completion/mean_tokens", "learning_rate"):
            assert other[name] == pytest.approx(one[name], abs=1e-6), name
    for number in (3, 4):
        name = f"quickstart/rollouts/step_{number:06d}.jsonl"
        rows = [[json.loads(line) for line in (run / name).read_text().splitlines()] for run in (finished[0], tmp_path)]
        assert [row["prompt_id"] for row in rows[0]] == [row["prompt_id"] for row in rows[1]]
        assert [row["completion"] for row in rows[0]] == [row["completion"] for row in rows[1]]
