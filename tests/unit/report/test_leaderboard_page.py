"""The leaderboard: published numbers as their sources have them, and the user's own beside them, never mixed up."""

import json
import re

from evaluations import CONDITIONS, make_evaluation
from pages import NASTY, Page

from vlaa_ray.cli import main
from vlaa_ray.report.leaderboard_page import mean_of, published_scores, write_leaderboard_page

# The means as they were computed when the sources were read, in the order of the board's columns
PUBLISHED = {
    "Qwen2.5-VL-3B": ([61.2, 21.9, 31.2, 13.2, 22.9, 40.3], 31.8),
    "VLM-R1-Math-0305 3B": ([62.7, 21.9, 32.2, 13.0, 30.0, 40.5], 33.4),
    "VLAA-Thinker-3B": ([61.0, 24.4, 36.4, 18.2, 33.8, 38.5], 35.4),
    "ARES-3B": ([66.8, 44.2, 48.2, 24.6, 40.8, 43.5], 44.7),
    "InternVL3.5-2B": ([71.8, 42.8, 53.4, 31.5, 48.5, 47.7], 49.3),
    "Ovis2.5-2B": ([81.4, 37.4, 64.8, 26.5, 50.8, 53.0], 52.3),
    "InternVL3.5-4B": ([77.1, 54.4, 61.7, 35.7, 50.1, 56.4], 55.9),
    "Qwen2.5-VL-7B": ([68.1, 25.4, 41.1, 21.8, 36.2, 47.9], 40.1),
    "VLAA-Thinker-7B": ([68.0, 26.4, 48.2, 22.4, 41.5, 48.5], 42.5),
    "ARES-7B": ([74.6, 51.9, 56.5, 39.7, 47.2, 54.1], 54.0),
    "InternVL3.5-8B": ([78.4, 56.8, 61.5, 37.7, 57.0, 57.3], 58.1),
    "GLM-4.1V-9B-Thinking": ([80.7, 54.4, 68.4, 42.5, 63.8, 60.4], 61.7),
    "Ovis2.5-9B": ([83.4, 53.9, 71.1, 44.1, 66.7, 61.5], 63.5),
    "MiMo-VL-7B-RL": ([81.5, 60.4, 71.5, 45.9, 66.3, 61.4], 64.5),
}
FULL = {"MathVista": 1000, "MathVision": 3040, "MathVerse": 788, "DynaMath": 5010, "WeMath": 1740, "LogicVista": 448}


def lines_of(html):
    """[(class of the row, its words)] of all tables."""
    rows = re.findall(r'<tr class="(own|published)">(.*?)</tr>', html, re.DOTALL)
    return [(look, Page(f"<table><tr>{row}</tr></table>").words) for look, row in rows]


def whole(folder, num_parameters=None, **changes):
    """An evaluation of all rows of the six benchmarks."""
    make_evaluation(folder, num_rows=2, **changes)
    result = json.loads((folder / "result.json").read_text())
    for name, benchmark in result["benchmarks"].items():
        benchmark["num_rows"] = FULL[name]
    result["model"]["num_parameters"] = num_parameters
    (folder / "result.json").write_text(json.dumps(result))
    return folder


def test_the_published_numbers_are_those_of_their_sources():
    published = published_scores()
    assert {column.key: column.num_rows for column in published.benchmarks} == FULL
    complete = {
        model.name: ([model.scores[key] for key in FULL], mean_of(list(model.scores.values())))
        for model in published.models
        if len(model.scores) == 6
    }
    assert complete == PUBLISHED
    assert {model.name: model.reported_mean for model in published.models if model.reported_mean} == {
        "SAIL-VL2-2B-Thinking": (40.9, 40.9),
        "Metis-HOME-7B and Metis-RISE-7B": (46.1, 46.4),
    }


def test_each_published_number_has_a_source_and_a_known_size_class():
    published = published_scores()
    groups = {group.name for group in published.size_classes}
    for model in published.models:
        assert model.source.text and model.size_class in groups
        assert model.source.date or "second hand" in model.source.text
        assert {*model.scores, *model.other_measures} <= FULL.keys()
        assert not model.scores.keys() & model.other_measures.keys()
        assert model.conditions.keys() <= {"judge", "prompt", "max_pixels", "max_completion_tokens"}


def test_a_mean_is_rounded_half_up():
    assert mean_of([83.4, 53.9, 71.1, 44.1, 66.7, 61.5]) == 63.5  # 63.45, which is 63.4499… as a float
    assert mean_of([1.0, 2.0]) == 1.5


def test_published_numbers_are_never_shown_as_measured_here(tmp_path):
    page = write_leaderboard_page([whole(tmp_path / "mine")], tmp_path / "board.html").read_text()
    lines = lines_of(page)
    assert len([look for look, _ in lines if look == "published"]) == len(published_scores().models) == 19
    for look, words in lines:
        assert ("measured by you" in words) == (look == "own")
        assert (" published " in words) == (look == "published")
    assert "none of them was measured by you or by vlaa-ray" in Page(page).words
    (ovis,) = [words for _, words in lines if words.startswith("Ovis2.5-9B")]
    assert ovis == (
        "Ovis2.5-9B published 83.4 53.9 71.1 44.1 66.7 61.5 63.5 arXiv 2508.11737 ; 2025-08 judge: not known · "
        "prompt: not known · max_pixels: not known · tokens of an answer: not known"
    )


