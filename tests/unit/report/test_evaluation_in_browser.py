"""The pages of evaluations in a real browser: filters, keys, hostile text, a phone's width, and no request."""

import json

import pytest
from browser import NEEDS_BROWSER, acted, browse
from evaluations import make_evaluation, paired_result, row
from pages import NASTY

from vlaa_ray.report.comparison_page import write_comparison_page
from vlaa_ray.report.evaluation_page import write_evaluation_page
from vlaa_ray.report.leaderboard_page import write_leaderboard_page

pytestmark = NEEDS_BROWSER


class Fixed:
    """A random generator whose chance is always the same: 0.1 makes a right row, 0.6 a wrong one, 0.9 an unsettled."""

    def __init__(self, chance):
        self.chance = chance

    def random(self):
        return self.chance


def rows_in(folder, verdicts, benchmark="MathVista", **changes):
    (folder / "images").mkdir(parents=True, exist_ok=True)
    return [row(folder, Fixed(chance), benchmark, number, **changes) for number, chance in enumerate(verdicts)]


@pytest.fixture
def page(tmp_path):
    """30 rows: MathVista right, wrong, unsettled in turn (the fifths by a judge), then 15 right ones of MathVision."""
    rows = rows_in(tmp_path, [0.1, 0.6, 0.9] * 5) + rows_in(tmp_path, [0.1] * 15, "MathVision")
    make_evaluation(tmp_path, rows=rows, benchmarks=("MathVista", "MathVision"))
    return write_evaluation_page(tmp_path).name


COUNT = 'parseInt(get("#count").textContent)'


def test_filters_leave_the_rows_that_they_name(tmp_path, site, page):
    steps = f"""
    const seen = {{ all: {COUNT} }};
    for (const [name, value] of [["benchmark", "MathVista"], ["verdict", "wrong"], ["settled", "judge"]]) {{
      choose(name, value);
      seen[name] = {COUNT};
    }}
    seen.shown = text("#row h3, #row .badge");
    get("[data-action=reset]").click();
    seen.reset = {COUNT};
    choose("verdict", "unsettled");
    choose("settled", "nothing");
    seen.unsettled = {COUNT};
    choose("settled", "rule");
    seen.none = [{COUNT}, get("#row").textContent];
    get("[data-action=reset]").click();
    await find("ANGLE NUMBER 14?");
    seen.search = {COUNT};
    get("[data-action=reset]").click();
    choose("benchmark", "MathVision");
    const select = get("select[data-filter=category]");
    seen.options = [...select.options].map((one) => one.textContent);
    choose("category", [...select.options].find((one) => one.textContent === "grade: level 2").value);
    seen.category = {COUNT};
    [...page.querySelectorAll("button[data-category]")].find((one) => one.textContent === "level 3").click();
    seen.button = [{COUNT}, select.selectedOptions[0].textContent];
    return seen;"""
    seen = acted(tmp_path, site, page, steps)
    assert seen["all"] == 30 and seen["benchmark"] == 15 and seen["verdict"] == 5
    # of the wrong rows 1, 4, 7, 10 and 13 a judge settled 10
    assert seen["settled"] == 1 and seen["shown"] == ["MathVista 10", "✗ wrong by a judge"]
    assert seen["reset"] == 30 and seen["unsettled"] == 5
    assert seen["none"] == [0, "No row is left by these filters."]
    assert seen["search"] == 2
    assert seen["options"][0] == "all" and len(seen["options"]) == 1 + 3 + 4
    # numbers 1, 5, 9, 13 of MathVision; 2, 6, 10, 14 of MathVista
    assert seen["category"] == 4 and seen["button"] == [4, "MathVista · grade: level 3"]


def test_keys_walk_through_the_rows(tmp_path, site, page):
    steps = """
    const at = () => get("#row h3").textContent;
    const seen = [at()];
    for (const key of ["j", "ArrowRight", "k", "ArrowLeft", "ArrowLeft"]) { press(key); seen.push(at()); }
    press("ArrowDown", "#list"); seen.push(at());
    press("ArrowUp", "#list"); seen.push(at());
    press("j", "input[type=search]"); seen.push(at());
    press("/");
    seen.push(page.activeElement.type);
    press("Escape", "input[type=search]");
    seen.push(page.activeElement.id);
    get("#entry-29").click();
    press("j");
    seen.push(at(), get("[aria-selected=true]").id);
    return seen;"""
    expected = [0, 1, 2, 1, 0, 0, 1, 0, 0]
    names = [f"MathVista {number}" for number in expected]
    assert acted(tmp_path, site, page, steps) == [*names, "search", "list", "MathVision 14", "entry-29"]


def test_a_row_shows_everything_that_is_known_of_it(tmp_path, site, page):
    steps = """
    press("j");
    await wait(300);
    const image = get("#row img");
    return { parts: text("#row pre span"), labels: text("#row .label"), gold: text("#row .gold-answer"),
      reason: text("#row .reason"), where: text("#row .where"), image: [image.complete, image.naturalWidth] };"""
    seen = acted(tmp_path, site, page, steps)
    assert seen["labels"] == ["Question", "Gold", "Extracted answer", "Reasoning", "Response"]
    thought, rest, answer = seen["parts"]
    assert thought.startswith("The triangle") and "<think>" not in thought and rest == answer == "<answer>2</answer>"
    assert seen["gold"] == ["1"] and seen["reason"] == ["2 is not 1"] and seen["image"] == [True, 240]
    assert seen["where"] == ["skill: figure question answering · grade: level 2", "41 tokens · ended by stop"]


def nasty_rows(folder):
    texts = dict.fromkeys(("benchmark", "index", "question", "gold", "extracted", "reason", "finish_reason"), NASTY)
    odd = NASTY + "\u2028\ud800\0<!--<script>"
    return rows_in(folder, [0.6, 0.6], **texts, prediction=f"<think>{odd}</think>{odd}", categories={NASTY: [NASTY]})


