"""The option that an answer chooses, by its letter, by its text, or by its value.

    chosen(Stated("It is (B).", True), {"A": "5 cm", "B": "6 cm"})   -> "B"
    chosen(Stated("12/2 cm", True), {"A": "5 cm", "B": "6 cm"})      -> "B"

Letters are read by the rules of the verifier `mcq`: a denied letter is not chosen, and the article "a" is no letter.
"""

from __future__ import annotations

import re
import string
from collections.abc import Mapping
from typing import Any

from vlaa_ray.data.formats.options import read_options
from vlaa_ray.data.formats.tracked_row import TrackedRow
from vlaa_ray.errors import DataError
from vlaa_ray.evaluation.benchmarks.answers import Stated, final_part
from vlaa_ray.evaluation.benchmarks.values import equal_in_maths, is_formula, num_words, number_in
from vlaa_ray.rewards.verifiers.choice import read_letter
from vlaa_ray.rewards.verifiers.option_tokens import may_deny
from vlaa_ray.text.answers import MAX_CHARS

Options = dict[str, str]
"""The texts of the options by their letters, in order."""
_MAX_VALUE_CHARS = 300
_MAX_WHOLE_CHARS = 1_000
_MAX_WORDS = 3
_OPENS_WITH_LETTER = re.compile(r"\W*[A-Za-z]\b")
_MARKED = re.compile(r"\A[\s(\[]*[A-Za-z][)\].:]\s*")
_YES_NO = re.compile(r"\W*(yes|no)\b", re.IGNORECASE)
_OPENS_MARKED = re.compile(r"\W{0,9}[A-H][)\].:] ")
_CAPITAL_A = re.compile(r"A [a-z]+ \d")
_COLUMNS = ("choices", "options", "option")
_LETTER_IN_TEXT = re.compile(r"(?<![A-Za-z])[A-Z](?![A-Za-z])")
_MARK = r"(?:[(\[]\s?[A-Ha-h]\s?[)\]]|(?<![A-Za-z])[A-H][)\].:：、])"
_LISTED = re.compile(rf"(?:^|(?<=\s))({_MARK})\s*(\S.*?)(?=\n|\s{_MARK}|\.?\s?\banswer\s?:|\Z)")
_LAYOUT = re.compile(r"\\(?:mathrm|text|mathbf|left|right|displaystyle)(?![A-Za-z])|\\[,;:! ]|[\s${}~]|\.$")


def options_of(fields: Mapping[str, Any]) -> Options:
    """Return the options of a row, from its column `choices`, `options` or `option`, or from its columns A, B, C ….

    The result is empty if the row has none. Raises DataError if they can't be read.
    """
    columns = {name: value for name, value in fields.items() if name in _COLUMNS or name in string.ascii_uppercase}
    listed = [value for name, value in columns.items() if name in _COLUMNS and isinstance(value, str)]
    if any(len(value) > MAX_CHARS for value in listed):
        raise DataError(f"the options of a row have more than {MAX_CHARS} characters")
    columns = {name: value for name, value in columns.items() if str(value).strip() not in ("None", "[]", "nan")}
    try:
        return dict(read_options(TrackedRow(columns)))
    except ValueError as error:
        raise DataError(f"the options of a row can't be read: {error}", got=str(columns)[:200]) from error


def options_in(question: str) -> Options:
    """Return the options that a question lists in its own text, as "(A) 5 cm" or "A: 5 cm"; empty if it lists none."""
    start = max(question.rfind("Choices"), question.rfind("Options"), question.rfind("(A)"), 0)
    listed = _LISTED.finditer(question[start : start + MAX_CHARS])
    found = {next(filter(str.isalpha, match[1])).upper(): match[2].rstrip(" \t,;") for match in listed}
    return found if {"A", "B"} <= found.keys() else {}


