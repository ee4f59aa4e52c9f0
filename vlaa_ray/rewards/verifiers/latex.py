r"""Rewrites plain, Unicode and ASCII mathematics as LaTeX that Math-Verify can read.

    to_latex("y = -5 * sin(-5 * x)") -> r"y = -5 * \sin(-5 * x)"
    to_latex("2√3 cm²") -> r"2\sqrt{3}"

Every rule rewrites text, and nothing is evaluated. A part that no rule can write as LaTeX stays as it is. Then the
parser refuses the whole text, and does not read only a part of it.
"""

from __future__ import annotations

import re

from vlaa_ray.rewards.verifiers.units import drop_units
from vlaa_ray.text.answers import closing_brace

_PLAIN_SIGNS = dict(zip("−–—﹣＋＝∗＊／∕（）［］｛｝，；：∶。、％’′", "----+=**//()[]{},;::.,%''", strict=True))
_BLANKS = dict.fromkeys("\u00a0\u2009\u202f\u3000", " ") | {"\u200b": ""}
_COMMANDS = (
    "× times ÷ div · cdot ⋅ cdot ± pm ∓ mp ∞ infty ≈ approx ≤ leq ≦ leq ⩽ leq ≥ geq ≧ geq ⩾ geq ≠ neq ∠ "
    "angle ∪ cup ∩ cap ∈ in ∅ emptyset △ triangle ⟨ langle ⟩ rangle π pi α alpha β beta γ gamma δ delta θ "
    "theta λ lambda μ mu ρ rho σ sigma φ phi ω omega Δ Delta Ω Omega "
).split()
_FRACTIONS = {"½": "{1}{2}", "⅓": "{1}{3}", "⅔": "{2}{3}", "¼": "{1}{4}", "¾": "{3}{4}"}
_CHARS = str.maketrans(
    _PLAIN_SIGNS
    | _BLANKS
    | {char: f"\\{name} " for char, name in zip(_COMMANDS[::2], _COMMANDS[1::2], strict=True)}
    | {char: f"\\frac{digits}" for char, digits in _FRACTIONS.items()}
    | {"°": r"^{\circ}", "º": r"^{\circ}", "ℝ": r"\mathbb{R}"}
)
_RAISED = str.maketrans("⁰¹²³⁴⁵⁶⁷⁸⁹⁻⁺ⁿ", "0123456789-+n")
_LOWERED = str.maketrans("₀₁₂₃₄₅₆₇₈₉₋₊", "0123456789-+")
_FUNCTIONS = "arcsin|arccos|arctan|sinh|cosh|tanh|sin|cos|tan|cot|sec|csc|log|ln|lg|exp|max|min|gcd"
_GREEK = "alpha|beta|gamma|delta|theta|lambda|omega|sigma|phi|rho|mu|pi"
_WORD_START, _WORD_END = r"(?<![A-Za-z\\])", r"(?![A-Za-z])"

