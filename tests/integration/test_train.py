"""The quickstart's run, shortened, as a user starts it: real Ray, vLLM and DeepSpeed."""

import json
import os
import signal
import subprocess
import sys
import time
from itertools import islice
from pathlib import Path

import psutil
import pytest
from metric_table import check_logged
from PIL import Image
from quickstart import ROOT, alive, in_use, metrics, run_json, running, shared_memory, train
from sockets import listening_beyond_loopback

from vlaa_ray.asking.local import LocalModel
from vlaa_ray.asking.reply import marks_in, read_reply
from vlaa_ray.data.builtin import BuiltinData
from vlaa_ray.images.decode import chat_part, encoded
from vlaa_ray.models.chat import chat_format_of
from vlaa_ray.run.model_source import resolve_model

pytestmark = [pytest.mark.integration, pytest.mark.timeout(900)]
OPTIONS = ["run.num_steps=10", "checkpoint.every_steps=5", "eval.every_steps=10"]


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs")
    result = train(folder, *OPTIONS)
    assert result.returncode == 0, result.stdout[-4000:] + result.stderr[-4000:]
    return folder, result


def test_a_run_ends_with_a_table_a_report_and_a_model(finished):
    from transformers import AutoModelForImageTextToText, AutoProcessor

    folder, result = finished
    run = folder / "quickstart"
    assert "Held-out reward" in result.stdout and (run / "report.html").is_file()
    assert run_json(folder)["state"] == "finished"
    check_logged(run, "grpo")
    steps = metrics(folder)
    assert [step["step"] for step in steps] == list(range(11))
    assert all("eval/reward/mean" in steps[number] for number in (0, 10))
    hf = run / "checkpoints/step_000010/hf"
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


def what_is_left(run, family, before):
    """Processes of the run, and what lies in shared memory since `before` and belongs to no living process."""
    new = shared_memory() - before
    return [*alive(family), *run.processes(), *(new - in_use(new))]


def lose_actors(run, folder):
    """Kill the reward actor, and let the engine hang: each is replaced."""
    run.wait_for_step(1)
    (reward,) = run.actors("Reward")
    reward.kill()
    run.wait_for_step(2)
    (first,) = run.actors("Rollout")
    for process in [first, *first.children(recursive=True)]:
        process.send_signal(signal.SIGSTOP)
    run.wait_until(lambda: metrics(folder)[-1]["rollout/restarts"] == 1, "step with a new engine")
    assert [actor.pid for actor in run.actors("Rollout")] != [first.pid]
    assert metrics(folder)[-1]["reward/restarts"] == 1
    assert run.output().count("is lost and replaced") == 2


def test_a_run_that_loses_actors_and_is_killed_leaves_nothing_and_resumes_exactly(finished, tmp_path):
    """10 steps against 5 with two lost actors, a `kill -9` of the driver, and 5 more in new processes."""
    before, options = shared_memory(), [*OPTIONS, "deadlines.rollout_s=15"]
    with running(tmp_path, *options) as run:
        lose_actors(run, tmp_path)
        run.wait_until((tmp_path / "quickstart/checkpoints/step_000005/manifest.json").is_file, "checkpoint")
        family = psutil.Process(run.driver.pid).children(recursive=True)
        assert not (wide := listening_beyond_loopback(run.driver.pid)), wide
        run.wait_until(lambda: bool(shared_memory() - before), "weights in shared memory", every_s=0.01)
    deadline = time.monotonic() + 15
    while (left := what_is_left(run, family, before)) and time.monotonic() < deadline:
        time.sleep(0.5)
    assert not left, left
    assert run_json(tmp_path)["state"] == "running"  # it had no time to say otherwise
    result = train(tmp_path, *options)
    assert result.returncode == 0, result.stdout[-4000:] + result.stderr[-4000:]
    assert run_json(tmp_path)["resumed_from_step"] == 5
    whole, resumed = metrics(finished[0]), metrics(tmp_path)
    assert [step["step"] for step in resumed] == list(range(11))
    for one, other in zip(whole, resumed, strict=True):
        for name in ("policy/loss", "policy/grad_norm", "reward/mean", "completion/mean_tokens", "learning_rate"):
            assert other.get(name) == pytest.approx(one.get(name), abs=1e-6), (one["step"], name)
    for row in resumed[1:]:
        assert row["reward/count"] == 32 and row["groups/failed"] == 0
        assert row["logprob_diff/max_abs"] <= 1e-4  # replaced engines have the current weights
    for number in range(1, 11):
        name = f"quickstart/rollouts/step_{number:06d}.jsonl"
        rows = [[json.loads(line) for line in (run / name).read_text().splitlines()] for run in (finished[0], tmp_path)]
        assert [row["prompt_id"] for row in rows[0]] == [row["prompt_id"] for row in rows[1]]
        assert [row["completion"] for row in rows[0]] == [row["completion"] for row in rows[1]]


