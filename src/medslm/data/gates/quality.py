"""The gate of quality: what is wrong with an example as it stands, found by rules that name it.

Only what nobody can learn from is dropped (`DROPS`); everything else is reported, since each has honest exceptions: a
lesson on HTML, an answer that quotes the note, a German corpus.
"""

from __future__ import annotations

import math
import re
import string
import unicodedata
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import TypedDict

from medslm.data.example import Example, leaves
from medslm.data.gates.language import language

EMPTY = "no answer"
WRONG_KEY = "key not among the options"
DROPS = (EMPTY, WRONG_KEY)
"""Findings for which an example is left out."""

CONTINUED = "no question: a text to be continued"
BLANK = "a part of white space only"
ECHO = "answer equal to the input"
QUOTE = "answer stands in the question"
REPEATED_OPTION = "repeated options"
REPLACED = "replacement characters"
MOJIBAKE = "mojibake"
CONTROL = "control characters"
HTML = "HTML"
UNBROKEN = "long strings without a space"
LANGUAGE = "another language"

QUOTED = 20
"""Characters from which an answer that stands in the question is noticed; shorter ones stand there by chance."""

CONTROLS = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ufeff]")
"""Controls without tab and line ends, overrides of direction, and the byte order mark."""

MARKUP = re.compile(
    r"</?(?:a|abbr|b|blockquote|body|br|center|code|dd|div|dl|dt|em|font|form|h[1-6]|head|hr|html|i|img|input|li|link|meta|ol"
    r"|p|pre|q|s|script|small|span|strong|style|sub|sup|table|tbody|td|th|thead|tr|tt|u|ul)(?:\s+[\w:-]+\s*=[^<>]*)?\s*/?>"
    r"|&(?:[a-z]{2,8}|#\d{2,5}|#x[0-9a-f]{2,5});",
    re.IGNORECASE,
)
"""Tags of HTML, bare or with attributes, and entities. `a <b and c> d` has none."""

LONG = 60
UNSPACED = re.compile(rf"[A-Za-z0-9+/=_-]{{{LONG},}}")
"""Base64, keys, tables run together. The longest word of the ICD and the longest path in MedQuAD's answers are shorter."""


@dataclass(frozen=True)
class Findings:
    """What was found in one example."""

    names: tuple[str, ...]
    """Each finding once; the constants of this module."""

    language: str | None
    """ISO 639 code of the input, or of the instruction where there is no input; None where it cannot be told."""

    answer_language: str | None
    """The same of the answer."""

    @property
    def drops(self) -> bool:
        """Whether the example is left out."""
        return not set(DROPS).isdisjoint(self.names)


def inspect(example: Example, expected_language: str = "en") -> Findings:
    """Everything found in an example. `expected_language` is the ISO 639 code of its corpus."""
    asked, answered = language(example.text or example.instruction), language(example.answer)
    names = [*_of_parts(example), *_of_text("\n".join(_texts(example)))]
    if {asked, answered} - {None, expected_language}:
        names.append(LANGUAGE)
    return Findings(tuple(names), asked, answered)


def _texts(example: Example) -> Iterator[str]:
    yield from leaves([example.instruction, example.input, example.output, example.options, example.reasoning])
    yield from (text for _, text in example.turns)


def _of_parts(example: Example) -> Iterator[str]:
    turns = " ".join(text for _, text in example.turns)
    question, text, answer = (
        _folded(f"{example.instruction} {turns} {example.text}"),
        _folded(example.text),
        _folded(example.answer),
    )
    options = [*map(_folded, example.options)]
    if not answer:
        yield EMPTY
    if not question:
        yield CONTINUED
    if any(part and not part.strip() for part in _texts(example)):
        yield BLANK
    if options and not _has_key(example):
        yield WRONG_KEY
    if len(set(options)) < len(options):
        yield REPEATED_OPTION
    if answer and answer == text:
        yield ECHO
    elif len(answer) >= QUOTED and answer in question:
        yield QUOTE


