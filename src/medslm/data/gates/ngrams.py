"""Text as numbers: its words without case, spelling of Unicode, punctuation or white space, and its runs of words."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from medslm.data.example import digest

if TYPE_CHECKING:
    import numpy

    Array = numpy.ndarray[Any, Any]

_WORD = re.compile(r"[^\W_]+")  # a row of underscores is a gap to be filled in, and of any length
_UNSEEN = re.compile(
    "[\x00-\x08\x0e-\x1b\x7f-\x84\x86-\x9f\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u202a-\u202e"
    "\u2060-\u206f\u3164\ufe00-\ufe0f\ufeff\uffa0\ufff0-\ufff8\U000e0000-\U000e0fff]"
)
"""Characters that nobody sees: control characters without a place of their own on paper, and those that Unicode calls
Default_Ignorable_Code_Point (https://www.unicode.org/reports/tr44/), such as the isolates around right-to-left words."""
ODD = 0x9E3779B97F4A7C15  # 2**64 / the golden ratio, made odd: multiplying by it loses no bit


def words(text: str) -> list[str]:
    """The words of a text in their order: NFKC, case folded, without punctuation and characters of no width."""
    if text.isascii():
        return _WORD.findall(_UNSEEN.sub("", text).lower())
    folded = unicodedata.normalize("NFKC", _UNSEEN.sub("", text)).casefold()
    return _WORD.findall(unicodedata.normalize("NFKC", folded))  # folding takes some letters apart again


@lru_cache(1 << 17)
def number(word: str) -> int:
    """The digest of a word; common ones are remembered."""
    return digest(word)


def numbers(text: str) -> Array:
    """The words of a text, a number each. (W,) uint64"""
    import numpy

    found = words(text)
    of_words: Array = numpy.fromiter(map(number, found), numpy.uint64, len(found))
    return of_words


def runs(of_words: Array, length: int) -> Array:
    """Every `length` words that follow each other, as one number; none of a shorter text. (W - length + 1,) uint64"""
    import numpy

    if len(of_words) < length:
        return of_words[:0]
    found, done = of_words, 1
    for bit in f"{length:b}"[1:]:  # a run of 13 is made of runs of 1, 2, 3, 6 and 12
        found, done = _joined(found[:-done], found[done:], done), 2 * done
        if bit == "1":
            found, done = _joined(found[:-1], of_words[done:], 1), done + 1
    mixed: Array = found ^ (found >> numpy.uint64(29))
    return mixed


def _joined(left: Array, right: Array, length: int) -> Array:
    """Runs and those that follow them, of `length` words: a polynomial modulo 2**64."""
    import numpy

    longer: Array = left * numpy.uint64(pow(ODD, length, 1 << 64)) + right
    return longer


@dataclass(frozen=True)
class Index:
    """From a number to the places it stands at, as sorted arrays: small to send to a worker, fast to search."""

    keys: Array
    """Distinct, sorted. (K,) uint64"""

    starts: Array
    """Where the places of each key begin in `places`, and the end. (K + 1,) int64"""

    places: Array
    """(P,) int32"""

    @classmethod
    def of(cls, parts: Iterable[Array]) -> Index:
        """The index of several sets of numbers; a place is the position of its set."""
        import numpy

        held = [numpy.unique(part) for part in parts]
        joined = numpy.concatenate([numpy.empty(0, numpy.uint64), *held])
        places: Array = numpy.repeat(numpy.arange(len(held), dtype=numpy.int32), [len(part) for part in held])
        order = numpy.argsort(joined, kind="stable")
        keys, starts = numpy.unique(joined[order], return_index=True)
        return cls(keys, numpy.append(starts, len(joined)), places[order])

    def known(self, asked: Array) -> Array:
        """Positions in `keys` of those numbers in `asked` that are there."""
        import numpy

        if not len(self.keys):
            return numpy.empty(0, numpy.int64)
        position: Array = numpy.minimum(numpy.searchsorted(self.keys, asked), len(self.keys) - 1)
        there: Array = position[self.keys[position] == asked]
        return there

    def at(self, position: Array) -> Array:
        """All places of some keys, one key after the other."""
        import numpy

        if not len(position):
            return numpy.empty(0, numpy.int32)
        found: Array = self.places[spans(self.starts[position], self.starts[position + 1])]
        return found


def spans(starts: Array, ends: Array) -> Array:
    """`[starts[0], ..., ends[0] - 1, starts[1], ...]`"""
    import numpy

    sizes = ends - starts
    offsets: Array = numpy.repeat(starts - numpy.concatenate([[0], numpy.cumsum(sizes)[:-1]]), sizes)
    found: Array = offsets + numpy.arange(len(offsets))
    return found
