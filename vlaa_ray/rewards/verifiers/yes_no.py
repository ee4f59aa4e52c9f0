"""yes_no: 1 if answer and gold both say yes, or both say no, else 0.

For example:

    verify_yes_no("Yes, because there is no car.", "yes").value == 1.0

A text is read clause by clause. A "yes" or "no" that opens a clause counts most, then a word such as "true" or "wrong",
then a mere negation ("There is no dog"). A negation turns round only the word that it governs. An answer that says that
it does not know has said neither.
"""

from __future__ import annotations

import re
import unicodedata
from enum import IntEnum
from typing import Any, NamedTuple

from vlaa_ray.records import RewardResult
from vlaa_ray.rewards.verifiers.boxed_parts import boxed_parts
from vlaa_ray.rewards.verifiers.verdicts import invalid, scored, wrong
from vlaa_ray.text.answers import MAX_CHARS

_LAYOUT = re.compile(r"\\(?:text|textbf|mathrm|mathbf|textit)\b|[*$`_{}]")
_QUOTED = re.compile(r"\"[^\"\n]*+\"|“[^“”\n]*+”|「[^「」\n]*+」")
_TOKEN = re.compile(
    r"(?:think|believe) so\b|no longer\b|[a-zÀ-ɏ]++(?:'[a-z]++)*+|是否定|是不是|有没有|对不对|是否(?![。.\s]|$)"
    r"|是的|没错|沒錯|正确|正確|错误|錯誤|属实|屬實|成立|存在|可以"
    r"|不可能|但是|可是|答案|因为|因為|由于|由於|所以|因此|肯定|はい|いいえ|네|예|아니요|\d++|\S"
)
_UNKNOWN = re.compile(
    r"\b(?:(?:not|cannot|[a-z]+n't|unable to|hard to|difficult to|impossible to|no way to)\s"
    r"(?:be |really |quite |yet |entirely |completely |fully |have |very |exactly )?"
    r"(?:know|known|sure|certain|clear|tell|(?<!wouldn't )say|determined?|determinable|decided?|answer"
    r"|answered|enough|confident|sufficient|specified|mentioned|stated|given|provided|applicable|answerable|conclusive"
    r"|judged?|infer|inferred|verify|verified|confirm)"
    r"|(?:possible|able) to (?:know|tell|say|determine|decide|judge|infer|verify|confirm|answer)"
    r"|enough (?:information|info|details?|evidence|context|data)"
    r"|no (?:idea|clue|information|way to|answer|conclusion)|(?:no one|nobody|who) knows"
    r"|(?:might|may|could) be|(?:see|view|access|open) (?:the|this|any|your) (?:image|picture|photo)"
    r"|unsure|uncertain|unclear|unknown|undetermined|indeterminate|undeterminable|ambiguous|maybe|perhaps|possibly"
    r"|insufficient|inconclusive|unanswerable|depends|dunno)\b"
    r"|不(?:太|能|很|是很|可|好)?(?:知|确定|確定|清楚|明确|明確|好说|好說|一定|详|足|判断|判斷)"
    r"|无法|無法|难以|難以|难说|難說|看不清|看不出|说不|說不|(?<!不)可能|也许|也許|或许|或許|未知"
)
_CERTAIN = re.compile(r"\b(?:there is |there's )?(?:no|without(?: a| any)?) (?:doubt|question|denying)\b")