def test_hostile_text_is_shown_as_text(tmp_path, site):
    model = {"name": NASTY, "path": NASTY, "kind": NASTY}
    make_evaluation(tmp_path, rows=nasty_rows(tmp_path), benchmarks=("MathVista",), model=model)
    steps = """
    const counts = ["script", "img", "style"].map((tag) => page.querySelectorAll(tag).length);
    const display = view.getComputedStyle(get("#row")).display;
    return { counts, row: get("#row").textContent, title: get("h1").textContent, display };"""
    seen = acted(tmp_path, site, write_evaluation_page(tmp_path).name, steps)
    assert seen["counts"] == [3, 1, 2]
    # benchmark, index, category, label, question, gold, reason, extracted answer, thought, response, finish reason
    assert seen["row"].count("<script>alert(1)</script><img src=x onerror=alert(2)>") == 11
    assert seen["title"] == NASTY and "<!--<script>" in seen["row"] and seen["display"] != "none"


def test_a_comparison_shows_both_answers(tmp_path, site):
    for name, chances in (("a", [0.1, 0.1, 0.6, 0.9]), ("b", [0.1, 0.6, 0.1, 0.6])):
        make_evaluation(tmp_path / name, rows=rows_in(tmp_path / name, chances), benchmarks=("MathVista",), name=name)
    paired = paired_result(num_rows=4, only_a=1, only_b=1)
    page = write_comparison_page({"MathVista": paired}, tmp_path / "a", tmp_path / "b", tmp_path / "both.html")
    steps = f"""
    const seen = {{ all: {COUNT} }};
    for (const change of ["only_a", "only_b", "other"]) {{
      choose("change", change);
      seen[change] = [{COUNT}, ...text("#row h3, #row h4, #row .badge")];
    }}
    return seen;"""
    assert acted(tmp_path, site, page.name, steps) == {
        "all": 3,
        "only_a": [1, "MathVista 1", "A: a", "✓ right by a rule", "B: b", "✗ wrong by a rule"],
        "only_b": [1, "MathVista 2", "A: a", "✗ wrong by a rule", "B: b", "✓ right by a rule"],
        "other": [1, "MathVista 3", "A: a", "? unsettled", "B: b", "✗ wrong by a rule"],
    }


def test_ten_thousand_rows_are_listed_a_hundred_at_a_time(tmp_path, site):
    rows = rows_in(tmp_path, [0.1, 0.6])
    text = "x" * 3000
    rows = [rows[number % 2] | {"index": str(number), "question": f"{number}? {text}"} for number in range(10_000)]
    make_evaluation(tmp_path, rows=rows, benchmarks=("MathVista",))
    steps = f"""
    const entries = () => page.querySelectorAll(".entry").length;
    const seen = [entries(), get("#count").textContent];
    get("[data-action=later]").click();
    seen.push(get("#range").textContent, get("#row h3").textContent);
    const before = performance.now();
    await find("9876?");
    seen.push({COUNT}, entries());
    return seen;"""
    seen = acted(tmp_path, site, write_evaluation_page(tmp_path).name, steps)
    assert seen[:4] == [100, "10,000 of 10,000 rows.", "101 to 200", "MathVista 100"]
    assert seen[4:] == [1, 1]


def all_pages(tmp_path):
    make_evaluation(tmp_path / "a", num_rows=4)
    make_evaluation(tmp_path / "b", num_rows=4, seed=1, name="b" * 90)
    long = {"index": "i" * 90, "question": "q" * 400, "prediction": "p" * 400, "categories": {"c" * 90: ["l" * 90]}}
    rows = rows_in(tmp_path / "long", [0.6], "n" * 90, **long)
    make_evaluation(tmp_path / "long", rows=rows, benchmarks=("n" * 90,))
    paired = paired_result()
    write_comparison_page({"MathVista": paired}, tmp_path / "a", tmp_path / "b", tmp_path / "both.html")
    write_leaderboard_page([tmp_path / "a", tmp_path / "b"], tmp_path / "board.html")
    for name in ("a", "b", "long"):
        write_evaluation_page(tmp_path / name)
    return ("a/page.html", "b/page.html", "long/page.html", "both.html", "board.html")


def test_pages_are_no_wider_than_the_window_and_ask_for_nothing(tmp_path, served):
    site, requested = served
    pages = all_pages(tmp_path)
    steps = f"""
    const seen = {{}};
    for (const name of {json.dumps(pages)}) {{
      for (const width of [390, 1280]) {{
        frame.width = width;
        await new Promise((done) => {{ frame.onload = done; frame.src = name; }});
        await wait(200);
        seen[`${{name}} ${{width}}`] = frame.contentDocument.documentElement.scrollWidth;
      }}
    }}
    return seen;"""
    seen = acted(tmp_path, site, pages[0], steps)
    assert len(seen) == 10
    assert not {name: wide for name, wide in seen.items() if wide > int(name.split()[1])}
    asked = {path for path in requested if path != "/favicon.ico"}  # the browser asks for it for the outer page
    assert asked == {"/acting.html", *(f"/{page}" for page in pages)}


def test_another_script_in_a_page_is_refused(tmp_path, site, page):
    path = tmp_path / page
    path.write_text(path.read_text().replace("</main>", "<script>document.title = 'ran'</script></main>"))
    dom, console = browse(tmp_path, "--virtual-time-budget=5000", "--dump-dom", f"{site}/{page}")
    assert len(console) == 1 and "Content Security Policy" in console[0]
    assert "<title>ran</title>" not in dom and json.dumps("30 of 30 rows.")[1:-1] in dom
