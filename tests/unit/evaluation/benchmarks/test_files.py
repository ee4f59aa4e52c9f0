"""Files of benchmarks in VLMEvalKit's form and in their authors': what they hold, and what is refused."""

import base64
import json

import pytest
from benchmark_files import picture, right_answer, write_benchmark_tsv, write_tsv
from PIL import Image

from vlaa_ray.errors import DataError
from vlaa_ray.evaluation.benchmarks import BENCHMARKS, GradedRow
from vlaa_ray.images.decode import encoded, load

FILE_NAMES = {
    "MathVista": "MathVista_MINI.tsv",
    "MathVision": "MathVision.tsv",
    "MathVerse": "MathVerse_MINI_Vision_Only.tsv",
    "DynaMath": "DynaMath.tsv",
    "WeMath": "WeMath.tsv",
    "LogicVista": "LogicVista.tsv",
}


@pytest.mark.parametrize("name", BENCHMARKS)
def test_a_file_of_several_hundred_rows_goes_through(name, tmp_path):
    """All rows are read, asked with a place for each picture, and right answers earn all points."""
    write_benchmark_tsv(name, tmp_path / FILE_NAMES[name], num_rows=300, seed=3)
    benchmark = BENCHMARKS[name]
    rows = benchmark.read(tmp_path)
    assert len({row.index for row in rows}) == 300
    assert not any(set(row.fields) & {"image", "image_path"} for row in rows)
    for row in rows:
        assert benchmark.question(row, "kit").count("<image>") == len(row.images) >= 1
        assert benchmark.question(row, "kit") == benchmark.question(row, "paper")
    graded = [GradedRow(row=row, score=benchmark.score(row.fields, right_answer(row.fields))) for row in rows]
    assert benchmark.summary(graded)[benchmark.headline] == 100.0
    wrong = [GradedRow(row=row, score=benchmark.score(row.fields, "<answer>Z9</answer>")) for row in rows]
    assert benchmark.summary(wrong)[benchmark.headline] == 0.0


def test_the_same_seed_writes_the_same_file_and_groups_must_be_whole(tmp_path):
    first = write_benchmark_tsv("WeMath", tmp_path / "a.tsv", 30, seed=1).read_bytes()
    assert write_benchmark_tsv("WeMath", tmp_path / "b.tsv", 30, seed=1).read_bytes() == first
    with pytest.raises(ValueError, match="DynaMath can't have 25 rows"):
        write_benchmark_tsv("DynaMath", tmp_path / "c.tsv", 25, seed=1)
    with pytest.raises(ValueError, match="WeMath can't have 5 rows"):
        write_benchmark_tsv("WeMath", tmp_path / "d.tsv", 5, seed=1)


def vista(index, image, **more):
    row = {"index": index, "image": image, "question": "How many?", "answer": "3", "question_type": "free_form"}
    return row | {"answer_type": "integer"} | more


def read(tmp_path, *rows, name="MathVista"):
    return BENCHMARKS[name].read(write_tsv(tmp_path / "rows.tsv", list(rows)))


def test_pictures_are_shared_by_index_also_with_a_later_row_and_by_names(tmp_path):
    rows = read(tmp_path, vista(1, "2"), vista(2, picture(3)), vista("v1_3", picture(4)), vista(4, "v1_3"))
    assert rows[0].images == rows[1].images
    assert rows[3].images[0] is rows[2].images[0]
    assert encoded(rows[0].images[0]) == base64.b64decode(picture(3))


def test_a_list_of_pictures_is_several_images_in_order(tmp_path):
    (row,) = read(tmp_path, vista(1, str([picture(1), picture(2)])))
    assert [encoded(image) for image in row.images] == [base64.b64decode(picture(n)) for n in (1, 2)]
    assert BENCHMARKS["MathVista"].question(row, "kit") == "<image><image>How many?"


@pytest.mark.parametrize("folder", ["", "images", "images/MathVista_MINI"])
def test_an_image_path_lies_below_the_files_folder(folder, tmp_path):
    (tmp_path / folder).mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (30, 20), "red").save(tmp_path / folder / "a.png")
    (row,) = read(tmp_path, vista(1, "", image_path="a.png"))
    assert (row.images[0].width_px, row.images[0].height_px) == (30, 20)
    assert load(row.images[0]).getpixel((0, 0)) == (255, 0, 0)


def test_a_path_outside_the_folder_is_refused(tmp_path):
    Image.new("RGB", (9, 9)).save(tmp_path / "secret.png")
    (tmp_path / "below").mkdir()
    with pytest.raises(DataError):
        read(tmp_path / "below", vista(1, "", image_path="../secret.png"))


