"""The rewards of a run: users' functions in the sandbox, weights, parameters, schedules and the scorer."""

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vlaa_ray.config import RewardsSection
from vlaa_ray.errors import RewardError
from vlaa_ray.records import NO_ANSWER, Prompt, RewardResult
from vlaa_ray.rewards.manager import RewardManager, weighted

NAMES = "close is_long explained unsure too_much hangs sleeps eats calls_out runs shells forks writes executes secret"
FUNCTIONS = {name: {"function": f"user_verifiers:{name}"} for name in NAMES.split()}
CONFIG = RewardsSection.model_validate(
    {
        "timeout_s": 1.0,
        "verifiers": FUNCTIONS
        | {
            "close": {"function": "user_verifiers:close", "params": {"tolerance": 0.1}},
            "math": {"weights": {"math": 0.9, "format": 0.1}},
            "iou": {"weights": {"iou": 0.5}},
            "boxes": {"params": {"frame": "unit", "threshold": [[0.5, 0.0], [1.0, 0.9]]}},
        },
    }
)


@pytest.fixture(scope="module")
def rewards():
    here = Path(__file__).parent
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(here))
        patch.setenv("SECRET_KEY", "hunter2")
        with RewardManager(CONFIG) as made:
            yield made


def prompt(kind: str, gold=1.0, **params) -> Prompt:
    return Prompt(prompt_id=kind, question="?", gold=gold, verifier_type=kind, source="test", verifier_params=params)


def score(rewards, kind: str, response: str, gold=1.0, progress: float = 1.0, **params) -> RewardResult:
    return rewards.score([(prompt(kind, gold, **params), response)], progress)[0]


@pytest.mark.parametrize(
    ("kind", "answer", "value"),
    [("close", "1.05", 1.0), ("close", "1.2", 0.0), ("is_long", "yes", 0.0), ("is_long", "long", 1.0)],
)
def test_a_users_function(rewards, kind, answer, value) -> None:
    assert score(rewards, kind, f"<answer>{answer}</answer>").value == value


def test_a_samples_own_parameters_win(rewards) -> None:
    assert score(rewards, "close", "<answer>1.05</answer>", tolerance=0.01).value == 0.0


def test_a_users_result_keeps_its_words_and_parts(rewards) -> None:
    result = score(rewards, "explained", "<answer>x</answer>")
    assert (result.value, result.reason, result.parts, result.extracted) == (0.5, "half of it", {"half": 0.5}, "x")


def test_nothing_extracted_is_worth_nothing(rewards) -> None:
    result = score(rewards, "is_long", "no tags")
    assert (result.value, result.extracted, result.reason) == (0.0, None, NO_ANSWER["missing"])


@pytest.mark.parametrize(
    ("kind", "answer", "reason"),
    [
        ("unsure", "x", "can't judge"),
        ("too_much", "x", r"returned 333, expected a number in \[0, 1\]"),
        ("close", "one", "ValueError"),
        ("hangs", "hang", "timeout after 1 s"),
        ("sleeps", "hang", "timeout after 1 s"),
        ("eats", "eat", "MemoryError"),
        ("calls_out", "x", "PermissionError: a verifier may not do this: socket"),
        ("runs", "x", "PermissionError: a verifier may not do this: subprocess.Popen"),
        ("shells", "x", "PermissionError: a verifier may not do this: os.system"),
        ("forks", "x", "PermissionError: a verifier may not do this: os.fork"),
    ],
)
def test_what_goes_wrong_costs_the_one_sample(rewards, kind, answer, reason) -> None:
    bad, good = rewards.score([(prompt(kind), f"<answer>{answer}</answer>"), (prompt("close"), "<answer>1</answer>")])
    assert not bad.valid and bad.value is None
    assert re.search(reason, bad.reason)
    assert good.value == 1.0


def test_no_file_is_written_and_no_secret_seen(rewards, tmp_path) -> None:
    result = score(rewards, "writes", "<answer>x</answer>", gold=str(tmp_path / "file"))
    assert "PermissionError" in result.reason and not list(tmp_path.iterdir())
    assert score(rewards, "secret", "<answer>x</answer>").value == 0.0
    hostile = f"open({str(tmp_path / 'file')!r}, 'w') and 1"
    assert "PermissionError" in score(rewards, "executes", f"<answer>{hostile}</answer>").reason
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("path", "words"),
    [("nowhere:f", "No module"), ("user_verifiers:none", "no attribute"), ("os:sep", "not a function")],
)
def test_a_function_that_is_not_there_is_named(monkeypatch, path, words) -> None:
    monkeypatch.syspath_prepend(str(Path(__file__).parent))
    with pytest.raises(RewardError, match=f"{path}.*{words}"):
        RewardManager(RewardsSection.model_validate({"verifiers": {"mine": {"function": path}}}))


def test_weights_add_up_and_show_their_parts(rewards) -> None:
    both = score(rewards, "math", "<think>x</think><answer>1/2</answer>", gold="0.5")
    assert both.value == pytest.approx(1.0) and both.parts == {"math": 1.0, "format": 1.0}
    one = score(rewards, "math", "<answer>1/2</answer>", gold="0.5")
    assert one.value == pytest.approx(0.9) and "format: 0 times <think>" in one.reason
    assert score(rewards, "iou", "<answer>[0, 0, 1, 1]</answer>", "[0, 0, 0.5, 1]").value == pytest.approx(0.25)
    assert not score(rewards, "math", "<answer>1</answer>", gold="").valid


def test_a_schedule_follows_the_progress_of_the_run(rewards) -> None:
    answer, gold = "<answer>[0, 0, 0.5, 0.4]</answer>", [[0.0, 0.0, 0.5, 0.5]]  # IoU 0.8
    assert score(rewards, "boxes", answer, gold, progress=0.2).value == pytest.approx(0.8)
    assert score(rewards, "boxes", answer, gold, progress=0.9).value == 0.0


def test_the_paper_s_extraction_by_config() -> None:
    strict = RewardsSection.model_validate({"extraction": "exactly_one"})
    two = "<answer>1</answer><answer>2</answer>"
    with RewardManager(strict) as rewards:
        assert score(rewards, "digit", two, gold=2).reason == NO_ANSWER["several"]
        assert score(rewards, "digit", two, gold=2, extraction="last").value == 1.0


unit = st.floats(0, 1)


@given(st.dictionaries(st.sampled_from("abcd"), st.tuples(unit, unit), min_size=1))
def test_a_weighted_sum_of_values_in_the_unit_interval_stays_there(parts) -> None:
    total = sum(weight for weight, _ in parts.values()) or 1.0
    weights = {name: weight / max(total, 1.0) for name, (weight, _) in parts.items()}
    results = {name: RewardResult(value=value, valid=True) for name, (_, value) in parts.items()}
    value = weighted(weights, results).value
    assert 0 <= value <= 1
    results[next(iter(results))] = RewardResult(value=None, valid=False)
    assert weighted(weights, results).value is None
