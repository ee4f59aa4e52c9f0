"""`rollouts.html` in a real browser: filters, keys, boxes, hostile text, a phone's width, and no request."""

import pytest
from browser import NEEDS_BROWSER, acted
from many_rollouts import write_rollouts
from pages import NASTY

from vlaa_ray.report.rollouts_page import write_rollouts_page
from vlaa_ray.run.reader import RecordedRun

pytestmark = NEEDS_BROWSER
SET = """const set = async (name, value) => {
  const control = get(`[data-filter=${name}]`);
  control.value = value;
  control.dispatchEvent(new view.Event(control.matches("select") ? "change" : "input"));
  await wait(300);
};
const count = () => get("#count").textContent;
"""


def page_of(tmp_path, *size, **changes):
    run = write_rollouts(tmp_path / "made", *size, **changes)
    write_rollouts_page(RecordedRun.read(run))
    return "made/rollouts.html"


def test_filters_leave_the_rollouts_that_they_name(tmp_path, site):
    steps = """
    const seen = { all: count() };
    for (const [name, value] of [["step_from", 2], ["type", "iou"], ["reward_from", 0.5], ["reward_to", 0.75]]) {
      await set(name, value);
      seen[name] = count();
    }
    seen.dimmed = text("#row .other .badge");
    get("[data-action=reset]").click();
    await set("tokens_to", 11);
    seen.tokens = count();
    get("[data-action=reset]").click();
    await set("source", "source-2");
    seen.source = count();
    get("[data-action=reset]").click();
    await find("place 3 of step 1");
    seen.question = count();
    await find("ANOTHER ONE THAN IN 2");
    seen.reason = count();
    await find("no such text (");
    seen.nothing = [count(), get("#row").textContent];
    return seen;"""
    assert acted(tmp_path, site, page_of(tmp_path, 3, 4, 5), SET + steps) == {
        "all": "60 of 60 rollouts, in 12 groups.",
        "step_from": "40 of 60 rollouts, in 8 groups.",
        "type": "10 of 60 rollouts, in 2 groups.",
        "reward_from": "6 of 60 rollouts, in 2 groups.",
        "reward_to": "4 of 60 rollouts, in 2 groups.",
        "dimmed": ["reward 0.000", "reward 0.250", "reward 1.000"],
        "tokens": "24 of 60 rollouts, in 12 groups.",
        "source": "15 of 60 rollouts, in 3 groups.",
        "question": "5 of 60 rollouts, in 1 groups.",
        "reason": "3 of 60 rollouts, in 3 groups.",
        "nothing": ["0 of 60 rollouts, in 0 groups.", "No rollout is left by these filters."],
    }


def test_keys_walk_and_a_group_shows_its_picture_with_the_boxes_of_all(tmp_path, site):
    steps = """
    const seen = [];
    for (const key of ["j", "ArrowRight", "k", "j"]) {
      press(key);
      seen.push(text("#row h3, #row header .where").join(" "));
    }
    press("/");
    await wait(50);
    const picture = get(".picture img").getBoundingClientRect();
    const shares = (one) => {
      const { left, top, width, height } = one.getBoundingClientRect();
      return [(left - picture.left) / picture.width, (top - picture.top) / picture.height,
              width / picture.width, height / picture.height].map((share) => Math.round(20 * share) / 20);
    };
    return { seen, focused: page.activeElement.type, size: get(".picture img").naturalWidth,
             gold: [...page.querySelectorAll("rect.gold")].map(shares),
             predicted: [...page.querySelectorAll("rect.predicted")].map(shares),
             cards: text("#row .badge"), facts: text("#row .answer-of > .where")[0] };"""
    seen = acted(tmp_path, site, page_of(tmp_path, 1, 4, 2), steps)
    assert [line.partition(" source")[0] for line in seen["seen"]] == [
        "Step 1 · math", "Step 1 · iou", "Step 1 · math", "Step 1 · iou",
    ]  # fmt: skip
    assert seen["focused"] == "search" and seen["size"] == 320
    assert seen["gold"] == [[0.25, 0.25, 0.25, 0.5]] and seen["predicted"] == [[0.5, 0.25, 0.25, 0.25]] * 2
    assert seen["cards"] == ["reward 0.000", "reward 0.250"]
    assert seen["facts"] == "10 tokens · ended by stop · weight version 0 · advantage 0.123 · mean logprob -0.300"


def test_points_in_thousandths_lie_at_their_places_on_the_picture(tmp_path, site):
    placed = {"verifier_type": "points", "verifier_params": {"frame": "rel1000"}}
    page = page_of(tmp_path, 1, 1, 2, gold=[[250, 500]], extracted="(750, 250)", **placed)
    steps = """
    const picture = get(".picture img").getBoundingClientRect();
    const middle = (one) => {
      const { left, top, width, height } = one.getBoundingClientRect();
      return [(left + width / 2 - picture.left) / picture.width, (top + height / 2 - picture.top) / picture.height]
        .map((share) => Math.round(100 * share) / 100);
    };
    return ["gold", "predicted"].map((owner) => [...page.querySelectorAll(`path.${owner}`)].map(middle));"""
    assert acted(tmp_path, site, page, steps) == [[[0.25, 0.5]], [[0.75, 0.25]] * 2]


def test_hostile_text_is_shown_as_text_and_nothing_is_requested(tmp_path, served):
    site, requested = served
    texts = dict.fromkeys(("question", "gold", "completion", "extracted", "reason", "prompt_id", "source"), NASTY)
    page = page_of(tmp_path, 1, 1, 1, **texts)
    steps = """return { row: get("#row").textContent, display: view.getComputedStyle(get("#row")).display,
      counts: ["script", "img", "style"].map((tag) => page.querySelectorAll(tag).length) };"""
    seen = acted(tmp_path, site, page, steps)
    assert seen["counts"] == [3, 1, 2] and seen["display"] != "none"
    assert seen["row"].count("<script>alert(1)</script>") == 7
    assert sorted(path.rpartition("/")[2] for path in requested if "favicon" not in path) == [
        "acting.html", "rollouts.html",
    ]  # fmt: skip


@pytest.mark.parametrize("width", [360, 1280])
def test_the_page_is_no_wider_than_the_window(tmp_path, site, width):
    page = page_of(tmp_path, 1, 4, 6, prompt_id="long/" * 60, source="s" * 200, extracted="x" * 400)
    steps = (
        'press("j"); press("j"); return [page.documentElement.scrollWidth, get("#row .answer-of").offsetWidth > 200];'
    )
    wide, is_readable = acted(tmp_path, site, page, steps, width)
    assert wide <= width and is_readable
