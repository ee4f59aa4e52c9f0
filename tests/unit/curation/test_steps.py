"""Steps 2 to 5 of one sample, with teachers that answer whatever a test wants."""

import asyncio

import pytest
from curating import CAPTION, config, sample
from hypothesis import given, settings
from hypothesis import strategies as st

from vlaa_ray.curation.answers import num_words
from vlaa_ray.curation.sample import STEPS
from vlaa_ray.curation.steps import Call, Steps
from vlaa_ray.services.call_store import Reply
from vlaa_ray.text.answers import extract_answer

THOUGHT = "<think>\nThe caption says three circles.\n</think>\n\nSo it is \\boxed{3}."
GOOD = {
    "caption": CAPTION,
    "distill": THOUGHT,
    "rewrite": THOUGHT.replace("caption says", "picture shows"),
    "verify": "Yes",
}


class Teacher:
    """Answers a step with its texts (or replies) in turn, the last one for ever; collects what it was asked."""

    def __init__(self, **replies):
        self.replies = {step: replies.get(step, text) for step, text in GOOD.items()}
        self.calls: list[Call] = []

    async def ask(self, call):
        self.calls.append(call)
        given = self.replies[call.step]
        given = given if isinstance(given, list) else [given]
        reply = given[min(call.attempt, len(given) - 1)]
        return reply if isinstance(reply, Reply) else Reply(text=reply)

    @property
    def asked(self):
        return [(call.step, call.attempt) for call in self.calls]


def run(teacher, one=None, **changes):
    return asyncio.run(Steps(config(**changes)).run(one or sample(), teacher.ask))


def test_a_good_sample_passes_and_is_what_sft_wants():
    teacher = Teacher()
    done = run(teacher)
    assert teacher.asked == [(step, 0) for step in STEPS]
    assert (done.dropped_at, done.verdict, done.caption) == ("", "Yes", CAPTION)
    assert done.distilled == THOUGHT and done.rewritten == GOOD["rewrite"]
    assert done.solution == "<think>The picture shows three circles.</think><answer>3</answer>"


def test_only_captioning_is_shown_the_picture():
    teacher = Teacher()
    run(teacher)
    assert [call.image for call in teacher.calls] == ["shapes/a.png", None, None, None]
    assert [call.image_sha256 for call in teacher.calls] == ["ab" * 32, None, None, None]


def test_what_each_step_is_told():
    teacher = Teacher()
    one = sample(
        question="<image>How many {caption} \\frac{1}{2} {gold}?", side_information="{input} in a scene", gold=3
    )
    run(teacher, one)
    captioning, distilling, rewriting, verifying = (call.prompt for call in teacher.calls)
    known = "Known about the picture:\n```\n{input} in a scene\n```"
    assert captioning.endswith(known) and known in distilling
    assert "```\nHow many {caption} \\frac{1}{2} {gold}?\n```" in distilling and "<image>" not in distilling
    assert f"```\n{CAPTION}\n```" in distilling
    assert rewriting.endswith(THOUGHT)
    assert "Reference:\n```\n3\n```" in verifying and "Answer:\n```\n3\n```" in verifying


def test_nothing_is_said_of_side_information_that_is_not_there():
    teacher = Teacher()
    run(teacher)
    assert not any("Known about" in call.prompt or "{side_information}" in call.prompt for call in teacher.calls)


@pytest.mark.parametrize(
    ("gold", "shown"),
    [
        (3, "3"),
        ("A or B", "A or B"),
        ([0.1, 0.2, 0.7, 0.5], "[0.1, 0.2, 0.7, 0.5]"),
        (None, "null"),
        ("größer", "größer"),
    ],
)
def test_golds_as_the_verifier_reads_them(gold, shown):
    teacher = Teacher()
    run(teacher, sample(gold=gold))
    assert f"Reference:\n```\n{shown}\n```" in teacher.calls[-1].prompt


def test_a_caption_of_the_sources_own_saves_the_call():
    teacher = Teacher()
    done = run(teacher, sample(caption="Short."))
    assert [step for step, _ in teacher.asked] == ["distill", "rewrite", "verify"]
    assert done.caption == "Short." and "```\nShort.\n```" in teacher.calls[0].prompt


