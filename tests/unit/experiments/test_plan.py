"""Arms become runs: shared ones once, in the order that answers soonest; broken and changed arms are named."""

import json

import pytest
import yaml
from experiments import ARMS, GRPO, SCORES, experiment, finish, planned

from vlaa_ray.config import config_kind, dump_config, load_config
from vlaa_ray.config.experiment import ExperimentConfig
from vlaa_ray.errors import ConfigError
from vlaa_ray.experiments.budget import differences
from vlaa_ray.experiments.changes import changed_arms, remember_arms
from vlaa_ray.experiments.order import Room
from vlaa_ray.experiments.plan import plan_experiment
from vlaa_ray.experiments.progress import JobStates, left_s


def names(plan, kind="stage"):
    return [job.name for job in plan.jobs.values() if job.kind == kind]


def test_the_config_reloads_and_is_known_by_its_arms(tmp_path):
    config = experiment(tmp_path)
    (tmp_path / "compare.yaml").write_text(dump_config(config))
    assert load_config(tmp_path / "compare.yaml", kind=ExperimentConfig) == config
    assert config_kind({"arms": {}}) is ExperimentConfig


def test_a_stage_that_arms_share_is_one_run(tmp_path):
    plan = planned(tmp_path)
    assert names(plan).count("sft-s0") == names(plan).count("sft-s1") == 1
    assert sorted(names(plan)) == ["grpo-s0", "grpo-s1", "sft-s0", "sft-s1", "sft.grpo-s0", "sft.grpo-s1"]
    for seed in (0, 1):
        assert plan.arms["sft-grpo"].stages[seed][0] == plan.arms["sft"].stages[seed][0]


def test_equal_configs_are_one_run_whatever_the_stages_are_called(tmp_path):
    stages = {name: {"config": str(tmp_path / "sft.yaml")} for name in ("one", "two")}
    plan = planned(tmp_path, stages=stages, arms={"a": {"stages": ["one"]}, "b": {"stages": ["two"]}}, seeds=[3])
    assert names(plan) == ["one-s3"] and names(plan, "evaluation") == ["one-s3"]


def test_the_start_model_is_evaluated_once_for_all_seeds(tmp_path):
    plan = planned(tmp_path)
    assert len(set(plan.arms["base"].evaluations.values())) == 1
    assert names(plan, "evaluation").count("start") == 1


def test_a_stage_starts_from_the_last_checkpoint_of_the_one_before(tmp_path):
    plan = planned(tmp_path)
    sft, grpo = (plan.jobs[key] for key in plan.arms["sft-grpo"].stages[0])
    assert grpo.config.model.path == str(sft.folder / "checkpoints/step_000002/hf")
    assert grpo.weights_of == sft.key and sft.key in grpo.needs
    evaluation = plan.jobs[plan.arms["sft-grpo"].evaluations[0]]
    assert set(evaluation.needs) == {sft.key, grpo.key}
    assert evaluation.config.model.path == str(grpo.folder / "checkpoints/step_000003/hf")
    assert "--model" in evaluation.command(tmp_path / "c.yaml")


def test_a_run_that_stopped_early_hands_on_its_last_checkpoint(tmp_path):
    plan = planned(tmp_path)
    sft, grpo = (plan.jobs[key] for key in plan.arms["sft-grpo"].stages[0])
    (sft.folder / "checkpoints/step_000001").mkdir(parents=True)
    started = grpo.started_from(sft.output)
    assert started.config.model.path == str(sft.folder / "checkpoints/step_000001/hf")
    assert started.folder == grpo.folder


def test_each_seed_trains_with_its_own_seed_and_the_same_otherwise(tmp_path):
    plan = planned(tmp_path)
    first, second = (plan.jobs[plan.arms["grpo"].stages[seed][0]].config for seed in (0, 1))
    assert (first.run.seed, second.run.seed) == (0, 1)
    assert first.model_copy(update={"run": second.run}) == second


def test_the_first_seed_comes_first_and_the_cheapest_answer_before_others(tmp_path):
    plan = planned(tmp_path)
    kinds = [(job.name, job.kind) for job in plan.jobs.values()]
    assert kinds[:3] == [("start", "evaluation"), ("sft-s0", "stage"), ("sft-s0", "evaluation")]
    assert [name for name, _ in kinds if name.endswith("s0")] == [name for name, _ in kinds[1:] if "s0" in name]
    assert max(kinds.index(kind) for kind in kinds if "s0" in kind[0]) < min(
        kinds.index(kind) for kind in kinds if "s1" in kind[0]
    )
    position = {key: number for number, key in enumerate(plan.jobs)}
    assert all(position[need] < position[key] for key, job in plan.jobs.items() for need in job.needs)


