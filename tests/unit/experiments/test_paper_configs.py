"""Every table and figure of the paper has a compare file whose arms can be planned, with the paper's settings."""

import math
import re
from pathlib import Path

import pytest

from vlaa_ray.config import ExperimentConfig, SftConfig, load_config
from vlaa_ray.experiments.order import needs_of
from vlaa_ray.experiments.plan import plan_experiment
from vlaa_ray.experiments.published import BENCHMARKS, row_names
from vlaa_ray.experiments.work import gpu_hours
from vlaa_ray.planning.placement import plan

ROOT = Path(__file__).parents[3]
FOLDER = ROOT / "configs/paper"
NAMES = ("table2", "table3", "table4", "table5", "table6", "figure3", "figure5", "figure6", "figure7")
PLANS = {}


@pytest.fixture(autouse=True)
def in_root(monkeypatch):
    monkeypatch.chdir(ROOT)  # stages name their configs as a user does, from the project's folder


def planned(name):
    if name not in PLANS:
        PLANS[name] = plan_experiment(load_config(FOLDER / f"{name}.yaml", kind=ExperimentConfig))
    return PLANS[name]


def config_of(name, arm, number=-1):
    """The config of a stage of an arm."""
    found = planned(name)
    return found.jobs[found.arms[arm].stages[42][number]].config


@pytest.mark.parametrize("name", NAMES)
def test_every_arm_can_be_planned_for_8_gpus_without_files_or_downloads(name):
    found = planned(name)
    assert found.broken() == {}
    for job in found.jobs.values():
        if job.training:
            assert plan(job.config).total_gpus == 8
            assert plan(job.config).total_cpus <= 32
    assert [section.name for section in found.evaluation.benchmarks] == list(BENCHMARKS)
    assert plan(found.evaluation).total_gpus == 8


@pytest.mark.parametrize("name", NAMES)
def test_the_header_names_the_command_and_the_hardware(name):
    text = (FOLDER / f"{name}.yaml").read_text()
    assert f"vlaa-ray compare --config configs/paper/{name}.yaml" in text and "Hardware:" in text


def test_every_row_of_the_paper_that_is_an_arm_is_there():
    rows = {arm.section.paper for name in NAMES for arm in planned(name).arms.values()} - {None}
    assert rows == set(row_names())


def test_every_arm_of_a_table_with_one_grpo_budget_has_it():
    for name in ("table3", "table4", "table5", "table6", "figure5"):
        budgets = [arm.budget for arm in planned(name).arms.values() if arm.budget]
        assert {(budget.num_samples, budget.num_prompts) for budget in budgets} == {(100_352, 25_088)}


def test_equal_runs_of_several_files_are_the_same_run():
    def grpo(name, arm):
        return planned(name).arms[arm].stages[42][-1]

    assert grpo("table5", "mixed") == grpo("table6", "lr2-kl2") == grpo("figure5", "grpo")
    assert grpo("table4", "qwen2.5-3b-grpo") == grpo("table6", "lr2-kl2")
    assert set(planned("figure6").jobs) == set(planned("figure5").jobs)
    assert set(planned("figure7").jobs) == set(planned("table4").jobs)
    assert planned("table2").arms["sft-25k"].stages == planned("figure3").arms["qwen2.5-3b-sft-25k"].stages
    folders = {job.folder for name in NAMES for job in planned(name).jobs.values()}
    assert all(folder.is_relative_to(ROOT / "runs/paper") for folder in folders)


def test_the_subsets_are_ranked_alone_on_all_gpus():
    curation = next(job for job in planned("figure5").jobs.values() if job.kind == "prepare")
    assert needs_of(curation)[1] == 8
    assert curation.config.perplexity.keep == (25_000, 10_000, 5_000)


def test_sft_is_the_papers():
    for name, arm, steps in (("table2", "sft-25k", 190), ("table2", "sft-126k", 985), ("table3", "base-sft-grpo", 190)):
        config = config_of(name, arm, 0)
        assert (config.run.num_steps, config.sft.samples_per_step) == (steps, 128)
        assert config.model.freeze_vision_tower
    for arm, count in (("sft-5k-grpo", 5_000), ("sft-10k-grpo", 10_000)):
        assert config_of("figure5", arm, 0).run.num_steps == count // 128


def test_the_schedules_of_table_6_are_the_papers():
    def settings(arm):
        config = config_of("table6", arm)
        kl, optim = config.grpo.kl, config.learner.optim
        return optim.min_learning_rate, optim.warmup_share, kl.coefficient, kl.target if kl.coefficient else None

    assert settings("basic") == (0, 0.03, 0, None)
    assert settings("lr1") == (8e-7, 0.1, 0, None)
    assert settings("lr2") == (5e-7, 0.03, 0, None)
    assert settings("lr2-kl1") == (5e-7, 0.03, 1e-2, 5e-3)
    assert settings("lr2-kl2") == (5e-7, 0.03, 1e-3, 5e-4)


def test_the_rewards_of_table_5_are_off_in_both_readings():
    rules = {"digit", "mcq", "math", "iou"}
    assert set(config_of("table5", "mixed").data.verifier_types) == rules | {"open_ended"}
    assert set(config_of("table5", "all-rules").data.verifier_types) == rules
    for name in rules:
        assert set(config_of("table5", f"without-{name}").data.verifier_types) == rules - {name}
        silent = config_of("table5", f"silent-{name}")
        assert set(silent.data.verifier_types) == rules
        assert silent.rewards.weights_of(name) == {name: 0}
        assert all(silent.rewards.weights_of(other) == {other: 1.0} for other in rules - {name})


@pytest.mark.parametrize("name", ["sft_3b", "sft_7b"])
def test_every_unpublished_choice_of_sft_is_marked(name):
    published = "name num_steps path train samples_per_step freeze_vision_tower num_ranks gpus_per_rank".split()
    config = load_config(FOLDER / f"{name}.yaml", kind=SftConfig)
    assert plan(config).total_gpus == 8
    unmarked, section_marked = [], False
    for line in (FOLDER / f"{name}.yaml").read_text().splitlines():
        match = re.match(r"( *)(\w+):(.*)", line)
        if not match:
            continue
        indent, key, rest = match.groups()
        section_marked = section_marked if indent else "# ours" in rest
        if rest.split("#")[0].strip() and key not in published and "# ours" not in rest and not section_marked:
            unmarked.append(key)
    assert unmarked == []


def test_the_estimate_of_gpu_hours_by_hand():
    job = planned("table2").jobs[planned("table2").arms["sft-25k"].stages[42][0]]
    parameters = 3_754_622_976  # Qwen2.5-VL-3B
    tokens = 0.5 * 190 * 128 * (2048 + 4096)
    seconds = 8 * parameters * tokens / (0.35 * 989e12 * 8) + 300
    hours = gpu_hours(job.config, job.training, "Qwen/Qwen2.5-VL-3B-Instruct")
    assert math.isclose(hours, seconds * 8 / 3600, rel_tol=1e-6)
    assert gpu_hours(job.config, job.training, "someone/else") is None
