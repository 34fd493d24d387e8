"""The kinds of identifier that HIPAA's Safe Harbor removes, and a span: where one stands, never what it says."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

LETTERS = {
    "NAME": "A",
    "ORGANIZATION": "A",
    "LOCATION": "B",
    "DATE": "C",
    "AGE": "C",
    "PHONE": "D",
    "FAX": "E",
    "EMAIL": "F",
    "SSN": "G",
    "MRN": "H",
    "HEALTH_PLAN": "I",
    "ACCOUNT": "J",
    "LICENSE": "K",
    "VEHICLE": "L",
    "DEVICE": "M",
    "URL": "N",
    "IP": "O",
    "BIOMETRIC": "P",
    "PHOTO": "Q",
    "ID": "R",
}
"""Type -> letter of 45 CFR 164.514(b)(2)(i). (A) to (R) are the identifiers "of the individual or of relatives, employers,
or household members", so that the name of an organisation falls under (A); AGE means an age over 89; of biometric
identifiers and photographs only a number or a file name can stand in text."""


class Span(NamedTuple):
    """Characters `start` to `end` (exclusive) of a text hold an identifier of this type."""

    type: str
    start: int
    end: int


class Found(NamedTuple):
    """A span that a recogniser proposes, with the weight it has where proposals overlap (0 to 1)."""

    type: str
    start: int
    end: int
    weight: float


@dataclass(frozen=True)
class Page:
    """A text with what tells quickly which recognisers need not read it."""

    text: str

    @cached_property
    def words(self) -> frozenset[str]:
        """The words in lower case, without digits."""
        return frozenset(re.findall(r"[^\W\d_]+", self.text.lower()))

    @cached_property
    def tokens(self) -> frozenset[str]:
        """The words as they stand, with digits."""
        return frozenset(re.findall(r"\w+", self.text))

    @cached_property
    def digits(self) -> int:
        """How many digits there are."""
        return sum(map(str.isdigit, self.text))

    def has(self, words: frozenset[str]) -> bool:
        """True if one of these words is in the text."""
        return not self.words.isdisjoint(words)


def union(found: Iterable[Found]) -> list[Span]:
    """Proposals that overlap become one span over all of them, of the type of the heaviest, then longest of them."""
    spans: list[Span] = []
    best = (0.0, 0)
    for type_, start, end, weight in sorted(found, key=lambda one: (one.start, -one.end)):
        rank = (weight, end - start)
        if spans and start < spans[-1].end:
            last = spans[-1]
            spans[-1] = Span(type_ if rank > best else last.type, last.start, max(last.end, end))
            best = max(best, rank)
        else:
            spans.append(Span(type_, start, end))
            best = rank
    return spans
