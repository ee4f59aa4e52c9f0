r"""Answers as models write them: the right one and a wrong one in many forms, and answers that settle nothing.

next(written_choices("B", "7 cm", "D", "9 cm"))  -> Written("letter", "B", True)
"""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from typing import NamedTuple


class Written(NamedTuple):
    """The name of the form, the answer, and whether a reader takes it for right (None: that depends on the rules)."""

    form: str
    text: str
    right: bool | None


_WORDS = "zero one two three four five six seven eight nine ten eleven twelve".split()
_THOUGHT = "<think>\nIs it {other}? No: I count again.\n</think>\n"
_CHOICES = {
    "letter": "{letter}",
    "letter in parentheses": "({letter})",
    "letter with a full stop": "{letter}.",
    "letter and text": "{letter}. {text}",
    "letter in parentheses and text": "({letter}) {text}",
    "letter: text": "{letter}: {text}",
    "small letter": "{small}",
    "small letter in parentheses": "({small})",
    "bold letter": "**{letter}**",
    "letter in a line above its text": "{letter}\n{text}",
    "option letter": "Option {letter}",
    "letter in dollars": "$({letter})$",
    "the answer is text": "We count the squares. The answer is {text}.",
    "under a heading": "### Reasoning\nWe count.\n\n### Answer\n{letter}",
    "each option weighed": "{other}. {other_text}: too far from what we count.\n{letter}. {text}: this fits.\n\n"
    "The answer is {letter}.",
    "choosing": "I would choose {letter}, since it fits best.",
    "text alone": "{text}",
    "box": "We count the squares. \\boxed{{{letter}}}",
    "box with text": "We count the squares. $\\boxed{{\\text{{{letter}}}}}$",
    "box with letter and text": "\\boxed{{({letter}) {text}}}",
    "box with the option's text": "We count the squares. \\boxed{{{text}}}",
    "the answer is (letter)": "We count the squares.\n\nThe answer is ({letter}).",
    "the answer is letter": "The correct answer is {letter}.",
    "so the answer is letter: text": "We count the squares. So the answer is {letter}: {text}",
    "ANSWER: letter": "We count the squares.\n\nANSWER: {letter}",
    "ANSWER: [letter]": "We count the squares.\n\nANSWER: [{letter}]",
    "bold answer": "We count the squares.\n\n**Answer: {letter}**",
    "option letter is correct": "There are fewer than in the others, therefore option {letter} is correct.",
    "tags": "<think>I count the squares.</think><answer>{letter}</answer>",
    "tags after a thought of another": _THOUGHT + "<answer>{letter}</answer>",
    "tags with text": "<think>I count the squares.</think><answer>{text}</answer>",
    "tags with letter and text": "<think>I count the squares.</think><answer>({letter}) {text}</answer>",
    "after a thought": _THOUGHT + "\nThe answer is {letter}.",
    "not the other": "The answer is not {other}. It is {letter}.",
    "letter, not the other": "ANSWER: {letter}, not {other}",
    "letter rather than the other": "It must be {letter} rather than {other}.",
    "revised": "The answer is {other}. Wait, I counted one twice. The answer is {letter}.",
    "courtesy": "ANSWER: {letter}\n\nI hope this helps! Let me know if you have more questions.",
    "reason behind it": "{letter}\n\nExplanation: {other} has too many squares.",
    "chinese": "我们来数一数。答案是 {letter}。",
    "chinese label": "我们来数一数。\n答案：{letter}",
    "next question": "{letter}\n\nQuestion: How many are blue?\nAnswer: {other}",
    "json": '{{"solution": "We count the squares.", "short answer": "{letter}"}}',
}
_UNSETTLED_CHOICES = {
    "empty": "",
    "refusal": "I'm sorry, but I can't see the picture.",
    "don't know": "I don't know.",
    "one of two": "It is {letter} or {other}.",
    "both": "{letter} and {other}",
    "list": "{letter}, {other}",
    "all options": "A, B, C, D",
    "none": "None of the above.",
    "only denied": "The answer is not {other}.",
    "unfinished thought": "<think>It must be {letter}, because",
    "only a thought": "<think>It is {letter}.</think>",
    "empty tags": "<think>It is {letter}.</think><answer></answer>",
    "no option": "The answer is 99.",
    "letter out of range": "The answer is (Z).",
}
_VALUES = {
    "value": "{value}",
    "value with a full stop": "{value}.",
    "decimal": "{decimal}",
    "number word": "{word}",
    "about": "about {value}",
    "under a heading": "### Reasoning\nWe add 3 and 4.\n\n### Answer\n{value}",
    "equation in dollars": "We add: $3 + 4 = {value}$",
    "root": "\\boxed{{\\sqrt{{{square}}}}}",
    "sentence": "There are {value} squares.",
    "unit": "{value} cm",
    "bold value": "**{value}**",
    "dollars": "${value}$",
    "box": "We count: $3 + 4$. \\boxed{{{value}}}",
    "box with a unit": "\\boxed{{{value}\\text{{ cm}}}}",
    "box in a formula": "$n = \\boxed{{{value}}}$",
    "equation": "n = {value}",
    "the answer is": "We add 3 and 4.\n\nThe answer is {value}.",
    "the final answer is bold": "We add 3 and 4.\n\nThe final answer is: **{value}**",
    "ANSWER:": "We add 3 and 4.\n\nANSWER: {value}",
    "so there are": "We see 3 rows. Two are missing. So there are {value} squares.",
    "sum": "3 rows and 2 more: the number is {value}",
    "reason behind it": "{value}, because 3 + 4 = 7",
    "tags": "<think>I count 3 and 4.</think><answer>{value}</answer>",
    "tags with a unit": "<think>I count.</think><answer>{value} cm</answer>",
    "tags after a thought of another": "<think>\nIs it {other}? No.\n</think>\n<answer>{value}</answer>",
    "after a thought": "<think>\nIs it {other}? No.\n</think>\n\nThe answer is {value}.",
    "product": "\\boxed{{2 \\times {value} / 2}}",
    "fraction": "\\boxed{{\\frac{{{twice}}}{{2}}}}",
    "slash": "The answer is {twice}/2.",
    "revised": "The answer is {other}. Wait, I counted one twice. The answer is {value}.",
    "not the other": "It is not {other}, but {value}.",
    "courtesy": "The answer is {value}.\n\nI hope this helps! Let me know if you have more questions.",
    "chinese": "答案是 {value}。",
    "json": '{{"solution": "We count 3 and 4.", "short answer": "{value}"}}',
    "next question": "{value}\n\nQuestion: How many are blue?\nAnswer: {other}",
}
_UNSETTLED_VALUES = {
    "empty": "",
    "refusal": "I'm sorry, but I can't see the picture.",
    "one of two": "It is {value} or {other}.",
    "one of two, boxed": "\\boxed{{{value} \\text{{ or }} {other}}}",
    "range": "between {value} and {other}",
    "only denied": "The answer is not {value}.",
    "unfinished thought": "<think>It must be {value}, because",
    "only a thought": "<think>It is {value}.</think>",
    "empty tags": "<think>It is {value}.</think><answer></answer>",
    "negative": "-{value}",
}
_NEAR_VALUES = {"percent": "{value}%", "one digit more": "{value}1", "nearly": "{nearly}"}


