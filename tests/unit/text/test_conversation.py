"""The conversation of a prompt: its turns, its one text, its JSON."""

import json

import pytest

from vlaa_ray.errors import DataError
from vlaa_ray.records import ImageRef, Prompt, Turn
from vlaa_ray.text.conversation import as_one_text, context_json, context_of, spoken_turns, texts_before

RED, BLUE, GREEN = (ImageRef(sha256=name, width_px=40, height_px=30) for name in ("red", "blue", "green"))
ASKED = Turn(role="user", text="How many?", num_images=1)
ANSWERED = Turn(role="assistant", text="6")


def prompt(question="And <image>?", images=(RED, BLUE), history=(ASKED, ANSWERED), system=None):
    return Prompt(
        prompt_id="p", question=question, gold="2", verifier_type="digit", source="s", images=images, history=history,
        system=system,
    )  # fmt: skip


def test_every_turn_has_its_own_images() -> None:
    turns = [("user", (None, "How many?")), ("assistant", ("6",)), ("user", ("And ", None, "?"))]
    assert [(turn.role, turn.parts) for turn in spoken_turns(prompt())] == turns
    alone = spoken_turns(prompt("What?", (RED,), ()))
    assert [(turn.role, turn.parts) for turn in alone] == [("user", (None, "What?"))]


@pytest.mark.parametrize(
    ("question", "images", "history"),
    [
        ("And <image>?", (RED,), (ASKED, ANSWERED)),
        ("And?", (RED,), (Turn(role="user", text="<image>?", num_images=0),)),
        ("And?", (), (Turn(role="user", text="<image>?", num_images=2),)),
    ],
)
def test_places_that_do_not_fit_their_turn_are_refused(question, images, history) -> None:
    with pytest.raises(DataError, match=r"the number of <image> in the question .*row='7'"):
        spoken_turns(prompt(question, images, history), row="7")


@pytest.mark.parametrize(
    ("images", "num_earlier", "expected"),
    [
        ((), 0, None),
        ((RED,), 0, RED),
        ((RED, BLUE), 0, RED),
        ((RED, BLUE), 1, BLUE),
        ((RED, BLUE, GREEN), 1, BLUE),
        ((RED, BLUE), 2, BLUE),
        ((RED,), 2, RED),
    ],
)
def test_a_gold_belongs_to_the_first_image_of_the_question_or_to_the_last_before_it(
    images, num_earlier, expected
) -> None:
    one = prompt("?", images, (Turn(role="user", text="a", num_images=num_earlier),))
    assert one.gold_image == expected


def test_one_text_has_what_stands_before_the_question() -> None:
    assert as_one_text(prompt("What?", (RED,), ())) == "What?"
    assert as_one_text(prompt()) == "user: <image>How many?\n\nassistant: 6\n\nuser: And <image>?"
    assert as_one_text(prompt("Why?", (RED, BLUE), (), "Be brief.")) == "system: Be brief.\n\nuser: <image><image>Why?"
    assert texts_before(prompt(system="A.")) == [
        ("the system text", "A."),
        ("an earlier turn", "How many?"),
        ("an earlier turn", "6"),
    ]


def test_json_holds_what_the_prompt_has_and_nothing_else() -> None:
    assert context_json(prompt("What?", (RED,), ())) == {}
    made = context_json(prompt(system="A."))
    assert made == {
        "system": "A.",
        "history": [
            {"role": "user", "text": "How many?", "num_images": 1},
            {"role": "assistant", "text": "6", "num_images": 0},
        ],
    }
    assert context_of(json.loads(json.dumps(made))) == ("A.", (ASKED, ANSWERED))
    assert context_of({"question": "?"}) == (None, ())


@pytest.mark.parametrize(
    "row",
    [
        {"system": 3},
        {"history": "a"},
        {"history": ["a"]},
        {"history": [{"role": "tool", "text": "a"}]},
        {"history": [{"role": "user", "text": None}]},
        {"history": [{"role": "user", "text": "a", "num_images": -1}]},
        {"history": [{"role": "user", "text": "a", "num_images": True}]},
    ],
)
def test_other_forms_of_json_are_refused(row) -> None:
    with pytest.raises(ValueError, match=r"`system`|`history`"):
        context_of(row)
