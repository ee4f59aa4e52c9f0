"""The configuration: unknown keys name the nearest, all problems come at once, and what is dumped reloads equal."""

import itertools
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import example, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from vlaa_ray.config import (
    PAPER_SYSTEM_PROMPT,
    GrpoConfig,
    SftConfig,
    TrainingConfig,
    dump_config,
    load_config,
    parse_yaml,
)
from vlaa_ray.errors import ConfigError

BASE = {"run": {"name": "x", "num_steps": 3}, "model": {"path": "m"}}


def _bomb() -> str:
    """Return six lists, each of ten aliases of the one before: a million values in all."""
    names = "abcdefg"
    return "".join(f"{new}: &{new} [{', '.join([f'*{old}'] * 10)}]\n" for old, new in itertools.pairwise(names))


@pytest.fixture
def write(tmp_path: Path):
    def write(**sections: Any) -> Path:
        file = tmp_path / "config.yaml"
        file.write_text(yaml.safe_dump({**BASE, **sections}))
        return file

    return write


def test_overrides_are_yaml_and_win(write) -> None:
    config = load_config(
        write(rollout={"temperature": 0.5}),
        ["run.num_steps=7", "rollout.temperature=0.8", "data.verifier_types=[digit, iou]", "model.system_prompt=null"],
    )
    assert (config.run.num_steps, config.rollout.temperature) == (7, 0.8)
    assert config.data.verifier_types == ("digit", "iou") and config.model.system_prompt is None
    assert load_config(write()).model.system_prompt == PAPER_SYSTEM_PROMPT


