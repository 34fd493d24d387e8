"""Numbers with their units, written or spoken, as values that can be compared: 1,000 = 1000, 0.5 g = 500 mg = 500mg."""

# ruff: noqa: SIM905 - lists of words are data: broken over more lines they are harder to check

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction

from medslm.evals.clinical.sentences import Token, fold
from medslm.evals.number import LONGEST

_KINDS: dict[str, dict[str, Fraction]] = {
    "g": {
        "g gm gram": Fraction(1),
        "mg milligram": Fraction(1, 10**3),
        "mcg microgram µg μg ug": Fraction(1, 10**6),
        "ng nanogram": Fraction(1, 10**9),
        "kg kilogram kilo": Fraction(10**3),
    },
    "l": {
        "l liter litre": Fraction(1),
        "dl deciliter": Fraction(1, 10),
        "ml milliliter millilitre cc": Fraction(1, 10**3),
    },
    "mol": {"mmol millimole": Fraction(1, 10**3)},
    "eq": {"meq milliequivalent": Fraction(1, 10**3)},
    "unit": {"unit iu": Fraction(1)},
    "%": {"% percent": Fraction(1)},
    "day": {
        "day": Fraction(1),
        "week wk": Fraction(7),
        "hour hr": Fraction(1, 24),
        "minute min": Fraction(1, 1440),
    },
    "month": {"month": Fraction(1), "year yr yo": Fraction(12)},
    "m": {
        "meter metre": Fraction(1),
        "cm centimeter centimetre": Fraction(1, 100),
        "mm millimeter millimetre": Fraction(1, 1000),
    },
    "inch": {"inch": Fraction(1), "foot feet ft": Fraction(12)},
    "pound": {"pound lb": Fraction(1)},
    "mmhg": {"mmhg": Fraction(1)},
    "beat": {"bpm beat": Fraction(1)},
    "degree": {"degree f c fahrenheit celsius": Fraction(1)},
    "tablet": {"tablet tab pill capsule": Fraction(1)},
    "puff": {"puff": Fraction(1)},
}
UNITS = {
    word: (unit, factor)
    for unit, words in _KINDS.items()
    for several, factor in words.items()
    for word in several.split()
}
"""Unit as written, in the singular -> (what it is compared as, how many of those it is)."""
DOSES = frozenset({"g", "l", "mol", "eq", "unit", "tablet", "puff"})
"""What medicines are measured in."""
_TIMES = frozenset({"day", "month"})
_ONES = (
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen"
)
_SPOKEN = {word: value for value, word in enumerate(f"{_ONES} eighteen nineteen".split())}
_SPOKEN |= {
    word: 10 * value for value, word in enumerate("twenty thirty forty fifty sixty seventy eighty ninety".split(), 2)
}
_SPOKEN |= {"o": 0, "oh": 0, "couple": 2, "once": 1, "twice": 2, "dozen": 12}
_ORDINALS = "first second third fourth fifth sixth seventh eighth ninth tenth eleventh twelfth thirteenth fourteenth"
_SPOKEN |= {word: value for value, word in enumerate(f"{_ORDINALS} fifteenth sixteenth".split(), 1)}
_SPOKEN |= {"seventeenth": 17, "eighteenth": 18, "nineteenth": 19, "twentieth": 20, "thirtieth": 30}
_DECADES = "twenties thirties forties fifties sixties seventies eighties nineties"
_MONTHS = "january february march april may june july august september october november december"
_HINTS = {word: 10 * value for value, word in enumerate(_DECADES.split(), 2)} | {"half": Fraction(1, 2)}
_HINTS |= {word: value for value, word in enumerate(_MONTHS.split(), 1)}
"""Words of a source that stand for a number in a note: `in his forties` for 40, `July` for 7."""
JOINED, HUGE = 12, 10**12
"""Numbers in words that are run together, as digits of a telephone number, and what no `thousand` makes larger: a model
that repeats `nine` to its bound would be read for minutes."""
_SCALES = {"hundred": 100, "thousand": 1000}
_SUFFIXES = frozenset({"st", "nd", "rd", "th", "s", "x"})


@dataclass(frozen=True)
class Quantity:
    """A number and what it counts."""

    number: Fraction
    """As said, before the unit."""

    unit: str = ""
    """A key of the table of units, two with a `/` between, or nothing if none is said."""

    factor: Fraction = Fraction(1)
    """How many of that unit one of the unit said is."""

    @property
    def value(self) -> Fraction:
        """In the unit by which quantities are compared."""
        return self.number * self.factor

    def agrees(self, other: Quantity) -> bool:
        """The same value in units of one kind, or the same number where one has no unit: speakers leave it out."""
        if self.unit and other.unit:
            return self.unit == other.unit and self.value == other.value
        return self.number == other.number


@dataclass(frozen=True)
class Measure:
    """A quantity said at tokens `start` to `end` (exclusive) of a sentence."""

    quantity: Quantity
    start: int
    end: int


