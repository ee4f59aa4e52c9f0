"""The pages in a real browser: nothing is refused or fails, pictures are there, boxes lie on the right pixels."""

import json
import re
import shutil
from html import unescape

import pytest
from browser import NEEDS_BROWSER, browse
from curating import config as curation_config
from curating import sample
from pages import NASTY
from PIL import Image, ImageDraw

from vlaa_ray.cli import main
from vlaa_ray.curation.outputs import Outputs
from vlaa_ray.report import write_report
from vlaa_ray.report.curation_page import write_curation_page

pytestmark = NEEDS_BROWSER
WIDTH, HEIGHT = 1200, 3000
GOLD = (255, 176, 0)  # --gold of the style sheet
# The page allows no script, so another one looks into it
LOOKING = """<!doctype html><body style="margin:0">
<iframe src="PAGE" width="1200" height="3000" style="border:0"></iframe>
<pre id="seen"></pre><script>onload = () => {
const page = document.querySelector("iframe").contentDocument;
const place = (one) => (({left, top, right, bottom}) => [left, top, right, bottom])(one.getBoundingClientRect());
document.getElementById("seen").textContent = JSON.stringify({
  title: page.title, scripts: page.scripts.length, text: page.body.textContent,
  wide: page.documentElement.scrollWidth,
  images: [...page.images].map((one) => [one.complete, one.naturalWidth, one.naturalHeight]),
  boxes: [...page.querySelectorAll("rect.gold")].map((one) =>
    ({box: place(one), picture: place(one.closest(".picture").querySelector("img"))})),
})}</script>"""


def looked_at(tmp_path, site, page, width=WIDTH):
    """What the page is in the browser; fails if anything was written to the console."""
    (tmp_path / "looking.html").write_text(LOOKING.replace("PAGE", page).replace('"1200"', f'"{width}"'))
    dom, console = browse(tmp_path, "--virtual-time-budget=10000", "--dump-dom", f"{site}/looking.html")
    assert console == []
    return json.loads(unescape(re.search(r'<pre id="seen">(.*?)</pre>', dom, re.DOTALL)[1]))


def screenshot(tmp_path, site, page):
    path = tmp_path / "seen.png"
    browse(tmp_path, f"--screenshot={path}", f"--window-size={WIDTH},{HEIGHT}", f"{site}/{page}")
    return Image.open(path).convert("RGB")


@pytest.fixture
def data_page(tmp_path):
    """A blue rectangle, a quarter from the left and the top to the middle and three quarters, with gold boxes on it."""
    picture = Image.new("RGB", (800, 600), "white")
    ImageDraw.Draw(picture).rectangle((200, 150, 399, 449), fill=(0, 0, 255))
    picture.save(tmp_path / "a.png")
    row = {"image": "a.png", "question": "Where is it?", "verifier_type": "iou"}
    rows = [
        row | {"gt": [0.25, 0.25, 0.5, 0.75], "verifier_params": {"frame": "unit"}},
        row | {"gt": [250, 250, 500, 750], "verifier_params": {"frame": "rel1000"}},
        row | {"gt": [200, 150, 400, 450], "verifier_params": {"frame": "original_px"}},
        row
        | {
            "id": NASTY,
            "question": NASTY,
            "gt": NASTY,
            "verifier_type": "text",
            "answer": f"<think>{NASTY}<answer>{NASTY}",
        },
    ]
    (tmp_path / "train.jsonl").write_text("".join(json.dumps(one) + "\n" for one in rows))
    assert main(["data", "show", str(tmp_path / "train.jsonl"), "--out", str(tmp_path / "data.html")]) == 0
    return "data.html"


@pytest.fixture
def curation_page(tmp_path):
    """Of a sample in each set, and of a dropped one whose texts are hostile."""
    (tmp_path / "images/shapes").mkdir(parents=True)
    Image.new("RGB", (120, 80), "teal").save(tmp_path / "images/shapes/a.png")
    texts = dict.fromkeys(("question", "caption", "distilled", "rewritten", "verdict", "source", "sample_id"), NASTY)
    outputs = Outputs(curation_config(), tmp_path)
    for said in ("I see three.", "Wait, I see three."):
        outputs.take(sample(sample_id=said, solution=f"<think>{said}</think><answer>3</answer>", verdict="Yes"))
    outputs.take(sample(**texts, gold=NASTY).drop("verify", NASTY, NASTY * 20))
    outputs.write()
    return write_curation_page(tmp_path, outputs).name


