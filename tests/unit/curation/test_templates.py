"""Prompts with slots: what fills them stays what it was."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vlaa_ray.curation.templates import Template, load_template
from vlaa_ray.errors import ConfigError

TEXTS = st.lists(
    st.sampled_from(["{caption}", "{question}", "{", "}", "{{", "\\boxed{x}", "\\1", "\\g<0>"]) | st.text(max_size=5)
).map("".join)


@given(TEXTS, TEXTS)
def test_what_fills_a_slot_is_not_looked_at(caption, question):
    filled = Template("C:{caption}|Q:{question}|").filled(caption=caption, question=question)
    assert filled == f"C:{caption}|Q:{question}|"


def test_other_braces_stay():
    template = Template(" Put it into \\boxed{} or \\frac{a}{b}; {} {other} {question}\n")
    assert template.filled(question="?") == "Put it into \\boxed{} or \\frac{a}{b}; {} {other} ?"


@pytest.mark.parametrize("step", ["caption", "distill", "rewrite", "verify"])
def test_ours_leave_no_slot_open(step):
    values = dict.fromkeys(("caption", "question", "side_information", "input", "gold", "answer"), "VALUE")
    filled = load_template(step, None).filled(**values)
    assert not set(values) & {word.strip("{}") for word in filled.split() if word.startswith("{")}
    assert filled == filled.strip() and "VALUE" in filled


def test_a_file_of_the_users(tmp_path):
    file = tmp_path / "verify.txt"
    file.write_text("Ist {gold} gleich {answer}? {question}\n", encoding="utf-8")
    assert load_template("verify", str(file)).filled(gold="drei", answer="3", question="") == "Ist drei gleich 3?"


@pytest.mark.parametrize(
    ("step", "text", "lacks"),
    [
        ("distill", "Q: {question}", "{caption}"),
        ("distill", "nothing", "{caption}, {question}"),
        ("rewrite", "Change {Input}", "{input}"),
        ("verify", "{gold} and { answer }", "{answer}"),
    ],
)
def test_a_missing_slot_is_named(tmp_path, step, text, lacks):
    file = tmp_path / "mine.txt"
    file.write_text(text)
    with pytest.raises(ConfigError) as caught:
        load_template(step, str(file))
    assert caught.value.message == f"steps.{step}.template lacks {lacks}"
    assert caught.value.facts["file"] == str(file) and caught.value.fix


@pytest.mark.parametrize("content", [None, b"\xff\xfe{input}"])
def test_a_file_that_cannot_be_read_is_named(tmp_path, content):
    file = tmp_path / "mine.txt"
    if content:
        file.write_bytes(content)
    with pytest.raises(ConfigError, match=r"steps\.rewrite\.template: can't read the file") as caught:
        load_template("rewrite", str(file))
    assert caught.value.facts["file"] == str(file)
