r"""Puts options that stand in columns of their own into the question, as the built-in data writes them.

For example:

    read_options(TrackedRow({"options": ["red", "green"]}))  -> [("A", "red"), ("B", "green")]
    with_options("Which colour?", options, "B", None)
    -> Chosen("Which colour?\nA: red\nB: green", "B", "mcq")
"""

from __future__ import annotations

import json
import re
import string
from collections.abc import Mapping
from functools import lru_cache
from typing import Any, NamedTuple

from vlaa_ray.data.formats.fields import literal
from vlaa_ray.data.formats.tracked_row import TrackedRow, is_missing

_LETTERS = string.ascii_uppercase
_LISTS = ("options", "choices", "option", "choice", "option_list", "choice_list", "candidates", "answer_choices")
_SPEAKS = re.compile(r"options|choices", re.IGNORECASE)
"""Other columns of this name hold the options if their value is a list or a mapping."""
_SINGLE = re.compile(r"(?:options?|choices?|opt|answer_option)?[_ ]?([A-Za-z]|[0-9]{1,2})")
_TEXT_KEYS = ("text", "content", "value", "option", "answer")
_MARKED = re.compile(r"\s*[(\[]?([A-Za-z])[)\].:、．：]\s*(\S.*)", re.DOTALL)
_MARKS = (")", ".", ":", "]", "、", "：")
_CHOSEN = re.compile(r"\s*\(?([A-Z](?:[\s,]*[A-Z])*)\)?[.:]?\s*")
_PRINTED = re.compile(r"'([^']*)'|\"([^\"]*)\"")
Options = list[tuple[str, str]]


class Chosen(NamedTuple):
    """A question with its options, its gold, and the verifier type that fits both (None: the format's own)."""

    question: str
    gold: Any
    verifier_type: str | None


def read_options(row: TrackedRow) -> Options:
    """Return (letter, text) for each option that the record has in columns of their own; empty if it has none.

    Options stand in a list, in a mapping by letter, in a text that holds one of these, or in the columns A, B, C …,
    option_a … or option_1 …. Raises ValueError if an option is a picture.
    """
    lists, singles = _option_columns(tuple(row))
    for name in lists:
        if name.lower() in _LISTS or isinstance(literal(row.peek(name)), list | tuple | Mapping):
            if not is_missing(row[name]):
                return _listed(row[name])
    held = [(letter, row[name]) for letter, name in singles if not is_missing(row[name])]
    return [(letter, _unmarked(_text(value), letter)) for letter, value in held] if len(held) > 1 else []


@lru_cache(maxsize=256)
def _option_columns(names: tuple[str, ...]) -> tuple[tuple[str, ...], tuple[tuple[str, str], ...]]:
    """Return (columns of all options, (letter, column) of each column of one option)."""
    lower = {name.lower(): name for name in names}
    others = (name for name in names if _SPEAKS.search(name) and name.lower() not in _LISTS)
    lists = (*(lower[name] for name in _LISTS if name in lower), *others)
    found: dict[str, str] = {}
    for name in names:
        match = _SINGLE.fullmatch(name if len(name) == 1 else name.lower())
        if match and not (len(name) == 1 and name not in _LETTERS) and not name.isdigit():
            found[match[1]] = name
    numbers = sorted(int(mark) for mark in found if mark.isdigit())
    singles = {mark.upper(): name for mark, name in found.items() if mark.isalpha()}
    if not singles and numbers[:1] in ([0], [1]):
        singles = {_LETTERS[number - numbers[0]]: found[str(number)] for number in numbers if str(number) in found}
    in_order = sorted(singles.items())
    return lists, tuple(in_order) if {"A", "B"} <= singles.keys() else ()