def _folded(text: str) -> str:
    return " ".join(unicodedata.normalize("NFC", text).split())


def _has_key(example: Example) -> bool:
    """Whether the answer is the letter of an option or, as fields, has an option in its first field."""
    if isinstance(example.output, str):
        return example.output in [*string.ascii_uppercase[: len(example.options)]]
    return next(iter(example.output.values()), None) in example.options


def _of_text(text: str) -> Iterator[str]:
    if "\ufffd" in text:
        yield REPLACED
    if _is_mojibake(text):
        yield MOJIBAKE
    if CONTROLS.search(text):
        yield CONTROL
    if MARKUP.search(text):
        yield HTML
    if max(map(len, text.split()), default=0) >= LONG and UNSPACED.search(text):  # split is six times as fast
        yield UNBROKEN


def _is_mojibake(text: str) -> bool:
    """Whether UTF-8 was read as another encoding (`â€™`, `Ã©`), by the rules of ftfy (Apache-2.0)."""
    if text.isascii():
        return False
    from ftfy.badness import is_bad

    # Its rules take 0.5 ms for 1,000 characters, and look at neighbours: words of ASCII are none.
    return bool(is_bad(" ".join(word for word in text.split(" ") if not word.isascii())))


class Balance(TypedDict):
    """How evenly answers are spread."""

    n: int
    classes: int
    """Different answers seen."""

    most: str
    """The most frequent answer."""

    share: float
    """Its share, 0 to 1: what always giving it scores."""

    entropy: float
    """In bits."""

    effective_classes: float
    """Two to the power of the entropy: as many classes of equal size would be as uncertain."""

    warning: str | None
    """A sentence, where the most frequent answer is too frequent."""


CLOSED = 0.8
"""Share of one answer of a closed set from which accuracy says little."""


def balance(answers: Mapping[str, int], options: int | None = None) -> Balance:
    """How evenly the keys of a multiple choice, or the answers of a closed set, are spread.

    `answers` counts each answer. Where all are single capital letters they are keys, and each of the `options` (as many
    as letters occur, if not said) should be as frequent; a letter 1.6 times as frequent (40 % of four) is warned of. What
    chance explains is not: the share must lie three standard errors above the even one.
    """
    counts = {answer: number for answer, number in answers.items() if number}
    n = sum(counts.values())
    if not n:
        return Balance(n=0, classes=0, most="", share=0.0, entropy=0.0, effective_classes=0.0, warning=None)
    most = min(counts, key=lambda answer: (-counts[answer], answer))
    entropy = sum(number / n * math.log2(n / number) for number in counts.values())
    share = counts[most] / n
    return Balance(
        n=n,
        classes=len(counts),
        most=most,
        share=share,
        entropy=entropy,
        effective_classes=2**entropy,
        warning=_warning(counts, most, share, n, options),
    )


def _warning(answers: Iterable[str], most: str, share: float, n: int, options: int | None) -> str | None:
    letters = [answer for answer in answers if len(answer) == 1 and answer in string.ascii_uppercase]
    if len(letters) < len([*answers]):
        if share > CLOSED and _is_beyond_chance(share, CLOSED / 2, n):
            return f"{most!r} is {share:.0%} of {n:,} answers, so always giving it is right as often"
        return None
    options = options or max(2, string.ascii_uppercase.index(max(letters)) + 1)
    even = 1 / options
    if share > min(1.6 * even, (1 + even) / 2) and _is_beyond_chance(share, even, n):
        of = f"{share:.0%} of {n:,} questions with {options} options"
        return f"{most} is the key of {of}, where {even:.0%} would be even: set option_order=shuffled"
    return None


def _is_beyond_chance(share: float, even: float, n: int) -> bool:
    return share - even > 3 * math.sqrt(even * (1 - even) / n)
