"""Reads the number that a worked answer ends in, exactly, and says by which rule it was found."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping, Sequence
from fractions import Fraction
from typing import Any

from medslm.data.formats.format import thoughts
from medslm.evals.parsing import EMPTY, NOTHING, OWN_QUESTION, UNFINISHED

MARK, BOX, WORDS, LAST = "mark", "box", "words", "last number"
STATED = frozenset({MARK, BOX, WORDS})
"""The rules by which a reply says itself which of its numbers is the answer."""

WHOLE = r"(?:\d{1,3}(?:,\d{3})+(?![\d,]*\d)|\d+)"
DECIMAL = rf"(?:{WHOLE}(?:\.\d+)?|\.\d+)"
EXPONENT = r"(?:\s?[x*]\s?10\s?\^\s?\(?(?P<power>[+-]?\d{1,3})\)?|e(?P<e>[+-]?\d{1,3}))"
NUMBER = re.compile(
    r"(?<![\w.,/^])(?<!\d:)(?:(?<![\d)])(?<![\d)] )(?P<sign>[+-]\s?))?(?:[$€£]\s?)?(?P<minus>(?<![\d)])-)?"
    rf"(?:(?:(?P<mixed>\d+) )?(?P<over>{WHOLE})\s?/\s?(?P<under>{WHOLE})(?![\d.,/]*\d)"
    rf"|(?P<plain>{DECIMAL}){EXPONENT}?(?![\d:]*:\d|\d*[.,]\d))",
    re.IGNORECASE,
)
"""A number with its sign, currency, thousands' commas, fraction (`1 1/2`) or power of ten. A unit may follow at once
(`18kg`, `50%`), and a letter before makes it a name (`B12`); `1,5` could be two numbers, and `3:30` is a time: none."""

FRACTION = re.compile(r"\\[dt]?frac\s*\{\s*([^{}]*?)\s*\}\s*\{\s*([^{}]*?)\s*\}")
STYLE = re.compile(r"\\(?:text|textbf|mathrm|mathbf|boldsymbol)\s*\{([^{}]*)\}")
MARKED = re.compile(r"####(?P<said>[^\n]*)")
STATING = re.compile(
    r"\b(?:final answer|answer)\b(?: (?:to|for|of) [^.:\n]{0,60}?)?\s*(?:\b(?:is|are|would be|equals)\b|[:=])"
    r"(?=(?P<said>\s*[^\n]*))",  # looked at, not consumed: a line may correct itself
    re.IGNORECASE,
)
LONGEST = 400
"""Characters of a number; Python refuses to read one of more than 4,300 digits."""
DIGITS = {"‚": ",", "٫": ".", "٬": ","}
UNIFIED = str.maketrans(
    {**dict.fromkeys("‐‑‒–—−", "-"), **dict.fromkeys("`", ""), "×": "x", "⁄": "/", "\xa0": " ", **DIGITS}
)
POWERS = str.maketrans("⁰¹²³⁴⁵⁶⁷⁸⁹⁻", "0123456789-")
THIN = re.compile(r"(?<=\d)[\u2009\u202f](?=\d{3}(?!\d))")
"""Narrow spaces between thousands."""
HALVES = re.compile(r"(?<=\d)(?=[½⅓⅔¼¾⅕⅖⅗⅘⅙⅚⅛⅜⅝⅞])")


def read(reply: str) -> tuple[Fraction | None, str]:
    """The number that `reply` gives as its answer, and the rule; none and why, where there is none. Never raises.

    The rules: behind `####`, in a box, behind `the answer is`, the last number; each takes its last find, since a working
    may state answers to its parts. Of `10 - 4 = 6` the answer is what the equation ends in. Thoughts in `<think>` are not
    read, nor what follows where a base model goes on and asks itself the next question.
    """
    response = thoughts(reply)[1]
    if not response.strip():
        return None, UNFINISHED if reply.strip() else EMPTY
    text = plain(OWN_QUESTION.split(response.strip())[0])
    for rule, told in ((MARK, MARKED.finditer(text)), (BOX, boxes(text)), (WORDS, STATING.finditer(text))):
        values = [
            value for said in told if (value := _stated(said if isinstance(said, str) else said["said"])) is not None
        ]
        if values:
            return values[-1], rule
    numbers = [value for found in NUMBER.finditer(text) if (value := _value(found)) is not None]
    return (numbers[-1], LAST) if numbers else (None, NOTHING)


def whole(key: str) -> Fraction | None:
    """The number that a key is, such as `1,080`, `3/4` or `$5`; none if it is anything more than a number."""
    said = plain(key).strip()
    found = NUMBER.match(said)
    return _value(found) if found and re.fullmatch(r"\s?[%.]?", said[found.end() :]) else None


def plain(text: str) -> str:
    """One kind of dash, slash and space; TeX's fractions, powers and styles as plain text; no Markdown.

    Asterisks about a number go, and one between numbers stays, so that `2*3` stays two numbers.
    """
    told = THIN.sub("", text)
    told = re.sub(r"10([⁰¹²³⁴⁵⁶⁷⁸⁹⁻]+)", lambda power: f"10^{power[1].translate(POWERS)}", told)
    told = unicodedata.normalize("NFKC", HALVES.sub(" ", told)).translate(UNIFIED)
    told = FRACTION.sub(r" \1/\2 ", STYLE.sub(r"\1", told))
    told = re.sub(r"\\(?:times|cdot)\b", "x", told).replace("{,}", ",").replace("\\,", "").replace("\\!", "")
    told = re.sub(r"\^\{([^{}]*)\}", r"^\1", told)
    told = re.sub(r"\\([$%#€£ ])", r"\1", told)
    told = re.sub(r"\*\*|__|(?<!\d)\*|\*(?!\s?\d)", "", told)
    return re.sub(r"[ \t]+", " ", told)


def boxes(text: str) -> list[str]:
    """What stands in each `\\boxed{...}`, braces within it included; a box that is never closed holds its line."""
    found = []
    for start in re.finditer(r"\\boxed\s*\{", text):
        depth, end = 1, start.end()
        while end < len(text) and depth and text[end] != "\n":
            depth += {"{": 1, "}": -1}.get(text[end], 0)
            end += 1
        found.append(text[start.end() : end - (not depth)])
    return found


def _stated(said: str) -> Fraction | None:
    """The number that a piece of text gives: what its equation ends in, else its first."""
    sentence = re.split(r"(?<=[^\d\s])[.;](?:\s|$)|(?<=\d)\.(?:\s|$)", said.strip())[0]
    parts = [part for part in re.split(r"=|\\approx|≈", sentence) if NUMBER.search(part)]
    values = [_value(found) for found in NUMBER.finditer(parts[-1] if parts else sentence)]
    return next((value for value in values if value is not None), None)


def _value(found: re.Match[str]) -> Fraction | None:
    """None for a division by zero, and for what a model wrote that came to no end."""
    if len(found[0]) > LONGEST:
        return None
    negative = ("-" in (found["sign"] or "")) != bool(found["minus"])
    if found["plain"]:
        power = int(found["power"] or found["e"] or 0)
        size = Fraction(found["plain"].replace(",", "")) * Fraction(10) ** power
    else:
        over, under = (int(found[part].replace(",", "")) for part in ("over", "under"))
        if not under:
            return None
        size = int(found["mixed"] or 0) + Fraction(over, under)
    return -size if negative else size


def worked(document: Mapping[str, Any], replies: Sequence[str]) -> dict[str, float]:
    """A problem worked out in writing: right if the number read out of the reply is the key's (`process_results`).

    `strict_parse` holds where the reply says itself which number it means; else the last one was taken.
    """
    told, rule = read(replies[0])
    return {
        "accuracy": float(told is not None and told == whole(str(document["key"]))),
        "strict_parse": float(rule in STATED),
        "unparseable": float(told is None),
    }