def test_numbers_of_another_measure_have_a_star_and_no_mean(tmp_path):
    page = write_leaderboard_page([], tmp_path / "board.html").read_text()
    (words,) = [words for _, words in lines_of(page) if words.startswith("Qwen3-VL-4B")]
    assert "60.0 75.2 * MathVerse mini, not vision only 74.4 * average, not worst case – 61.1 – arXiv" in words
    assert "without any measured by you" in Page(page).words and "own" not in [look for look, _ in lines_of(page)]
    (metis,) = [words for _, words in lines_of(page) if words.startswith("Metis")]
    assert "46.1 to 46.4 as reported, without the six scores" in metis


def test_ones_own_result_stands_by_its_mean_with_its_conditions(tmp_path):
    whole(tmp_path / "mine", num_parameters=3_750_000_000, mean_of_six=45.0, conditions=CONDITIONS | {"judge": None})
    page = write_leaderboard_page([tmp_path / "mine"], tmp_path / "board.html").read_text()
    names = [words.split(" ")[0] for _, words in lines_of(page)]
    assert names[:6] == ["InternVL3.5-4B", "Ovis2.5-2B", "InternVL3.5-2B", "tiny", "ARES-3B", "SAIL-VL2-2B-Thinking"]
    (own,) = [words for look, words in lines_of(page) if look == "own"]
    for text in (
        "tiny (weight version 49) measured by you",
        "45.0 measured by you, mine/result.json; 2026-11-30",
        "Settings: paper · Style of the prompt: kit · System prompt: You first think",
        "Pixels of a picture, at most: 262,144 · Tokens of a prompt, at most: 4,096",
        "Judge: none; what rules can't settle stays unsettled and counts as wrong",
    ):
        assert text in own, own
    assert "*" not in own and "size class" not in own


def test_a_part_of_a_benchmark_does_not_count(tmp_path):
    make_evaluation(tmp_path / "mine", num_rows=2, benchmarks=("MathVista", "DynaMath"))
    page = write_leaderboard_page([tmp_path / "mine"], tmp_path / "board.html").read_text()
    own = [words for look, words in lines_of(page) if look == "own"]
    assert lines_of(page)[0][0] == "published"  # a result without a mean never stands on top
    assert len(own) == 2 and own[0] == own[1]  # the size is not known, so it stands in both groups
    assert "; 2 rows, not 1,000 – – " in own[0] and "; 2 rows, not 5,010 – – – measured by you" in own[0]
    assert "Its size class is not known, so it stands in each." in own[0]


def test_another_spelling_of_we_math_is_the_same_column(tmp_path):
    make_evaluation(tmp_path / "mine", num_rows=2, benchmarks=("WeMath",))
    path = tmp_path / "mine/result.json"
    path.write_text(path.read_text().replace('"WeMath": {', '"We-Math": {'))
    page = write_leaderboard_page([tmp_path / "mine"], tmp_path / "board.html").read_text()
    assert "2 rows, not 1,740" in page


def test_foreign_text_stays_text_and_nothing_runs(tmp_path):
    whole(tmp_path / "mine", model={"name": NASTY}, conditions={"name": NASTY, NASTY: NASTY, "judge": {"model": NASTY}})
    html = write_leaderboard_page([tmp_path / "mine"], tmp_path / "board.html").read_text()
    page = Page(html)
    assert not {"script", "iframe", "form", "link", "img"} & set(page.tags)
    links = {value for _, name, value in page.attributes if name in ("href", "src")}
    assert all(link.startswith(("#", "https://arxiv.org/abs/")) for link in links)
    assert page.words.count("<script>alert(1)</script>") >= 2 and page.tags.count("style") == 2
    assert "default-src 'none'" in html and "script-src" not in html


def test_the_command_writes_the_page(tmp_path, capsys):
    whole(tmp_path / "mine")
    out = tmp_path / "pages/board.html"
    assert main(["leaderboard", str(tmp_path / "mine"), "--out", str(out)]) == 0
    assert "Page:" in capsys.readouterr().out and "beside 1 measured by you" in out.read_text()
    assert main(["leaderboard", "--out", str(out)]) == 0
    make_evaluation(tmp_path / "own", num_rows=1, benchmarks=("my-rows",), rows=[])
    assert main(["leaderboard", str(tmp_path / "own"), "--out", str(tmp_path / "x.html")]) == 1
    error = capsys.readouterr().err
    assert "no benchmark of the leaderboard" in error and "my-rows" in error and not (tmp_path / "x.html").exists()
    assert main(["leaderboard", str(tmp_path), "--out", str(out)]) == 1
    assert "not the folder of an evaluation" in capsys.readouterr().err


def test_the_page_never_overwrites_a_result(tmp_path, capsys):
    whole(tmp_path / "mine")
    assert main(["leaderboard", str(tmp_path / "mine"), "--out", str(tmp_path / "mine/result.json")]) == 2
    assert "another file of this command" in capsys.readouterr().err
