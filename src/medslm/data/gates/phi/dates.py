"""Dates finer than a year, in digits or words, and ages over 89."""

# ruff: noqa: E501, SIM905 - lists of words and patterns are data: broken over more lines they are harder to check

from __future__ import annotations

import re
from collections.abc import Iterator

from medslm.data.gates.phi.kinds import Found, Page

LANGUAGES = tuple(
    months.split()
    for months in (
        "january february march april may june july august september october november december",
        "jan feb mar apr may jun jul aug sep oct nov dec",
        "jan feb mar apr may jun jul aug sept oct nov dec",
        "januar februar märz april mai juni juli august september oktober november dezember",
        "jan feb mär apr mai jun jul aug sep okt nov dez",
        "janvier février mars avril mai juin juillet août septembre octobre novembre décembre",
        "enero febrero marzo abril mayo junio julio agosto septiembre octubre noviembre diciembre",
        "gennaio febbraio marzo aprile maggio giugno luglio agosto settembre ottobre novembre dicembre",
        "janeiro fevereiro março abril maio junho julho agosto setembro outubro novembro dezembro",
    )
)
"""The names of the twelve months: English, twice abbreviated, German, abbreviated, French, Spanish, Italian, Portuguese."""

_MONTH_WORDS = frozenset(name for months in LANGUAGES for name in months)
_MONTH = r"(?:" + "|".join(sorted(_MONTH_WORDS, key=len, reverse=True)) + r")\b\.?"
_WEEKDAY = r"(?:(?:mon|tues?|wed(?:nes)?|thu(?:rs?)?|fri|sat(?:ur)?|sun)(?:day)?\b\.?,?[ ]+(?:the[ ]+)?)?"
_DAY = r"(?:0?[1-9]|[12]\d|3[01])(?:st|nd|rd|th|\.|er|º)?"
_YEAR = r"(?:(?:19|20)\d\d|['’]\d\d)"
_TIME = r"(?:(?:T|,? )\d\d?:\d\d(?::\d\d(?:\.\d+)?)?(?:Z|[+-]\d\d:?\d\d)?)?"
_SPELT = (
    r"(?:(?:twenty|thirty)[- ]?)?(?:first|second|third|fourth|fifth|sixth|seventh|eighth|ninth|tenth|eleventh|twelfth|"
    r"thirteenth|fourteenth|fifteenth|sixteenth|seventeenth|eighteenth|nineteenth|twentieth|thirtieth)"
)

_WORDS = tuple(
    (needs_digits, weight, re.compile(pattern, re.IGNORECASE))
    for needs_digits, weight, pattern in (
        (True, 0.93, rf"\b{_WEEKDAY}(?<!\d[/.])\b{_DAY}[ \-/]*(?:of[ ]+|de[ ]+)?{_MONTH}(?:[ \-/,]*(?:de[ ]+)?(?:{_YEAR}|\d\d(?![\d:/])(?! ?[a-z%])))?{_TIME}(?!\w)"),
        (True, 0.93, rf"(?<![\w.])(?:0?[1-9]|[12]\d|3[01])(?:jan|feb|mar|apr|may|june?|july?|aug|sept?|oct|nov|dec)(?:19|20)?\d\d{_TIME}(?!\w)"),
        (True, 0.93, rf"\b{_WEEKDAY}{_MONTH}[ \-/]*(?:the[ ]+)?{_DAY}(?![\d:%]|[.,/]\d|[ ]?(?:mg|mcg|ml|kg|cm|mm)\b)(?:,?[ \-/]*{_YEAR})?{_TIME}(?!\w)"),
        (True, 0.92, rf"\b{_MONTH},?(?:[ \-/]+|[ ]of[ ])(?:of[ ]+)?{_YEAR}\b"),
        (False, 0.9, rf"\b(?:{_SPELT})(?:[ ]+of)?[ ]+{_MONTH}(?:,?[ ]+{_YEAR})?(?!\w)"),
        (False, 0.9, rf"\b{_MONTH}[ ]+(?:the[ ]+)?(?:{_SPELT})\b(?:,?[ ]+{_YEAR})?"),
    )
)  # fmt: skip
_WHEN = (
    r"(?i:in|since|last|until|till|by|from|early|late|mid|during|through|of|next|this|every|each|for|before|after|and)"
)
_BARE = re.compile(
    rf"(?<=\w)[ -]\b(?:{_WHEN})[ -](?:(?i:early|late|mid)[ -])?"
    r"((?:January|February|March|April|May|June|July|August|September|October|November|December)\b)"
    r"(?! (?:Hospital|Clinic|Street|Road|[A-Z]))"
)  # a month alone, where a preposition shows that it is none of the persons April, May, June and August
_SURE = re.compile(r"\b(?:January|February|July|September|October|November|December)\b(?!-)")