_BREAKS = frozenset(".,;:!?\n。、…—–()[]|")
_QUOTES = frozenset("\"'“”‘’「」")
_LINKS = frozenset("but so therefore thus hence 但 但是 可是 所以 因此 而".split())
_REASONS = frozenset("because since due 因为 因為 由于 由於".split())
_REVISIONS = frozenset("actually wait sorry correction".split())
_YES = frozenset("yes yeah yep yup yea ya aye oui ja sí 是的 没错 沒錯 嗯 はい 네 예".split())
_NO = frozenset("no nope nah naw nay non nein 否 是否定 不可能 いいえ 아니요".split())
_LETTERS = {"y": True, "t": True, "n": False, "f": False}
_BEGINS_YES = frozenset("是 有 会 會 能 可以".split())
"""Words that say yes where they begin the answer."""
_ALONE_YES = frozenset("sure definitely absolutely certainly indeed affirmative ok okay exactly course".split())
_ALONE_NO = frozenset(["negative"])
_TRUE = frozenset(["think so", "believe so"]) | frozenset(
    "yes true correct right accurate agree 正确 正確 对 對 真 属实 屬實 成立 存在".split()
)
_FALSE = frozenset("false incorrect wrong untrue inaccurate disagree 错误 錯誤 错 錯 假".split())
_VERDICTS = _TRUE | _FALSE | _NO | frozenset("不 没 沒 无 無 非".split())
_NEGATIONS = frozenset(["no longer"]) | frozenset("not cannot never hardly nothing 不 没 沒 无 無 非 未".split())
_QUANTIFIERS = frozenset("no none neither nothing nobody".split())
_PRONOUNS = frozenset("it there this that he she they i we you the a an".split())
_BEFORE = frozenset(
    "the answer is final my i think say would well oh a it it's so and then 's probably definitely absolutely "
    "certainly of course clearly most likely be must should - > # "
    "答案 为 為 我 认 認 确 實 实 肯定 应 應 该 該".split()
)
"""Words that may stand before the yes or no of a clause."""
_GOVERNED = frozenset(
    "a an the at all quite really entirely very be been completely exactly necessarily think believe it it's is that "
    "this statement claim say so always actually fully factually do does seem seems "
    "look looks appear appears sound sounds to considered said that's 是 有 很 太 完全 说 法 的".split()
)
"""Words that may stand between a negation and the word that it turns round."""
_ATTRIBUTED = frozenset("answer answers option choice response order number way position".split())
_PLACES = frozenset("the to on left upper lower top bottom far its".split())
_AUXILIARIES = frozenset("is are does do did was were can has have will".split())
_ENDINGS = frozenset("的 了 啊 吧".split())


class _Rank(IntEnum):
    NEGATION = 1
    PREDICATE = 2
    REPLY = 3


class _Claim(NamedTuple):
    says: bool
    rank: _Rank
    final: bool
    """The word "answer" leads to it, or it revises what was said before."""


def verify_yes_no(answer: str, gold: Any) -> RewardResult:
    """Return 1.0 if answer and gold both say yes, or both say no, else 0.0.

    An answer that says both, or that it does not know, earns 0.0. Invalid if the gold does not say either yes or no.
    """
    target = read_yes_no(str(gold)[:MAX_CHARS]) if isinstance(gold, str | bool) else None
    if target is None:
        return invalid(answer, f"gold says neither yes nor no: {str(gold)[:80]!r}")
    said = read_yes_no(answer[:MAX_CHARS])
    if said is None:
        return wrong(answer, "the answer doesn't say yes or no, or says both")
    return scored(1.0, answer) if said == target else wrong(answer, "the answer is the opposite of the gold")


def read_yes_no(text: str) -> bool | None:
    """Return True if the text says yes, False if it says no, and None if it says neither or both.

    The last box that says either counts. A box that does not hides nothing: then the text beside the boxes is read.
    """
    outside, boxes = boxed_parts(text)
    for box in reversed(boxes):
        said = _said(box)
        if said is not None:
            return said
    return _said(outside)


def _said(text: str) -> bool | None:
    text = _LAYOUT.sub("", unicodedata.normalize("NFKC", text).casefold().replace("’", "'")[:MAX_CHARS])
    words = _TOKEN.findall(text)
    letters = [word for word in words if word.isalnum()]
    if len(letters) == 1 and letters[0] in _LETTERS:
        return _LETTERS[letters[0]]
    unquoted = _QUOTED.sub(lambda quoted: " " if " " in quoted.group().strip('"“” ') else quoted.group(), text)
    certain = _CERTAIN.sub(" ", unquoted)
    known = _UNKNOWN.sub(" � ", certain)
    claims = _claims(_clauses(known))
    if not claims and certain != unquoted and "�" not in known:
        return True
    return _settled(claims, unknown="�" in known)


def _settled(claims: list[_Claim], unknown: bool) -> bool | None:
    final = [claim for claim in claims if claim.final]
    if final:
        return final[-1].says
    for rank in (_Rank.REPLY, _Rank.PREDICATE, _Rank.NEGATION):
        said = {claim.says for claim in claims if claim.rank is rank}
        if said:
            return said.pop() if len(said) == 1 else None
        if unknown:
            return None
    return None


class _Clause(NamedTuple):
    words: list[str]
    opens: str
    """The sign or word that stands before the clause."""


