r"""Whether an answer says that there is nothing to find: in words, or as an empty list.

[says_none(text) for text in ("[]", "No cats in the picture.", "没有", "", "I don't know")]
== [True, True, True, False, False]
"""

from __future__ import annotations

import json
import re
from typing import Any

_LONGEST = 400
_FENCE = re.compile(r"```\w*")
_WORD = re.compile(r"[^\W_]+(?:['’]t)?")
_LEAD_IN = re.compile(
    r"\A(?:the )?(?:final )?(?:answer|result|output|list|empty list)(?: is| are)?[ :]{1,3}", re.IGNORECASE
)
_FIRST = frozenset("no none nothing nobody null nil zero 0".split())
"""The words that deny where an answer begins with them."""
_LEADS = frozenset("there is are was were the answer i it this image picture photo has have s a an".split())
_DENIED = frozenset(
    "find found see seen detect detected locate located spot spotted identify identified observe observed contain "
    "contains contained show shows shown include includes have present visible exist exists appear appears".split()
)
"""What an answer denies that says that there is nothing: "not found", "doesn't contain"."""
_NOT = re.compile(r"(?:not|no|never|cannot|unable|\w+n['’]t)")
_EMPTY = (["empty"], ["empty", "list"], ["n", "a"])
_DOUBT = frozenset(
    "know sure certain unsure tell determine unclear maybe perhaps possibly doubt but except however although unless "
    "only problem worries or if whether clear clearly answer question idea".split()
)
"""The words of an answer that does not say it plainly."""
_CHINESE = re.compile(r"没有|沒有|未找到|未检测到|未发现|不存在|找不到|没找到|看不到|\A无\Z|\A无[任目该此相]")
_CHINESE_DOUBT = re.compile(r"知道|确定|清楚|可能|也许|但|没有办法|没有问题|能否|是否|不是没有")


def says_none(text: str) -> bool:
    """Return whether the text says that there is nothing to find. An empty text says nothing."""
    plain = _FENCE.sub(" ", text[: _LONGEST + 1]).strip()
    plain = _LEAD_IN.sub("", plain, count=1)
    if len(plain) > _LONGEST or not plain or "?" in plain or "？" in plain:
        return False
    return _is_empty_json(plain) or _denies(_WORD.findall(plain.lower())) or _denies_in_chinese(plain)


def _is_empty_json(text: str) -> bool:
    try:
        return text[0] in "[{(" and _is_empty(json.loads(text.replace("(", "[").replace(")", "]")))
    except (ValueError, RecursionError):
        return False


def _is_empty(value: Any) -> bool:
    if isinstance(value, dict):
        return all(_is_empty(item) for item in value.values())
    return value is None or (isinstance(value, list) and all(_is_empty(item) for item in value))


def _denies(words: list[str]) -> bool:
    if not words or _DOUBT.intersection(words) or any(word.isdigit() and word != "0" for word in words):
        return False
    if "there" in words[1:] and words[0] == "no":  # "No, there is one"
        return _denies(words[words.index("there") :])
    start = next((index for index, word in enumerate(words) if word not in _LEADS), 0)
    if (words[start] in _FIRST and words != ["0"]) or words[start:] in _EMPTY or words in _EMPTY:
        return True
    denials = [index for index, word in enumerate(words) if _NOT.fullmatch(word)]
    behind = words[denials[0] + 1 :] if len(denials) == 1 else []
    return bool(_DENIED.intersection(behind)) or behind[:1] in (["any"], ["a"], ["in"])


def _denies_in_chinese(text: str) -> bool:
    text = text.strip(" 。.!！")
    return bool(_CHINESE.search(text)) and not _CHINESE_DOUBT.search(text)
