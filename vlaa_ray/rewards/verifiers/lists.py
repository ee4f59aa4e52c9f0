r"""list: several items, each compared as `text` compares them.

For example:

    verify_list("1) red\n2) the blue", ["blue", "red"]).value == 1.0
    verify_list("Cuba and Trinidad and Tobago", ["Trinidad and Tobago", "Cuba"]).value == 1.0

An answer is cut at every separator. Neighbouring pieces that are, with what stands between them, an item of the gold
are one item again: a gold says where its items end.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from itertools import islice
from typing import Any, NamedTuple

from vlaa_ray.records import RewardResult
from vlaa_ray.rewards.verifiers.verdicts import invalid, scored, wrong
from vlaa_ray.rewards.verifiers.wording import LATEX_WORDS, Wording, inside, wording
from vlaa_ray.text.answers import MAX_CHARS, unboxed

_MAX_ITEMS = 200
_MAX_PIECES = 2_000
_MAX_JOINED = 20
_FENCE = re.compile(r"^[ \t]*```.*$", re.MULTILINE)
_BULLET = re.compile(r"^[ \t]*[-*+•·▪◦‣●○–—][ \t]+", re.MULTILINE)
_CIRCLED = re.compile("[①-⑳]")
# "1. red 2. blue" in one line or in several: marks that count from 1, or from a. Here with the least number of marks.
_MARKS = (
    (re.compile(r"(?<!\S)\(?(\d{1,3})[.):](?=\s)"), 1),
    (re.compile(r"(?<!\S)(\d{1,3})、"), 2),
    (re.compile(r"(?<!\S)\(?([a-z])[.)](?=\s)", re.IGNORECASE), 2),
)
_LETTERS = "abcdefghijklmnopqrstuvwxyz"
_BREAK = re.compile(r"\\\\|\\n(?![a-z])|\\item(?![a-z])|\\(?:begin|end)\{(?:itemize|enumerate)\}")
_HTML = re.compile("</?(?:ul|ol|li|br) ?/?>", re.IGNORECASE)
_SEPARATOR = re.compile(
    r"(?P<comma>,(?!\d{3}(?!\d))|[，、､،])|(?P<semicolon>[;；])|(?P<line>\n)|(?P<bar>[|•\t])"
    r"|(?P<arrow>→|->)|(?P<slash>(?<!\S)/(?!\S)|(?<=[^\W\d])/(?=[^\W\d]))"
    r"|(?P<and>(?<![\w'-])(?:and|as well as)(?![\w'-])|&|以及|还有|和|与|及|跟)",
    re.IGNORECASE,
)
_GROUPED = re.compile(r"(?<=\d),(?=\d{3}(?!\d))")
_LEAD_IN = re.compile(r"(?!\d)[^\n,;，；、:：]{1,80}[:：](?:\s|(?<=：))")
# "The colours are red and then blue": words before an item of the gold
_BEFORE_ITEM = re.compile(r".{0,100}\b(?:are|is|were|was|includes?|both|then|finally|also) (?:the )?", re.IGNORECASE)
_PYTHON_LIST = re.compile(r"[\[({]\s*'[^'\\]*'(?:\s*,\s*'[^'\\]*')*\s*[\])}]")
_PYTHON_ITEM = re.compile(r"'([^'\\]*)'")


class Piece(NamedTuple):
    """A piece of an answer between two separators, and the kind of the separator before it."""

    before: str
    text: Wording


class WantedItems(NamedTuple):
    """The items of a gold: `items` by their kept form, and the sequences of pieces that are one of its items."""

    items: list[str]
    ids: dict[str, str]
    joined: dict[tuple[str, ...], str]
    says_where_items_end: bool


def verify_list(answer: str, gold: Any, *, ordered: bool = False) -> RewardResult:
    """Return the F1 of the items in any order: 2 · common / (items of the answer + items of the gold), in [0, 1].

    An item counts as often as it stands on both sides. With `ordered`, return 1.0 if the answer has all items in the
    gold's order, else 0.0. A gold is a list, or a text: a JSON array, or items with commas, semicolons, slashes, "and"
    or new lines between them, with bullets or numbers or without; so is an answer. Items are compared as `verify_text`
    compares texts. Invalid if the gold has no items.
    """
    target = _read_gold(gold)
    if not target.items:
        return invalid(answer, f"gold is not a list: {str(gold)[:80]!r}")
    given = _given(unboxed(answer[:MAX_CHARS]), target)
    num_wanted = len(target.items)
    if not 0 < len(given) <= _MAX_ITEMS:
        return wrong(answer, f"{len(given)} items in the answer, expected {num_wanted}")
    if ordered:
        told = f"the answer is not {target.items}, in order"[:200]
        return scored(1.0, answer) if given == target.items else wrong(answer, told)
    common = _num_common(given, target.items)
    value = 2 * common / (len(given) + num_wanted)
    return scored(value, answer, "" if value == 1.0 else f"{common} of {num_wanted} items, {len(given)} given")


def _read_gold(gold: Any) -> WantedItems:
    """Return the items of a gold; none if it is neither a list nor a text."""
    explicit = list(gold) if isinstance(gold, list | tuple) else None
    if isinstance(gold, str):
        explicit = _array(unboxed(gold))
    texts = [str(item) for item in explicit if item is not None] if explicit is not None else []
    words = [wording(text) for text in texts]
    if explicit is None:
        words = [piece.text for piece in _pieces(unboxed(gold))] if isinstance(gold, str) else []
    words = [item for item in words if item.kept]
    ids: dict[str, str] = {}
    for item in words:
        ids.setdefault(item.kept, item.kept)
    for item in words:
        ids.setdefault(item.bare, item.kept)
    joined: dict[tuple[str, ...], str] = {}
    for text in texts:
        pieces = _pieces(text)
        if 1 < len(pieces) <= _MAX_JOINED:
            joined.setdefault(_sequence(pieces), wording(text).kept)
    return WantedItems([ids[item.kept] for item in words], ids, joined, explicit is not None)


def _given(text: str, gold: WantedItems) -> list[str]:
    """Return the items of an answer: the gold's own where they are the same, else their kept forms."""
    if whole := _own(wording(text), gold):
        return [whole]
    array = _array(text)
    if array is not None and (gold.says_where_items_end or len(array) > _MAX_ITEMS):
        return [_id(item, gold) for item in (wording(str(item)) for item in array) if item.kept]
    text = text if array is None else "\n".join(map(str, array))
    if (lead_in := _LEAD_IN.match(text)) and not any(":" in item for item in gold.items):
        text = text[lead_in.end() :]
    items = _joined(_pieces(text), gold)
    if gold.says_where_items_end and _GROUPED.search(text):  # "100,200" is a number, or two items of the gold
        apart = _joined(_pieces(_GROUPED.sub(", ", text)), gold)
        return max(items, apart, key=lambda found: _num_common(found, gold.items))
    return items