_D, _M, _Y = r"(?:0?[1-9]|[12]\d|3[01])", r"(?:0?[1-9]|1[0-2])", r"(?:(?:19|20)\d\d|\d\d)"
_LEFT, _RIGHT = r"(?<![\w/.,:$€£+-])", r"(?![\w%]|[/.:-]\d)"
_DIGITS = tuple(
    (weight, re.compile(pattern))
    for weight, pattern in (
        (0.95, rf"(?<![\d/.-])(?:18|19|20)\d\d([-/.]){_M}\1{_D}(?!\d){_TIME}(?![\w/-]|\.\d)"),
        (0.94, rf"{_LEFT}(?:{_M}/{_D}|{_D}/{_M})/{_Y}(?!\d){_TIME}{_RIGHT}"),
        (0.93, rf"{_LEFT}(?:{_M}-{_D}|{_D}-{_M})-{_Y}{_RIGHT}(?![ ]?(?:mc?g|µg|ml|units?|IU|IE|[UE])\b)"),
        (0.93, rf"{_LEFT}{_D}\.[ ]?{_M}\.[ ]?(?:19|20)\d\d(?!\d)"),
        (0.9, rf"{_LEFT}{_D}\.{_M}\.\d\d{_RIGHT}"),
        (0.9, rf"{_LEFT}(?:0[1-9]|1[0-2]|[1-9])[/](?:19|20)\d\d{_RIGHT}"),
        (0.9, r"(?<![\w.-])(?:19|20)\d\d(?:0[1-9]|1[0-2])(?:0[1-9]|[12]\d|3[01])(?:[0-2]\d[0-5]\d(?:[0-5]\d)?)?(?![\w-]|\.\d)"),
    )
)  # fmt: skip
_SHORT = re.compile(rf"{_LEFT}(?:{_M}/{_D}|{_D}/{_M})(?!\w|[/:%-]|\.\d|\s*(?:mg|ml|pain|scale|strength|power|out)\b)")
_CUE = re.compile(
    r"(?i)\b(?:on|since|until|till|dated?|date:?|dob:?|visits?|seen|scheduled|tomorrow|today|yesterday|tonight|admitted|"
    r"admit|discharged?|due|through|thru|between|effective|starting|started|began|last|next|mon|tues?|wed|thurs?|fri|sat|sun|"
    r"monday|tuesday|wednesday|thursday|friday|saturday|sunday|appointment|appt|labs?|surgery|f/u|follow[- ]?up)"
    r"[ ,:(]*(?:was |is |of |on |for |from )*$"
)
_ADJACENT = re.compile(r"^(?:,| and| or| to|,? then| -|-|–| &| until| through)+ ?$")

_OLD_DIGITS = r"(?:9\d|1[0-2]\d)"
_OLD_WORDS = r"(?:ninety(?:[- ](?:one|two|three|four|five|six|seven|eight|nine))?|one hundred(?: and (?:one|two|three|four|five|six|seven|eight|nine|ten))?)"
_AGES = tuple(
    re.compile(pattern, re.IGNORECASE)
    for pattern in (
        rf"(?<![\w.,/$-])({_OLD_DIGITS})(?:\+)?[ -]?(?:years?|yrs?|y)[ -]?(?:[/.]?[ ]?o(?:ld)?\b|of[ ]age)",
        rf"(?<![\w.,/$-])({_OLD_DIGITS})[ -]?(?:y/?o|yo|y\.o\.|[mf])\b",
        rf"\b(?:aged?(?:[ ]of)?|age[ ]?[:=]|turn(?:ed|s|ing)?|geriatric)[ ]*(?:is|was|at)?[ ]*({_OLD_DIGITS})\b(?![ ]?%|[.,/]\d)",
        rf"\b(?:is|was|he's|she's)[ ]({_OLD_DIGITS})(?=[ ]*(?:and[ ](?:lives|still|has|was)|,[ ](?:lives|still|and[ ]lives)))",
        rf"\b({_OLD_WORDS})[ -](?:years?|yrs?)[ -]?(?:old|of[ ]age)",
        rf"\baged?[ ]({_OLD_WORDS})\b",
    )
)  # fmt: skip

