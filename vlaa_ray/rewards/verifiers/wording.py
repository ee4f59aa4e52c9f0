r"""The form in which two texts are compared, for `text`, `list` and the labels of boxes.

For example:

    wording(r"\text{The Eiffel Tower}.") == Wording(kept="the eiffel tower", bare="eiffel tower")

Layout is dropped: boxes, LaTeX's text commands, emphasis, quotation marks and brackets around the whole, a full stop.
Case and width don't count, and one number has one form ("1,234.0" is "1234"). A mark with a meaning stays: ">5", "5!",
"f'", ".com", "[1, 2)", "C++", "$5". A text of marks alone ("?") stays as it is.
"""

from __future__ import annotations

import re
import unicodedata
from typing import NamedTuple

from vlaa_ray.text.answers import last_boxed

LATEX_WORDS = re.compile(
    r"\\(?:text(?:bf|it|rm|sf|sc|tt|up|normal)?|math(?:rm|bf|it|sf|tt)|operatorname|emph|underline|mbox|hbox|bm"
    r"|textcolor\{[a-z]{1,20}\})\s*\{([^{}]*)\}"
)
_LATEX_FONT = re.compile(r"\\(?:bf|it|rm|em|sf|tt|bfseries|itshape|color\{[a-z]{1,20}\}|displaystyle)(?![A-Za-z])\s*")
_HTML_FONT = re.compile("</?(?:b|i|u|em|strong|p|span)>", re.IGNORECASE)
_LATEX_BLANK = re.compile(r"\\(?:[,;:! ]|quad(?![A-Za-z])|qquad(?![A-Za-z]))|~")
_LATEX_ESCAPE = re.compile(r"\\([$%&#_{}])")
# NFKC would make "102" of "10²" and "1⁄2" of "½"
_RAISED = re.compile("([\u00b2\u00b3\u00b9\u00bc-\u00be\u2070-\u209f\u2150-\u215f]+)")
_SIGNS = str.maketrans("“”„‟«»‘’‚‛′`−–—‐‑‒﹣", '"' * 6 + "'" * 6 + "-" * 7)
_CJK_BLANK = re.compile(r"(?<=[\u3040-\u30ff\u3400-\u9fff]) (?=[\u3040-\u30ff\u3400-\u9fff])")
_EMPHASIS = (("'''", "'''"), ("**", "**"), ("*", "*"))
_MATH = (("$$", "$$"), ("$", "$"), (r"\(", r"\)"), (r"\[", r"\]"))
_QUOTES = (('"', '"'), ("'", "'"), ("「", "」"), ("『", "』"), ("《", "》"), ("〈", "〉"), ("【", "】"), ("〔", "〕"))
_BRACKETS = (("(", ")"), ("[", "]"), ("{", "}"))
_OF_ANSWERS = (*_EMPHASIS, *_MATH, *_QUOTES, *_BRACKETS, ("__", "__"), ("_", "_"), ("<", ">"))
_OF_GOLDS = (*_EMPHASIS, *_MATH, *_QUOTES)
_TRAILING = ".,;:?!。、… "
_LEADING = ",;:。、¿¡ "
_GROUPS = re.compile(r"(?<![\d.,])\d{1,3}(?:,\d{3})+(?![\d,])")
# ", " is ",", "> 5" is ">5", and "5 %" is "5%"
_SPACED = re.compile(r" ?, ?|(?<=[<>≤≥=$€£¥]) (?=[\d.])|(?<=\d) (?=[%°])")
_NUMERAL = re.compile(r"([-+]?[$€£¥]?)(\d*)(?:\.(\d+))?([%°]?)")
# A capital inside a text is a name ("Vitamin A deficiency"), and so is a letter before another ("A B C").
_ARTICLE = re.compile(r"(?:(?:^A|(?<![\w'-])(?:a|[Aa][Nn])) (?=\w[\w'.-])|(?<![\w'-])[Tt][Hh][Ee] (?=\w))")
_MAX_PEELS = 8


class Wording(NamedTuple):
    """Two forms of one text: with its articles and without those that stand before a noun."""

    kept: str
    bare: str

    def same_as(self, other: Wording) -> bool:
        """Return whether one form is the same in both."""
        return self.kept == other.kept or self.bare == other.bare


def wording(text: str) -> Wording:
    """Return the two forms of a text. Neither is empty unless the text is blank."""
    return _forms(_peeled(_without_latex(text), wide=False)[-1])


def wordings(answer: str) -> list[Wording]:
    """Return the forms of an answer: as `wording` has it, and without further brackets around the whole.

    A gold's own brackets stay where they may have a meaning ("(1, 2)", "<br>"), but an answer may add some.
    """
    return [wording(answer), *(_forms(text) for text in _peeled(_without_latex(answer), wide=True))]