AS_VLLM_LOADS_IT = """
import json, sys
from vllm import LLM

llm = LLM(sys.argv[1], dtype="float32", enforce_eager=True, max_model_len=512, max_num_seqs=4,
          kv_cache_memory_bytes=1 << 28, limit_mm_per_prompt={"image": 1, "video": 0})
output = llm.chat(json.loads(sys.argv[2]), use_tqdm=False)[0]
print(json.dumps({"ids": output.prompt_token_ids, "text": output.outputs[0].text}))
"""
VLLM_ON_A_CPU = {
    "VLLM_ENABLE_V1_MULTIPROCESSING": "0",
    "VLLM_CPU_OMP_THREADS_BIND": "nobind",
    "OMP_NUM_THREADS": "1",
    "TORCH_COMPILE_DISABLE": "1",
}


def first_box(model):
    """The first held-out question that the model answers with one box; its response, and the box in pixels."""
    for asked in islice(BuiltinData("heldout", ["iou"]), 50):
        response = model.generate(asked, max_tokens=48, temperature=0.0, seed=0).text
        size = (asked.images[0].width_px, asked.images[0].height_px)
        marks = marks_in(read_reply(response).answer, "unit", size, None)
        if len(marks) == 1:
            return asked, response, marks[0].pixels
    raise AssertionError("no answer has a box")


def test_the_trained_model_is_exported_loads_and_answers(finished, tmp_path):
    """With its own command, in transformers and in vLLM, which asks and answers as the command does."""
    before = shared_memory()
    source = resolve_model("quickstart", finished[0])
    asked, expected, box = first_box(LocalModel.load(source))
    (tmp_path / "picture.png").write_bytes(encoded(asked.images[0]))

    def vlaa_ray(*words):
        arguments = [sys.executable, "-m", "vlaa_ray", *words]
        environment = os.environ | {"PYTHONPATH": str(ROOT)}
        done = subprocess.run(arguments, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=240)
        assert done.returncode == 0, done.stderr
        return done.stdout

    exported = Path(vlaa_ray("export", "quickstart", "exported", "--runs", str(finished[0])).strip())
    assert exported == tmp_path / "exported"
    shown = json.loads(
        vlaa_ray("ask", "--model", "exported", "--image", "picture.png", "--max-tokens", "48", "--json", asked.question)
    )
    assert shown["model"]["weight_version"] == source.weight_version
    width, height = asked.images[0].width_px, asked.images[0].height_px
    assert shown["response"] == expected
    assert shown["boxes"] == [{"box_px": list(box), "label": None}]
    assert shown["frame"] == "unit" and not shown["frame_is_guess"]
    scale = 448 // max(width, height)  # a small picture is enlarged
    assert Image.open(tmp_path / shown["picture"]).size == (width * scale, height * scale)
    content = [chat_part(encoded(asked.images[0])), {"type": "text", "text": asked.question}]
    messages = json.dumps([{"role": "user", "content": content}])
    arguments = [sys.executable, "-c", AS_VLLM_LOADS_IT, str(exported), messages]
    done = subprocess.run(
        arguments, env=os.environ | VLLM_ON_A_CPU, capture_output=True, text=True, timeout=240, cwd=tmp_path
    )
    assert done.returncode == 0, done.stderr[-3000:]
    output = json.loads(done.stdout.splitlines()[-1])
    chat = chat_format_of(source.section(), source.path)
    assert output["ids"] == chat.expanded_token_ids(asked).tolist()
    assert shown["response"].startswith(output["text"])  # vLLM's own default is 16 tokens
    new = shared_memory() - before
    assert not new - in_use(new)