@pytest.mark.parametrize("use", ["as_is", "rl_only"])
def test_what_is_not_to_be_distilled_asks_nothing(use):
    teacher, one = Teacher(), sample(use=use, solution="<think>.</think><answer>3</answer>")
    assert run(teacher, one) == one and not teacher.calls


def test_what_was_dropped_before_asks_nothing():
    teacher, one = Teacher(), sample().drop("metadata", "not exactly one picture")
    assert run(teacher, one) == one and not teacher.calls


def words(count):
    return " ".join(["word"] * count)


@pytest.mark.parametrize("more", [-16, -15, 0, 15, 16])
@pytest.mark.parametrize("glued", [False, True])
def test_the_rule_of_fifteen_words(more, glued):
    """Blanks round the tags are no words of the text."""
    rewritten = f"<think>\n{words(40 + more)}\n</think>\n\n\\boxed{{3}}"
    rewritten = f"<think>{words(40 + more)}</think>\\boxed{{3}}" if glued else rewritten
    done = run(Teacher(distill=f"<think>{words(40)}</think>\\boxed{{3}}", rewrite=rewritten))
    if abs(more) <= 15:
        assert done.dropped_at == ""
    else:
        assert (done.dropped_at, done.reason, done.detail) == (
            "rewrite",
            "the rewriting changed the length by over 15 words",
            "16 words",
        )


def test_the_rule_may_be_another_or_none():
    changed = GOOD["rewrite"].replace("three", words(100))
    assert run(Teacher(rewrite=changed)).dropped_at == "rewrite"
    assert run(Teacher(rewrite=changed), steps={"rewrite": {"max_length_gap_words": None}}).dropped_at == ""
    longer = GOOD["rewrite"].replace("three", "three red")
    assert run(Teacher(rewrite=longer), steps={"rewrite": {"max_length_gap_words": 0}}).detail == "1 words"


def test_thinking_that_is_sent_apart():
    done = run(Teacher(distill=Reply(text="So it is \\boxed{3}.", thought="The caption says three circles.")))
    assert done.distilled == THOUGHT and done.dropped_at == ""


CUT = Reply(text="<think>on and on", finish_reason="length")
USELESS = [
    ("caption", "~~~", "the caption has only 1 words: '~~~'"),
    ("caption", "", "the caption has only 0 words: ''"),
    ("caption", Reply(text=CAPTION, finish_reason="length"), "the reply was cut off at steps.caption.max_tokens"),
    ("distill", "It is 3.", "the reply does not begin with <think>…</think>"),
    ("distill", CUT, "the reply was cut off at steps.distill.max_tokens"),
    ("distill", Reply(text="", thought="Only thinking."), "there is no answer after the thinking"),
    ("rewrite", "Here you are!", "the reply does not begin with <think>…</think>"),
    ("rewrite", CUT, "the reply was cut off at steps.rewrite.max_tokens"),
    ("verify", "They agree.", "the reply is neither Yes nor No: 'They agree.'"),
    ("verify", "", "the reply is neither Yes nor No: ''"),
    ("verify", Reply(text="Yes", finish_reason="length"), "the reply was cut off at steps.verify.max_tokens"),
]


@pytest.mark.parametrize(("step", "useless", "why"), USELESS)
def test_a_useless_reply_is_asked_for_again(step, useless, why):
    teacher = Teacher(**{step: [useless, useless, GOOD[step]]})
    assert run(teacher).dropped_at == ""
    assert [attempt for name, attempt in teacher.asked if name == step] == [0, 1, 2]
    assert len({call.prompt for call in teacher.calls if call.step == step}) == 1


@pytest.mark.parametrize(("step", "useless", "why"), USELESS)
def test_useless_replies_in_the_end_drop_the_sample(step, useless, why):
    teacher = Teacher(**{step: useless})
    done = run(teacher, steps={"max_replies": 2})
    assert (done.dropped_at, done.reason, done.detail) == (step, "no usable reply in 2 attempts", why)
    assert teacher.asked[-1] == (step, 1)  # and no later step was asked