def normalised(text: str) -> str:
    """Return the text without layout, case, width, articles, surplus blanks, and punctuation around it."""
    return wording(text).bare


def _without_latex(text: str) -> str:
    """Return the content of the last box or the text, in one width, without LaTeX's text commands."""
    if "\\" in text:
        boxed = last_boxed(text)
        text = _LATEX_BLANK.sub(" ", text if boxed is None else boxed)
        for _ in range(3):  # \textbf{\text{…}}
            text = LATEX_WORDS.sub(r"\1", text)
        text = _LATEX_FONT.sub("", text)
    if "</" in text:
        text = _HTML_FONT.sub("", text) or text
    if not text.isascii():
        parts = _RAISED.split(text)
        parts[::2] = [unicodedata.normalize("NFKC", part) for part in parts[::2]]
        text = unicodedata.normalize("NFC", "".join(parts))
    text = " ".join(text.split())
    return text.translate(_SIGNS) if _has_words(text) else text


def _has_words(text: str) -> bool:
    return any(map(str.isalnum, text))


def _peeled(text: str, *, wide: bool) -> list[str]:
    """Return the text, and what is left of it after each layer of layout, marks and brackets around the whole."""
    texts = [text]
    while len(texts) <= _MAX_PEELS and (inner := _peel_once(texts[-1], wide)) != texts[-1]:
        texts.append(inner)
    return texts


def _peel_once(text: str, wide: bool) -> str:
    has_words = _has_words(text)
    if not has_words and not wide:
        return text
    for opening, closing in _OF_ANSWERS if wide else _OF_GOLDS:
        if inner := inside(text, opening, closing):
            return inner
    if not wide and "," not in text:  # brackets around a pair are a point or an interval
        for opening, closing in _BRACKETS:
            if inner := inside(text, opening, closing):
                return inner
    return _without_marks(text) if has_words else text


def inside(text: str, opening: str, closing: str) -> str:
    """Return what stands between two marks around the whole text, or an empty text if they are no such pair."""
    if not (text.startswith(opening) and text.endswith(closing) and len(text) > len(opening) + len(closing)):
        return ""
    inner = text[len(opening) : -len(closing)]
    if len(opening) > 1 or opening == closing:
        spaced = opening[0] in "*_" and inner != inner.strip()  # "* red *" is no emphasis
        return "" if spaced or opening in inner else inner.strip()
    depth = 0
    for char in inner:
        depth += (char == opening) - (char == closing)
        if depth < 0:
            return ""  # "(a) or (b)"
    return "" if depth else inner.strip()


def _without_marks(text: str) -> str:
    """Return the text without the marks that end or begin a sentence. A "!" after a number is a factorial."""
    end = len(text)
    while end and text[end - 1] in _TRAILING:
        if text[end - 1] == "!" and _is_factorial(text[: end - 1]):
            break
        end -= 1
    text = text[:end].lstrip(_LEADING)
    dots = len(text) - len(text.lstrip("."))
    if dots > 1 or text.startswith(". "):
        text = text.lstrip(". ")
    if text.count('"') == 1 and text.strip('"') and (text[0] == '"' or (text[-1] == '"' and text[-2].isalpha())):
        text = text.strip('"').strip()  # half of a quotation; 5" are inches
    return text


def _is_factorial(before: str) -> bool:
    last = before.rpartition(" ")[2]
    return before[-1:].isdigit() or before[-1:] in (")", "!") or (len(last) == 1 and last.isascii() and last.isalpha())


def _forms(text: str) -> Wording:
    text = _LATEX_ESCAPE.sub(r"\1", text) if "\\" in text else text
    text = text if text.isascii() else _CJK_BLANK.sub("", text)
    text = _SPACED.sub(lambda match: match[0].strip(), text) if " " in text else text
    if any(map(str.isdigit, text)) and text[:1] not in "([{":
        text = _one_number(_GROUPS.sub(lambda match: match[0].replace(",", ""), text))
    kept = text.casefold()
    return Wording(kept, _ARTICLE.sub("", text).casefold() if " " in text else kept)


def _one_number(text: str) -> str:
    """Return the usual form of a text that is a number with its sign or unit: "12.50" is "12.5", and ".5" is "0.5"."""
    match = _NUMERAL.fullmatch(text)
    if not match or (match[2].startswith("0") and match[2] != "0"):  # 007 is a name
        return text
    fraction = (match[3] or "").rstrip("0")
    return match[1] + (match[2] or "0") + ("." + fraction if fraction else "") + match[4]