def written_choices(letter: str, text: str, other: str, other_text: str) -> Iterator[Written]:
    """Yield the right option in every form, the wrong one in every form, and answers that settle nothing."""
    right = {"letter": letter, "small": letter.lower(), "text": text, "other": other, "other_text": other_text}
    wrong = {"letter": other, "small": other.lower(), "text": other_text, "other": letter, "other_text": text}
    yield from _filled(_CHOICES, right, wrong)
    yield from (Written(name, form.format_map(right), False) for name, form in _UNSETTLED_CHOICES.items())


def written_values(value: str, other: str) -> Iterator[Written]:
    """Yield the right value in every form, a wrong one in every form, and answers that settle nothing."""
    right, wrong = _written(value, other), _written(other, value)
    yield from _filled(_VALUES, right, wrong)
    yield from (Written(name, form.format_map(right), False) for name, form in _UNSETTLED_VALUES.items())
    yield from (Written(name, form.format_map(right), None) for name, form in _NEAR_VALUES.items())


def written_words(value: str, other: str) -> Iterator[Written]:
    """Yield the forms of a value that is no number."""
    numeric = ("{twice}", "{decimal}", "{square}", "{word}", "{value} / 2", "cm", "squares", "n =", "about", "=")
    forms = {name: form for name, form in _VALUES.items() if not any(part in form for part in numeric)}
    yield from _filled(forms, {"value": value, "other": other}, {"value": other, "other": value})


def _filled(forms: dict[str, str], right: dict[str, str], wrong: dict[str, str]) -> Iterator[Written]:
    for name, form in forms.items():
        yield Written(name, form.format_map(right), True)
        yield Written(f"{name}, wrong", form.format_map(wrong), False)


def _written(value: str, other: str) -> dict[str, str]:
    """Return a number in other writings, with the number that is not meant."""
    number, whole = Decimal(value), value.isdigit()
    return {
        "value": value,
        "other": other,
        "twice": str(2 * number),
        "square": str(number * number),
        "decimal": f"{value}.0" if whole else f"{value}0",
        "nearly": str(number + Decimal("0.04")),
        "word": _WORDS[int(value)] if whole and int(value) < len(_WORDS) else value,
    }
