r"""Words and signs of a text about options, and the parts that they play.

For example:

    tokens_of("The answer is **b**, not（Ａ）") -> ["The", "answer", "is", "(", "b", ")", ",", "not", "(", "A", ")"]

The sets below are the whole vocabulary of the readers of option letters. All words are in lower case.
"""

from __future__ import annotations

import re
import unicodedata

from vlaa_ray.text.answers import MAX_CHARS

_MACRO = re.compile(r"\\(?:text|textbf|textit|mathrm|mathbf|mathsf|emph)\s*+\{([^{}]*)\}")
_EMPHASIS = re.compile(
    r"(?:\*{1,3}|__|[_`'\"“‘「『【《]|<b>|<strong>|<u>)([A-Za-z])(?:\*{1,3}|__|[_`'\"”’」』】》]|</b>|</strong>|</u>)"
    r"(?![A-Za-z0-9])"
)
_LAYOUT = re.compile(r"[*$`]|\\[()\[\]&,;! ]|\\left\b|\\right\b|</?(?:b|strong|u|p|br)\s?/?>")
_HAS_LAYOUT = re.compile(r"[*_`'\"“‘「『【《<$\\]")
_TOKEN = re.compile(
    r"(?:[A-Za-z]\.){2,}"  # initials, "e.g."
    r"|\d+(?:[.,]\d+)++"
    r"|[A-Za-z]\([A-Za-z]\)|[A-Za-z]+\(e?s\)"  # f(x), cat(s)
    r"|as well as\b|vs\.|[A-Za-zÀ-ɏ0-9_]++(?:['–-][A-Za-zÀ-ɏ0-9]++)*+"
    r"|\\[A-Za-z]+|答案|选项|選項|还是|還是|因为|因為|由于|由於|因此|所以|以及|正确|正確|错误|錯誤|\n|\S"
)

OPENING = frozenset("([{<")
CLOSING = frozenset(")]}>")
MARKS = frozenset(".:)")
END = frozenset([*".!?;。\n…", "!", "?"])
LINE_ENDS = frozenset("\n;")
CONJUNCTIONS = frozenset("and or & / + 和 或 及 与 與 以及 还是 還是 et ou und oder vs vs. versus plus".split()) | {
    "as well as"
}
COMMAS = frozenset(",、")
JOINS = CONJUNCTIONS | COMMAS
ALTERNATIVES = frozenset("or vs vs. versus 或 还是 還是 ou oder".split())
BESIDE_A_JOIN = frozenset(
    "maybe possibly perhaps also even option options choice choices answer letter the 选 選 选项 選項".split()
)
"""Words that may stand beside a conjunction between two letters: "A or maybe B"."""
CLAUSE = frozenset("it is it's that that's would be".split())
"""Words that may follow "or" between two letters: "it is A or it is B"."""

NOT = frozenset("not cannot never neither nor non nicht pas 不 没 沒 非".split())
DENY = frozenset(
    "not cannot never neither nor non nicht pas wrong incorrect false except excluding exclude excludes eliminate "
    "eliminates eliminated eliminating reject rejects rejected discard without unlike than over "
    "不 非 除 错误 錯誤".split()
)
"""Words that deny the letter which follows them, with some words of FILLERS between them."""
DENY_IN_TWO = frozenset(
    [("instead", "of"), ("rule", "out"), ("rules", "out"), ("ruled", "out"), ("ruling", "out")]
    + [("none", "of"), ("no", "way")]
    + [(every, "but") for every in ("all", "everything", "anything")]
)
ANSWERS = frozenset("answer answers ans réponse réponses respuesta antwort 答案".split())
NAMES = frozenset("option options choice choices letter 选项 選項 项 項".split())
REVISIONS = frozenset("actually wait correction".split())
CHOOSING = frozenset(
    "choose chose chosen pick picked select selected selecting choosing picking go going 选 選 择 擇".split()
)
CONCLUSIONS = frozenset("so thus hence therefore then ∴ → ⇒ 故 因此 所以".split())
DIRECT = CHOOSING | frozenset("it it's that's say guess think believe be prefer 应 應 而".split())
COPULAS = frozenset("is are be was were : = 's 是 为 為".split())
FILLERS = (
    COPULAS
    | NAMES
    | frozenset(
        "the an been would should must could can may might will to that this correct right best final my most likely "
        "probably definitely surely certainly clearly obviously indeed simply with agree look "
        "looks like seem seems appear either both out for i "
        "( [ { - — – \" ' 该 該 的 最 终 終 会 會 能 可 以 了 我 们 定 肯 一 个 個".split()
    )
)