_PLAIN_RULES: tuple[tuple[re.Pattern[str], str], ...] = tuple(
    (re.compile(pattern), replacement)
    for pattern, replacement in [
        (r"^\s*[=:]|\\?\$", " "),
        (r"\\(?:left|right|mleft|mright)\s*(?=[.()\[\]|]|\\[{}|lr])\.?", ""),
        (r"\\number\s*\{([^{}]*)\}", r"\1"),
        (r"\\quantity\s*\{([^{}]*)\}\s*\{[^{}]*\}", r"\1"),
        (r"\\(g|l)eqslant", r"\\\1eq "),
        (r"\\degree(?:s)?\b", r"^{\\circ}"),
        (r"\\(?:mathrm|mathit|mathbf|rm|bf)\s*\\", r"\\"),
        (r"(?<=\d),\s*\\!\s*(?=\d{3})", ","),
        (r"(?<!\\)\\[,;:! ]|~|\\q?quad\b|[€£¥₹₽₩]", " "),
        (r"(?<=\d)\{,\}\s*(?=\d{3})", ","),
        (r"(?:\{\s*\})?\s*\^\s*(?:\{\s*\\circ\s*\}|\\circ\b)(?:\s*[CF]\b)?", ""),
        (r"\s*" + _WORD_START + r"deg(?:ree)?s?" + _WORD_END, ""),
        (r"(?<=[\d}\s])\s*" + _WORD_START + r"(?:percent(?:age)?|pct)" + _WORD_END, r"\\%"),
        (r"(?<!\\)%", r"\\%"),
        (r"\*\*", "^"),
        (r"<=|=<|\\le\b(?!q)", r"\\leq "),
        (r">=|=>|\\ge\b(?!q)", r"\\geq "),
        (r"!=|\\ne\b(?!q)", r"\\neq "),
        (r"==", "="),
        (r"\^\s*(-?\d+(?:\.\d+)?|-[A-Za-z])(?![\d.])", r"^{\1}"),
        (r"(?<![\d.])(\d+(?:\.\d+)?)[eE]([+-]?\d{1,4})(?![\d.])", r"\1\\cdot 10^{\2}"),
        (r"(?<![\d./])(-?\d+)\s+(\d+)\s*/\s*(\d+)(?![\d.])", r"\1\\frac{\2}{\3}"),
        (r"(?<=\d)\s+(?=\d)", " @ "),  # "3 4" is not a number, but the parser would add the two
        (r"(?<=\d)\s*[xX]\s*10\s*(?=\^)", r"\\cdot 10"),
        (_WORD_START + r"log_?(\d+)\s*(?=\()", r"\\log_{\1}"),
        (_WORD_START + r"a(sin|cos|tan)" + _WORD_END, r"\\arc\1"),
        (_WORD_START + rf"({_FUNCTIONS})(?=\s*[(\d^_\\]|\s+[A-Za-z](?![A-Za-z]))", r"\\\1"),
        (_WORD_START + rf"({_GREEK})" + _WORD_END, r"\\\1 "),
        (_WORD_START + r"(?:infinity|inf|oo)" + _WORD_END, r"\\infty "),
        (r"√\s*(\d+(?:\.\d+)?|[A-Za-z])", r"\\sqrt{\1}"),
        (r"√\s*(?=[({])", r"\\sqrt"),
        (r"∛\s*(\d+(?:\.\d+)?|[A-Za-z])", r"\\sqrt[3]{\1}"),
        (_WORD_START + r"\\?sqrt\s*(?=[({])", r"\\sqrt"),
        (_WORD_START + r"\\?sqrt\s+(\d+|[A-Za-z])(?![A-Za-z\d])", r"\\sqrt{\1}"),
        (_WORD_START + r"sqrt(\d+)", r"\\sqrt{\1}"),
        (_WORD_START + r"cbrt\s*(?=\()", r"\\sqrt[3]"),
    ]
)
_CALLS = (
    ("\\sqrt", "\\sqrt{", "}"),
    ("\\sqrt[3]", "\\sqrt[3]{", "}"),
    ("^", "^{", "}"),
    ("abs", "|", "|"),
    ("floor", "\\lfloor ", "\\rfloor "),
    ("ceil", "\\lceil ", "\\rceil "),
)
_SPACED_THOUSANDS = re.compile(r"(?<![\d.,])\d{1,3}(?:(?: |\\[,!] ?)\d{3})+(?!\d)")
# In the argument of a sine, degrees become radians; elsewhere a degree sign is a unit and is dropped.
_TRIGONOMETRY = re.compile(r"(?<!arc)(?<!a)(?:sin|cos|tan|cot|sec|csc)(?![a-z])")
_DEGREES = re.compile(r"(\d+(?:\.\d+)?)\s*(?:\{\s*\})?\s*\^\s*(?:\{\s*\\circ\s*\}|\\circ(?![A-Za-z]))")
_BASE = re.compile(r"^\s*\$?\s*(-?[0-9A-F]+)\s*_\s*\{?\s*(\d{1,2})\s*\}?\s*\$?\s*$")