def test_the_page_of_a_curation_is_whole(tmp_path, site, curation_page):
    seen = looked_at(tmp_path, site, curation_page)
    assert len(seen["images"]) == 3 and all(loaded and width > 0 for loaded, width, _ in seen["images"])
    assert seen["scripts"] == 0
    assert seen["text"].count("<script>alert(1)</script>") >= 8 and "{{ 7*7 }}" in seen["text"]


def test_boxes_of_the_data_page_lie_on_their_pixels(tmp_path, site, data_page):
    seen = looked_at(tmp_path, site, data_page)
    assert [loaded and width > 0 < height for loaded, width, height in seen["images"]] == [True] * 4
    assert len(seen["boxes"]) == 3
    shown = screenshot(tmp_path, site, data_page)
    for one in seen["boxes"]:
        left, top, right, bottom = one["picture"]
        width, height = right - left, bottom - top
        expected = [left + width / 4, top + height / 4, left + width / 2, top + height * 3 / 4]
        assert one["box"] == pytest.approx(expected, abs=1)
        x1, y1, x2, y2 = map(round, expected)
        middle = ((x1 + x2) // 2, (y1 + y2) // 2)
        assert shown.getpixel(middle) == pytest.approx((0, 0, 255), abs=12)
        assert shown.getpixel((x1 - 12, middle[1])) == pytest.approx((255, 255, 255), abs=12)
        for edge in ((x1, middle[1]), (x2, middle[1]), (middle[0], y1), (middle[0], y2)):
            near = [shown.getpixel((edge[0] + x, edge[1] + y)) for x in (-1, 0, 1) for y in (-1, 0, 1)]
            assert min(max(abs(a - b) for a, b in zip(pixel, GOLD, strict=True)) for pixel in near) <= 12


def test_hostile_text_is_shown_as_text(tmp_path, site, data_page):
    seen = looked_at(tmp_path, site, data_page)
    assert seen["scripts"] == 0 and len(seen["images"]) == 4
    assert seen["text"].count("<script>alert(1)</script>") >= 4 and "{{ 7*7 }}" in seen["text"]


def test_hostile_text_of_a_run_is_shown_as_text(tmp_path, site, make_run):
    run = make_run(num_steps=1, evaluate=False, rollouts=False)
    row = {"step": 1, "verifier_type": "mcq", "reward": 0.0, "question": NASTY, "gold": NASTY, "completion": NASTY}
    (run / "rollouts" / "step_000001.jsonl").write_text(json.dumps(row) + "\n")
    write_report(run)
    seen = looked_at(tmp_path, site, "demo/report.html")
    assert seen["scripts"] == 0 and seen["images"] == []
    assert seen["text"].count("<script>alert(1)</script>") == 3


def test_a_runs_report_is_whole(tmp_path, site, finished_run):
    shutil.copy(finished_run / "report.html", tmp_path / "report.html")
    seen = looked_at(tmp_path, site, "report.html")
    assert len(seen["images"]) == 20 and all(loaded and width > 0 for loaded, width, _ in seen["images"])
    assert len(seen["boxes"]) == 4
    gold = [0.25, 0.30, 0.65, 0.70]
    for one in seen["boxes"]:
        left, top, right, bottom = one["picture"]
        corners = [left + gold[0] * (right - left), top + gold[1] * (bottom - top)]
        assert one["box"][:2] == pytest.approx(corners, abs=1)


@pytest.mark.parametrize("width", [400, 1200])
def test_pages_are_no_wider_than_the_window(tmp_path, site, data_page, curation_page, finished_run, width):
    shutil.copy(finished_run / "report.html", tmp_path / "report.html")
    for page in (data_page, curation_page, "report.html"):
        assert looked_at(tmp_path, site, page, width)["wide"] <= width


def test_a_script_in_a_page_would_be_noticed(tmp_path, site, data_page):
    page = tmp_path / data_page
    page.write_text(page.read_text().replace("</main>", "<script>document.title = 'ran'</script></main>"))
    dom, console = browse(tmp_path, "--virtual-time-budget=10000", "--dump-dom", f"{site}/{data_page}")
    assert len(console) == 1 and "Content Security Policy" in console[0]
    assert "<title>ran</title>" not in dom
