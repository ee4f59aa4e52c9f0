r"""Removes what only sets a text: full width, emphasis, colour, size, spacing, alignment and remarks.

    plain_layout(r"**\boxed{\color{blue}{\bm{７}}}** ✅") -> r"\boxed{7}"

What is left means the same. Each rule deletes or exchanges characters; none reads the mathematics.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator

from vlaa_ray.text.answers import closing_brace

_WIDE = {code: code - 0xFEE0 for code in range(0xFF01, 0xFF5F)}
_SIGNS = {
    "￥": "¥", "˚": "°", "﹣": "-", "∶": ":", "⁄": "/", "‐": "-", "‑": "-", "℃": "°C", "℉": "°F", "⋯": "…", "。": ".",
    "﹥": ">", "﹤": "<", "﹦": "=", "﹢": "+", "﹙": "(", "﹚": ")", "﹐": ",", "`": " ", "“": " ", "”": " ",
    "「": " ",
    "」": " ", "『": " ", "』": " ", "【": " ", "】": " ", '"': " ", "«": " ", "»": " ", "\ufeff": "", "\u2060": "",
}  # fmt: skip
_VULGAR = {
    ord(char): "\\frac{{{}}}{{{}}}".format(*unicodedata.normalize("NFKC", char).split("⁄"))
    for char in "½⅓⅔¼¾⅕⅖⅗⅘⅙⅚⅐⅛⅜⅝⅞⅑⅒"
}
_CHARS = _WIDE | {ord(char): sign for char, sign in _SIGNS.items()} | _VULGAR
_ODD = re.compile("[\u3380-\u33df\U0001d400-\U0001d7ff]|(?![0-9])\\d")  # ㎝, 𝟕, ٣
_BLANK_RUN = re.compile(r"\s{2,}")
_PICTURES = re.compile("[\u2600-\u27bf\u2b00-\u2bff\ufe0f\u200d\U0001f000-\U0001faff]")
_HTML = re.compile(r"</?(?:b|i|u|em|strong|span|p|br|code|mark|font|center|div|sup|math)\b[^<>]{0,80}>", re.IGNORECASE)
_STRUCK = re.compile(r"~~[^~\n]{1,200}~~|<(?:del|s|strike)>[^<>]{0,200}</(?:del|s|strike)>")
_OPENS = re.compile(r"(?:(?<=[\s(\[:,;.>=$\u2e80-\u9fff-])|^)(\*{1,3}|__)(?=[^\s*_])", re.MULTILINE)
_CLOSES = re.compile(r"(?<=[^\s*_])(\*{1,3}|__)(?=[\s).,;:!?\]$、\u2e80-\u9fff]|$)", re.MULTILINE)
_EXCLAIMED = re.compile(r"(?<=[\w$)}])(\*{1,3}|__)!\s*$")  # no factorial: the mark of the sentence
_HEADING = re.compile(r"^#{1,6}\s+", re.MULTILINE)
_COMMAND = re.compile(r"\\([A-Za-z]+)\*?")
# (arguments that are dropped, whether the braces of the argument that follows are dropped)
_BARE, _WRAPS, _HIDES, _COLOURS = (0, False), (0, True), (1, False), (1, True)
_MACROS = (
    dict.fromkeys(
        "displaystyle textstyle scriptstyle scriptscriptstyle limits nolimits large Large LARGE huge Huge small tiny "
        "normalsize footnotesize bf it boldmath bfseries itshape big Big bigg Bigg bigl bigr Bigl Bigr biggl biggr "
        "Biggl Biggr bigm nonumber notag hfill noindent centering par newline mathstrut strut because "
        "checkmark blacksquare qed Box square hline middle allowbreak".split(),
        _BARE,
    )
    | dict.fromkeys(
        "bm boldsymbol mathbf pmb underline uline emph mathsf mathtt mathit mathnormal ensuremath mathop textcolor "
        "overbrace underbrace fcolorbox framebox hbox vec overrightarrow mathord mathclose mathopen".split(),
        _WRAPS,
    )
    | dict.fromkeys(
        "hspace vspace phantom hphantom vphantom label tag cancel xcancel bcancel sout hskip".split(), _HIDES
    )
    | dict.fromkeys(["color", "textcolor", "colorbox"], _COLOURS)
)
_NAMED_FRACTIONS = re.compile(r"\\(?:nicefrac|sfrac|flatfrac|xfrac|[dtc]frac)(?![A-Za-z])")
_REAL = re.compile(r"\\(?:mathbf|bm|boldsymbol|mathrm)\s*\{\s*R\s*\}|\\(?:R|Reals|reals)(?![A-Za-z])")
_LINES = re.compile(r"\\begin\{(" + "|".join(
    "aligned align align* alignat equation equation* gather gather* gathered split multline multline* center cases "
    "dcases array eqnarray eqnarray* math displaymath".replace("*", r"\*").split()
) + r")\}(?:\[[a-z]\])?(?:\{[lrc|]{0,9}\})?")  # fmt: skip
_OPEN_BRACE, _CLOSE_BRACE = re.compile(r"\\left\s?\\[{]\s?$|\\[{]\s?$"), re.compile(r"^\s?\\right\s?\.")
_EMPTY_SIDE = re.compile(r"\\m?(?:left|right)\s?\.")
_TEXT_DIGITS = re.compile(r"\\(?:text(?:bf|rm|it|normal|sf|tt)?|mathrm|mbox|rm)\s*\{([^{}]*\d[^{}]*)\}")
_TEXT_WORDS = re.compile(
    r"(?<![_^])\\(?:text(?:bf|rm|it|normal)?|mathrm|mbox|rm)\s*\{\s*(and|or|or else|hundred|thousand|million|billion"
    r"|trillion|dozen|percent|或|或者|和|与|且|万|亿|minus|negative|base \d+|two|is|or \w+)\s*\}"
)
_TEXT_LEAD = re.compile(r"\\(?:text(?:bf|rm|it)?|mathrm|mbox)\s*\{[^{}:=]{0,60}[:=]\s*\}(?=\s*\S)")


def plain_layout(text: str) -> str:
    """Return the text without layout; where layout stood as a separator, a blank or a comma stands."""
    text = _ODD.sub(lambda match: unicodedata.normalize("NFKC", _ascii_digit(match.group())), text.translate(_CHARS))
    if _PICTURES.search(text):
        text = _PICTURES.sub(" ", text)
    text = _without_emphasis(_BLANK_RUN.sub(lambda match: "\n" if "\n" in match.group() else " ", text))
    if "\\" in text:
        text = _without_macros(text)
    return text.strip()


def _ascii_digit(char: str) -> str:
    digit = unicodedata.decimal(char, None)
    return char if digit is None else str(digit)


def _without_emphasis(text: str) -> str:
    text = _STRUCK.sub(" ", text) if "~~" in text or "</" in text else text
    text = _HTML.sub(" ", text) if "<" in text and ">" in text else text
    text = _HEADING.sub("", text) if "#" in text else text
    # "2**3" and "2 * 3" are powers and products: a mark opens before a word and closes after one.
    if ("*" in text or "__" in text) and _OPENS.search(text) and _CLOSES.search(text):
        text = _EXCLAIMED.sub(r"\1", text)
        text = _OPENS.sub(" ", _CLOSES.sub("", text))
    return text


def _without_macros(text: str) -> str:
    text = _NAMED_FRACTIONS.sub(r"\\frac", _REAL.sub(r"\\mathbb{R}", text))
    text = _without_environments(text)
    text = _EMPTY_SIDE.sub(" ", text)
    text = _TEXT_LEAD.sub("", _TEXT_WORDS.sub(r" \1 ", _TEXT_DIGITS.sub(r"\1", text)))
    gone = sorted(_deletions(text))
    pieces, position = [], 0
    for start, end in gone:
        if start >= position:
            pieces.append(text[position:start])
        position = max(position, end)
    return "".join([*pieces, text[position:]])


def _deletions(text: str) -> Iterator[tuple[int, int]]:
    for match in _COMMAND.finditer(text):
        macro = _MACROS.get(match.group(1))
        if macro is None:
            continue
        dropped, unwraps = macro
        end = match.end()
        for _ in range(dropped):
            start = _skip_blanks(text, end)
            closed = closing_brace(text, start) if text.startswith("{", start) else None
            end = end if closed is None else closed + 1
        yield match.start(), end
        start = _skip_blanks(text, end)
        scripted = text[: match.start()].rstrip()[-1:] in ("^", "_")
        if unwraps and not scripted and text.startswith("{", start):
            closed = closing_brace(text, start)
            if closed is not None:
                yield start, start + 1
                yield closed, closed + 1


def _skip_blanks(text: str, index: int) -> int:
    while text.startswith(" ", index):
        index += 1
    return index


def _without_environments(text: str) -> str:
    r"""Return the text with the lines of an environment as a chain ("x = 3+4 \\ = 7") or a list ("x = 1 \\ y = 2")."""
    while match := _LINES.search(text):
        closing = f"\\end{{{match.group(1)}}}"
        end = text.find(closing, match.end())
        if end < 0:
            return text
        body = text[match.end() : end]
        before, after = text[: match.start()], text[end + len(closing) :]
        if match.group(1) == "array":
            before, after, is_list = _without_brace(before, after)
            if not is_list:
                return text  # a matrix
        if "cases" in match.group(1) and "&" in body:
            return text  # a function in pieces
        lines = [line.replace("&", " ").strip().rstrip(",;") for line in re.split(r"\\\\(?:\[[^\]]{0,9}\])?", body)]
        lines = [line for line in lines if line]
        joined = "".join((" " if line.startswith("=") else ", ") + line for line in lines)[2:] if lines else ""
        text = f"{before} {joined} {after}"
    return text


def _without_brace(before: str, after: str) -> tuple[str, str, bool]:
    """Return the texts around an array without the brace of a system of equations, and whether there was one."""
    opened = _OPEN_BRACE.search(before)
    if not opened:
        return before, after, False
    return before[: opened.start()], _CLOSE_BRACE.sub("", after, count=1), True
