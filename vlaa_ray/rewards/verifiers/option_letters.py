"""Finds the option letters of a text, and which of them are denied, enumerated, or announced as the answer.

    [mention.letter for mention in read_options("not A but C").chosen] == ["C"]

A letter is a mention of an option if it stands alone: a capital one that is no article, pronoun or part of mathematics,
or a small one with a mark ("(b)", "b)") or after a word that announces it ("option b"). Mentions that are joined by
"and", "or" or commas make a chain. A negation before a chain denies its letters ("not A or B"), and so does a verdict
after it ("A and B are wrong").
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from enum import IntEnum
from itertools import pairwise
from typing import NamedTuple

from vlaa_ray.rewards.verifiers import option_tokens as say

_REACH = 8  # the number of words before a letter among which a cue or a negation is looked for
_FAR = 15  # the number of words after "answer" within which its letter stands


class Form(IntEnum):
    """How a letter is written: "B", "B)" or "(B)"."""

    BARE = 0
    MARKED = 1
    BRACKETED = 2


class Mention(NamedTuple):
    """A letter, in upper case, and the range of tokens that it takes with its bracket or mark."""

    letter: str
    start: int
    end: int
    form: Form


class Lead(NamedTuple):
    """What the words before a mention say about it."""

    denied: bool = False
    direct: bool = False
    """A word such as "so", "choose" or "it's" leads to the letter."""
    announced: bool = False
    """The word "answer", "option" or "choose" leads to the letter, so that a small letter counts."""


class Verdict(NamedTuple):
    """What the words after a chain say about it."""

    wrong: bool = False
    right: bool = False
    plural: bool = False
    singular: bool = False


class Options(NamedTuple):
    """A text about options: its words, and the mentions in their order."""

    words: list[str]
    """The tokens in lower case."""
    chains: list[list[Mention]]
    """The mentions that are not denied, by chain. No chain is empty."""
    directs: list[list[Mention]]
    """The chains to which a word such as "so" leads, or which are called right."""
    items: list[Mention]
    """The marked letters of an enumeration of at least two options."""
    reasoned: frozenset[int]
    """The starts of the mentions in clauses with "because"."""
    denied: frozenset[str]
    """The letters of the mentions that are denied."""

    @property
    def chosen(self) -> list[Mention]:
        """The mentions that are not denied."""
        return [mention for chain in self.chains for mention in chain]


def read_options(tokens: list[str]) -> Options:
    """Return the mentions of options among the tokens of `tokens_of`, sorted by what is said about them."""
    words = [token.lower() for token in tokens]
    mentions = _mentions(tokens, words)
    chains, directs = [], []
    starts = {mention.start for mention in mentions}
    tabled = _is_table(words, mentions)
    for chain in _chains(words, mentions):
        lead = lead_of(words, chain[0].start)
        verdict = _verdict(words, chain[-1], starts, tabled)
        live = _live(words, chain, lead.denied, verdict)
        if not live:
            continue
        chains.append(live)
        if (
            lead.direct
            or _concludes(words, chain)
            or verdict.right
            or (lead.denied and verdict.wrong)
            or _is_last_sentence(words, live)
        ):
            directs.append(live)
    chosen = [mention for chain in chains for mention in chain]
    denied = frozenset(mention.letter for mention in set(mentions).difference(chosen))
    return Options(words, chains, directs, _items(words, chosen), _reasoned(words, chosen), denied)


def lead_of(words: list[str], start: int) -> Lead:
    """Return what the words before `start` say about the mention that begins there."""
    direct = announced = linked = colon = False
    for at in range(start - 1, max(start - 1 - _REACH, -1), -1):
        word = words[at]
        if word in say.DENY or word.endswith("n't") or (at and (words[at - 1], word) in say.DENY_IN_TWO):
            about_another = colon and any(len(other) == 1 and other.isalpha() for other in words[max(at - 2, 0) : at])
            return Lead(not about_another, direct, announced)  # "B isn't right: A" denies B
        if word in say.HEDGES:
            return Lead(False, False, announced)
        if word in say.CONCLUSIONS:
            return Lead(False, True, announced)
        if word in say.NAMES:
            announced = True
        elif word in say.ANSWERS or word in say.DIRECT:
            announced = announced or word in say.ANSWERS or word in say.CHOOSING
            direct = direct or word in say.DIRECT
        elif word == "\n":
            if not linked and not announced:
                break
        elif word not in say.FILLERS:
            break
        direct = direct or (linked and word in say.PRAISE)  # "the best is B"
        linked = linked or word in say.COPULAS
        colon = colon or word == ":"
    return Lead(False, direct, announced)


def answer_chain(options: Options) -> list[Mention]:
    """Return the chain that follows the last "answer" with one, or an empty list."""
    words = options.words
    items = {item.start for item in options.items}
    starts = [chain[0].start for chain in options.chains]
    for at in range(len(words) - 1, -1, -1):
        if not _announces(words, at):
            continue
        end = _sentence_end(words, at)
        near = options.chains[bisect_right(starts, at) : bisect_left(starts, end)]
        near = [chain for chain in near if chain[0].start not in items and chain[0].start not in options.reasoned]
        linked = [chain for chain in near if words[chain[0].start - 1] in say.COPULAS]
        if near:
            return (linked or near)[0]
    return []


def opener(options: Options) -> tuple[Mention | None, bool]:
    """Return the mention that opens the text, or None, and whether it is settled as by "B." or "B because"."""
    words, chains = options.words, options.chains
    if not chains or len(chains[0]) > 1 or chains[0][0] in options.items:
        return None, False
    first = chains[0][0]
    after = words[first.end] if first.end < len(words) else ""
    if any(word not in say.BULLETS for word in words[: first.start]) or after == "?":
        return None, False
    if len(chains) > 1 and all(_is_line(words, chain[0], say.LINE_ENDS) for chain in chains[:2]):
        return None, False
    if first.form is not Form.BARE or after in say.MARKS or after in say.SETTLES:
        return first, True
    return (None, False) if after in say.CONJUNCTIONS else (first, False)


def _announces(words: list[str], at: int) -> bool:
    word = words[at]
    after = words[at + 1] if at + 1 < len(words) else ""
    if word in say.ANSWERS:
        return not at or words[at - 1] != "to"
    if word in say.REVISIONS:
        return True
    return word in say.NAMES and (after in say.COPULAS or after in ("should", "must", "would"))


def _sentence_end(words: list[str], at: int) -> int:
    begun = False
    for index in range(at + 1, min(at + 1 + _FAR, len(words))):
        word = words[index]
        if word in say.END and (begun or word != "\n"):
            return index
        begun = begun or not (word in say.FILLERS or word == "\n")
    return min(at + 1 + _FAR, len(words))


def _mentions(tokens: list[str], words: list[str]) -> list[Mention]:
    listed = len(tokens) < 60 and all(len(word) == 1 or word in say.JOINS for word in words)
    mentions: list[Mention] = []
    depth = 0
    for at, token in enumerate(tokens):
        if token == "(":
            depth += 1
        elif token == ")":
            depth = max(depth - 1, 0)
        elif len(token) == 1 and token.isascii() and token.isalpha():
            follows = bool(mentions) and mentions[-1].end == at - 1 and words[at - 1] in say.JOINS
            mention = _mention(tokens, words, at, depth, listed, follows)
            if mention:
                mentions.append(mention)
    return mentions


def _mention(tokens: list[str], words: list[str], at: int, depth: int, listed: bool, follows: bool) -> Mention | None:
    letter = tokens[at].upper()
    before = words[at - 1] if at else ""
    after = words[at + 1] if at + 1 < len(words) else ""
    if before in say.OPENING and before and after in say.CLOSING and after:
        if before == "{" and at > 1 and words[at - 2][0] in "\\}^_":  # "\frac{A}{2}"
            return None
        return Mention(letter, at - 1, at + 2, Form.BRACKETED)
    begins = not before or before in say.END or before in say.JOINS
    if after == ")" and not depth:
        return Mention(letter, at, at + 2, Form.MARKED)
    if after and after in ".:" and begins and (before != "." or tokens[at] == letter):
        return Mention(letter, at, at + 2, Form.MARKED)
    if tokens[at] != letter and not at and letter not in "AI" and after in say.SETTLES - {""}:
        return Mention(letter, at, at + 1, Form.BARE)
    if tokens[at] != letter and not listed:
        return Mention(letter, at, at + 1, Form.BARE) if _is_announced(words, at, after, follows) else None
    return None if _is_no_option(tokens, words, at) else Mention(letter, at, at + 1, Form.BARE)


def _is_announced(words: list[str], at: int, after: str, follows: bool) -> bool:
    """Return whether the words around a small letter make it an option. `follows`: it is joined to a mention."""
    ends = not after or after in say.END or after in say.JOINS or after in say.CLOSING or after == ":"
    if not (ends or after in say.VERBS or after in say.REASONS):
        return False
    return follows or lead_of(words, at).announced


def _is_no_option(tokens: list[str], words: list[str], at: int) -> bool:
    """Return whether the capital letter is an article, the pronoun, or part of a formula."""
    before = words[at - 1] if at else ""
    after = words[at + 1] if at + 1 < len(words) else ""
    if at > 1 and (before in say.MATHS_BEFORE or before[:1] == "\\"):
        return before != "=" or words[at - 2] not in say.ANSWERS
    if (after in say.MATHS_AFTER or after[:1] == "\\") and after:
        return True
    if words[at] not in ("a", "i") or not (after.isascii() and after[:1].isalpha() and tokens[at + 1] == after):
        return False
    if words[at] == "i":
        return after not in say.AFTER_I
    if after in say.LIMITS_A:
        return at + 2 < len(words) and words[at + 2][:1].isalpha() and words[at + 2] not in say.AFTER_A
    return len(after) > 1 and after not in say.AFTER_A and not after.endswith("n't")


def _chains(words: list[str], mentions: list[Mention]) -> list[list[Mention]]:
    chains: list[list[Mention]] = []
    for mention in mentions:
        if chains and _is_joined(words, chains[-1][-1], mention):
            chains[-1].append(mention)
        else:
            chains.append([mention])
    return chains


def _is_joined(words: list[str], left: Mention, right: Mention) -> bool:
    gap = words[left.end : right.start]
    if not gap:
        return left.form is right.form is not Form.MARKED
    if len(gap) > 6 or not say.JOINS.intersection(gap):
        return False
    conjunction = bool(say.CONJUNCTIONS.intersection(gap))
    alternative = bool(say.ALTERNATIVES.intersection(gap))
    for word in gap:
        may_stand = word in say.JOINS or word in say.BESIDE_A_JOIN or (alternative and word in say.CLAUSE)
        if not may_stand or (word in say.CHOOSING and not conjunction):  # "not B, choose A" is no chain
            return False
    after = words[right.end] if right.end < len(words) else ""
    return conjunction or after not in say.SINGULAR  # "B, A is wrong" is about two things


def _live(words: list[str], chain: list[Mention], denied: bool, verdict: Verdict) -> list[Mention]:
    """Return the mentions of the chain that neither the words before nor those after it deny."""
    gaps = [words[left.end : right.start] for left, right in pairwise(chain)]
    joined = [not say.CONJUNCTIONS.isdisjoint(gap) or "、" in gap for gap in gaps]
    if denied and verdict.wrong:  # "all except B are wrong"
        return chain
    if denied and (gaps == [[",", "and"]] or (len(chain) > 2 and not any(joined))):
        return chain[1:] if len(chain) == 2 else []  # "A, not B, and C" denies B
    if denied:  # "not A, B or C" denies all three, "not A, B" the first
        last = max((index + 1 for index, conjunction in enumerate(joined) if conjunction), default=0)
        return chain[last + 1 :]
    if verdict.wrong:
        for index, conjunction in enumerate(joined):  # in "C, A and B are wrong" a list begins after C
            if not conjunction and chain[index + 1].letter < chain[index].letter:
                return chain[: index + 1]
        last_gap = words[chain[-2].end : chain[-1].start] if len(chain) > 1 else []
        both = (
            joined and joined[-1] and not (verdict.singular and "and" in last_gap)
        )  # "C and A is wrong" denies A only
        return [] if verdict.plural or both else chain[:-1]
    return chain


def _verdict(words: list[str], last: Mention, starts: set[int], tabled: bool) -> Verdict:
    """Return what the words after a mention call it: "B is wrong", "B doesn't fit", "B is the best answer"."""
    if last.form is Form.MARKED and words[last.end - 1] != ")":
        word = words[last.end] if tabled and last.end < len(words) else ""
        return Verdict(wrong=word in say.WRONG, right=word in say.RIGHT)
    verb = plural = singular = negative = False
    for at in range(last.end, min(last.end + _REACH, len(words))):
        word = words[at]
        if say.is_negative(word):
            negative = not negative
            verb = verb or word not in ("not", "never", "neither", "nor", "non")
        elif word in say.WRONG and (verb or (last.form is Form.BARE and word not in say.ONLY_AFTER_A_VERB)):
            return Verdict(not negative, negative, plural, singular)
        elif word in say.RIGHT and (verb or last.form is Form.BARE):
            place = word == "right" and at + 1 < len(words) and words[at + 1] in ("of", "side", "now")
            return Verdict(negative, not negative and not place, plural, singular)
        elif at in starts or word not in say.LINKS:
            return Verdict(negative and verb and word in say.AFTER_A_DENIAL, False, plural, singular)
        verb = verb or word in say.VERBS
        plural = plural or word in say.PLURAL
        singular = singular or word in say.SINGULAR
    return Verdict(negative and verb, False, plural, singular)


def _is_table(words: list[str], mentions: list[Mention]) -> bool:
    """Return whether at least two letters with marks have verdicts beside them: "A: true, B: false"."""
    marked = [mention.end for mention in mentions if mention.form is Form.MARKED and mention.end < len(words)]
    said = [end for end in marked if words[end] in say.WRONG or words[end] in say.RIGHT]
    return len(said) > 1


def _is_line(words: list[str], mention: Mention, before: frozenset[str]) -> bool:
    """Return whether the mention stands alone between one of the signs `before` and the end of its line."""
    end = mention.end
    while end < len(words) and words[end] in say.MARKS:
        end += 1
    begins = not mention.start or words[mention.start - 1] in before
    return begins and (end == len(words) or words[end] in say.LINE_ENDS)


def _is_last_sentence(words: list[str], chain: list[Mention]) -> bool:
    """Return whether the chain is one letter that is the last sentence or line, after others with words."""
    last = chain[-1]
    if len(chain) > 1 or not _is_line(words, last, say.END) or len(words) > last.end + 1:
        return False
    return any(len(word) > 1 for word in words[: last.start])


def _concludes(words: list[str], chain: list[Mention]) -> bool:
    """Return whether the chain is what follows a "but", as in "A is close but C."."""
    end = chain[-1].end
    return chain[0].start > 0 and words[chain[0].start - 1] == "but" and (end == len(words) or words[end] in say.END)


def mark_of(words: list[str], mention: Mention) -> str:
    """Return the sign after a letter that marks it, ")", ".", ":" or another bracket, or an empty text."""
    if mention.form is not Form.BARE:
        return words[mention.end - 1]
    after = words[mention.end] if mention.end < len(words) else ""
    return after if after in (".", ":") else ""


def _items(words: list[str], mentions: list[Mention]) -> list[Mention]:
    r"""Return the letters of an enumeration, "A. 1\nB. 2" or "A. 1 B. 2", or an empty list if it has fewer than two."""
    items: list[Mention] = []
    for mention in mentions:
        mark = mark_of(words, mention)
        text = mention.end if mention.form is not Form.BARE else mention.end + 1
        if not mark or text >= len(words) or words[text] in say.END or words[text] in say.JOINS:
            continue
        if _is_answered(words, mention.start):
            continue
        begins = not mention.start or words[mention.start - 1] in ("\n", ":")
        follows = items and mark == mark_of(words, items[-1]) and ord(mention.letter) == ord(items[-1].letter) + 1
        if begins or follows:
            items.append(mention)
    return items if len({item.letter for item in items}) > 1 else []


def _is_answered(words: list[str], start: int) -> bool:
    """Return whether "answer", with few words between, leads to the mention that begins at `start`."""
    for at in range(start - 1, max(start - 5, -1), -1):
        if words[at] in say.ANSWERS:
            return True
        if words[at] not in say.FILLERS and words[at] != "\n":
            break
    return False


def _reasoned(words: list[str], mentions: list[Mention]) -> frozenset[int]:
    """Return the starts of the mentions that stand after "because" in a sentence with another mention before it."""
    starts = {mention.start for mention in mentions}
    reasoned = set()
    seen = reason = False
    for at, word in enumerate(words):
        if word in say.END or word in say.CONCLUSIONS:
            seen = reason = False
        elif word in say.REASONS:
            reason = seen
        elif at in starts:
            seen = True
            if reason:
                reasoned.add(at)
    return frozenset(reasoned)