def _joined(pieces: list[Piece], gold: WantedItems) -> list[str]:
    """Return the items of the pieces. The longest run of pieces that is an item of the gold is one item."""
    sizes = sorted({(len(sequence) + 1) // 2 for sequence in gold.joined}, reverse=True)
    items, place = [], 0
    while place < len(pieces):
        for size in sizes:
            run = pieces[place : place + size]
            if len(run) == size and (item := gold.joined.get(_sequence(run))):
                items.append(item)
                place += size
                break
        else:
            items.append(_id(pieces[place].text, gold))
            place += 1
    return [item for item in items if item]


def _num_common(given: list[str], wanted: list[str]) -> int:
    """Return the number of items in common; an item that is repeated on both sides counts as often."""
    return (Counter(given) & Counter(wanted)).total()


def _own(item: Wording, gold: WantedItems) -> str | None:
    """Return the item of the gold that is the same, or None."""
    return gold.ids.get(item.kept) or gold.ids.get(item.bare)


def _id(item: Wording, gold: WantedItems) -> str:
    """Return the item of the gold that is the same, also behind words such as "The colours are"; else its own form."""
    if own := _own(item, gold):
        return own
    lead = _BEFORE_ITEM.match(item.kept)
    return (gold.ids.get(item.kept[lead.end() :]) if lead else None) or item.kept


def _sequence(pieces: list[Piece]) -> tuple[str, ...]:
    """Return the words of the pieces, and the separators between them."""
    return tuple(part for piece in pieces for part in (piece.before, piece.text.bare))[1:]


def _pieces(text: str) -> list[Piece]:
    """Return the pieces of a text between its separators, without bullets, numbering and brackets around the whole.

    A piece may be empty. At most 2,001 pieces are read.
    """
    text = _without_layout(text)
    pieces: list[Piece] = []
    before, begin = "", 0
    for match in islice(_SEPARATOR.finditer(text), _MAX_PIECES):
        pieces.append(Piece(before, wording(text[begin : match.start()].strip())))
        before, begin = match.lastgroup or "", match.end()
    return [*pieces, Piece(before, wording(text[begin:].strip()))]


def _without_layout(text: str) -> str:
    """Return the text with a new line in place of each bullet or number of an item."""
    if "\\" in text:
        text = _BREAK.sub("\n", LATEX_WORDS.sub(r"\1", text)).replace(r"\{", "{").replace(r"\}", "}")
    if "<" in text:
        text = _HTML.sub("\n", text)
    text = _FENCE.sub("", text).strip().strip("$").strip()
    for opening, closing in (("[", "]"), ("(", ")"), ("{", "}")):
        text = inside(text, opening, closing) or text
    text = _CIRCLED.sub("\n", _BULLET.sub("\n", text))
    for marks, least in _MARKS:
        counted = [match[1].lower() for match in marks.finditer(text)]
        expected = [str(number) for number in range(1, len(counted) + 1)], [*_LETTERS[: len(counted)]]
        text = marks.sub("\n", text) if len(counted) >= least and counted in expected else text
    return text


def _array(text: str) -> list[Any] | None:
    """Return the items of a JSON array, or of Python's list of texts; None if the text is neither."""
    text = _FENCE.sub("", text).strip()
    if text[:1] not in "[({":
        return None
    if _PYTHON_LIST.fullmatch(text):
        return _PYTHON_ITEM.findall(text)
    try:
        value = json.loads(text)
    except (RecursionError, ValueError):
        return None
    return value if isinstance(value, list) else None