def test_places_of_pictures_in_the_text_are_kept_only_if_they_fit(tmp_path):
    rows = read(
        tmp_path,
        vista(1, str([picture(1), picture(2)]), question="Is <image> above <image>?"),
        vista(2, picture(1), question="Is <image> above <image>?"),
        vista(3, picture(1), question="In <image1>, how many?"),
    )
    asked = [BENCHMARKS["MathVista"].question(row, "kit") for row in rows]
    assert asked == [
        "Is <image> above <image>?",
        "<image>Is the image above the image?",
        "<image>In <image1>, how many?",
    ]


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([vista(1, "")], "the row has no picture"),
        ([vista(1, "nan")], "the row has no picture"),
        ([vista(1, "7")], "names the picture of row '7', which has none"),
        ([vista(1, "2"), vista(2, "1")], "names the picture of row"),
        ([vista(1, picture(1)), vista(1, picture(2))], "the index '1' occurs twice; it was first in row 1"),
        ([vista("", picture(1))], "no index"),
        ([vista(1, picture(1), answer="")], "the row lacks answer"),
        ([vista(1, picture(1), question="")], "the row lacks question"),
        ([vista(1, base64.b64encode(b"no picture" * 20).decode())], "image"),
        (
            [vista(1, picture(1), question_type="multi_choice", choices="['1', '2']")],
            "the gold is not among the option",
        ),
        ([vista(1, picture(1), question_type="multi_choice")], "the gold is not among the options"),
    ],
)
def test_a_row_that_cannot_be_used_is_an_error_with_file_and_row(rows, message, tmp_path):
    with pytest.raises(DataError, match=message) as caught:
        read(tmp_path, *rows)
    assert caught.value.facts["file"].endswith("rows.tsv")
    assert caught.value.facts["row"] >= 1


def test_a_row_that_was_cut_off_is_an_error(tmp_path):
    file = write_tsv(tmp_path / "rows.tsv", [vista(1, picture(1)), vista(2, picture(2))])
    file.write_text(file.read_text()[: -len("3\tfree_form\tinteger\n")])
    with pytest.raises(DataError, match="the row lacks answer"):
        BENCHMARKS["MathVista"].read(file)


def test_a_folder_without_the_file_is_an_error_that_names_what_was_looked_for(tmp_path):
    with pytest.raises(DataError, match="the folder holds no file of MathVista") as caught:
        BENCHMARKS["MathVista"].read(tmp_path)
    assert "MathVista_MINI.tsv" in caught.value.facts["expected"]
    with pytest.raises(DataError, match="no such file or folder"):
        BENCHMARKS["MathVista"].read(tmp_path / "missing.tsv")


def test_a_file_of_another_benchmark_is_an_error(tmp_path):
    file = write_benchmark_tsv("LogicVista", tmp_path / "rows.tsv", 3, seed=0)
    for name in ("MathVista", "MathVision", "MathVerse"):
        with pytest.raises(DataError, match=f"the row has no column that tells {name}"):
            BENCHMARKS[name].read(file)
    for name in ("DynaMath", "WeMath"):
        with pytest.raises(DataError, match="the row lacks"):
            BENCHMARKS[name].read(file)


def test_files_of_the_same_name_are_told_apart_by_their_folders(tmp_path):
    for folder, pid in (("MathVerse", "1"), ("MathVista", "2"), ("other", "3")):
        (tmp_path / folder).mkdir()
        record = {"pid": pid, "query": "q", "answer": "1", "answer_type": "integer", "question_type": "free_form"}
        record |= {"image": {"bytes": picture(1)}}
        (tmp_path / folder / "testmini.json").write_text(json.dumps([record]))
    assert [row.index for row in BENCHMARKS["MathVista"].read(tmp_path)] == ["2"]
    with pytest.raises(DataError, match="several files may be those of WeMath"):
        BENCHMARKS["WeMath"].read(tmp_path)


def test_a_key_of_we_math_that_is_unknown_is_an_error(tmp_path):
    row = {"index": 0, "image": picture(1), "question": "q", "answer": "A", "A": "1", "B": "2", "ID": 1}
    for key in ("2steps_3", "4steps_1", "multi"):
        with pytest.raises(DataError, match="the key of a We-Math row is unknown"):
            read(tmp_path, row | {"key": key}, name="WeMath")