def test_keys_that_do_not_change_a_result_do_not_change_a_run(tmp_path):
    before = planned(tmp_path)
    stages = {
        "sft": {
            "config": str(tmp_path / "sft.yaml"),
            "set": {"checkpoint.every_steps": 1, "tracking.wandb": "online"},
        },
        "grpo": {"config": str(tmp_path / "grpo.yaml"), "set": {"deadlines.learn_s": 7, "rollout.num_actors": 2}},
    }
    assert list(planned(tmp_path, stages=stages).jobs) == list(before.jobs)


def test_a_changed_arm_is_named_and_gets_new_runs_alone(tmp_path):
    before = planned(tmp_path)
    assert changed_arms(before) == {}
    before.folder.mkdir(parents=True)
    remember_arms(before)
    assert changed_arms(planned(tmp_path)) == {}
    changed = {**ARMS, "grpo": {"stages": [{"stage": "grpo", "set": {"rollout.temperature": 0.5}}]}, "new": {}}
    after = planned(tmp_path, arms=changed)
    assert changed_arms(after) == {"grpo": "stage 1: rollout.temperature: 1.0 -> 0.5", "new": "new"}
    new = set(after.jobs) - set(before.jobs)
    assert {after.jobs[key].name for key in new} == {"grpo-s0", "grpo-s1"}


def test_what_is_finished_is_found_again_even_under_another_name(tmp_path):
    plan = planned(tmp_path)
    finish(plan, SCORES)
    assert JobStates.of(planned(tmp_path).jobs.values()).count("finished") == len(plan.jobs)
    renamed = {"first": {"config": str(tmp_path / "sft.yaml")}, "grpo": {"config": str(tmp_path / "grpo.yaml")}}
    arms = {**ARMS, "sft": {"stages": ["first"]}, "sft-grpo": {"stages": ["first", "grpo"]}}
    again = planned(tmp_path, stages=renamed, arms=arms)
    assert JobStates.of(again.jobs.values()).count("waiting") == 0


def test_an_evaluation_without_its_result_is_not_finished(tmp_path):
    plan = planned(tmp_path)
    finish(plan, SCORES)
    job = plan.jobs[plan.arms["base"].evaluations[0]]
    (job.folder / "result.json").unlink()
    assert not job.finished()


def test_all_problems_of_all_broken_arms_are_named_and_the_others_are_planned(tmp_path):
    arms = {
        "good": {"stages": ["grpo"]},
        "typo": {"stages": [{"stage": "grpo", "set": {"rollout.temprature": 1, "run.num_steps": 0}}]},
        "nothing": {"stages": ["nothing"]},
        "paper": {"stages": ["grpo"], "paper": "table9/none"},
        "bad-data": {
            "stages": [{"stage": "grpo", "set": {"data.train": str(tmp_path / "sft.yaml")}}],
            "varies": ["data"],
        },
    }
    plan = planned(tmp_path, arms=arms)
    broken = plan.broken()
    assert list(broken) == ["typo", "nothing", "paper", "bad-data"]
    assert "rollout.temperature" in broken["typo"][0] and "run.num_steps" in broken["typo"][0]
    assert "no stage 'nothing'" in broken["nothing"][0]
    assert "table9/none" in broken["paper"][0]
    assert broken["bad-data"][0].startswith("stage 1: data.train")
    assert names(plan) == ["grpo-s0", "grpo-s1"]


def test_missing_data_break_an_arm_where_it_is_to_run_and_are_noted_elsewhere(tmp_path):
    arms = {"base": {}, "far": {"stages": [{"stage": "sft", "set": {"data.train": "nowhere.json"}}]}}
    config = experiment(tmp_path, arms=arms)
    assert plan_experiment(config).broken() == {}
    assert plan_experiment(config).arms["far"].missing == ("stage 1: nowhere.json",)
    assert plan_experiment(config, here=True).broken() == {"far": ("not on this machine: stage 1: nowhere.json",)}


