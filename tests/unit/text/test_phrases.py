"""Phrases and openings, by hand."""

import time

import pytest

from vlaa_ray.config import REFLECTION_PHRASES
from vlaa_ray.text.openings import Openings, opening
from vlaa_ray.text.phrases import Phrases, phrase_keys


@pytest.mark.parametrize(
    ("text", "counts"),
    [
        ("Wait, let me double-check. Wait!", {"wait": 2, "double-check": 1}),  # no "check" inside "double-check"
        ("I  should\ncheck that again; check it.", {"i_should_check": 1, "again": 1, "check": 1}),
        ("The waiter leans against a checkered wall.", {}),
        ("ALTERNATIVELY: alternatively", {"alternatively": 2}),
        ("check check-check checks re-check", {"check": 4}),
        ("a_wait wait_a await 1wait", {}),
        ("I should confirm this. Hmm... a mistake", {"i_should_confirm": 1, "hmm": 1, "mistake": 1}),
        ("", {}),
    ],
)
def test_the_papers_phrases(text, counts):
    assert Phrases(REFLECTION_PHRASES).counts(text) == counts


def test_own_phrases_in_any_script():
    phrases = Phrases(["等等", "Let me  see", "再想"])
    assert phrases.keys == ["phrase", "let_me_see", "phrase_3"]
    assert phrases.counts("好的等等，让我再想想。等等") == {"phrase": 2, "phrase_3": 1}
    assert phrases.counts("let me see: LET ME SEE") == {"let_me_see": 2}


def test_names_are_one_a_phrase():
    assert phrase_keys(["Hm!", "hm?", " hm! ", "", "hm"]) == {"hm!": "hm", "hm?": "hm_2", "hm": "hm_3"}
    assert Phrases([]).counts("wait") == {}


def test_a_long_text_takes_no_square_of_time():
    def seconds(repeats):
        text = "wait check again hmm " * repeats
        start = time.process_time()
        assert Phrases(REFLECTION_PHRASES).counts(text)["check"] == repeats
        return time.process_time() - start

    seconds(100)
    assert seconds(20_000) < 40 * max(seconds(2_000), 1e-3)


@pytest.mark.parametrize(
    ("text", "first"),
    [
        ("<think>First, I look at the picture.", ("first", "i", "look")),
        ("  <think>\n\nFirst - I: LOOK", ("first", "i", "look")),
        ("The <think> is late", ("the", "think", "is")),
        ("3.5", ("3", "5")),
        ("<think></think>", ("think",)),
        ("...", ()),
    ],
)
def test_the_first_words(text, first):
    assert opening(text, 3) == first


def test_an_answer_that_begins_as_another_one_does():
    openings = Openings(["<think>Let us count the shapes.</think>", "I see", "", "Let us count them"], 3)
    assert len(openings) == 2
    assert openings.has("Let us count: two circles.") and openings.has("<think>let us COUNT")
    assert (
        openings.has("I see.")
        and not openings.has("I see two")
        and not openings.has("Let us see")
        and not openings.has("")
    )