def chosen(stated: Stated, options: Options) -> str | None:
    """Return the letter of the option that an answer chooses, or None if it chooses none of them, or several.

    The end of a long text is read before the rest of it. In turn: the text of an option, word for word; a letter; the
    only option whose text occurs in the answer; the only option of the same value. An option that is named as
    "sample A" comes before the letter in its name.
    """
    final = final_part(stated)
    if exact := _same_text(final.text, options):
        return exact
    has_names = any(len(option) > 1 and _LETTER_IN_TEXT.search(option) for option in options.values())
    if has_names and not _OPENS_WITH_LETTER.match(final.text) and (named := _contained(final.text, options)):
        return named
    letter = opening_letter(stated, final) or letter_in(final.text)
    if letter is not None and (letter in options or "\n" in stated.text):
        return letter if letter in options else None
    if letter is not None:  # a letter that is not on offer stands before the option's text
        final = Stated(_MARKED.sub("", final.text), final.marked)
    if found := _same_text(final.text, options) or _yes_or_no(final.text, options):
        return found
    if not final.marked and (found := _yes_or_no(_MARKED.sub("", stated.text), options)):
        return found
    found = _contained(final.text, options) or _of_equal_value(final, options)
    if found or final.text == stated.text or (not stated.marked and len(stated.text) > _MAX_WHOLE_CHARS):
        return found
    letter = read_letter(stated.text)
    return letter if letter in options else None


def opening_letter(stated: Stated, final: Stated) -> str | None:
    """Return the letter that a text opens with and settles on, as "(A) Gear A, because …"; None for a marked answer."""
    return None if final.marked or not _OPENS_MARKED.match(stated.text) else read_letter(stated.text)


def letter_in(text: str) -> str | None:
    """Return the option letter that a short text chooses, or None. In "A pole 1" it is no article."""
    return read_letter(text) or (text[0] if _CAPITAL_A.match(text) else None)


def _same_text(text: str, options: Options) -> str | None:
    plain = plain_text(text)
    same = [letter for letter, option in options.items() if plain and plain_text(option) == plain]
    return same[0] if same and plain.upper() not in options else None  # "B" is a letter before it is a text


def _yes_or_no(text: str, options: Options) -> str | None:
    """Return the option that opens a sentence, if "yes" and "no" are the options."""
    known = {option.casefold(): letter for letter, option in options.items()}
    opened = _YES_NO.match(text)
    return known[opened[1].casefold()] if opened and known.keys() == {"yes", "no"} else None


def _contained(text: str, options: Options) -> str | None:
    """Return the only option whose words occur in a text that is not much longer than all options together."""
    said = _words(text)
    if len(said) > 2 * sum(map(len, options.values())) + 40:
        return None
    found = [letter for letter, option in options.items() if len(option) > 1 and f" {_words(option)} " in f" {said} "]
    longest = max(found, key=lambda letter: len(options[letter]), default=None)
    if longest is None:
        return None
    inside = f" {_words(options[longest])} "  # "turn" lies within "turn left", but "2 cm" doesn't lie within "12 cm"
    if not all(f" {_words(options[letter])} " in inside for letter in found):
        return None
    denies = may_deny(said.split()) and not may_deny(inside.split())  # "not 8 cm" doesn't choose 8 cm
    return None if denies else longest


def _of_equal_value(final: Stated, options: Options) -> str | None:
    """Return the only option of the same number or, if the text is a formula with few words, of the same value."""
    text = final.text
    if len(text) > _MAX_VALUE_CHARS or not is_formula(text):
        return None
    if final.marked and num_words(text) <= _MAX_WORDS:
        equal = [letter for letter, option in options.items() if is_formula(option) and equal_in_maths(text, option)]
        if equal:
            return equal[0] if len(equal) == 1 else None
    number = number_in(text)
    equal = [letter for letter, option in options.items() if number is not None and number_in(option) == number]
    return equal[0] if len(equal) == 1 else None


def plain_text(text: str) -> str:
    """Return a text without layout, blanks and case, to compare it word for word."""
    return _LAYOUT.sub("", text.strip()).casefold()


def _words(text: str) -> str:
    return " ".join(re.sub(r"[^\w%°√/.:+\\^'’-]|\.(?!\d)|_", " ", text.casefold()).split())
