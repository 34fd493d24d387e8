"""What a word may be: English, clinical, a given or family name, a place; from the lists beside this file."""

# ruff: noqa: SIM905 - lists of words and patterns are data: broken over more lines they are harder to check

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache, lru_cache
from importlib.resources import files

# The dictionary has these in lower case too (a jack, a john); with a capital they are nearly always names.
_NAMES_FIRST = frozenset(
    """barney belle bob billy bobby bonnie brad carol chad chuck clement colleen derrick dick don drew earl eddy frank glen
    hank harry hector homer jack jay jimmy joey john josh ken maria martin matt max meg melody mickey mike miles nick noel
    oliver palmer jared chantal grover boyd lamar jamal chester carly milly polly moses parker james frances carter lester
    pat patsy patty peg penny peter phoebe randy rick rob roger ron sally sandy sherry sue ted terry tom tony troy vera
    victor waldo warren rosemary daisy heather holly robin ruby""".split()
)
_INFLECTIONS = ("s", "es", "ed", "d", "ing", "ly", "er", "r", "ers", "rs", "ness", "al", "ally")


def _lines(name: str) -> Iterator[str]:
    text = files("medslm.data.gates.phi").joinpath("lists").joinpath(f"{name}.txt").read_text(encoding="utf-8")
    return (line for line in text.splitlines() if not line.startswith("#"))


@cache
def words(name: str) -> frozenset[str]:
    """The words of `lists/<name>.txt`, in lower case."""
    return frozenset(word for line in _lines(name) for word in line.split())


@cache
def places(section: str) -> frozenset[str]:
    """`wide`: countries and US states, which may stay; `towns`: what is smaller, which may not."""
    text = "\n".join(_lines("places")).split(f"[{section}]\n")[1].split("\n[")[0]
    return frozenset(place.strip() for place in text.replace("\n", ",").split(",") if place.strip())


def _stems(word: str) -> Iterator[str]:
    for ending in _INFLECTIONS:
        stem = word[: -len(ending)]
        if word.endswith(ending) and len(stem) >= 3 and (ending not in ("d", "r", "rs") or stem.endswith("e")):
            yield stem
            if ending == "ing":
                yield stem + "e"
            if ending in ("ed", "ing", "er") and len(stem) > 3 and stem[-1] == stem[-2]:
                yield stem[:-1]
    if word.endswith(("ies", "ied", "ily")):
        yield word[:-3] + "y"


@lru_cache(maxsize=1 << 16)
def english(word: str) -> bool:
    """True for an English or medical word in lower case, or a regular inflection of one."""
    dictionary = words("words")
    return word in dictionary or any(stem in dictionary for stem in _stems(word))


@lru_cache(maxsize=1 << 16)
def is_given(word: str) -> bool:
    """True if this word in lower case is a given name and hardly anything else."""
    return word in _NAMES_FIRST or (word in words("given") and not english(word))


@lru_cache(maxsize=1 << 16)
def is_family(word: str) -> bool:
    """True if this word in lower case is a family name and hardly anything else."""
    return word in words("family") and not english(word)


@cache
def alternatives(section: str) -> str:
    """A regular expression for the places of a section, by first letter, each word with a capital or all in capitals."""
    forms: dict[str, list[str]] = {}
    for name in sorted(places(section), key=len, reverse=True):  # the longest first: New York City
        for form in (name.title(), name.upper()):
            forms.setdefault(form[0], []).append(re.escape(form[1:]))
    return "|".join(f"{first}(?:{'|'.join(rest)})" for first, rest in forms.items())
