"""`vlaa-ray eval`: what the options become in the config, and a whole evaluation of a model behind an endpoint."""

import json

import pytest
import typer
import yaml
from benchmark_files import write_benchmark_tsv
from endpoint import Endpoint

from vlaa_ray.cli import main
from vlaa_ray.cli.evaluation import benchmark_sections, eval_config
from vlaa_ray.config import EvalConfig, load_config
from vlaa_ray.errors import ConfigError
from vlaa_ray.run.model_source import ModelSource

BUILTIN = ModelSource(name="tiny", path="builtin:tiny-base", kind="builtin", min_pixels=3136, max_pixels=12544)


def test_one_path_is_for_all_benchmarks_or_each_has_its_own():
    both = [{"name": "MathVista", "data": "a"}, {"name": "WeMath", "data": "a"}]
    assert benchmark_sections(["MathVista", "we-math"], ["a"]) == both
    assert benchmark_sections(["MathVista", "WeMath"], ["a", "b"])[1]["data"] == "b"
    with pytest.raises(typer.BadParameter, match="one for each"):
        benchmark_sections(["MathVista", "WeMath", "DynaMath"], ["a", "b"])
    with pytest.raises(typer.BadParameter, match="the file or folder of MathVista, WeMath"):
        benchmark_sections(["mathvista", "WeMath"], [])
    for data in (["a"], []):
        with pytest.raises(ConfigError, match="unknown benchmark 'MathVasta'"):
            benchmark_sections(["MathVasta"], data)


def test_records_are_named_after_their_file_and_built_in_data_need_none():
    heldout = {"name": "heldout", "data": "builtin:heldout", "records": True}
    assert benchmark_sections(["builtin:heldout"], []) == [heldout]
    assert benchmark_sections([], ["builtin:heldout"]) == [heldout]
    own = {"name": "my-rows", "data": "/x/my rows.jsonl", "records": True}
    assert benchmark_sections([], ["/x/my rows.jsonl"]) == [own]
    assert benchmark_sections(["MathVista", "builtin:heldout"], ["a"]) == [{"name": "MathVista", "data": "a"}, heldout]
    assert benchmark_sections(["records"], ["/x/my rows.jsonl"]) == [own]


def test_options_win_over_the_file_and_overrides_over_all(tmp_path):
    file = tmp_path / "c.yaml"
    file.write_text("conditions: {name: mine}\nmodel: {path: other, system_prompt: null}\nrun: {name: x, seed: 3}\n")
    sections = [{"name": "MathVista", "data": "a"}]
    config = eval_config(BUILTIN, sections, file, tmp_path / "out", ["rollout.num_samples=4", "rollout.temperature=1"])
    assert (config.run.name, config.run.dir, config.run.seed) == ("out", str(tmp_path), 3)
    assert config.model.path == "builtin:tiny-base" and config.conditions.name == "mine"
    assert config.rollout.num_samples == 4 and config.benchmarks[0].name == "MathVista"
    with pytest.raises(ConfigError, match="nothing to evaluate on"):
        eval_config(BUILTIN, [], file, None, [])


def test_without_a_file_the_conditions_are_those_of_the_training(tmp_path):
    checkpoint = tmp_path / "step_000004"
    checkpoint.mkdir()
    stored = {"model": {"dtype": "bf16"}, "rollout": {"max_completion_tokens": 48, "max_prompt_tokens": 64}}
    (checkpoint / "config.yaml").write_text(yaml.safe_dump(stored))
    source = ModelSource(
        name="q-step_000004",
        path=str(checkpoint / "hf"),
        kind="checkpoint",
        system_prompt="Think.",
        min_pixels=3136,
        max_pixels=12544,
        checkpoint=checkpoint,
    )
    config = eval_config(source, [{"name": "MathVista", "data": "a"}], None, None, [])
    assert (config.run.name, config.model.system_prompt, config.model.dtype) == ("eval-q-step_000004", "Think.", "bf16")
    assert config.model.max_pixels == 12544 and config.rollout.max_completion_tokens == 48
    assert config.rollout.max_prompt_tokens == 2048 + 16  # questions of benchmarks are longer than those of training


@pytest.mark.parametrize(
    ("override", "says"),
    [
        ("rollout.num_samples=4", "needs a temperature above 0"),
        ("benchmarks=[{name: a, data: x}, {name: a, data: y}]", "a name of its own"),
        ("judge.url=ftp://x", "judge.url"),
    ],
)
def test_wrong_settings_are_refused_before_anything_starts(override, says):
    with pytest.raises(ConfigError, match=says):
        load_config(None, ["conditions.name=kit", override], EvalConfig)


def test_wrong_command_lines_are_usage_errors(tmp_path):
    assert main(["eval", "--benchmark", "MathVista", "--data", "x"]) == 2
    assert main(["eval", "--compare", "a", "b", "--model", "builtin"]) == 2
    assert main(["eval", "--compare", "a", "b", "--num-rows", "10"]) == 2
    assert main(["eval", "--model", "builtin", "--benchmark", "Maths", "--data", "x"]) == 2
    assert main(["eval", "--compare", str(tmp_path), str(tmp_path)]) == 1


@pytest.fixture
def endpoint():
    def answer(body):
        return 200, {"choices": [{"message": {"content": "<answer>A</answer>"}, "finish_reason": "stop"}]}

    server = Endpoint(answer)
    yield server
    server.close()


def test_an_evaluation_of_an_endpoint_from_files_to_pages_and_again_without_asking(tmp_path, endpoint, capsys):
    data = tmp_path / "data"
    data.mkdir()
    write_benchmark_tsv("MathVista", data / "MathVista_MINI.tsv", 30, 0)
    write_benchmark_tsv("WeMath", data / "WeMath.tsv", 36, 0)
    out, url = tmp_path / "out", endpoint.url.replace("//", "//me:secret@")
    command = ["eval", "--model", f"{url}#m", "--benchmark", "MathVista", "WeMath", "--data", str(data)]
    command += ["--out", str(out), "endpoint.concurrency=4"]
    assert main(command) == 0
    assert "conditions model" in " ".join(capsys.readouterr().out.split())
    assert len(endpoint.bodies) == 66 and endpoint.most_at_once <= 4
    result = json.loads((out / "result.json").read_text())
    settled = [entry["settled"] for entry in result["benchmarks"].values()]
    assert [sum(counts.values()) for counts in settled] == [30, 36]
    assert "secret" not in json.dumps(result) and result["model"]["path"] == endpoint.url
    assert result["model"]["kind"] == "endpoint" and (out / "page.html").is_file()
    assert (out / "kit/m/m_MathVista_MINI.xlsx").is_file() and (out / "kit/m/m_WeMath_score.csv").is_file()
    assert main(command) == 0
    assert len(endpoint.bodies) == 66
    assert json.loads((out / "result.json").read_text())["benchmarks"] == result["benchmarks"]
    assert main([*command, "rollout.temperature=0.5"]) == 2  # answers under other conditions
    assert main(["eval", "--compare", str(out), str(out), "--out", str(tmp_path / "c")]) == 0
    compared = json.loads((tmp_path / "c/comparison.json").read_text())
    assert compared["benchmarks"]["MathVista"]["changed"] == [] and (tmp_path / "c/page.html").is_file()