def test_the_papers_numbers_stand_beside_the_papers_models_and_data_alone(tmp_path):
    row, model = "table6/LR2", "Qwen/Qwen2.5-VL-3B-Instruct"
    papers = {"stage": "grpo", "set": {"data.train": "data/VLAA-Thinking-GRPO-25K.json"}}
    arms = {
        "papers": {"stages": [papers], "start": model, "paper": row},
        "data": {"stages": ["grpo"], "start": model, "paper": row, "varies": ["data"]},
        "model": {"paper": row},
    }
    assert set(planned(tmp_path, arms=arms).broken()) == {"data", "model"}


def test_a_reward_model_is_no_stage(tmp_path):
    file = tmp_path / "reward.yaml"
    values = {"run": {"name": "r", "num_steps": 1}, "model": {"path": "builtin:tiny-base"}, "reward_model": {}}
    file.write_text(yaml.safe_dump(values | {"data": {"train": "a.jsonl", "heldout": "b.jsonl"}}))
    plan = planned(tmp_path, stages={"reward": {"config": str(file)}}, arms={"r": {"stages": ["reward"]}})
    assert "reward model" in plan.broken()["r"][0]


def test_every_arm_gets_the_same_prompts_order_and_budget_unless_it_says_so(tmp_path):
    longer = {"stage": "grpo", "set": {"run.num_steps": 6}}
    types = {"stage": "grpo", "set": {"data.verifier_types": ["digit"]}}
    arms = {"grpo": {"stages": ["grpo"]}, "longer": {"stages": [longer]}, "digit": {"stages": [types]}}
    broken = planned(tmp_path, arms=arms).broken()
    assert set(broken) == {"longer", "digit"}
    assert any("another order" in text for text in broken["longer"])
    assert any("96 samples of 24 prompts" in text and "48 samples of 12 prompts" in text for text in broken["longer"])
    assert broken["digit"][0].startswith("its GRPO has another data") and "verifier_types" in broken["digit"][0]
    arms["longer"]["varies"], arms["digit"]["varies"] = ["order", "budget"], ["data"]
    assert planned(tmp_path, arms=arms).broken() == {}


def test_the_budget_counts_samples_and_tokens(tmp_path):
    budget = planned(tmp_path).arms["grpo"].budget
    assert (budget.num_prompts, budget.num_samples, budget.max_tokens) == (12, 48, 48 * 32)
    assert budget.text() == "48 samples of 12 prompts, at most 1,536 completion tokens"
    assert planned(tmp_path).arms["sft"].budget is None
    assert differences(budget, planned(tmp_path).arms["sft-grpo"].budget) == {}


def test_another_group_size_with_as_many_samples_differs_in_its_order_alone(tmp_path):
    set_ = {"rollout.group_size": 8, "rollout.prompts_per_step": 2}
    arms = {"grpo": {"stages": ["grpo"]}, "wide": {"stages": [{"stage": "grpo", "set": set_}], "varies": ["order"]}}
    assert planned(tmp_path, arms=arms).broken() == {}


def test_only_takes_the_named_arms_and_the_base(tmp_path):
    plan = planned(tmp_path, only=["grpo"])
    assert list(plan.arms) == ["base", "grpo"]
    with pytest.raises(ConfigError, match="no arm 'gpro'"):
        planned(tmp_path, only=["gpro"])


def test_prepared_runs_come_before_those_that_read_them(tmp_path):
    curate = {
        "run": {"name": "c"},
        "sources": [{"path": "builtin:train", "max_samples": 5}],
        "teachers": {"t": {"url": "builtin:scripted", "model": "s"}},
        "steps": {step: {"teacher": "t"} for step in ("caption", "distill", "rewrite", "verify")},
    }
    (tmp_path / "curate.yaml").write_text(yaml.safe_dump(curate))
    experiment(tmp_path)
    stages = {"sft": {"config": str(tmp_path / "sft.yaml"), "set": {"data": {"train": "{curate}/sft.json"}}}}
    prepare = {"curate": {"config": str(tmp_path / "curate.yaml")}}
    plan = planned(tmp_path, prepare=prepare, stages=stages, arms={"sft": {"stages": ["sft"]}})
    assert plan.broken() == {} and plan.arms["sft"].missing == ()
    curation = next(job for job in plan.jobs.values() if job.kind == "prepare")
    assert next(iter(plan.jobs.values())) == curation
    sft = plan.jobs[plan.arms["sft"].stages[0][0]]
    assert sft.config.data.train == str(curation.folder / "sft.json") and curation.key in sft.needs
    assert curation.command(tmp_path / "x")[:2] == ["data", "curate"]
    moved = planned(tmp_path, prepare=prepare, stages=stages, arms={"sft": {"stages": ["sft"]}},
                    run={"name": "experiment", "dir": str(tmp_path / "elsewhere")})  # fmt: skip
    assert list(moved.jobs) == list(plan.jobs)  # the place of the experiment is no part of a run's key


