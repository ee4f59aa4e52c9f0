"""Judges golds of words, such as "isosceles triangle" and "no", as words.

For example:

    same_words("isosceles triangle", "It is an isosceles triangle.") is True
"""

from __future__ import annotations

import re

from vlaa_ray.rewards.verifiers.math_spans import find_spans
from vlaa_ray.rewards.verifiers.math_stated import unwrapped

_MAX_WORDS = 8
_WORD = re.compile(r"[^\W\d_]{1,40}|[<>=]")
_SHORT_WORDS = frozenset(
    (
        "a an as at am be by do go he hi if in is it me my no of ok on or so to up us we all and any are ask bad bag "
        "bat bed big box boy bus but can car cat cow cup cut day did die dog dry ear eat egg end eye far few fix fly "
        "for fun gas get god got had has hat her him his hit hot how ice its job key kid law leg let lie lot low man "
        "map may men mix mom new nor not now odd off oil old one our out own pay pen per pet pig pop pro put ran rat "
        "raw red rid row run sad sat saw say sea see set she sit six sky son sum sun tax tea ten the tie tip too top "
        "toy try two use van via war was way wet who why win yes yet you zoo dne nan min max gcd lcm mod div log sin "
        "cos tan cot sec csc exp lim det dim ker arg inf ln lg pi oo cm mm km kg ml ft oz lb hr mi id ie eg vs etc sup "
        "deg rad mol "
    ).split()
)
_LEAD = re.compile(
    r"(?:(?:so|therefore|thus|hence|it|is|it's|this|that|these|they|are|the|a|an|answer|final|result|shape|figure|there"
    r"|has|have|we|get|which|must|be|called|known|as|would)(?![A-Za-z])[\s:,]*|(?:答案|是|为|这|它|所以|因此|这是|它是|答案是|答案为)[\s:,]*)*",
    re.IGNORECASE,
)
_SAME = {
    "infinitely many solutions": "infinitely many",
    "infinite solutions": "infinitely many",
    "infinite number of solutions": "infinitely many",
    "infinite": "infinitely many",
    "infinite many": "infinitely many",
    "infinite number": "infinitely many",
    "infinite number of": "infinitely many",
    "无数": "infinitely many",
    "无数个": "infinitely many",
    "无穷多": "infinitely many",
    "无穷多个": "infinitely many",
    "无穷多解": "infinitely many",
    "无数解": "infinitely many",
    "dne": "does not exist",
    "doesn't exist": "does not exist",
    "not defined": "undefined",
    "是": "yes",
    "是的": "yes",
    "否": "no",
    "不是": "no",
    "correct": "true",
    "正确": "true",
    "incorrect": "false",
    "错误": "false",
}
_PUNCTUATION = re.compile(r"[^\w\s'<>=-]|_")


def is_word(text: str) -> bool:
    """Return whether the text is one word that is not mathematics ("odd", but not "pi"), or a comparison sign."""
    return bool(_WORD.fullmatch(text)) and not find_spans(text) and not is_product(text)


def is_product(text: str) -> bool:
    """Return whether the text is two or three letters that are no word, such as "ab" and "mgh", but not "AB"."""
    plain = 2 <= len(text) <= 3 and text.isalpha() and text.isascii()
    is_name = text.isupper() or (text.istitle() and bool(re.search("[aeiouy]", text)))  # AB, Bob
    return plain and not is_name and text.lower() not in _SHORT_WORDS


def word_gold(stated: str) -> str:
    """Return the words of a gold that is made of words alone, or an empty text if it is anything else."""
    plain = unwrapped(stated)
    if is_word(plain):
        return plain.lower()
    words = _normal(plain)
    pure = bool(words) and not re.search(r"[\d\\${}^_=+*|]", plain) and not find_spans(plain)
    return words if pure and not is_product(plain) and len(words.split()) <= _MAX_WORDS else ""


def same_words(gold: str, answer: str) -> bool:
    """Return whether the answer says the words of the gold, perhaps after words such as "it is"."""
    gold, plain = _normal(gold) or gold, unwrapped(answer)
    said = _normal(plain)
    if not said:
        return plain.strip() == gold
    if said == gold or _normal(_LEAD.sub("", plain.strip(), count=1)) == gold:
        return True
    first = re.split(r"[,.;:，。；\n]", plain.strip(), maxsplit=1)
    return len(first) > 1 and _normal(first[0]) == gold and not re.search(r"\b(?:but|no|not|or)\b", first[1])


def _normal(text: str) -> str:
    words = " ".join(_PUNCTUATION.sub(" ", text.lower().replace("’", "'")).split())
    words = re.sub(r"^(?:the|an?) (?=\w)", "", words)
    return _SAME.get(words, words)
