"""Finds the option letters of a text, and which of them are denied, enumerated, or announced as the answer.

For example:

    [mention.letter for mention in read_options(tokens_of("not A but C")).chosen] == ["C"]

Mentions that are joined by "and", "or" or commas make a chain. A negation before a chain denies its letters ("not A or
B"), and so does a verdict after it ("A and B are wrong").
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from itertools import pairwise
from typing import NamedTuple

from vlaa_ray.rewards.verifiers import option_tokens as say
from vlaa_ray.rewards.verifiers.option_mentions import REACH, Form, Mention, lead_of, mark_of, mentions_of

_BEFORE_A_LIST = frozenset("the options option choices answers letters : (".split())
_FAR = 15  # the number of words after "answer" within which its letter stands


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


class _Chain(NamedTuple):
    """A chain with a mention that is not denied."""

    whole: list[Mention]
    live: list[Mention]
    """The mentions that are not denied."""
    direct: bool
    """Whether a word leads to the chain, or a verdict calls it right."""


def read_options(tokens: list[str]) -> Options:
    """Return the mentions of options among the tokens of `tokens_of`, sorted by what is said about them."""
    words = [token.lower() for token in tokens]
    mentions = mentions_of(tokens, words)
    return _options(words, mentions, _live_chains(words, mentions))


def read_choice(tokens: list[str]) -> str | Options:
    """Return the only letter that the text names and does not deny, or what `read_options` returns.

    Where the letter is clear, most of the work of `read_options` is left out: this is the usual text, and its speed
    counts.
    """
    words = [token.lower() for token in tokens]
    mentions = mentions_of(tokens, words)
    if len({mention.letter for mention in mentions}) == 1 and not say.may_deny(words):
        return mentions[0].letter
    chains = _live_chains(words, mentions)
    letters = {mention.letter for chain in chains for mention in chain.live}
    return letters.pop() if len(letters) == 1 else _options(words, mentions, chains)


def _live_chains(words: list[str], mentions: list[Mention]) -> list[_Chain]:
    chains = []
    starts = {mention.start for mention in mentions}
    tabled = _is_table(words, mentions)
    for chain in _chains(words, mentions):
        lead = lead_of(words, chain[0].start)
        verdict = _verdict(words, chain[-1], starts, tabled)
        live = _live(words, chain, lead.denied, verdict)
        if lead.denied and not verdict.wrong and _follows_none_of(words, chain[0]):
            live = []
        if live:
            said = lead.direct or verdict.right or (lead.denied and verdict.wrong)
            chains.append(_Chain(chain, live, said))
    return chains


def _options(words: list[str], mentions: list[Mention], chains: list[_Chain]) -> Options:
    directs = [
        chain.live
        for chain in chains
        if chain.direct or _concludes(words, chain.whole) or _is_last_sentence(words, chain.live)
    ]
    chosen = [mention for chain in chains for mention in chain.live]
    denied = frozenset(mention.letter for mention in set(mentions).difference(chosen))
    live = [chain.live for chain in chains]
    return Options(words, live, directs, _items(words, chosen), _reasoned(words, chosen), denied)


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


def _chains(words: list[str], mentions: list[Mention]) -> list[list[Mention]]:
    chains: list[list[Mention]] = []
    for mention in mentions:
        if chains and _is_joined(words, chains[-1], mention):
            chains[-1].append(mention)
        else:
            chains.append([mention])
    return chains


def _is_joined(words: list[str], chain: list[Mention], right: Mention) -> bool:
    left = chain[-1]
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
    if conjunction or after not in say.SINGULAR:  # "B, A is wrong" is about two things
        return True
    return _follows_none_of(words, chain[0])


def _follows_none_of(words: list[str], first: Mention) -> bool:
    """Return whether "none of", "neither of" or "not any of" opens the list whose first mention this is."""
    start = first.start
    while start > 2 and words[start - 1] in _BEFORE_A_LIST:
        start -= 1
    return start > 1 and words[start - 1] == "of" and words[start - 2] in ("none", "neither", "any")


def _live(words: list[str], chain: list[Mention], denied: bool, verdict: Verdict) -> list[Mention]:
    """Return the mentions of the chain that neither the words before nor those after it deny."""
    if len(chain) == 1:
        return chain if denied == verdict.wrong else []
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
        clauses = verdict.singular and any("and" in gap for gap in gaps[-1:])  # "C and A is wrong" denies A only
        return [] if verdict.plural or (any(joined[-1:]) and not clauses) else chain[:-1]
    return chain


def _verdict(words: list[str], last: Mention, starts: set[int], tabled: bool) -> Verdict:
    """Return what the words after a mention call it: "B is wrong", "B doesn't fit", "B is the best answer"."""
    if last.form is Form.MARKED and words[last.end - 1] != ")":
        word = words[last.end] if tabled and last.end < len(words) else ""
        return Verdict(wrong=word in say.WRONG, right=word in say.RIGHT)
    verb = plural = singular = negative = False
    for at in range(last.end, min(last.end + REACH, len(words))):
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
    return any(len(word) > 1 and word.isalpha() for word in words[: last.start])


def _concludes(words: list[str], chain: list[Mention]) -> bool:
    """Return whether the chain is what follows a "but", as in "A is close but C."."""
    end = chain[-1].end
    return chain[0].start > 0 and words[chain[0].start - 1] == "but" and (end == len(words) or words[end] in say.END)


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
