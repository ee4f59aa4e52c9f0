"""The figures of the benchmarks, against tables that were computed by hand."""

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vlaa_ray.errors import DataError
from vlaa_ray.evaluation import dynamath_summary
from vlaa_ray.evaluation.benchmarks import BENCHMARKS, GradedRow, Row, RowScore, benchmark, category_scores


def graded(correct, **fields):
    reason, settled_by = ("" if correct else "a reason"), ("rule" if correct is not None else "")
    score = RowScore(correct=correct, reason=reason, settled_by=settled_by)
    return GradedRow(row=Row(index=str(fields["index"]), fields=fields), score=score)


def problem(number, *steps, whole):
    """The rows of a We-Math problem: whether each step is right, and whether the whole is."""
    kind = f"{len(steps)}steps"
    parts = [(f"{kind}_{place}", right) for place, right in enumerate(steps, start=1)] + [(f"{kind}_multi", whole)]
    return [
        graded(right, index=f"{number}/{key}", ID=number, key=key, **{"knowledge concept": "Area"})
        for key, right in parts
        if right != "missing"
    ]


def we_math(*problems):
    return BENCHMARKS["WeMath"].summary([row for rows in problems for row in rows])


# Eight problems: CM 2, IG 1, IK 2, RM 3 (of which two have a right step: loose CM 4, loose RM 1).
EIGHT = [
    problem(1, True, True, whole=True),  # CM
    problem(2, True, True, True, whole=True),  # CM
    problem(3, True, True, whole=False),  # IG
    problem(4, True, False, whole=False),  # IK
    problem(5, False, False, False, whole=False),  # IK
    problem(6, True, False, whole=True),  # RM, loose CM
    problem(7, False, True, True, whole=True),  # RM, loose CM
    problem(8, False, False, whole=True),  # RM in both counts
]


def test_we_math_counts_the_four_classes_and_both_scores():
    figures = we_math(*EIGHT)
    assert figures["ik"] == 25.0
    assert figures["ig"] == 12.5
    assert figures["cm_strict"] == 25.0
    assert figures["rm_strict"] == 37.5
    assert figures["cm_loose"] == 50.0
    assert figures["rm_loose"] == 12.5
    assert figures["score_strict"] == 31.25  # (2 + 1/2) / 8
    assert figures["score_loose"] == 56.25  # (4 + 1/2) / 8
    assert figures["rm_rate_strict"] == 60.0  # 3 / (2 + 3)
    assert figures["rm_rate_loose"] == 20.0  # 1 / (4 + 1)
    assert figures["incomplete"] == 0.0


def test_we_math_counts_rows_by_their_steps():
    figures = we_math(*EIGHT)
    assert figures["one_step"] == pytest.approx(100 * 11 / 19)
    assert figures["two_step"] == pytest.approx(100 * 3 / 5)
    assert figures["three_step"] == pytest.approx(100 * 2 / 3)
    assert figures["overall"] == pytest.approx(100 * 16 / 27)


def test_we_math_equals_the_published_formula_of_the_kit():
    # 525 problems, of which 100 are IG, 50 RM and 200 IK: (525 - 0.5·100 - 50 - 200) / 525
    groups = [problem(n, True, True, whole=True) for n in range(175)]
    groups += [problem(n, True, True, whole=False) for n in range(175, 275)]
    groups += [problem(n, False, True, whole=True) for n in range(275, 325)]
    groups += [problem(n, False, True, whole=False) for n in range(325, 525)]
    assert we_math(*groups)["score_strict"] == pytest.approx(100 * (525 - 0.5 * 100 - 50 - 200) / 525)


def test_a_we_math_row_that_is_missing_counts_as_wrong_and_is_named(caplog):
    figures = we_math(problem(1, True, "missing", whole=True), problem(2, True, True, whole="missing"))
    assert figures["rm_strict"] == 50.0  # a step is missing: not mastered
    assert figures["ig"] == 50.0  # the whole is missing: not right
    assert figures["incomplete"] == 100.0
    assert "2 problems lack rows, which count as wrong: 2steps/1, 2steps/2" in caplog.text


def test_a_we_math_part_that_occurs_twice_is_an_error():
    twice = problem(1, True, True, whole=True)
    again = [GradedRow(row=Row(index="other", fields=twice[0].row.fields), score=twice[0].score)]
    with pytest.raises(DataError, match="has its part 2steps_1 twice"):
        we_math(twice, again)


def test_problems_of_two_and_of_three_steps_may_have_the_same_id():
    figures = we_math(problem(1, True, True, whole=True), problem(1, True, True, True, whole=False))
    assert figures["score_strict"] == 75.0


def dynamath_rows(table):
    rows = []
    for seed, variants in enumerate(table):
        for variant, correct in enumerate(variants, start=1):
            fields = {"qid": seed, "varid": variant, "subject": "algebra"}
            rows.append(graded(correct, index=f"{seed}_{variant}", **fields))
    return rows


def test_dynamath_counts_a_seed_question_only_if_all_its_variants_are_right():
    figures = BENCHMARKS["DynaMath"].summary(
        dynamath_rows([[True] * 10, [True] * 9 + [False], [True] * 9 + [None], [False] * 10])
    )
    assert figures["worst_case"] == 25.0
    assert figures["average"] == 70.0
    assert figures["overall"] == 70.0
    assert BENCHMARKS["DynaMath"].headline == "worst_case"