def _clauses(text: str) -> list[_Clause]:
    clauses: list[_Clause] = [_Clause([], "")]
    for word in _TOKEN.findall(text):
        if word in _BREAKS or word in _LINKS or word in _REASONS:
            if not clauses[-1].words and clauses[-1].opens == ":" and word in _BREAKS:
                continue  # a new line after a colon
            if not clauses[-1].words:
                clauses.pop()
            clauses.append(_Clause([], word))
        elif word not in _QUOTES:
            clauses[-1].words.append(word)
    return clauses


def _claims(clauses: list[_Clause]) -> list[_Claim]:
    claims: list[_Claim] = []
    announced = revised = False
    for clause in clauses:
        words = clause.words
        if clause.opens in _REASONS or not words:
            continue
        announced = announced and clause.opens == ":"
        announced = announced or "answer" in words or "答案" in words
        revised = revised or bool(_REVISIONS.intersection(words))
        found = _reply(words, clause is clauses[0]) or _predicate(words) or _negation(words) if "�" not in words else []
        claims.extend(
            _Claim(says, rank, (announced or revised) and len(found) == 1 and rank > _Rank.NEGATION)
            for says, rank in found
        )
        announced = announced and not found
    return claims


def _reply(words: list[str], opens: bool) -> list[tuple[bool, _Rank]]:
    """Return what a clause says that begins with yes or no, or is only such a word. "Yes or no" says both."""
    start = 0
    while start < len(words) and words[start] in _BEFORE | _REVISIONS:
        start += 1
    if start == len(words):
        alone = opens and not _ALONE_YES.isdisjoint(words)
        return [(True, _Rank.REPLY)] if alone else []
    if words[start] == "是" and words[start + 1 : start + 2] and words[start + 1] in _VERDICTS:
        start += 1  # "答案是正确的", "答案是否"
    first, rest = words[start], words[start + 1 :]
    after = rest[0] if rest else ""
    if not rest and (first in _ALONE_YES or first in _ALONE_NO or first in _TRUE or first in _FALSE):
        return [(first in _ALONE_YES or first in _TRUE, _Rank.REPLY)]
    yes = first in _YES or (opens and first in _BEGINS_YES) or (first == "是" and not rest)
    no = first in _NO and (first != "no" or not rest or after in _PRONOUNS or after in ("or", "and", "/", "way"))
    no = no or (first in _NEGATIONS and not first.isascii() and (not rest or words[start + 1 :] in (["有"], ["是"])))
    if not yes and not no:
        return []
    said = {yes}
    if yes and ("no" in rest[-1:] or "/" in rest or {"or", "and"} & {after}) and _NO.intersection(rest):
        said.add(False)
    if no and _YES.intersection(rest):
        said.add(True)
    return [(says, _Rank.REPLY) for says in said]


def _predicate(words: list[str]) -> list[tuple[bool, _Rank]]:
    """Return what the words such as "true" and "wrong" of a clause say, turned round where a negation governs them."""
    found = []
    for at, word in enumerate(words):
        if (word in _TRUE or word in _FALSE or (word in ("no", "否") and at == len(words) - 1)) and _is_said(words, at):
            found.append(((word in _TRUE) != _is_negated(words, at), _Rank.PREDICATE))
    return found


def _is_said(words: list[str], at: int) -> bool:
    """Return whether "correct" or "right" is a verdict here, and no attribute or direction."""
    before = words[at - 1] if at else ""
    after = words[at + 1] if at + 1 < len(words) else ""
    if words[at] == "right":
        return before not in _PLACES and after in ("", "about", "that")
    if words[at] in "对對真假":
        return not after or after in _ENDINGS
    return after not in _ATTRIBUTED


def _is_negated(words: list[str], at: int) -> bool:
    negated = words[0] in _QUANTIFIERS and at > 0
    for word in reversed(words[:at]):
        if _negates(word):
            negated = not negated
        elif word not in _GOVERNED:
            break
    return negated


def _negation(words: list[str]) -> list[tuple[bool, _Rank]]:
    """Return no for a clause with a negation, and yes for a short one such as "It is"."""
    if len(words) > 1 and ("none" in words or words[0] == "neither"):
        return [(False, _Rank.NEGATION)]
    if any(word in _NO or (word != "nothing" and _negates(word)) for word in words):
        return [(False, _Rank.NEGATION)]
    short = len(words) <= 3 and words[0] in _PRONOUNS and words[-1] in _AUXILIARIES
    return [(True, _Rank.NEGATION)] if short else []


def _negates(word: str) -> bool:
    return word in _NEGATIONS or word.endswith("n't")