def written(sentence: Sequence[Token]) -> Iterator[Measure]:
    """The numbers in digits, and those in words that have a unit; not the number of a list's item, nor `2` of `2D`."""
    for place, token in enumerate(sentence):
        if token.is_number and not _of_code(sentence, place):
            value = Fraction(token.text.replace(",", "")[:LONGEST].rstrip("."))
            unit, factor, end = _unit(sentence, place + 1)
            if unit or not _counts_items(sentence, place):
                yield Measure(Quantity(value, unit, factor), place, end)
    for start, end in _runs(sentence):
        unit, factor, after = _unit(sentence, end)
        said = [token.text for token in sentence[start:end]]
        if unit and len(_groups(said)) == 1 and "point" not in said:
            yield Measure(Quantity(Fraction(_groups(said)[0]), unit, factor), start, after)


def understood(sentence: Sequence[Token]) -> Iterator[Measure]:
    """All that the numbers of a sentence may mean: `one twenty over eighty` holds 1, 20, 120 and 80."""
    yield from written(sentence)
    for start, end in _runs(sentence):
        unit, factor, after = _unit(sentence, end)
        for value in _readings([token.text for token in sentence[start:end]]):
            yield Measure(Quantity(value, unit, factor), start, after)
    for place, token in enumerate(sentence):
        if token.text in ("a", "an", "per", "every", "each"):  # a week: one week
            unit, factor, after = _unit(sentence, place + 1)
            if unit:
                yield Measure(Quantity(Fraction(1), unit, factor), place, after)
        elif token.text in _HINTS:
            yield Measure(Quantity(Fraction(_HINTS[token.text])), place, place + 1)


def _of_code(sentence: Sequence[Token], place: int) -> bool:
    """Letters that are no unit follow without a space: `2D`."""
    after = sentence[place + 1] if place + 1 < len(sentence) else None
    if after is None or after.start != sentence[place].end or not after.text[0].isalpha():
        return False
    return fold(after.text) not in UNITS and after.text not in _SUFFIXES


def _counts_items(sentence: Sequence[Token], place: int) -> bool:
    return place == 0 and len(sentence) > 1 and sentence[1].text in (".", ")", ":")


def _unit(sentence: Sequence[Token], place: int) -> tuple[str, Fraction, int]:
    """The unit that stands at `place`, what to multiply by, and where it ends."""
    if place < len(sentence) - 1 and sentence[place].text in ("-", "of"):  # 5-mg, a couple of weeks
        place += 1
    if place >= len(sentence) or (found := UNITS.get(fold(sentence[place].text))) is None:
        return "", Fraction(1), place
    unit, factor = found
    if sentence[place].text == "mm" and place + 1 < len(sentence) and sentence[place + 1].text == "hg":
        return "mmhg", Fraction(1), place + 2
    if place + 2 < len(sentence) and sentence[place + 1].text in ("/", "per"):
        below = UNITS.get(fold(sentence[place + 2].text))
        if below and below[0] not in _TIMES:  # 40 mg/day is 40 mg, and how often is no part of it
            return f"{unit}/{below[0]}", factor / below[1], place + 3
    return unit, factor, place + 1


def _runs(sentence: Sequence[Token]) -> Iterator[tuple[int, int]]:
    """Where numbers in words stand, together with what joins them: `one hundred and two point four`."""
    place = 0
    while place < len(sentence):
        if not (sentence[place].text in _SPOKEN or _begins(sentence, place)):
            place += 1
            continue
        end = place + 1
        while end < len(sentence):
            word = sentence[end].text
            joins = word == "point" or word == "-" or (word == "and" and sentence[end - 1].text in _SCALES)
            if (
                word in _SPOKEN
                or word in _SCALES
                or (joins and end + 1 < len(sentence) and sentence[end + 1].text in _SPOKEN)
            ):
                end += 1
            else:
                break
        yield place, end
        place = end


def _begins(sentence: Sequence[Token], place: int) -> bool:
    """`point five`, `a thousand`."""
    said = [token.text for token in sentence[place : place + 2]]
    return (said[0] == "point" and said[-1] in _SPOKEN) or (said[0] == "a" and said[-1] in _SCALES)


def _groups(words: Sequence[str]) -> list[int]:
    """The numbers that are said one after the other: `one twenty five` -> 1, 25."""
    groups: list[int] = []
    closed, last, room = 0, 0, 0  # a group is closed + last; what may still be added to it is below room
    for word in words:
        if word in _SCALES:
            if closed + last > HUGE:
                continue
            if word == "hundred":
                last *= 100
            else:
                closed, last = (closed + last) * 1000, 0
            groups[-1], room = closed + last, _SCALES[word]
        elif word in _SPOKEN:
            value = _SPOKEN[word]
            if groups and 0 < value < room:
                closed, last = closed + last, value
                groups[-1] = closed + last
            else:
                groups.append(value)
                closed, last = 0, value
            room = 10 if value >= 20 and not value % 10 else 1
        elif word == "a":
            groups, last = [*groups, 1], 1
    return groups


def _readings(words: Sequence[str]) -> set[Fraction]:
    """Each number, those that follow each other run together, and decimals."""
    if "point" in words:
        cut = words.index("point")
        whole, decimals = ("".join(map(str, _groups(part)[:JOINED])) for part in (words[:cut], words[cut + 1 :]))
        return {Fraction(f"{whole or 0}.{decimals or 0}"), *_readings(words[:cut])}
    groups = _groups(words)
    joined = {
        "".join(map(str, groups[start:end]))
        for start in range(len(groups))
        for end in range(start + 1, min(start + JOINED, len(groups)) + 1)
    }
    return {Fraction(digits) for digits in joined}
