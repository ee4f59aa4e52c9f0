"""Samples into and out of each step, and the paper's Table 1."""

import io
import itertools

from curating import sample
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from vlaa_ray.curation.counts import METADATA, SPLIT, Counts, SourceCounts, reasons_table, sources_table
from vlaa_ray.curation.progress import CurationProgress, flow_table
from vlaa_ray.curation.sample import STEPS

NOTHING = {"spent": {}, "recalled": {}, "in_flight": 0}
FATES = st.sampled_from(["", METADATA, *STEPS])


def fated(use, at, source="shapes"):
    at = at if use == "distill" or at == METADATA else ""
    one = sample(use=use, source=source)
    return one.drop(at, f"why {at}") if at else one


def printed(table, width=200):
    out = io.StringIO()
    Console(file=out, width=width).print(table)
    return out.getvalue()


def by_hand():
    counts = Counts()
    for use, at in [
        ("distill", ""),
        ("distill", "distill"),
        ("distill", "verify"),
        ("distill", METADATA),
        ("as_is", ""),
    ]:
        counts.passed(fated(use, at))
    counts.passed(fated("rl_only", "", "other[bold]"))
    counts.count_selected(sample(), "sft")
    counts.count_selected(sample(source="other[bold]"), "rl")
    counts.count_capped(sample().drop(SPLIT, "over [the] limit"))
    return counts


def test_flows_by_hand():
    counts = by_hand()
    flows = {name: (flow.entered, flow.left) for name, flow in counts.steps.items()}
    assert flows == {
        "metadata": (6, 5), "caption": (3, 3), "distill": (3, 2), "rewrite": (2, 2), "verify": (2, 1), "split": (3, 2),
    }  # fmt: skip
    assert counts.sources == {"shapes": SourceCounts(5, 2, 1, 0), "other[bold]": SourceCounts(1, 1, 0, 1)}
    assert counts.done == 6


@given(st.lists(st.tuples(st.sampled_from(["distill", "as_is", "rl_only"]), FATES)))
def test_what_leaves_a_step_enters_the_next(counts_of_source):
    counts = Counts()
    for use, at in counts_of_source:
        counts.passed(fated(use, at))
    steps = counts.steps
    direct = sum(use != "distill" and at != METADATA for use, at in counts_of_source)
    assert steps[METADATA].entered == counts.done == len(counts_of_source)
    assert steps["caption"].entered == steps[METADATA].left - direct
    for before, after in itertools.pairwise(STEPS):
        assert steps[after].entered == steps[before].left
    assert steps[SPLIT].entered == steps["verify"].left + direct
    assert sum(flow.dropped.total() for flow in steps.values()) + steps[SPLIT].left == len(counts_of_source)


def test_tables():
    counts = by_hand()
    sources = printed(sources_table(counts))
    rows = [line.replace("│", " ").replace("┃", " ").split() for line in sources.splitlines()]
    assert ["shapes", "5", "2", "1", "0"] in rows and ["other[bold]", "1", "1", "0", "1"] in rows
    assert ["total", "6", "3", "1", "1"] in rows and ["source", "original", "pipeline", "SFT", "RL"] in rows
    reasons = printed(reasons_table(counts))
    assert "over [the] limit" in reasons and "why verify" in reasons
    calls = {
        "spent": {"verify": {"calls": 1234, "input_tokens": 1000, "output_tokens": 500, "cost": 1.5}},
        "recalled": {"verify": 7},
        "in_flight": 2,
    }
    rows = [line.replace("│", " ").split() for line in printed(flow_table(counts, calls)).splitlines()]
    assert ["verify", "2", "1", "1", "1,234", "7", "1,500", "1.50"] in rows
    assert ["caption", "3", "3", "0", "0", "0", "0", "0.00"] in rows and ["metadata", "6", "5", "1"] in rows


class Clock:
    now = 100.0

    def __call__(self):
        return self.now


def progress(num_samples, terminal=False):
    out, clock = io.StringIO(), Clock()
    console = Console(file=out, force_terminal=terminal, width=160)
    return CurationProgress(num_samples, console, clock), clock, out


def counted(number):
    counts = Counts()
    for _ in range(number):
        counts.passed(sample())
    return counts


def test_a_line_now_and_then_where_there_is_no_terminal():
    shown, clock, out = progress(1000)
    calls = {"spent": {"caption": {"calls": 2500, "cost": 1.25}}, "recalled": {}, "in_flight": 3}
    with shown:
        for second in range(25):
            clock.now = 100.0 + second
            shown.show(counted(10 * second), calls)
    lines = out.getvalue().splitlines()
    assert len(lines) == 2  # after 10 and 20 seconds
    assert lines[0].startswith("100/1,000 samples · 0 dropped · 2,500 calls · cost 1.25 · 3 in flight · ")
    assert lines[0].endswith("1 min 30 s left")  # 900 samples at 10 a second


def test_what_was_dropped_is_told_while_it_runs():
    counts = by_hand()
    shown, clock, out = progress(10)
    with shown:
        clock.now += 61
        shown.show(counts, NOTHING)
    lines = out.getvalue().splitlines()
    assert "  metadata: 6 in, 5 out; why metadata 1" in lines and "  caption: 3 in, 3 out" in lines
    shown, _, out = progress(10, terminal=True)
    with shown:
        shown.show(counts, NOTHING)
    assert "why verify" in out.getvalue()
    most = printed(reasons_table(counts, 1))
    assert sum(reason in most for reason in ("why metadata", "why verify", "over [the] limit")) == 1


def test_the_time_left_is_at_the_pace_of_the_last_minute():
    shown, clock, _ = progress(1000)
    shown.show(counted(0), NOTHING)
    assert shown.left_s(0) is None
    clock.now += 4
    shown.show(counted(4), NOTHING)
    assert shown.left_s(4) is None  # too short to say
    clock.now += 6
    shown.show(counted(100), NOTHING)
    assert shown.left_s(100) == 90  # 100 in 10 s, 900 to go
    clock.now += 60
    shown.show(counted(160), NOTHING)
    assert shown.left_s(160) == 840  # the last minute saw 60
    clock.now += 61
    shown.show(counted(160), NOTHING)
    assert shown.left_s(160) is None  # and this one nothing


def test_a_table_on_a_terminal():
    shown, _, out = progress(10, terminal=True)
    with shown:
        shown.show(counted(2), NOTHING)
        shown.note("a [note]")
    assert "2/10 samples" in out.getvalue() and "a [note]" in out.getvalue() and "recalled" in out.getvalue()
