"""Moves a date by a number of days and writes it as it was written: order, signs, padding, names of months."""

# ruff: noqa: SIM905 - a list of words is data

from __future__ import annotations

import re
from datetime import date, timedelta

from medslm.data.gates.phi.dates import LANGUAGES

_TIME = re.compile(r"[T ,]*\d\d?:\d\d.*$")
_ORDINALS = (
    "first second third fourth fifth sixth seventh eighth ninth tenth eleventh twelfth thirteenth fourteenth fifteenth "
    "sixteenth seventeenth eighteenth nineteenth twentieth"
).split()
_LEAP = 2000  # the year of a date without one, so that 29 February exists


def shifted(written: str, days: int) -> str | None:
    """The date `days` later in the form of `written`, None where no date can be read.

    Where day and month can be either, month comes first, as in the US, and day first between full stops; a month without
    a day is taken by its 15th. All dates of one order keep their distances.
    """
    clock = _TIME.search(written)
    time = clock[0] if clock else ""
    day_part = written[: len(written) - len(time)]
    if re.search(r"[^\W\d_]{3,}", day_part):
        moved = _words(day_part, days)
    elif re.fullmatch(r"\d{8}(?:\d{4}|\d{6})?", day_part):
        moved = _compact(day_part, days)
    else:
        moved = _digits(day_part, days)
    return None if moved is None else moved + time


def _day(year: int, month: int, day: int, days: int) -> date | None:
    try:
        return date(year, month, day) + timedelta(days=days)
    except (ValueError, OverflowError):
        return None


def _compact(written: str, days: int) -> str | None:
    moved = _day(int(written[:4]), int(written[4:6]), int(written[6:8]), days)
    return None if moved is None else f"{moved:%Y%m%d}{written[8:]}"


def _digits(written: str, days: int) -> str | None:
    numbers = re.findall(r"\d+", written)
    order = _order(numbers, "." in written)
    if order is None:
        return None
    told = dict(zip(order, numbers))
    moved = _day(_year(told.get("y")), int(told["m"]), int(told.get("d", 15)), days)
    if moved is None:
        return None
    padded = order == "ymd" or any(number.startswith("0") for number in numbers)
    of_moved = {"y": moved.year, "m": moved.month, "d": moved.day}
    parts = iter([_like("0" if padded and part != "y" else told[part], of_moved[part]) for part in order])
    return re.sub(r"\d+", lambda _: next(parts), written)


def _order(numbers: list[str], stops: bool) -> str | None:
    if len(numbers) == 2:
        return "my" if len(numbers[1]) == 4 else "dm" if int(numbers[0]) > 12 else "md"
    if len(numbers) != 3:
        return None
    if len(numbers[0]) == 4:
        return "ymd"
    return "dmy" if int(numbers[0]) > 12 or (stops and int(numbers[1]) <= 12) else "mdy"


def _year(written: str | None) -> int:
    """A year of two digits lies before 2050; without one it is a leap year."""
    if written is None:
        return _LEAP
    return int(written) if len(written) == 4 else int(written) + (2000 if int(written) < 50 else 1900)


def _like(written: str, number: int) -> str:
    """With as many digits as before, where it had two or a leading zero."""
    if len(written) == 2 and number >= 1000:
        return f"{number % 100:02d}"
    return f"{number:02d}" if written.startswith("0") or (len(written) == 2 and number > 9) else str(number)


def _words(written: str, days: int) -> str | None:
    tokens = re.split(r"([^\W\d_]+|\d+)", written)
    month = next(((at, *place) for at, token in enumerate(tokens) if (place := _month(token))), None)
    if month is None:
        return None
    at_month, number, names = month
    at_year = next((at for at, token in enumerate(tokens) if re.fullmatch(r"(?:18|19|20)\d\d", token)), None)
    small = [at for at, token in enumerate(tokens) if re.fullmatch(r"\d\d?", token)]
    spelt = next((at for at, token in enumerate(tokens) if token.lower() in _ORDINALS), None)
    at_day = small[0] if small else spelt
    if at_year is None and len(small) > 1:  # 7-Apr-22
        at_year = small[1]
    if at_day is None:
        day = 15
    else:
        day = int(tokens[at_day]) if tokens[at_day].isdigit() else _ORDINALS.index(tokens[at_day].lower()) + 1
    moved = _day(_year(tokens[at_year] if at_year is not None else None), number, day, days)
    if moved is None:
        return None
    name = names[moved.month - 1]
    tokens[at_month] = name.upper() if tokens[at_month].isupper() else name.title()
    if at_year is not None:
        tokens[at_year] = _like(tokens[at_year], moved.year)
    if at_day is not None:
        tokens[at_day], ordinal = _like(tokens[at_day], moved.day), re.compile("st|nd|rd|th")
        if at_day == spelt and not small:
            tokens[at_day] = f"{moved.day}{_suffix(moved.day)}"
        elif at_day + 2 < len(tokens) and tokens[at_day + 1] == "" and ordinal.fullmatch(tokens[at_day + 2]):
            tokens[at_day + 2] = _suffix(moved.day)
    return "".join(tokens)


def _month(token: str) -> tuple[int, list[str]] | None:
    """Number of a month, and the twelve names of its language."""
    for names in LANGUAGES:
        if token.lower() in names:
            return names.index(token.lower()) + 1, names
    return None


def _suffix(day: int) -> str:
    return "th" if 11 <= day <= 13 else {1: "st", 2: "nd", 3: "rd"}.get(day % 10, "th")
