"""The page of an experiment: the numbers of its result, foreign text as text, and both widths in a real browser."""

import json
import re

import pytest
from browser import NEEDS_BROWSER, acted
from experiments import ARMS, SCORES, finish, planned, write_evaluation
from pages import NASTY, Page, assert_inert

from vlaa_ray.experiments.progress import JobStates
from vlaa_ray.experiments.results import write_result
from vlaa_ray.report.experiment_charts import mean_curve
from vlaa_ray.report.experiment_page import write_experiment_page
from vlaa_ray.report.experiment_samples import samples_of


def made(folder, states=None, arms=ARMS, scores=SCORES):
    """(plan, result, text of the page) of an experiment whose runs are finished."""
    plan = planned(folder, arms=arms)
    finish(plan, scores)
    result = write_result(plan, states or JobStates.of(plan.jobs.values()), 120.0)
    return plan, result, write_experiment_page(plan.folder, result).read_text()


@pytest.fixture(scope="module")
def experiment(tmp_path_factory):
    return made(tmp_path_factory.mktemp("experiment"))


def cells(text, section, arm):
    """The texts of the cells of an arm's row in a section of the page."""
    part = re.search(rf'<section id="{section}".*?</section>', text, re.S)[0]
    row = next(row for row in re.findall(r"<tr.*?</tr>", part, re.S) if f'<th scope="row">{arm}<' in row)
    return [" ".join(re.sub(r"<[^>]+>", " ", cell).split()) for cell in re.findall(r"<td.*?</td>", row, re.S)]


def test_the_page_has_the_numbers_of_the_result(experiment):
    _, result, text = experiment
    grpo = result["arms"]["grpo"]
    mean, change, points = grpo["mean"]["mean"], grpo["relative_change"]["mean"], grpo["difference"]["mean"]
    assert cells(text, "all", "grpo")[-2:] == [
        f"{mean['value']:.1f} {mean['low']:.1f} to {mean['high']:.1f}",
        f"{change['value']:+.1f} % {change['low']:+.1f} to {change['high']:+.1f} % "
        f"{points['value']:+.1f} ({points['low']:+.1f} to {points['high']:+.1f}) points",
    ]
    assert cells(text, "all", "base") == ["50.0", "60.0", "55.0", "–"]


def test_the_page_has_a_table_for_each_table_of_the_paper_that_has_such_arms(experiment):
    _, result, text = experiment
    assert set(re.findall(r'<section id="(\w+)"', text)) >= {"all", "table2", "table3", "curves", "phrases", "samples"}
    assert "table5" not in text and "table6" not in text
    against = next(pair for pair in result["comparisons"] if (pair["arm"], pair["against"]) == ("sft-grpo", "grpo"))
    assert cells(text, "table3", "sft-grpo")[-1].startswith(f"{against['relative_change']['value']:+.1f} %")


def test_the_page_has_the_statements_and_the_reflection_phrases(experiment):
    _, result, text = experiment
    words = Page(text).words
    assert all(line in words for line in result["statements"])
    assert cells(text, "phrases", "grpo")[:5] == ["0", "0", "0", "48", "96"]
    assert cells(text, "phrases", "base")[:4] == ["–"] * 4


def test_samples_are_questions_that_all_arms_answered_the_most_unlike_first(experiment):
    plan, result, _ = experiment
    samples = samples_of(plan.folder, result["arms"])
    assert [sample.label for sample in samples[:4]] == ["digit", "mcq", "digit", "mcq"]
    assert all([answer.arm for answer in sample.answers] == list(ARMS) for sample in samples)
    assert len({answer.verdict for answer in samples[0].answers}) == 2


def test_while_it_runs_the_page_says_what_is_missing(tmp_path):
    plan = planned(tmp_path)
    plan.folder.mkdir(parents=True)
    result = write_result(plan, JobStates.of(plan.jobs.values()), None)
    words = Page(write_experiment_page(plan.folder, result).read_text()).words
    assert "0 of 13 runs done" in words and "time left not known yet" in words
    assert "No two arms have been evaluated yet" in words


def test_a_broken_arm_stands_on_the_page_with_its_problems(tmp_path):
    arms = {**ARMS, "typo": {"stages": ["nothing"]}}
    _, _, text = made(tmp_path, arms=arms)
    assert "typo: broken" in Page(text).words and "no stage 'nothing'" in Page(text).words


def nasty(folder):
    arms = {**ARMS, "base": {"about": NASTY}}
    plan, _, _ = made(folder, arms=arms)
    for arm in plan.arms.values():
        for seed, key in arm.evaluations.items():
            path = plan.jobs[key].folder
            write_evaluation(path, SCORES[arm.name][seed], 7)
            rows = [json.loads(line) for line in (path / "rows.jsonl").read_text().splitlines()]
            hostile = {
                "question": NASTY,
                "gold": NASTY,
                "prediction": NASTY,
                "reason": NASTY,
                "images": ["../../x.png"],
            }
            (path / "rows.jsonl").write_text("".join(json.dumps(row | hostile) + "\n" for row in rows))
    result = write_result(plan, JobStates.of(plan.jobs.values()), None)
    return write_experiment_page(plan.folder, result)


def test_foreign_text_is_shown_as_text(tmp_path):
    page = Page(nasty(tmp_path).read_text())
    assert_inert(page)
    assert " ".join(NASTY.split()) in page.words


@NEEDS_BROWSER
def test_the_page_fits_a_phone_and_a_desk_and_asks_for_nothing(tmp_path, served):
    site, requested = served
    path = nasty(tmp_path).relative_to(tmp_path).as_posix()
    steps = f"""
    const seen = {{}};
    for (const width of [390, 1280]) {{
      frame.width = width;
      await new Promise((done) => {{ frame.onload = done; frame.src = "{path}"; }});
      await wait(200);
      const page = frame.contentDocument;
      seen[width] = [page.documentElement.scrollWidth, page.querySelectorAll("figure svg").length,
                     page.querySelectorAll("script").length];
    }}
    return seen;"""
    seen = acted(tmp_path, site, path, steps)
    assert seen["390"][0] <= 390 and seen["1280"][0] <= 1280
    assert seen["390"][1] >= 5 and seen["390"][2] == 0
    assert {asked for asked in requested if asked != "/favicon.ico"} == {"/acting.html", f"/{path}"}


def test_the_mean_curve_is_over_the_steps_that_all_seeds_have():
    assert mean_curve([[(1, 0.0), (2, 1.0), (3, 5.0)], [(1, 1.0), (2, 2.0)]]) == [(1, 0.5), (2, 1.5)]