def test_runs_join_the_cluster_of_the_experiment_and_stay_the_same_runs(tmp_path):
    plan, alone = planned(tmp_path, ray={"address": "10.0.0.1:6379"}), planned(tmp_path)
    assert {job.config.ray.address for job in plan.jobs.values()} == {"10.0.0.1:6379"}
    assert list(plan.jobs) == list(alone.jobs)


def test_an_evaluation_whose_questions_are_not_here_is_refused_before_anything_runs(tmp_path):
    benchmarks = [{"name": "MathVista", "data": "nowhere/MathVista.tsv"}]
    evaluation = {"config": str(tmp_path / "eval.yaml"), "set": {"benchmarks": benchmarks}}
    config = experiment(tmp_path, evaluation=evaluation)
    assert plan_experiment(config).broken() == {}
    with pytest.raises(ConfigError, match=r"nowhere/MathVista\.tsv"):
        plan_experiment(config, here=True)


def test_an_evaluation_without_benchmarks_is_refused(tmp_path):
    with pytest.raises(ConfigError, match="no benchmarks"):
        planned(tmp_path, evaluation={"config": str(tmp_path / "eval.yaml"), "set": {"benchmarks": []}})


def test_runs_start_while_there_is_room_and_a_large_one_runs_alone(tmp_path):
    (tmp_path / "sft.yaml").write_text("")
    plan = planned(tmp_path)
    sft, grpo = (plan.jobs[plan.arms[name].stages[0][0]] for name in ("sft", "grpo"))
    room = Room(cpus=2, gpus=0, runs=8)
    assert room.fits(grpo)  # it asks for 3 CPUs, but nothing runs
    room.take(sft)
    assert room.fits(sft) and not room.fits(grpo)
    room.free(sft)
    room.take(grpo)
    assert not room.fits(sft)


def test_the_time_left_is_that_of_runs_of_the_same_kind_by_their_tokens(tmp_path):
    plan = planned(tmp_path, arms={"sft": {"stages": ["sft"]}, "base": {}})
    states = JobStates.of(plan.jobs.values())
    room = Room(cpus=1, gpus=0, runs=8)
    assert left_s(plan.jobs, states, room) is None  # no run of any kind has ended yet
    evaluations = [job for job in plan.jobs.values() if job.kind == "evaluation"]
    stages = [job for job in plan.jobs.values() if job.kind == "stage"]
    for job, seconds in ((evaluations[0], 30.0), (stages[0], 100.0)):
        states.start(job)
        states.end(job)
        states.took_s[job.key] = seconds
    assert left_s(plan.jobs, states, room) == pytest.approx(100 + 2 * 30)
    assert left_s(plan.jobs, states, Room(cpus=2, gpus=0, runs=8)) == pytest.approx(50 + 2 * 30 * 0.75)


def test_the_keys_of_a_config_are_its_commands(tmp_path):
    assert json.loads(json.dumps(GRPO)) == GRPO
    assert experiment(tmp_path).base_of("grpo") == "base"


def test_the_runs_of_an_experiment_in_a_bucket_are_on_this_machine_and_not_in_what_is_sent(tmp_path):
    run = {"name": "e", "dir": "s3://bucket/runs", "local_dir": str(tmp_path / "local")}
    plan = plan_experiment(experiment(tmp_path, run=run))
    assert plan.folder.parent.parent == tmp_path / "local" and plan.folder.name == "e"
    for job in plan.jobs.values():
        assert job.folder.parent.parent == plan.folder.with_name("e.runs")
    shared = plan_experiment(experiment(tmp_path, run=run, shared_runs=str(tmp_path / "shared")))
    assert {job.folder.parent.parent for job in shared.jobs.values()} == {tmp_path / "shared"}
    with pytest.raises(ConfigError, match="shared_runs is in a bucket"):
        plan_experiment(experiment(tmp_path, run=run, shared_runs="s3://bucket/shared"))
