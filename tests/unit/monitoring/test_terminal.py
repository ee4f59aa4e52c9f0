"""What a run shows on a terminal, and as plain lines where there is none."""

import io

import pytest
from rich.console import Console

from vlaa_ray.monitoring.terminal import Progress, _sparkline
from vlaa_ray.text.durations import duration

METRICS = {
    "reward/mean": 0.6844,
    "reward/digit/mean": 0.71,
    "reward/iou/mean": 0.5,
    "throughput/samples_per_s": 412.3,
    "policy/loss": 0.01,
}


class Clock:
    def __init__(self):
        self.now = 0.0

    def __call__(self):
        return self.now


def plain_console():
    return Console(file=io.StringIO(), width=40)


def test_without_a_terminal_a_step_is_one_plain_line_however_long():
    console, clock = plain_console(), Clock()
    with Progress(80, console, clock=clock) as progress:
        progress.phase("rollout")
        progress.step(1, METRICS)
        clock.now = 2.0
        progress.step(2, METRICS | {"eval/reward/mean": 0.7, "eval/reward/iou/mean": 0.55})
    first, second = console.file.getvalue().splitlines()
    assert first == "step  1/80 · reward 0.684 (digit 0.71, iou 0.50) · 412 samples/s"
    assert second.endswith("held-out reward 0.700 (iou 0.55) · 412 samples/s · 2 min 36 s left")
    assert "\x1b" not in console.file.getvalue()


def test_a_supervised_step_shows_its_loss_and_null_is_left_out():
    console = plain_console()
    with Progress(5, console) as progress:
        progress.step(1, {"policy/loss": 1.23456, "policy/kl": None, "reward/mean": None})
    assert console.file.getvalue() == "step 1/5 · loss 1.235\n"


def test_held_out_figures_of_supervised_steps_have_their_own_names():
    console = plain_console()
    with Progress(5, console) as progress:
        progress.step(1, {"policy/loss": 1.25, "eval/loss": 1.5})
        progress.step(2, {"policy/loss": 0.5, "pairs/accuracy": 0.75, "eval/pairs/accuracy": 0.625})
    first, second = console.file.getvalue().splitlines()
    assert first == "step 1/5 · loss 1.25 · held-out loss 1.5"
    assert second.startswith("step 2/5 · loss 0.5 · accuracy on pairs 0.75 · held-out accuracy on pairs 0.625")


def test_on_a_terminal_a_loss_says_that_lower_is_better_and_is_no_reward():
    console = Console(file=io.StringIO(), force_terminal=True, width=120, color_system=None)
    with Progress(5, console) as progress:
        progress.step(1, {"policy/loss": 1.25, "eval/loss": 1.5})
        console.file.truncate(0)
        progress._live.refresh()
        drawn = console.file.getvalue()
    for text in ("loss (lower is better)", "1.250", "held-out", "1.500"):
        assert text in drawn, text
    assert "reward" not in drawn and "accuracy" not in drawn


def test_the_number_of_steps_may_come_later():
    console = plain_console()
    with Progress(None, console) as progress:
        progress.step(1, {"policy/loss": 1.25})
        progress.plan(12)
        progress.step(2, {"policy/loss": 1.0})
    first, second = console.file.getvalue().splitlines()
    assert first == "step 1 · loss 1.25"
    assert second.startswith("step  2/12 · loss 1 · ")


def test_held_out_rewards_of_a_supervised_run_are_beside_its_loss():
    console = Console(file=io.StringIO(), force_terminal=True, width=120, color_system=None)
    with Progress(5, console) as progress:
        progress.step(1, {"policy/loss": 1.25, "eval/loss": 1.5, "eval/reward/mean": 0.5, "eval/reward/iou/mean": 0.75})
        console.file.truncate(0)
        progress._live.refresh()
        drawn = console.file.getvalue()
    for text in ("loss (lower is better)", "1.250", "1.500", "mean", "0.500", "iou", "0.750"):
        assert text in drawn, text


def test_time_left_follows_the_pace_of_the_last_steps():
    clock = Clock()
    progress = Progress(100, plain_console(), clock=clock)
    assert progress.left_s() is None
    for step in range(40, 61):  # a resumed run: 5 s a step
        clock.now = 5.0 * step
        progress.step(step, {})
    assert progress.left_s() == 40 * 5.0
    for step in range(61, 101):  # then 1 s a step
        clock.now += 1.0
        progress.step(step, {})
        if step == 90:
            assert progress.left_s() == 10.0
    assert progress.left_s() is None


def test_a_note_is_printed_as_it_is():
    console = plain_console()
    with Progress(5, console) as progress:
        progress.note("rollout actor [bold]0[/bold] was lost: exit signal 9; it is being replaced with a new one")
    line = "rollout actor [bold]0[/bold] was lost: exit signal 9; it is being replaced with a new one\n"
    assert console.file.getvalue() == line


def test_on_a_terminal_phase_step_rewards_and_pace_are_drawn():
    console = Console(file=io.StringIO(), force_terminal=True, width=120, color_system=None)
    clock = Clock()
    with Progress(80, console, clock=clock) as progress:
        for step in (1, 2):
            clock.now += 3.0
            progress.step(step, METRICS | {"eval/reward/mean": 0.61})
        progress.phase("weight sync")
        clock.now += 1.5
        console.file.truncate(0)
        progress._live.refresh()
        drawn = console.file.getvalue()
    for text in (
        "step 2/80",
        "412 samples/s",
        "3 min 54 s left",
        "weight sync  1.5 s",
        "0.684",
        "0.710",
        "0.610",
        "held-out",
    ):
        assert text in drawn, text
    assert "done" in console.file.getvalue()


def test_an_interrupted_run_does_not_say_done():
    console = Console(file=io.StringIO(), force_terminal=True, width=120, color_system=None)
    with pytest.raises(KeyboardInterrupt), Progress(3, console):
        raise KeyboardInterrupt
    assert "stopped" in console.file.getvalue() and "done" not in console.file.getvalue()


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0.0 s"),
        (9.94, "9.9 s"),
        (9.96, "10 s"),
        (59.4, "59 s"),
        (59.6, "1 min 00 s"),
        (200, "3 min 20 s"),
        (3599.6, "1 h 00 min"),
        (7500, "2 h 05 min"),
    ],
)
def test_durations_are_readable(seconds, text):
    assert duration(seconds) == text


def test_sparklines_span_their_own_range():
    assert _sparkline([0.0, 0.5, 1.0], width=8) == "▁▅█"
    assert _sparkline([0.3, 0.3], width=8) == "▄▄"
    assert _sparkline([0.3], width=8) == ""
    assert _sparkline(range(20), width=3) == "▁▅█"