def test_versions_of_mathverse_with_text_belong_to_other_benchmarks(tmp_path):
    row = {"index": 1, "image": picture(1), "question": "q", "answer": "A", "question_for_eval": "A:1\nB:2"}
    rows = [row | {"problem_version": "Text Dominant"}, row | {"index": 2, "problem_version": "Vision Only"}]
    (only,) = read(tmp_path, *rows, name="MathVerse")
    assert only.index == "2"
    assert BENCHMARKS["MathVerse"].is_choice(only.fields)  # also without a column `question_type`
    with pytest.raises(DataError, match="no row belongs to MathVerse"):
        read(tmp_path, rows[0], name="MathVerse")


def test_the_words_of_dynamath_and_we_math_are_the_kits(tmp_path):
    dynamath = {"index": 1, "image": picture(1), "question": "Q?", "answer": "1.5", "answer_type": "float"}
    (row,) = read(tmp_path, dynamath | {"qid": 1, "varid": 1}, name="DynaMath")
    asked = BENCHMARKS["DynaMath"].question(row, "kit")
    assert asked.startswith("<image>## Question\n Q?\n## Answer Instruction Please provide an answer")
    assert "Format the answer as a three-digit floating-point number" in asked
    assert json.loads(asked[asked.index("{") :]).keys() == {"solution", "short answer"}
    we_math = {"index": 1, "image": picture(1), "question": "Q?", "answer": "A", "A": "1", "B": "2", "hint": "H"}
    (row,) = read(tmp_path, we_math | {"ID": 1, "key": "2steps_1"}, name="WeMath")
    assert BENCHMARKS["WeMath"].question(row, "kit") == "<image>Hint: H\nQuestion: Q?\nOptions:\nA. 1\nB. 2\n"


@pytest.fixture
def images(tmp_path):
    (tmp_path / "images").mkdir()
    for number in range(1, 12):
        Image.new("RGB", (20 + number, 20), "white").save(tmp_path / "images" / f"{number}.png")
    return tmp_path


def test_the_authors_file_of_mathvista(images):
    records = {
        "1": {
            "pid": "1",
            "question": "How long?",
            "image": "images/1.png",
            "choices": ["6 cm", "8 cm"],
            "unit": None,
            "precision": None,
            "answer": "8 cm",
            "question_type": "multi_choice",
            "answer_type": "text",
            "metadata": {"task": "geometry problem solving", "skills": ["geometry reasoning"], "split": "testmini"},
            "query": "Hint: Give the letter.\nQuestion: How long?\nChoices:\n(A) 6 cm\n(B) 8 cm",
        },
        "2": {
            "pid": "2",
            "question": "How much?",
            "image": "images/2.png",
            "choices": None,
            "precision": 1.0,
            "answer": "1.2",
            "question_type": "free_form",
            "answer_type": "float",
            "metadata": {"task": "math word problem", "skills": ["arithmetic reasoning"]},
            "query": "Question: How much?",
        },
    }
    (images / "testmini.json").write_text(json.dumps(records))
    benchmark = BENCHMARKS["MathVista"]
    rows = benchmark.read(images)
    assert [row.index for row in rows] == ["1", "2"]
    assert benchmark.question(rows[0], "kit").startswith("<image>Hint: Give the letter.")
    assert benchmark.score(rows[0].fields, "<answer>B</answer>").correct is True
    assert benchmark.score(rows[0].fields, "<answer>N/A</answer>").correct is None  # as in VLMEvalKit: for a judge
    assert benchmark.score(rows[1].fields, "<answer>1.24</answer>").correct is True
    assert benchmark.categories(rows[0]) == {"task": ["geometry problem solving"], "skill": ["geometry reasoning"]}


def test_the_authors_file_of_mathvision(images):
    records = [
        {"id": "4", "question": "Which?<image1>", "options": ["$1$", "$2$"], "answer": "B", "image": "images/1.png"},
        {
            "id": "5",
            "question": "How many?<image1>",
            "options": [],
            "answer": "24",
            "image": "images/2.png",
            "level": 2,
        },
    ]
    lines = (json.dumps(record | {"subject": "counting"}) for record in records)
    (images / "test.jsonl").write_text("\n".join(lines))
    benchmark = BENCHMARKS["MathVision"]
    rows = benchmark.read(images)
    assert benchmark.question(rows[0], "kit").endswith("Question: Which?<image1>\nChoices:\n(A) $1$\n(B) $2$")
    assert benchmark.score(rows[0].fields, "\\boxed{2}").correct is True
    assert benchmark.score(rows[1].fields, "\\boxed{24}").correct is True
    assert benchmark.categories(rows[1]) == {"subject": ["counting"], "level": ["2"]}


