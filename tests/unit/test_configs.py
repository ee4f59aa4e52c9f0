"""Every shipped config loads, says how it is used, and can be planned; the paper's figures are the paper's."""

import math
import re
from pathlib import Path

import pytest
import yaml

from vlaa_ray.config import (
    PAPER_SYSTEM_PROMPT,
    AnyConfig,
    CurationConfig,
    EvalConfig,
    ExperimentConfig,
    config_kind,
    dump_config,
    load_config,
)
from vlaa_ray.planning.dry_run import by_role, examine, failed, show
from vlaa_ray.planning.gpu_phases import gpu_phases
from vlaa_ray.planning.memory import GIB
from vlaa_ray.planning.placement import plan

FOLDER = Path(__file__).parents[2] / "configs"
FILES = sorted([*FOLDER.glob("*.yaml"), *FOLDER.glob("eval/*.yaml")])
GPU = 80 * 10**9
PAPERS = [FOLDER / "vlaa_thinker_3b.yaml", FOLDER / "vlaa_thinker_7b.yaml"]


def load(file: Path) -> AnyConfig:
    return load_config(file, kind=config_kind(yaml.safe_load(file.read_text())))


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_every_config_loads_reloads_and_plans(file: Path, tmp_path: Path) -> None:
    config = load(file)
    (tmp_path / "dumped.yaml").write_text(dump_config(config))
    assert load_config(tmp_path / "dumped.yaml", kind=type(config)) == config
    assert isinstance(config, CurationConfig | ExperimentConfig) or plan(config).total_cpus > 0


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_every_header_names_its_own_command_and_hardware(file: Path) -> None:
    header = "".join(line for line in file.read_text().splitlines(keepends=True) if line.startswith("#"))
    assert f"vlaa-ray {load(file).command} --config configs/{file.relative_to(FOLDER)}" in header
    assert "Hardware:" in header


def test_the_conditions_of_evaluations_are_those_of_the_kit_and_of_the_paper() -> None:
    kit, paper = (load_config(FOLDER / f"eval/{name}.yaml", kind=EvalConfig) for name in ("kit", "paper"))
    assert (kit.model.min_pixels, kit.model.max_pixels) == (1280 * 28 * 28, 16_384 * 28 * 28)  # the kit's model entry
    assert (kit.rollout.max_completion_tokens, kit.rollout.temperature, kit.conditions.style) == (2048, 0, "kit")
    assert (paper.model.max_pixels, paper.rollout.max_completion_tokens) == (256 * 32 * 32, 800)  # appendix B.2
    assert paper.conditions.style == "paper" and not (kit.judge.url or paper.judge.url)
    for config in (kit, paper):
        assert config.model.system_prompt == PAPER_SYSTEM_PROMPT
        assert config.rollout.max_prompt_tokens > config.model.max_pixels / (28 * 28) + 1024


@pytest.mark.parametrize("file", PAPERS, ids=lambda file: file.stem)
def test_the_papers_settings(file: Path) -> None:
    config = load_config(file)
    rollout, learner, grpo = config.rollout, config.learner, config.grpo
    assert (rollout.group_size, rollout.temperature, rollout.prompts_per_step) == (4, 0.8, 512)  # section 4.3
    assert config.run.num_steps == 49 == 25_195 // rollout.prompts_per_step
    assert rollout.prompts_per_step * rollout.group_size // learner.updates_per_step == 256  # the training batch
    assert (learner.optim.min_learning_rate, learner.optim.warmup_share) == (5e-7, 0.03)  # section 4.4, "LR2"
    assert (grpo.kl.coefficient, grpo.kl.target, grpo.preset) == (1e-3, 5e-4, "paper")  # section 4.4, "KL2"
    assert config.model.system_prompt == PAPER_SYSTEM_PROMPT
    assert config.max_staleness == 0
    assert plan(config).total_gpus == 8
    assert set(config.data.verifier_types) == {"digit", "mcq", "math", "iou", "open_ended"}


@pytest.mark.parametrize("file", PAPERS, ids=lambda file: file.stem)
def test_every_unpublished_choice_is_marked(file: Path) -> None:
    published = """name num_steps path train verifier_types prompts_per_step group_size temperature preset
        updates_per_step min_learning_rate warmup_share max_staleness gpus_per_rank""".split()
    lines = file.read_text().splitlines()
    unmarked, section_marked = [], False
    for line in lines:
        match = re.match(r"( *)(\w+):(.*)", line)
        if not match:
            continue
        indent, key, rest = match.groups()
        if not indent:
            section_marked = "# ours" in rest
        has_value = bool(rest.split("#")[0].strip())
        if has_value and key not in published and "# ours" not in rest and not section_marked:
            unmarked.append(key)
    assert unmarked == []