def test_a_dynamath_seed_that_lacks_variants_is_not_right(caplog):
    figures = BENCHMARKS["DynaMath"].summary(dynamath_rows([[True] * 10, [True] * 9]))
    assert figures["worst_case"] == 50.0
    assert figures["incomplete"] == 50.0
    assert "1 of 2 seed questions lack variants" in caplog.text


def test_grades_of_variants_are_summed_up_alone():
    assert dynamath_summary([[1, 1], [1, 0], [0, 0]]) == {"average": 50.0, "worst_case": pytest.approx(100 / 3)}


@pytest.mark.parametrize("grades", [[], [[1], []], [[1, 2]], [[0.5]]])
def test_grades_that_are_missing_or_neither_right_nor_wrong_are_an_error(grades):
    with pytest.raises(DataError):
        dynamath_summary(grades)


def test_mathverse_and_logicvista_count_rows_that_are_not_settled_as_wrong():
    rows = [graded(correct, index=n, skill="['spatial']") for n, correct in enumerate([True, False, None, True])]
    assert BENCHMARKS["MathVerse"].summary(rows) == {"overall": 50.0}
    assert BENCHMARKS["LogicVista"].summary(rows) == {"overall": 50.0}


def test_categories_of_mathverse_by_hand():
    def metadata(subject, subfield):
        return str({"split": "testmini", "subject": subject, "subfield": subfield})

    rows = [
        graded(True, index=1, metadata=metadata("Plane Geometry", "Angle")),
        graded(False, index=2, metadata=metadata("Plane Geometry", "Area")),
        graded(None, index=3, metadata=metadata("Functions", "Area")),
    ]
    assert category_scores(BENCHMARKS["MathVerse"], rows) == {
        "subject": {
            "Functions": {"value": 0.0, "num_rows": 1.0},
            "Plane Geometry": {"value": 50.0, "num_rows": 2.0},
        },
        "subfield": {"Angle": {"value": 100.0, "num_rows": 1.0}, "Area": {"value": 0.0, "num_rows": 2.0}},
    }


def test_a_row_of_logicvista_counts_under_each_of_its_skills():
    rows = [
        graded(True, index=1, skill="['inductive', 'spatial']"),
        graded(False, index=2, skill="spatial"),
        graded(True, index=3, skill=["numerical"]),
    ]
    table = category_scores(BENCHMARKS["LogicVista"], rows)["skill"]
    assert {name: entry["value"] for name, entry in table.items()} == {
        "inductive": 100.0,
        "numerical": 100.0,
        "spatial": 50.0,
    }


@pytest.mark.parametrize("name", BENCHMARKS)
def test_no_rows_and_rows_graded_twice_are_errors(name):
    with pytest.raises(DataError, match="no rows"):
        BENCHMARKS[name].summary([])
    row = graded(True, index="1", key="2steps_1", ID="1", qid="1")
    with pytest.raises(DataError, match="graded twice"):
        BENCHMARKS[name].summary([row, row])


VERDICTS = st.sampled_from([True, False, None])
PROBLEMS = st.lists(st.lists(VERDICTS, min_size=3, max_size=4), min_size=1, max_size=12)


def rows_of(problems):
    made = (problem(number, *verdicts[:-1], whole=verdicts[-1]) for number, verdicts in enumerate(problems))
    return [row for rows in made for row in rows]


@settings(deadline=None, max_examples=60)
@given(PROBLEMS, st.randoms(use_true_random=False))
def test_we_math_figures_are_shares_and_no_order_changes_them(problems, draw):
    rows = rows_of(problems)
    figures = BENCHMARKS["WeMath"].summary(rows)
    assert all(0.0 <= value <= 100.0 for value in figures.values())
    assert figures["score_strict"] <= figures["score_loose"]
    assert figures["cm_strict"] <= figures["cm_loose"]
    for count in ("strict", "loose"):
        classes = figures["ik"] + figures["ig"] + figures[f"cm_{count}"] + figures[f"rm_{count}"]
        assert classes == pytest.approx(100.0)
    shuffled = list(rows)
    draw.shuffle(shuffled)
    assert BENCHMARKS["WeMath"].summary(shuffled) == pytest.approx(figures)


@settings(deadline=None, max_examples=60)
@given(st.lists(st.lists(VERDICTS, min_size=1, max_size=5), min_size=1, max_size=10), st.integers(0, 99))
def test_the_worst_case_is_at_most_the_average_of_complete_seeds(table, seed):
    most = max(map(len, table))
    rows = dynamath_rows([variants * most for variants in table])
    figures = BENCHMARKS["DynaMath"].summary(rows)
    assert 0.0 <= figures["worst_case"] <= 100.0 and 0.0 <= figures["average"] <= 100.0
    even = BENCHMARKS["DynaMath"].summary(dynamath_rows([(variants * most)[:most] for variants in table]))
    assert even["worst_case"] <= even["average"] + 1e-9
    random.Random(seed).shuffle(rows)
    assert BENCHMARKS["DynaMath"].summary(rows) == pytest.approx(figures)


@settings(deadline=None, max_examples=40)
@given(st.lists(VERDICTS, min_size=1, max_size=30))
def test_the_accuracy_lies_between_none_and_all_and_grows_with_each_right_row(verdicts):
    rows = [graded(correct, index=n) for n, correct in enumerate(verdicts)]
    for name in ("MathVista", "MathVision", "MathVerse", "LogicVista"):
        value = benchmark(name).summary(rows)["overall"]
        assert value == pytest.approx(100 * verdicts.count(True) / len(verdicts))