_AGE_WORDS = frozenset("year years yr yrs y yo old m f age aged turn turned turns turning geriatric is was".split())
_DAYS = "Monday|Tuesday|Wednesday|Thursday|Friday|Saturday|Sunday"
_ON = re.compile(
    rf"\b(?i:on|last|next|this|since|until|by|meet|coming|past)[ ]({_DAYS}|{_DAYS.lower()})\b(?![ ](?:and|to|through|or)\b)"
)
_DAY_WORDS = frozenset(_DAYS.lower().split("|"))
_SPELT_WORDS = frozenset(re.findall(r"[a-z]{3,}", _SPELT))
_WHOLE_MONTHS = frozenset(month.title() for month in LANGUAGES[0])
_PAIRED = re.compile(r"\d[/.-] ?\d|\d{8}")


def find(page: Page) -> Iterator[Found]:
    """Every date finer than a year and every age over 89."""
    text = page.text
    if page.has(_MONTH_WORDS):
        spelt = page.has(_SPELT_WORDS)
        for needs_digits, weight, pattern in _WORDS:
            if page.digits if needs_digits else spelt:
                for match in pattern.finditer(text):
                    if _is_date(match[0]):
                        yield Found("DATE", *match.span(), weight)
    if not page.tokens.isdisjoint(_WHOLE_MONTHS):
        for match in _BARE.finditer(text):
            yield Found("DATE", *match.span(1), 0.5)
        for match in _SURE.finditer(text):
            yield Found("DATE", *match.span(), 0.4)
    if page.has(_DAY_WORDS):  # of one week, not of every week
        for match in _ON.finditer(text):
            yield Found("DATE", *match.span(1), 0.5)
    if page.digits >= 2 and _PAIRED.search(text):
        yield from _in_digits(text)
    if page.has(_AGE_WORDS) and (page.digits >= 2 or "ninety" in page.words or "hundred" in page.words):
        for pattern in _AGES:
            for match in pattern.finditer(text):
                yield Found("AGE", *match.span(1), 0.9)


def _is_date(words: str) -> bool:
    """False for `may 2` and `mar 20` in running text: a short month begins with a capital, or stands in capitals."""
    month = next((word for word in re.findall(r"[^\W\d_]+", words) if _is_month(word)), "")
    return month[:1].isupper() or (len(month) > 3 and month not in ("mars", "march", "mayo", "sept"))


def _is_month(word: str) -> bool:
    return word.lower() in _MONTH_WORDS


def _in_digits(text: str) -> Iterator[Found]:
    whole = [
        Found("DATE", match.start(), match.end(), weight)
        for weight, pattern in _DIGITS
        for match in pattern.finditer(text)
    ]
    yield from whole
    ends, starts = {one.end for one in whole}, {one.start for one in whole}
    short = [match for match in _SHORT.finditer(text) if not any(one.start <= match.start() < one.end for one in whole)]
    for match in short:  # `3/4` is a day after `on`, or beside another date; else a fraction
        if _CUE.search(text, max(0, match.start() - 30), match.start()) or _near(text, match, ends):
            ends.add(match.end())
            starts.add(match.start())
            yield Found("DATE", match.start(), match.end(), 0.7)
    for match in reversed(short):
        if match.start() not in starts and any(_ADJACENT.match(text[match.end() : start]) for start in starts):
            starts.add(match.start())
            yield Found("DATE", match.start(), match.end(), 0.7)


def _near(text: str, match: re.Match[str], ends: set[int]) -> bool:
    return any(0 < match.start() - end < 10 and _ADJACENT.match(text[end : match.start()]) for end in ends)