def _listed(value: Any) -> Options:
    """Return the options of a list or a mapping, or of a text that holds one; a text in words is one block of lines."""
    parsed = literal(value)
    if isinstance(value, str) and isinstance(parsed, list) and re.search(r"['\"]\s+['\"]", value):
        parsed = [first or second for first, second in _PRINTED.findall(value)]  # an array that numpy printed
    if isinstance(parsed, Mapping):
        texts, labels = parsed.get("text"), parsed.get("label")
        if isinstance(texts, list | tuple) and isinstance(labels, list | tuple):
            parsed = texts
        else:
            held = [(str(mark), _text(one)) for mark, one in parsed.items() if not is_missing(one)]
            if all(len(mark) == 1 and mark.upper() in _LETTERS for mark, _ in held):
                return sorted((mark.upper(), _unmarked(text, mark.upper())) for mark, text in held)
            parsed = [text for _, text in held]
    if isinstance(parsed, str):
        lines = [line for line in parsed.splitlines() if line.strip()]
        parsed = lines if len(lines) > 1 else re.split(r"(?<=\S)[;\s]\s*(?=[(]?[A-H][).:] )", parsed)
    if not isinstance(parsed, list | tuple):
        raise ValueError(f"the options must be a list, not {type(value).__name__}")
    texts = [_text(one) for one in parsed if not is_missing(one)]
    if len(texts) > len(_LETTERS):
        raise ValueError(f"the record has {len(texts)} options, more than there are letters")
    return [(letter, _unmarked(text, letter)) for letter, text in zip(_LETTERS, texts, strict=False)]


def _text(option: Any) -> str:
    if isinstance(option, list | tuple) and len(option) == 2 and str(option[0]).upper() in tuple(_LETTERS):
        option = option[1]
    if isinstance(option, Mapping):
        option = next((option[key] for key in _TEXT_KEYS if isinstance(option.get(key), str)), option)
    if isinstance(option, Mapping | bytes):
        raise ValueError("the options are pictures; put them into `images`, and <image> into the options")
    return option.strip() if isinstance(option, str) else json.dumps(option, ensure_ascii=False, default=str)


def _unmarked(text: str, letter: str) -> str:
    """Return the option's text without its own letter."""
    match = _MARKED.fullmatch(text)
    return match[2].strip() if match and match[1].upper() == letter else text


def with_options(question: str, options: Options, gold: Any, verifier_type: str | None) -> Chosen:
    """Return the question with the options below it, a line each, and the gold that fits them.

    `verifier_type` is what the record or the config asks for. Without it, or with `mcq`, a gold that is an option's
    text, or its place from 0 as an int, becomes its letter, and the type is `mcq` (`letters` where the gold names
    several). Options get letters if the gold is one; otherwise the text of an option is the answer, and a letter would
    be a wrong one. Options that the question lists already are not added.
    """
    letter = _letter_of(gold, options) if verifier_type in (None, "mcq") else None
    names_letters = letter is not None or _are_letters(gold, options)
    if letter is not None:
        gold, verifier_type = letter, "mcq"
    elif names_letters and verifier_type is None:
        verifier_type = "mcq" if sum(map(str.isalpha, str(gold))) == 1 else "letters"
    if not _are_listed(question, options):
        lines = [f"{mark}: {text}" if names_letters else text for mark, text in options]
        question = "\n".join([question.rstrip(), *([] if names_letters else ["Options:"]), *lines])
    return Chosen(question, gold, verifier_type)


def _letter_of(gold: Any, options: Options) -> str | None:
    """Return the letter of the option that the gold is: by its text, or by its place from 0. None for other golds."""
    texts = {text.casefold(): letter for letter, text in reversed(options)}
    if isinstance(gold, int) and not isinstance(gold, bool):
        known = texts.get(str(gold))
        return known or (options[gold][0] if 0 <= gold < len(options) else None)
    if not isinstance(gold, str) or _are_letters(gold, options):
        return None
    marked = _MARKED.fullmatch(gold.strip())
    if marked and dict(options).get(marked[1].upper(), "").casefold() == marked[2].strip().casefold():
        return marked[1].upper()
    return texts.get(gold.strip().casefold())


def _are_letters(gold: Any, options: Options) -> bool:
    match = _CHOSEN.fullmatch(gold) if isinstance(gold, str) else None
    known = dict(options)
    return match is not None and all(letter in known for letter in match[1] if letter.isalpha())


def _are_listed(question: str, options: Options) -> bool:
    """Return whether the question has each option, with its letter, or on a line of its own."""
    packed = "".join(question.split())
    lines = {line.strip() for line in question.splitlines()}
    return all(
        text in lines
        or any(f"{letter}{mark}{''.join(text.split())}" in packed for mark in (")", ".", ":", "、", "：", "]"))
        for letter, text in options
    )