HEDGES = frozenset("could may might".split())
PRAISE = frozenset("correct right best final 正确 正確 对 對".split())
LIMITS_A = frozenset("correct right wrong incorrect false true better best only".split())
AFTER_A = frozenset(
    "is are was were be has have had does do did can cannot could will would should must might may seems seem looks "
    "look appears appear shows show matches match fits fit fails contradicts represents describes depicts corresponds "
    "gives gave makes contains satisfies works refers states says because since as and or nor but not rather instead "
    "than then so thus hence therefore where which while with without for from in on at by to of over vs versus if "
    "when although though however whereas also too both et ou und oder plus".split()
) | {"as well as"}
"""Words that may follow the option A. Before other words in lower case "A" is the article."""
AFTER_I = frozenset("is was and or because since as isn't".split())
SINGULAR = frozenset("is was has does shows looks seems appears matches fits isn't doesn't wasn't hasn't fails".split())
PLURAL = frozenset("are were aren't weren't both all do don't 都".split())
VERBS = (
    SINGULAR | PLURAL | frozenset("be look seem appear can could would must should might may will did 是 也 's".split())
)
LINKS = VERBS | frozenset(
    "the a an all only most clearly definitely also probably certainly simply obviously quite option choice "
    "选项 選項 项 項 的 肯 定 明 显 顯".split()
)
"""Words that may stand between a letter and the word that calls it right or wrong."""
WRONG = frozenset(
    "wrong incorrect false invalid impossible eliminated excluded ruled untrue unlikely unsuitable fails contradicts "
    "too out 错 錯 误 誤 错误 錯誤 排".split()
)
ONLY_AFTER_A_VERB = frozenset("too out ruled all both".split())
RIGHT = frozenset("correct right true best better answer fits matches match fit valid 正确 正確 对 對".split())
AFTER_A_DENIAL = (
    END
    | JOINS
    | CLOSING
    | frozenset("because since as but so it it's possible fit match work apply correspond hold 符 成".split())
)
"""What may follow "B isn't" or "B does not", so that B is denied. "B does not move" tells what option B says."""
REASONS = frozenset("because since as due 因 因为 因為 由于 由於".split())
SETTLES = frozenset(["", *"\n,、-–—([。;!", "because", "since", "as", "因", "因为", "因為", "由于", "由於"])
"""What follows a letter that opens an answer and is its option, beside a mark such as "B."."""
AFTER_A_SMALL_LETTER = END | JOINS | CLOSING | VERBS | REASONS | SETTLES | {":"}
"""What may follow a small letter that is an option. Before other words "a" is the article."""
BULLETS = frozenset("-•#>\n\"'~“‘")
MATHS_AFTER = frozenset("=^<>≤≥≈≠∈⊂∪∩|'′×·")
MATHS_BEFORE = frozenset("=^<>≤≥≈≠∈⊂∪∩∠△|×·")


def tokens_of(text: str) -> list[str]:
    """Return the words and signs of the text, without its layout.

    Full-width letters and signs become plain ones. A letter that is emphasised or quoted comes out in round brackets.
    """
    if not text.isascii():
        text = unicodedata.normalize("NFKC", text).replace("’", "'")[-MAX_CHARS:]  # one character may become eighteen
    if _HAS_LAYOUT.search(text):
        text = _MACRO.sub(r"\1", text) if "\\" in text else text
        text = _LAYOUT.sub("", _EMPHASIS.sub(r"(\1)", text))
    if "as well as" in text:
        return _TOKEN.findall(text)
    tokens: list[str] = []  # word by word, which is quicker than the pattern on the whole text
    for line in text.split("\n"):
        for word in line.split():
            if word.isalpha() and word.isascii():
                tokens.append(word)
            else:
                tokens += _TOKEN.findall(word)
        tokens.append("\n")
    return tokens[:-1]


_TURNING = DENY | NOT | WRONG | {first for first, _ in DENY_IN_TWO}


def may_deny(words: list[str]) -> bool:
    """Return whether a word in lower case may deny an option or call it wrong."""
    return not _TURNING.isdisjoint(words) or any(word.endswith("n't") for word in words)


def is_negative(word: str) -> bool:
    """Return whether the word in lower case is a negation, such as "not", "cannot" or "isn't"."""
    return word in NOT or word.endswith("n't")