@pytest.mark.parametrize(
    "override, says",
    [
        ("run.num_step=3", "run.num_step: unknown key; did you mean 'run.num_steps'?"),
        ("rollout.tempature=1", "rollout.tempature: unknown key; did you mean 'rollout.temperature'?"),
        ("learner.optim.lerning_rate=1", "did you mean 'learner.optim.learning_rate'?"),
        ("grpo.kl.coeficient=1", "did you mean 'grpo.kl.coefficient'?"),
        ("max_stalenes=1", "max_stalenes: unknown key; did you mean 'max_staleness'?"),
        ("run.zzz=1", "run.zzz: unknown key; known keys: name, seed, dir, local_dir"),
        ("rollout.group_size=1", "rollout.group_size: Input should be greater than or equal to 2, got 1"),
        ("grpo.preset=ppo", "grpo.preset: Input should be 'paper', 'dapo', 'dr_grpo', 'rloo'"),
        ("run.name=../x", "run.name: String should match pattern"),
        ("model.min_pixels=2000000", "min_pixels (2000000) is above max_pixels (1003520)"),
        ("learner.optim.min_learning_rate=1", "min_learning_rate (1.0) is above learning_rate (1e-06)"),
    ],
)
def test_a_wrong_key_or_value_is_named(write, override: str, says: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load_config(write(), [override])
    assert says in str(caught.value) and "1 problem(s)" in str(caught.value)
    assert caught.value.facts["file"].endswith("config.yaml")


def test_all_problems_come_at_once(write) -> None:
    with pytest.raises(ConfigError) as caught:
        load_config(write(rolout={}), ["run.num_steps=0", "rollout.temperature=hot", "model.dtype=fp8"])
    text = str(caught.value)
    assert "4 problem(s)" in text
    for key in ("rolout", "run.num_steps", "rollout.temperature", "model.dtype"):
        assert f"- {key}: " in text


@pytest.mark.parametrize(
    "overrides, says",
    [
        (["rollout.prompts_per_step=10", "learner.updates_per_step=4"], "(10) can't be divided evenly"),
        (["rollout.prompts_per_step=12", "learner.updates_per_step=4", "learner.num_ranks=2"], "= 8"),
        (["rollout.max_prompt_tokens=16200"], "(16384) can't hold one prompt and one completion"),
        (["weight_sync.transport=nccl"], "'nccl' needs rollout.gpus_per_actor and learner.gpus_per_rank"),
    ],
)
def test_rules_across_sections(write, overrides: list[str], says: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load_config(write(), overrides)
    assert says in str(caught.value)


@pytest.mark.parametrize(
    "section, says",
    [
        ("sft", "can't hold a prompt and its answer (sft.max_prompt_tokens + sft.max_completion_tokens = 2048)"),
        (
            "reward_model",
            "can't hold a prompt and two answers "
            "(reward_model.max_prompt_tokens + 2 x reward_model.max_completion_tokens = 3072)",
        ),
    ],
)
def test_a_micro_batch_must_hold_the_longest_sample(write, section: str, says: str) -> None:
    data = {"train": "train.json", "heldout": "heldout.json"}
    needed = int(says[-5:-1])
    for tokens in (needed, needed - 1):
        file = write(data=data, learner={"micro_batch_tokens": tokens}, **{section: {}})
        if tokens == needed:
            load_config(file, kind=TrainingConfig)
            continue
        with pytest.raises(ConfigError) as caught:
            load_config(file, kind=TrainingConfig)
        assert f"learner.micro_batch_tokens ({tokens}) {says}" in str(caught.value)


@pytest.mark.parametrize(
    "text, overrides, says",
    [
        ("run: [", [], "not YAML"),
        ("- 1", [], "must be a mapping"),
        ("run: {name: x, num_steps: 1}\nmodel: {path: m}", ["seed"], "must be key=value"),
        ("run: {name: x, num_steps: 1}\nmodel: {path: m}", ["run.name.first=1"], "is a value, not a section"),
        ("run: {name: x, num_steps: 1}\nmodel: {path: m}", ["run.seed=["], "not a YAML value"),
        ("", [], "run: Field required"),
    ],
)
def test_files_and_overrides_that_make_no_config(tmp_path: Path, text: str, overrides: list[str], says: str) -> None:
    file = tmp_path / "config.yaml"
    file.write_text(text)
    with pytest.raises(ConfigError, match=says):
        load_config(file, overrides)


def test_a_file_that_is_no_text_is_a_config_error(tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_bytes(b"run: \xff")
    with pytest.raises(ConfigError, match="not YAML"):
        load_config(tmp_path / "config.yaml")


def test_a_missing_file_is_a_config_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="can't read the config"):
        load_config(tmp_path / "none.yaml")


def test_the_paper_preset_is_the_papers() -> None:
    grpo = GrpoConfig.model_validate({**BASE, "grpo": {"preset": "paper"}}).grpo
    assert (grpo.kl.coefficient, grpo.kl.target) == (1e-3, 5e-4)  # section 4.4, "KL2"
    assert (grpo.aggregation, grpo.advantage) == ("grpo", "std")


def test_the_dapo_and_dr_grpo_presets() -> None:
    dapo = GrpoConfig.model_validate({**BASE, "grpo": {"preset": "dapo"}}).grpo
    assert (dapo.aggregation, dapo.clip_low, dapo.clip_high) == ("dapo", 0.2, 0.28)  # arXiv 2503.14476, section 4.1
    assert dapo.resample_zero_variance and dapo.mask_overlong and dapo.kl.coefficient == 0
    dr_grpo = GrpoConfig.model_validate({**BASE, "grpo": {"preset": "dr_grpo"}}).grpo
    assert (dr_grpo.aggregation, dr_grpo.advantage) == ("dr_grpo", "mean_only")  # arXiv 2503.20783, section 3.2


@pytest.mark.parametrize("loss", ["clipped", "gspo", "sapo"])
def test_only_a_loss_with_a_clipped_weight_can_do_without_a_lower_limit(loss: str) -> None:
    with pytest.raises(ValidationError, match="clip_low 1 removes the lower limit"):
        GrpoConfig.model_validate({**BASE, "grpo": {"loss": loss, "clip_low": 1}})
    assert GrpoConfig.model_validate({**BASE, "grpo": {"loss": "cispo", "clip_low": 1}}).grpo.clip_low == 1


def test_keys_beside_a_preset_win() -> None:
    grpo = GrpoConfig.model_validate(
        {**BASE, "grpo": {"preset": "paper", "clip_low": 0.1, "kl": {"target": None}}}
    ).grpo
    assert (grpo.clip_low, grpo.kl.coefficient, grpo.kl.target) == (0.1, 1e-3, None)


def test_the_tree_is_frozen() -> None:
    config = GrpoConfig.model_validate(BASE)
    with pytest.raises(ValidationError):
        config.run.seed = 1  # type: ignore[misc]


def reload(config: GrpoConfig | SftConfig, folder: Path) -> GrpoConfig | SftConfig:
    file = folder / "dumped.yaml"
    file.write_text(dump_config(config), encoding="utf-8")
    return load_config(file, kind=type(config))


@settings(max_examples=60, deadline=None)
@example(name="x", seed=0, prompt="a\x85b", temperature=1.0, learning_rate=1.0, preset=None, kl={}, types=[])
@given(
    name=st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._-]{0,20}", fullmatch=True),
    seed=st.integers(0, 2**32 - 1),
    prompt=st.none() | st.text(),
    temperature=st.floats(0, 2, exclude_min=True),
    learning_rate=st.floats(1e-12, 1.0),
    preset=st.sampled_from([None, "paper", "dapo", "dr_grpo"]),
    kl=st.fixed_dictionaries({}, optional={"coefficient": st.floats(0, 10), "target": st.none() | st.floats(1e-9, 1)}),
    types=st.lists(st.sampled_from(["digit", "mcq", "math", "iou", "open_ended"]), unique=True),
)
def test_what_is_dumped_reloads_equal(
    tmp_path_factory, name, seed, prompt, temperature, learning_rate, preset, kl, types
) -> None:
    config = GrpoConfig.model_validate(
        {
            "run": {"name": name, "num_steps": 5, "seed": seed},
            "model": {"path": "m", "system_prompt": prompt},
            "data": {"verifier_types": types},
            "rollout": {"temperature": temperature},
            "grpo": {"preset": preset, "kl": kl},
            "learner": {"optim": {"learning_rate": learning_rate}},
        }
    )
    assert reload(config, tmp_path_factory.getbasetemp()) == config


def test_a_supervised_config_reloads_equal(tmp_path: Path) -> None:
    config = SftConfig.model_validate({**BASE, "sft": {"samples_per_step": 3}})
    assert reload(config, tmp_path) == config


@pytest.mark.parametrize(
    ("file", "kind", "command"),
    [
        ("tiny_base_sft", GrpoConfig, "sft"),
        ("curate_quickstart", GrpoConfig, "data curate"),
        ("quickstart", SftConfig, "train"),
        ("tiny_reward_model", SftConfig, "reward-model"),
    ],
)
def test_a_config_of_another_command_names_that_command(file, kind, command) -> None:
    with pytest.raises(ConfigError, match=f"the file is a config of `vlaa-ray {command}`"):
        load_config(f"configs/{file}.yaml", kind=kind)


def test_yaml_that_is_too_deep_is_an_error_of_the_file(tmp_path) -> None:
    (tmp_path / "deep.yaml").write_text("a: " + "[" * 5000)
    with pytest.raises(ConfigError, match="too many brackets"):
        load_config(tmp_path / "deep.yaml")


@pytest.mark.parametrize(
    "override, says",
    [
        ("data.train=[]", "data.train: no source is named"),
        ("data.train=''", "data.train: no source is named"),
        ("data.train=[{path: ''}]", "data.train.0.path: the path is empty"),
        ("data.train=[{path: x, weight: .inf}]", "data.train.0.weight: must be a finite number"),
        ("data.train=[{path: x, weight: .nan}]", "data.train.0.weight: must be a finite number"),
        ("data.train=[{path: x, weight: 1e15}]", "data.train.0.weight: Input should be less than or equal to 10000"),
        ("data.image_root=' '", "data.image_root: the path is empty"),
        ("learner.optim.learning_rate=.inf", "learner.optim.learning_rate: must be a finite number"),
        ("learner.optim.learning_rate=inf", "learner.optim.learning_rate: must be a finite number"),
        ("learner.optim.betas=[0.9, 1]", "learner.optim.betas.1: Input should be less than 1"),
        ("learner.optim.betas=[true, 0.9]", "learner.optim.betas: true and false"),
        ("rewards.verifiers={digit: {params: {a: [.nan]}}}", "rewards.verifiers.digit.params: must be a finite number"),
        ("rewards.verifiers={digit: {weights: {digit: true}}}", "rewards.verifiers.digit.weights: true and false"),
        ("run.num_steps=true", "run.num_steps: true and false"),
        ("run.num_steps=1000000000000000000", "run.num_steps: must be at most 1_000_000_000_000"),
        ("run.seed=4294967296", "run.seed: Input should be less than or equal to 4294967295"),
        ("run.seed=-1", "run.seed: Input should be greater than or equal to 0"),
        ("rollout.kv_cache_bytes=1000000000000000000", "must be at most 1_125_899_906_842_624"),
        ("rollout.num_actors=1000000", "rollout.num_actors: Input should be less than or equal to 10000"),
        ("deadlines.start_s=1e300", "deadlines.start_s: must be at most 1_000_000_000"),
        ('run.dir="a\\0b"', "run.dir: a line end or another control character"),
        ('run.name="a\\n"', "run.name: a line end or another control character"),
        ('data.train="a\\n"', "data.train: a line end or another control character"),
        ('model.system_prompt="\\ud800"', "model.system_prompt: half of a surrogate pair is no text"),
        ("tracking.wandb_project=no", "tracking.wandb_project: true and false (and yes, no, on, off)"),
        ("run.dir=~nobody-of-this-name/runs", "run.dir: no home folder is known for '~nobody-of-this-name'"),
        ("grpo.preset=[]", "grpo.preset: Input should be 'paper'"),
        ("rewards.open_ended.service.url=http://", "rewards.open_ended.service.url: 'http://' is no address"),
        ("rewards.open_ended.service.url=http://a:99999", "rewards.open_ended.service.url: Port out of range"),
        ("ray.address=''", "ray.address: '' is no address of a Ray cluster"),
        ("ray.address=head", "ray.address: 'head' is no address of a Ray cluster"),
        ("ray.address=head:99999", "ray.address: 'head:99999' is no address of a Ray cluster"),
        ("rewards.open_ended.min_pixels=2000000", "min_pixels (2000000) is above max_pixels (1003520)"),
    ],
)
def test_values_that_would_fail_later_are_refused(write, override: str, says: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load_config(write(), [override])
    assert says in str(caught.value) and "1 problem(s)" in str(caught.value)


def test_what_is_unusual_but_right_is_taken(write, monkeypatch) -> None:
    monkeypatch.setenv("HOME", "/home/somebody")
    config = load_config(
        write(),
        [
            "run.dir=~/runs",
            "data.train=~/a.json",
            'model.system_prompt="a\\nb"',
            "ray.address='[::1]:6379'",
            "run.seed=4294967295",
            "rewards.verifiers={digit: {params: {strict: true}}}",
        ],
    )
    assert (config.run.dir, config.data.train) == ("/home/somebody/runs", "/home/somebody/a.json")
    assert config.model.system_prompt == "a\nb" and config.rewards.verifiers["digit"].params == {"strict": True}


@pytest.mark.parametrize(
    "text, says",
    [
        ("run:\n  seed: 1\n  name: x\n  seed: 2\n", "the key 'seed' stands twice in one section, in lines 2 and 4"),
        ("run: {}\nmodel: {}\nrun: {}\n", "the key 'run' stands twice in one section, in lines 1 and 3"),
        ("run:\n  seed: 010\n", "line 2: 010 would be read to base 8"),
        ("run:\n  seed: 1:30\n", "line 2: 1:30 would be read to base 60"),
        ("run: &a [*a]\n", "line 1: a value holds itself"),
        ("a: &a [1,1,1,1,1,1,1,1,1,1]\n" + _bomb(), "more than 100,000 values"),
    ],
)
def test_yaml_that_nobody_means_is_refused_with_its_lines(tmp_path: Path, text: str, says: str) -> None:
    (tmp_path / "config.yaml").write_text(text)
    with pytest.raises(ConfigError) as caught:
        load_config(tmp_path / "config.yaml")
    assert says in str(caught.value) and str(tmp_path / "config.yaml") in str(caught.value)


def test_merged_keys_and_aliases_stay_allowed() -> None:
    text = "a: &a {x: 1, y: 2}\nb: {<<: *a, x: 3}\nc: {<<: *a}\nd: 0\ne: 007.5\nf: 2026-01-02\n"
    values = parse_yaml(text)
    assert values["b"] == {"x": 3, "y": 2} and values["c"] == {"x": 1, "y": 2} and values["e"] == 7.5


@pytest.mark.parametrize(
    ("run", "num_samples", "num_steps"),
    [
        ({"num_steps": 7}, 100, 7),
        ({"num_epochs": 1}, 96, 3),  # 96 / 32
        ({"num_epochs": 1}, 97, 4),  # the last step takes 31 samples of the next pass
        ({"num_epochs": 2.5}, 64, 5),
        ({"num_epochs": 0.1}, 960, 3),  # 0.1 x 960 / 32 is 3.0000000000000004 in floating point
        ({"num_epochs": 0.001}, 10, 1),
    ],
)
def test_a_supervised_run_is_as_long_as_its_steps_or_its_epochs(run, num_samples, num_steps) -> None:
    values = {"run": {"name": "x", **run}, "model": {"path": "m"}, "sft": {"samples_per_step": 32}}
    assert SftConfig.model_validate(values).steps_for(num_samples) == num_steps


@pytest.mark.parametrize("overrides", [[], ["run.num_steps=3", "run.num_epochs=1"]])
def test_a_supervised_run_has_one_length(tmp_path, overrides) -> None:
    (tmp_path / "sft.yaml").write_text("run: {name: x}\nmodel: {path: m}\nsft: {}\n")
    with pytest.raises(ConfigError, match="run: give either num_steps or num_epochs"):
        load_config(tmp_path / "sft.yaml", overrides, SftConfig)


def test_held_out_rewards_need_engines_and_reward_actors_and_without_them_nothing_is_reserved() -> None:
    values = {**BASE, "sft": {}, "rollout": {"num_actors": 2}, "learner": {"num_ranks": 3}}
    config = SftConfig.model_validate(values)
    assert set(config.bundles()) == {"learner"} and config.engines is None and config.judges_with is None
    assert config.shared_bucket_bytes == 0
    sampling = SftConfig.model_validate({**values, "eval": {"rewards": True, "num_prompts": 600}})
    assert {role: len(bundles) for role, bundles in sampling.bundles().items()} == {
        "learner": 3,
        "rollout": 2,
        "reward": 1,
    }
    assert sampling.engines == sampling.rollout and sampling.judges_with == sampling.rewards
    # a start (300), a sync (300), 600 answers by 2 x 256 sequences (2 x 300), and by one reward actor (600 x 120)
    assert sampling.heldout_deadline_s == 300 + 300 + 2 * 300 + 600 * 120