def to_latex(math: str) -> str:
    """Return one mathematical text without delimiters as LaTeX. Units at its end and degree signs are dropped."""
    text = re.sub(r"[⁰¹²³⁴⁵⁶⁷⁸⁹⁻⁺ⁿ]+", lambda match: "^{" + match.group().translate(_RAISED) + "}", math)
    text = re.sub(r"[₀₁₂₃₄₅₆₇₈₉₋₊]+", lambda match: "_{" + match.group().translate(_LOWERED) + "}", text)
    text = text.translate(_CHARS)
    # A number with a base, such as 101_2, must not be read in base ten. As a name it equals only itself.
    text = _BASE.sub(r"\\text{\1base\2}", text)
    text = _SPACED_THOUSANDS.sub(lambda match: re.sub(r"[^\d]", "", match.group()), text)
    if _TRIGONOMETRY.search(text):
        text = _DEGREES.sub(r"\\frac{\1\\pi}{180}", text)
    text = " ".join(text.split())  # the rules take time with the square of a run of blanks
    for pattern, replacement in _PLAIN_RULES:
        text = pattern.sub(replacement, text)
    for head, opening, closing in _CALLS:
        text = _rewrite_calls(text, head, opening, closing)
    return _single_brackets(drop_units(" ".join(text.split()))).strip(" \t\n,;")


def _single_brackets(text: str) -> str:
    """Return the text with one pair of brackets for several around the same: the parser's time doubles with each."""
    if "((" not in text and "{{" not in text:
        return text
    opened: list[int] = []
    partner: dict[int, int] = {}
    for index, char in enumerate(text):
        if char in "({":
            opened.append(index)
        elif char in ")}" and opened and text[opened[-1]] + char in ("()", "{}"):
            partner[opened.pop()] = index
    outer = {
        start for start, end in partner.items() if text[start] == text[start + 1] and partner.get(start + 1) == end - 1
    }
    gone = outer | {partner[start] for start in outer}
    return "".join(char for index, char in enumerate(text) if index not in gone)


def _rewrite_calls(text: str, head: str, opening: str, closing: str) -> str:
    """Return the text with `opening…closing` in place of each `head(…)` with balanced brackets."""
    position = text.find(head + "(")
    while position >= 0:
        start = position + len(head)
        end = _closing_bracket(text, start)
        if end is None:
            return text
        if head.isalpha() and text[position - 1 : position].isalpha():
            position = text.find(head + "(", start)
            continue
        text = f"{text[:position]}{opening}{text[start + 1 : end]}{closing}{text[end + 1 :]}"
        position = text.find(head + "(", position + len(opening))
    return text


def _closing_bracket(text: str, start: int) -> int | None:
    depth = 0
    for index in range(start, len(text)):
        depth += {"(": 1, ")": -1}.get(text[index], 0)
        if depth == 0:
            return index
    return None


def strip_wrappers(text: str) -> str:
    r"""Return the text without delimiters (`$…$`, `\(…\)`, `\[…\]`, `\boxed{…}`) around all of it and a final stop."""
    while True:
        inner = _unwrap_once(text.strip())
        if inner == text:
            return text
        text = inner


def _unwrap_once(text: str) -> str:
    for opening, closing in (("$$", "$$"), ("$", "$"), ("\\(", "\\)"), ("\\[", "\\]")):
        inner = text[len(opening) : -len(closing)]
        if len(text) > len(opening + closing) and text.startswith(opening) and text.endswith(closing):
            if "$" not in inner and "\\(" not in inner and "\\[" not in inner and not inner.endswith("\\"):
                return inner.strip()
    if text.startswith("\\boxed{") and closing_brace(text, 6) == len(text) - 1:
        return text[7:-1].strip()
    if text.endswith((".", "。", "\\")) and not text.endswith(".."):
        return text[:-1].strip()
    return text