def test_the_authors_file_of_mathverse(images):
    record = {
        "problem_index": "1",
        "question": "",
        "image": "1.png",
        "answer": "A",
        "question_type": "multi-choice",
        "metadata": {"split": "testmini", "source": "GeoQA", "subject": "Plane Geometry", "subfield": "Angle"},
        "query_wo": "According to the question shown in the image, please directly answer.",
        "query_cot": "According to the question shown in the image, please first reason.",
        "question_for_eval": "Find it.\nChoices:\nA:30°\nB:60°",
    }
    versions = ["Text Dominant", "Text Lite", "Vision Intensive", "Vision Dominant", "Vision Only"]
    records = [record | {"sample_index": str(n), "problem_version": name} for n, name in enumerate(versions, start=1)]
    (images / "testmini.json").write_text(json.dumps(records, indent=1))
    benchmark = BENCHMARKS["MathVerse"]
    (row,) = benchmark.read(images)
    assert row.index == "5"
    assert benchmark.question(row, "kit") == "<image>According to the question shown in the image, please first reason."
    assert benchmark.score(row.fields, "<answer>30°</answer>").correct is True
    assert benchmark.categories(row) == {"subject": ["Plane Geometry"], "subfield": ["Angle"]}


def test_the_authors_files_of_dynamath(images):
    for variant in (1, 2, 10):
        record = {"id": "7", "question": "Q?", "answer": "1.5", "image": "images/1.png", "answer_type": "float"}
        lines = [record | {"subject": "algebra", "level": "high school"}, record | {"id": "8", "answer": "2"}]
        file = images / f"sample_variant{variant}.jsonl"
        file.write_text("\n".join(map(json.dumps, lines)))
    benchmark = BENCHMARKS["DynaMath"]
    rows = benchmark.read(images)
    assert [row.index for row in rows] == ["7_1", "8_1", "7_10", "8_10", "7_2", "8_2"]
    assert [benchmark.cluster(row) for row in rows[:2]] == ["7", "8"]
    assert benchmark.categories(rows[0]) == {"subject": ["algebra"], "level": ["high school"]}


def test_the_authors_file_of_we_math(images):
    record = {
        "ID": "3",
        "split": "testmini",
        "knowledge concept": "Area",
        "question": "How large?",
        "option": "A. 6 cm; B. 8 cm; C. No correct answer",
        "answer": "B",
        "image_path": "images/1.png",
    }
    records = [record | {"key": key} for key in ("2steps_1", "2steps_2", "2steps_multi")]
    (images / "testmini.json").write_text(json.dumps(records))
    benchmark = BENCHMARKS["WeMath"]
    rows = benchmark.read(images)
    assert [row.index for row in rows] == ["3_2steps_1", "3_2steps_2", "3_2steps_multi"]
    options = "Options:\nA. 6 cm\nB. 8 cm\nC. No correct answer\n"
    assert benchmark.question(rows[0], "kit") == f"<image>Question: How large?\n{options}"
    assert {benchmark.cluster(row) for row in rows} == {"2steps/3"}
    assert benchmark.categories(rows[2]) == {"knowledge": ["Area"], "steps": ["2 steps"]}


def test_the_authors_file_of_logicvista(images):
    records = {
        "v1_0": {
            "imagename": "1.png",
            "question": "Which comes next? Select from A, B, C.",
            "answer": "A, C",
            "reasoning": "…",
            "skill": ["inductive"],
            "capability": ["patterns"],
        },
        "v1_1": {"imagename": "2.png", "question": "Which?", "answer": "B", "skill": ["spatial", "mechanical"]},
    }
    (images / "dataset.json").write_text(json.dumps(records, indent=2))
    benchmark = BENCHMARKS["LogicVista"]
    rows = benchmark.read(images)
    assert [row.index for row in rows] == ["v1_0", "v1_1"]
    assert benchmark.score(rows[0].fields, "<answer>C, A</answer>").correct is True
    assert benchmark.categories(rows[1]) == {"skill": ["spatial", "mechanical"]}


def test_rows_of_a_table_with_decoded_pictures(tmp_path):
    datasets = pytest.importorskip("datasets")
    raw = base64.b64decode(picture(2))
    record = {"pid": "1", "image": "images/1.png", "decoded_image": {"bytes": raw, "path": None}, "answer": "3"}
    record |= {"query": "How many?", "question_type": "free_form", "answer_type": "integer"}
    datasets.Dataset.from_list([record]).to_parquet(tmp_path / "testmini-00000-of-00001.parquet")
    (row,) = BENCHMARKS["MathVista"].read(tmp_path)
    assert encoded(row.images[0]) == raw