@pytest.mark.parametrize("file", PAPERS, ids=lambda file: file.stem)
def test_both_fit_eight_gpus_by_the_estimate(file: Path) -> None:
    report = examine(load_config(file))
    assert failed(report) is None
    assert [check.name for check in report.checks if check.ok is False] == []
    assert 40 * GIB < by_role(report.memory)["learner"] < 74.5 * GIB
    free = {(phase.gpus, phase.phase): phase.free_bytes for phase in gpu_phases(load_config(file), report.memory, GPU)}
    assert set(free) == {("engine", "sampling and learning"), ("learner", "sampling"), ("learner", "learning")}
    assert all(free_bytes > 0 for free_bytes in free.values())
    assert {check.name for check in report.checks} >= {"GPU memory, learner", "GPU memory, rollout", "data.train"}


def test_the_dry_run_counts_steps_samples_and_rates() -> None:
    facts = examine(load_config(PAPERS[0])).work
    assert facts["steps"] == "49 of 512 prompts x 4 = 2,048 samples"
    assert facts["samples"] == "100,352 of 25,088 prompts"
    assert facts["updates"] == "392 (8 a step, 16 groups a rank in each)"
    assert math.ceil(0.03 * 392) == 12 and f"{1e-6 / 12:.3g}" == "8.33e-08"
    assert facts["learning rate"] == "8.33e-08 at update 1, 1e-06 at update 12, 5e-07 at update 392"
    assert facts["KL"] == "k3 in the loss, coefficient 0.001, adapted towards 0.0005"
    # 0.85 of 80 GB, less weights, a pass, one bucket (the embedding) and 1.5 GiB; 36,864 bytes a token
    a_pass = 2 * 16_384 * (4 * 2048 + 3 * 11008) + 3 * 4 * 512 * 151_936
    free = 0.85 * 80e9 - 2 * 3_754_622_976 - a_pass - 2 * 151_936 * 2048 - 1.5 * GIB
    assert facts["KV cache"].startswith(f"{int(free / 36_864):,} tokens an engine, 494 sequences")


def test_a_dry_run_prints_terms_that_add_up(capsys: pytest.CaptureFixture[str]) -> None:
    from rich.console import Console

    report = examine(load_config(PAPERS[0]))
    show(report, Console(width=200))
    lines = capsys.readouterr().out.splitlines()
    learner = [line for line in lines if line.startswith("learner  ") and re.search(r"\d\.\d\d", line)]
    sums: dict[str, list[float]] = {}
    for line in learner:
        if match := re.match(r"learner +(always|pass) +(\S.*?) {2,}(\d+\.\d\d)", line):
            when, item, gib = match.groups()
            sums.setdefault(when if item != "sum" else f"{when}: sum", []).append(float(gib))
    for when in ("always", "pass"):
        assert len(sums[when]) >= 5 and sum(sums[when]) == pytest.approx(sums[f"{when}: sum"][0], abs=0.04)
    peak = next(float(match[1]) for line in learner if (match := re.match(r"learner +peak +(\d+\.\d\d)", line)))
    assert sums["always: sum"][0] + sums["pass: sum"][0] == pytest.approx(peak, abs=0.02)
    used = next(line for line in lines if re.match(r"learner +learning +learner, at its peak", line))
    assert re.search(rf" {peak:.2f} +{80e9 / GIB - peak:.2f}", used)


def test_a_gpu_on_which_a_run_does_not_fit_is_marked(capsys: pytest.CaptureFixture[str]) -> None:
    from rich.console import Console

    report = examine(load_config(PAPERS[0], ["ray.gpu_memory_bytes=40000000000"]))
    show(report, Console(width=200))
    assert re.search(r"learner +learning .* DOES NOT FIT", capsys.readouterr().out)
    error = failed(report)
    assert error is not None and "GPU of 40 GB" in error.message


def test_a_run_that_does_not_fit_is_refused() -> None:
    config = load_config(PAPERS[1], ["learner.zero_stage=0"])
    error = failed(examine(config))
    assert error is not None and "GPU memory, learner" in error.message and "zero_stage" in error.fix


def test_an_unknown_model_is_planned_without_an_estimate() -> None:
    report = examine(load_config(PAPERS[0], ["model.path=someone/else"]))
    assert report.memory == [] and failed(report) is None
    assert next(check for check in report.checks if check.name == "model").ok is None