@pytest.mark.parametrize("step", STEPS)
def test_a_refusal_is_not_asked_again(step):
    teacher = Teacher(**{step: Reply(refused="400: against our rules")})
    done = run(teacher)
    assert (done.dropped_at, done.reason) == (step, "the teacher gave no reply")
    assert done.detail == "400: against our rules" and teacher.asked[-1] == (step, 0)


@pytest.mark.parametrize("text", ["Yes", "yes.", " YES \n", "**Yes**", '"Yes."', "Yes!"])
def test_forms_of_yes(text):
    assert run(Teacher(verify=text)).verdict == "Yes"


@pytest.mark.parametrize("text", ["No", "no.", "**No**"])
def test_a_no_drops_the_sample(text):
    done = run(Teacher(verify=text))
    assert (done.verdict, done.dropped_at, done.reason) == ("No", "verify", "the answer differs from the gold")


@pytest.mark.parametrize("text", ["Yes and No", "Not sure", "Yesterday", "Yes, since"])
def test_what_is_neither(text):
    assert run(Teacher(verify=text)).dropped_at == "verify"


def test_a_long_detail_is_cut():
    assert len(run(Teacher(caption=Reply(refused="x" * 10_000))).detail) == 500


REPLIES = st.builds(
    Reply,
    text=st.sampled_from([*GOOD.values(), "", "No", "~~~", "<think>", "</think>x"]) | st.text(max_size=30),
    thought=st.none() | st.text(max_size=10),
    finish_reason=st.sampled_from(["stop", "length", "tool_calls"]),
    refused=st.sampled_from(["", "", "", "no"]),
)


@settings(max_examples=300)
@given(
    st.lists(REPLIES, min_size=1, max_size=12),
    st.sampled_from(["distill", "as_is", "rl_only"]),
    st.sampled_from(["digit", "mcq", "math", "open_ended"]),
    st.booleans(),
)
def test_whatever_teachers_say_a_sample_ends_in_one_state(replies, use, kind, captioned):
    made, calls = iter(replies), []

    async def ask(call):
        calls.append(call)
        return next(made, Reply(text=GOOD[call.step]))

    before = sample(use=use, verifier_type=kind, caption=CAPTION if captioned else "")
    done = asyncio.run(Steps(config()).run(before, ask))
    assert type(done).from_json(done.to_json()) == done
    steps = [call.step for call in calls]
    assert steps == sorted(steps, key=STEPS.index)  # in their order, and never back
    assert all(
        [call.attempt for call in calls if call.step == step] == list(range(steps.count(step))) for step in steps
    )
    assert max((steps.count(step) for step in steps), default=0) <= 3
    if use != "distill":
        assert done == before and not calls
    elif done.dropped_at:
        assert done.dropped_at == steps[-1] and done.reason
    else:
        assert done.verdict == "Yes" and set(steps) == set(STEPS[captioned:])
        assert extract_answer(done.solution, "exactly_one") and done.solution.startswith("<think>")
        assert abs(num_words(done.rewritten) - num_words(done.distilled)) <= 15


def test_the_longest_calls_are_as_long_as_any_can_be():
    """Each reply fills its max_tokens; every real call of the sample is at most as long."""
    steps = {"distill": {"max_tokens": 60}, "rewrite": {"max_tokens": 60}}
    longest = list(Steps(config(steps=steps)).longest_calls(sample()))
    assert [call.step for call in longest] == list(STEPS)
    assert [call.image is None for call in longest] == [False, True, True, True]
    answer = "x" * (round(60 * 3.5) - len("<think>.</think>"))
    teacher = Teacher(caption="x y z a b", distill=f"<think>.</think>{answer}", rewrite=f"<think>.</think>{answer}")
    run(teacher, steps=steps)
    for real, bound in zip(teacher.calls, longest, strict=True):
        assert len(real.prompt) <= len(bound.prompt) + len("<think>\n\n</think>\n\n"), real.step
    assert [call.step for call in Steps(config()).longest_calls(sample(caption=CAPTION))] == list(STEPS[1:])


def test_a_sample_is_one_line_and_comes_back_equal():
    one = sample(question="a\nb\u2028c\x85\ud800", gold={"x": [1, None]}, verifier_params={"frame": "unit"})
    assert len(one.to_json().splitlines()) == 1 and one.to_json().isascii()
    assert type(one).from_json(one.to_json()) == one
